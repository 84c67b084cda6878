"""rag.sources.questions: the three forms of questions, ready-made chunks, and all that is wrong with either at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rag.command_line import write_jsonl
from rag.documents import Chunk
from rag.errors import ChunksUnusable, QuestionsUnusable, ReferenceUnknown
from rag.sources.questions import READY_MADE, WantedPassage, find_wanted, read_chunks, read_questions, refer_to_chunk
from tests.rows import for_each

ROOT = Path(__file__).parent.parent


def write_rows(path: Path, *rows: Any) -> Path:
    write_jsonl(path, rows)
    return path


def a_chunk(chunk_id: str, path: str = "a.md", headings: tuple[str, ...] = (), text: str = "text") -> Chunk:
    return Chunk(chunk_id, "notes", path, "The Title", headings, text, None, "ISC", 0)


def test_questions_of_ord_qa_name_chunks(tmp_path: Path) -> None:
    row = {
        "id": 7,
        "type": "vlsi_flow",
        "question": " How?\n",
        "ref_num": 2,
        "reference": ["x_1", "x_2", "x_1"],
        "answer": "So.",
    }
    (question,) = read_questions(write_rows(tmp_path / "q.jsonl", row))
    assert (question.question_id, question.text, question.kind, question.answerable) == ("7", "How?", "vlsi_flow", True)
    assert question.wanted == ((refer_to_chunk("x_1"),), (refer_to_chunk("x_2"),))  # a reference given twice is one


def test_questions_of_our_form_name_documents_and_headings(tmp_path: Path) -> None:
    places = [{"collection": "yosys", "path": "a.rst", "heading": "Options"}, {"collection": "yosys", "path": "b.rst"}]
    rows = [
        {"question": "Which?", "kind": "name", "answerable": True, "references": places},
        {"question": "Which one?", "kind": "meaning", "answerable": True, "any_of": True, "references": places},
        {"question": "What is the weather?", "kind": "unanswerable", "answerable": False, "references": []},
    ]
    every, one, none = read_questions(write_rows(tmp_path / "q.jsonl", *rows))
    first, second = WantedPassage("yosys", "a.rst", "Options"), WantedPassage("yosys", "b.rst")
    assert every.wanted == ((first,), (second,))
    assert one.wanted == ((first, second),)  # one of the two suffices
    assert (none.wanted, none.answerable, none.kind) == ((), False, "unanswerable")


def test_answers_make_every_reference_of_a_question_strict(tmp_path: Path) -> None:
    row: dict[str, Any] = {
        "question": "How?",
        "references": [{"collection": "notes", "path": "a.md"}, {"collection": "notes", "path": "b.md"}],
        "any_of": True,
        "answers": ["the `-hold` option's buffers", "delay cells"],
    }
    (question,) = read_questions(write_rows(tmp_path / "q.jsonl", row))
    assert {reference.answers for (group,) in [question.wanted] for reference in group} == {tuple(row["answers"])}
    chunks = [
        a_chunk("1", text="It repairs hold."),
        a_chunk("2", text="**The -hold\n option’s** Buffers are small."),
        a_chunk("3", "b.md", headings=("Delay cells",), text="See below."),
        a_chunk("4", "c.md", text="delay cells"),
    ]
    assert find_wanted([question], chunks) == [[frozenset({"2", "3"})]]


def test_an_answer_that_is_cut_in_two_is_wanted_and_not_found(tmp_path: Path) -> None:
    row = {"question": "How?", "expected": [["notes", "a.md"]], "answers": ["delay cells"]}
    questions = read_questions(write_rows(tmp_path / "q.jsonl", row))
    assert find_wanted(questions, [a_chunk("1", text="delay"), a_chunk("2", text="cells")]) == [[frozenset()]]
    with pytest.raises(ReferenceUnknown, match=r"notes/a\.md"):
        find_wanted(questions, [a_chunk("1", "b.md", text="delay cells")])


@pytest.mark.parametrize("answers", ["words", [""], [3], ["**"]])
def test_answers_that_are_not_texts_are_refused(tmp_path: Path, answers: Any) -> None:
    row = {"question": "How?", "expected": [["notes", "a.md"]], "answers": answers}
    with pytest.raises(QuestionsUnusable, match='line 1 has "answers" that is not a list of texts'):
        read_questions(write_rows(tmp_path / "q.jsonl", row))


def test_the_shipped_questions_can_be_read() -> None:
    questions = read_questions(ROOT / "data" / "eval" / "starter.jsonl")
    assert {question.kind for question in questions} == {"answerable", "unanswerable"}
    assert questions[0].wanted == ((WantedPassage("handbook", "antenna-effects.md"),),)


def test_a_line_separator_inside_a_question_does_not_end_its_line(tmp_path: Path) -> None:
    (question,) = read_questions(write_rows(tmp_path / "q.jsonl", {"question": "a\u2028b", "reference": ["x"]}))
    assert question.text == "a\u2028b"


def test_every_bad_line_is_listed_with_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    bad = [
        "{not json",
        "[]",
        json.dumps({"question": "?!", "reference": ["x"]}),
        json.dumps({"question": "no reference", "answerable": True}),
        json.dumps({"question": "both", "answerable": False, "reference": ["x"]}),
        json.dumps({"question": "odd", "reference": [3]}),
        json.dumps({"question": "odd", "references": [{"collection": "yosys"}]}),
        json.dumps({"question": "odd", "references": [{"collection": "yosys", "path": "a", "header": "typo"}]}),
        json.dumps({"question": "odd", "expected": [["yosys"]]}),
        json.dumps({"question": "odd", "expected": "yosys"}),
    ]
    path.write_text("\n" + "\n".join(bad) + "\n")
    with pytest.raises(QuestionsUnusable) as caught:
        read_questions(path)
    message = str(caught.value)
    assert [f"line {number} " in message for number in range(1, 13)] == [False, *[True] * 10, False]
    assert "line 2 is not JSON (" in message
    assert 'line 4 has no "question" with words in it' in message
    assert "line 5 is answerable, but names no passage" in message
    assert "\n" not in message


def test_a_missing_an_empty_and_a_binary_file_are_each_named(tmp_path: Path) -> None:
    with pytest.raises(QuestionsUnusable, match=r"none\.jsonl cannot be read \(No such file"):
        read_questions(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(QuestionsUnusable, match="holds no question"):
        read_questions(tmp_path / "empty.jsonl")
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(QuestionsUnusable, match="not UTF-8"):
        read_questions(tmp_path / "binary.jsonl")


@for_each(
    ("chunk", "is_part"),
    [
        (a_chunk("1", headings=("Commands", "The `-hold` option")), True),
        (a_chunk("2", headings=("The -hold Option", "Examples")), True),  # a subsection belongs to its section
        # Small sections were joined into one chunk
        (a_chunk("3", text="intro\n\n## The  *-hold*  option ##\n\ntext"), True),
        (a_chunk("4", headings=("The -setup option",), text="The -hold option is another."), False),
        (a_chunk("5", path="b.md", headings=("The -hold option",)), False),
    ],
)
def test_a_chunk_is_part_of_a_section_by_its_headings(chunk: Chunk, is_part: bool) -> None:
    assert WantedPassage("notes", "a.md", "The -hold option").matches(chunk) is is_part


def test_without_a_heading_every_chunk_of_the_document_counts() -> None:
    assert WantedPassage("notes", "a.md").matches(a_chunk("1", headings=("Any",)))
    assert WantedPassage("notes", "a.md", "the title").matches(a_chunk("1"))
    assert not WantedPassage("other", "a.md").matches(a_chunk("1"))


def test_the_wanted_passages_are_the_ids_of_their_chunks(tmp_path: Path) -> None:
    chunks = [a_chunk("1", "a.md", ("One",)), a_chunk("2", "a.md", ("Two",)), a_chunk("3", "b.md")]
    places = [{"collection": "notes", "path": "a.md", "heading": "Two"}, {"collection": "notes", "path": "b.md"}]
    rows = [
        {"question": "all", "references": places},
        {"question": "any", "references": places, "any_of": True},
        {"question": "document", "expected": [["notes", "a.md"]]},
        {"question": "nothing", "answerable": False},
    ]
    wanted = find_wanted(read_questions(write_rows(tmp_path / "q.jsonl", *rows)), chunks)
    assert wanted == [[{"2"}, {"3"}], [{"2", "3"}], [{"1", "2"}], []]


def test_all_references_that_no_chunk_has_are_listed(tmp_path: Path) -> None:
    rows = [
        {"question": "one", "reference": ["lost_2"]},
        {"question": "three", "expected": [["notes", "a.md"]]},
        {"question": "two", "references": [{"collection": "notes", "path": "a.md", "heading": "Nowhere"}]},
    ]
    with pytest.raises(ReferenceUnknown, match=r"not there: lost_2, notes/a\.md # Nowhere: "):
        find_wanted(read_questions(write_rows(tmp_path / "q.jsonl", *rows)), [a_chunk("1")])


def write_corpus(path: Path, *items: dict[str, str], source: str = "global_routing") -> Path:
    path.write_text(json.dumps([{"source": source, "amount": len(items), "knowledge": list(items)}]))
    return path


def test_ready_made_chunks_become_documents_with_their_place_as_title(tmp_path: Path) -> None:
    path = write_corpus(
        tmp_path / "corpus.json",
        {
            "summary": "",
            "id": "r_0",
            "content": "id:r_0\n# Routing\n### Set Layers\n\nUse `set_routing_layers`.\n\n## Notes\n\nNone.\n",
        },
        {"summary": "", "id": "r_1", "content": "id:r_1\nPlain text.\n# not at the start\n"},
        {"summary": "", "id": "r_2", "content": "id:r_2\n## Nothing else"},
    )
    first, second, third = read_chunks(path)
    assert (first.collection, first.path, first.title) == (
        READY_MADE,
        "r_0.md",
        "global routing > Routing > Set Layers",
    )
    assert first.text == "Use `set_routing_layers`.\n\n## Notes\n\nNone."
    assert (second.title, second.text) == ("global routing", "Plain text.\n# not at the start")
    assert (third.title, third.text) == ("global routing > Nothing else", "## Nothing else")


def test_a_reference_to_a_ready_made_chunk_is_shown_by_its_id() -> None:
    assert str(refer_to_chunk("gate_resizing_3")) == "gate_resizing_3"
    assert str(WantedPassage("notes", "a.md", "Two")) == "notes/a.md # Two"


@for_each(
    ("content", "what"),
    [
        ("{", "is not JSON"),
        ("[]", "holds no chunk"),
        ('{"source": "a"}', "is not of the form"),
        ('[{"source": "a", "knowledge": [{"id": "a_0"}]}]', r"is not of the form .*KeyError\('content'\)"),
        ('[{"source": "a", "knowledge": [{"id": "a_0", "content": 5}]}]', "is not of the form"),
        (
            '[{"source": "a", "knowledge": [{"id": "1", "content": "x"}, {"id": "1", "content": "y"}]}]',
            "gives one id to several",
        ),
    ],
)
def test_a_corpus_of_another_form_is_refused(tmp_path: Path, content: str, what: str) -> None:
    (tmp_path / "corpus.json").write_text(content)
    with pytest.raises(ChunksUnusable, match=what):
        read_chunks(tmp_path / "corpus.json")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        # Escaped twice, as ORD-QA's answers are
        (r" Run:\n\tset_wire_rc -layer \"M3\" " + "\n", 'Run:\n\tset_wire_rc -layer "M3"'),
        ('Run:\nputs "a\\nb"', 'Run:\nputs "a\\nb"'),  # has a real line break, so `\n` is Tcl's own
        (None, ""),
    ],
)
def test_a_reference_answer_is_read_with_its_line_breaks(tmp_path: Path, written: str | None, read: str) -> None:
    row = {"question": "How?", "reference": ["a_0"], **({} if written is None else {"answer": written})}
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps(row))
    (question,) = read_questions(path)
    assert question.answer == read
