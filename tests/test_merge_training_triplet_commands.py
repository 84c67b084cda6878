"""`chipalign adapt triplets`: from documents to a file, in one process of its own and in this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from merge.training.triplet_commands import SAME_ANSWER, _choose, triplets
from merge.training.triplets import REFUSALS
from rag.answering.citations import cite_markers
from rag.answering.prompt import RULES, SYSTEM
from rag.errors import OutputUnwritable, QuestionsUnusable, SourceUnusable
from rag.training.triplet_templates import Draft
from serve.running.store_commands import store
from serve.settings import ServeSettings
from serve.store.database import open_database
from serve.store.feedback import Feedback, Rating
from tests.commands import run_command

ROOT = Path(__file__).parents[1]
DOCUMENTS = {
    "route.md": """# Routing

## Route All

This command routes all nets of the design.

```tcl
route_all
    [-guide_file file]
    [-effort level]
```

| Option | Description |
| --- | --- |
| `-guide_file` | Set the file to which the guides are written. |
| `-effort` | Specifies how long the router tries. The default value is `3`. |
""",
    "place.md": """# Placement

## Place All

This command places all cells of the design in rows.

```tcl
place_all
    [-density share]
    [-padding sites]
```

| Option | Description |
| --- | --- |
| `-density` | Set the density that the placer aims at. The default value is `0.7`. |
| `-padding` | Add sites beside each cell, so that pins stay reachable. |

If the density cannot be reached, the placer stops with an error.
""",
    "words.md": """# Words

| Abbreviation | Expansion | Meaning |
| --- | --- | --- |
| WNS | Worst negative slack | Smallest slack if it is negative, otherwise zero. |
| TNS | Total negative slack | Sum of the slack of all failing endpoints. |
""",
}
PAIRS = [
    (
        "How do I tell the router where guides go?",
        "Use -guide_file of route_all to set the file to which the guides are written.",
    ),
    ("Is the router good?", "It won the contest of 2018 against nine academic routers by a wide margin."),
    ("How is the density chosen?", "With the option -density of place_all: set the density that the placer aims at."),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("triplets")
    (folder / "docs").mkdir()
    for name, text in DOCUMENTS.items():
        (folder / "docs" / name).write_text(text, encoding="utf-8")
    (folder / "docs" / "LICENSE").write_text("nothing to read", encoding="utf-8")
    (folder / "qa" / "deep").mkdir(parents=True)
    (folder / "qa" / "deep" / "pairs.csv").write_text(
        "\n".join(["Q,A", *(f'"{q}","{a}"' for q, a in PAIRS)]), encoding="utf-8"
    )
    (folder / "asked.jsonl").write_text(
        json.dumps({"question": "What does WNS stand for?"})
        + "\n"
        + json.dumps(
            {
                "question": "Else?",
                "answer": "With the option -density of place_all: set the density that the placer aims at, so.",
            }
        ),
        encoding="utf-8",
    )
    return folder


def command(folder: Path, out: str, *more: str) -> list[str]:
    return ["adapt", "triplets", "--docs", str(folder / "docs"), "--out", str(folder / out), "--json", *more]


def run(folder: Path, out: str, *more: str) -> dict[str, Any]:
    done = run_command(*command(folder, out, *more), CHIPALIGN_HOME=str(folder / "home"))
    assert done.returncode == 0, done.stderr
    assert "build prompts: " in done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


@pytest.fixture(scope="module")
def written(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    summary = run(
        folder,
        "t.jsonl",
        "--answers",
        str(folder / "qa"),
        "--exclude",
        str(folder / "asked.jsonl"),
        "--index",
        str(folder / "index"),
    )
    rows = [json.loads(line) for line in (folder / "t.jsonl").read_text(encoding="utf-8").splitlines()]
    return rows, summary


def test_every_line_is_of_the_form_that_training_reads(written: tuple[list[dict[str, Any]], dict[str, Any]]) -> None:
    rows, _ = written
    for row in rows:
        assert list(row) == ["id", "kind", "question", "answer", "messages", "source"]
        system, user = row["messages"]
        assert system == {"role": "system", "content": f"{SYSTEM} {RULES}"}
        assert user["content"].startswith("Context:\n[1]\n~~~\n")
        assert user["content"].endswith(f"\n\nQuestion:\n{row['question']}")
        assert set(row["source"]) == {"document", "licence", "answers"}
    assert len({row["id"] for row in rows}) == len(rows)
    assert len([row for row in rows if row["kind"] == "template"]) > 8


def test_answers_cite_the_passages_that_they_are_from_and_refusals_none(
    written: tuple[list[dict[str, Any]], dict[str, Any]],
) -> None:
    rows, _ = written
    for row in rows:
        passages = row["messages"][1]["content"].count("\n~~~\n") // 2
        if row["kind"] == "unanswerable":
            assert row["answer"] in REFUSALS
        else:
            assert len(cite_markers(row["answer"], passages)) == (
                len(row["source"]["document"].split(", ")) if row["kind"] == "task" else 1
            )


def test_the_summary_counts_what_the_file_holds(
    written: tuple[list[dict[str, Any]], dict[str, Any]], folder: Path
) -> None:
    rows, summary = written
    assert summary["count"] == len(rows)
    assert summary["kinds"] == Counter(row["kind"] for row in rows)
    assert summary["licences"] == {"not stated": len(rows)}
    assert summary["documents"] == 3
    assert summary["triplets"] == str(folder / "t.jsonl")
    assert 20 < summary["mean_prompt_tokens"] < 900
    assert sum(summary["passages"].values()) == len(rows)


def test_an_answer_is_kept_where_the_documents_hold_it(written: tuple[list[dict[str, Any]], dict[str, Any]]) -> None:
    rows, summary = written
    [kept] = [row for row in rows if row["kind"] == "answer"]
    assert kept["question"] == PAIRS[0][0]
    assert kept["source"] == {"document": "docs/route.md", "licence": "not stated", "answers": "qa/deep/pairs.csv"}
    assert summary["dropped"]["answer: answer not held by the passages"] == 1


def test_what_is_measured_with_is_not_trained_on(written: tuple[list[dict[str, Any]], dict[str, Any]]) -> None:
    rows, summary = written
    assert summary["dropped"]["answer: quotes an answer that is measured with"] == 1
    assert summary["dropped"]["template: nearly asks a question that is measured with"] >= 1
    assert not any(row["question"] in ("What does WNS stand for?", PAIRS[2][0]) for row in rows)


def test_the_same_command_writes_the_same_file_and_another_seed_another(
    folder: Path, written: tuple[list[dict[str, Any]], dict[str, Any]]
) -> None:
    # Its index is made anew, in a process of its own, where sets have another order
    again = command(folder, "again.jsonl", "--answers", str(folder / "qa"), "--exclude", str(folder / "asked.jsonl"))
    env = {**os.environ, "CHIPALIGN_HOME": str(folder / "home")}
    subprocess.run([sys.executable, "-m", "chipalign", *again], cwd=ROOT, env=env, capture_output=True, check=True)
    assert (folder / "again.jsonl").read_bytes() == (folder / "t.jsonl").read_bytes()
    run(folder, "other.jsonl", "--answers", str(folder / "qa"), "--seed", "1", "--index", str(folder / "index"))
    assert (folder / "other.jsonl").read_bytes() != (folder / "t.jsonl").read_bytes()
    assert not list(folder.glob("*.part"))


def test_a_kind_has_no_more_than_wanted(
    folder: Path, small_checkpoint: Path, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    out = folder / "few.jsonl"
    assert (
        triplets(
            ["--docs", str(folder / "docs"), "--out", str(out), "--per-kind", "5", "--tokenizer", str(small_checkpoint)]
        )
        == 0
    )
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert Counter(row["kind"] for row in rows) == {"template": 5, "task": 5, "unanswerable": 1}
    printed = capsys.readouterr().out
    assert "few.jsonl: 11 triplets (5 task, 5 template, 1 unanswerable) from 3 documents" in printed
    assert str(small_checkpoint) in printed
    assert "template: more than --per-kind" in printed


def test_an_answer_is_taken_so_often_at_most(folder: Path, tmp_path: Path, home: Path) -> None:
    asked = [
        f"{start} sets the file to which the guides are written"
        for start in ("What", "Which option", "Who", "Where is it said who", "Tell me who")
    ]
    lines = [
        json.dumps({"question": question, "answer": PAIRS[0][1]}) for question in (*asked, "And the guides?", asked[0])
    ]
    (tmp_path / "same.jsonl").write_text("\n".join(lines), encoding="utf-8")
    triplets(
        ["--docs", str(folder / "docs"), "--out", str(tmp_path / "t.jsonl"), "--answers", str(tmp_path / "same.jsonl")]
    )
    rows = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sum(row["kind"] == "answer" for row in rows) == SAME_ANSWER


def test_reviewed_answers_become_triplets_and_others_do_not(folder: Path, tmp_path: Path, home: Path) -> None:
    database = open_database(ServeSettings(home=home))
    feedback = Feedback(database)
    feedback.add(Rating("chatcmpl-1", "down", "wrong", PAIRS[0][1], PAIRS[0][0], "Use -effort [1]."))
    feedback.add(Rating("chatcmpl-2", "up", question=PAIRS[2][0], answer=f"{PAIRS[2][1]} [2]"))
    feedback.add(Rating("chatcmpl-3", "down", question="Which option sets the effort?", answer=PAIRS[0][1]))
    feedback.add(Rating("chatcmpl-4", "up"))
    database.close()
    assert store(["feedback", "--out", str(tmp_path / "feedback.jsonl")]) == 0
    out = tmp_path / "t.jsonl"
    triplets(["--docs", str(folder / "docs"), "--out", str(out), "--feedback", str(tmp_path / "feedback.jsonl")])
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    reviewed = {row["question"]: row for row in rows if row["kind"] == "answer"}
    assert reviewed.keys() == {PAIRS[0][0], PAIRS[2][0]}
    assert {row["source"]["answers"] for row in reviewed.values()} == {"feedback.jsonl"}
    assert "-guide_file" in reviewed[PAIRS[0][0]]["answer"]


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        (["--feedback", "lost.jsonl"], QuestionsUnusable, r"lost\.jsonl holds no feedback"),
        (["--exclude", "lost.jsonl"], QuestionsUnusable, r"lost\.jsonl cannot be read"),
        (["--answers", "lost.csv"], QuestionsUnusable, r"lost\.csv cannot be read"),
        (["--tokenizer", "lost"], SourceUnusable, r"lost holds no tokenizer\.json"),
    ],
)
def test_wrong_input_is_said_before_any_work(
    folder: Path, home: Path, more: list[str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        triplets(["--docs", str(folder / "docs"), "--out", str(folder / "never.jsonl"), *more])
    assert not (folder / "never.jsonl").exists()


def test_documents_that_give_no_question_are_refused(tmp_path: Path, home: Path) -> None:
    (tmp_path / "a.v").write_text("module a; endmodule\n", encoding="utf-8")
    with pytest.raises(SourceUnusable, match="no question can be made"):
        triplets(["--docs", str(tmp_path / "a.v"), "--out", str(tmp_path / "t.jsonl")])


def test_a_file_that_cannot_be_written_is_named(folder: Path, home: Path) -> None:
    with pytest.raises(OutputUnwritable, match=r"lost/t\.jsonl cannot be written"):
        triplets(["--docs", str(folder / "docs"), "--out", str(folder / "lost" / "t.jsonl")])


def test_of_more_than_are_wanted_answers_that_say_more_are_taken_more_often() -> None:
    long, short = "word " * 20, "word "
    drafts = [
        ("template", Draft(f"{kind} {number}?", f"{answer}{number}", ()))
        for number in range(300)
        for kind, answer in (("l", long), ("s", short))
    ]
    chosen = [draft for _, draft in _choose(drafts, 300, 0, Counter())]
    lengthy = sum(draft.question.startswith("l") for draft in chosen)
    assert len(chosen) == 300
    assert 200 < lengthy < 300  # weights 21 and 2 would take nearly all of the long ones; short ones are not shut out
    assert chosen != [draft for _, draft in _choose(drafts, 300, 1, Counter())]
