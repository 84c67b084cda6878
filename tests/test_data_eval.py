"""data/eval: the retrieval questions over the handbook, Yosys, OpenSTA and ORFS documentation, and the unanswerable
ones, are well-formed.

References into the handbook are followed through the real parser. The pinned corpora are not in the repository, so of
references into them only the form is checked: a path that the corpus selects and a heading as the parser gives it.
"""

from __future__ import annotations

import json
import re
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

from rag.blocks import MAX_HEADING_CHARACTERS, Parsed
from rag.formats.parser import format_of, parse
from rag.sources.corpus import load_sources
from tests.rows import for_each

ROOT = Path(__file__).parent.parent
EVAL = ROOT / "data" / "eval"
HANDBOOK = ROOT / "data" / "handbook"
COLLECTIONS = ("handbook", "yosys", "opensta", "orfs")
# `code`, $cell, -option, %action, ns::name, snake_case, ACRONYM or CODE-0001, camelCase, file.tcl; a hyphen inside a
# word ("read-only") is none.
IDENTIFIER = re.compile(
    r"`[^`]+`|\$_?\w+|(?<![\w-])--?[a-z]\w*(?:-\w+)*|%\w+\*?|\w+::\w+|\w*_\w+"
    r"|\b[A-Z]{2,}[A-Z0-9]*(?:-\d+)?\b|\b[a-z]+[A-Z]\w*|\b[A-Z][a-z]+[A-Z]\w*|\w+\.\w{2,4}\b"
)
ACRONYM = re.compile(r"[A-Z0-9]+")  # RAM, VDD: words of the trade, they name no command
# Share of common words; different questions of a few words ("What is WNS?", "What is TNS?") reach about 0.5
SAME_QUESTION = 0.7


def read_rows(name: str) -> list[dict[str, Any]]:
    """The rows of data/eval/`name`.jsonl."""
    return [json.loads(line) for line in (EVAL / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


ROWS = {name: read_rows(name) for name in COLLECTIONS}
ANSWERABLE = [row for name in COLLECTIONS for row in ROWS[name]]
UNANSWERABLE = read_rows("unanswerable")
REFERENCES = [reference for row in ANSWERABLE for reference in row["references"]]


@cache
def read_article(path: str) -> Parsed:
    """A handbook article as the real parser sees it."""
    return parse(path, (HANDBOOK / path).read_text(encoding="utf-8"))


def section_text(path: str, heading: str) -> str:
    """Heading and text of one section of a handbook article, with the sections in it."""
    return "\n".join([heading, *(block.text for block in read_article(path).blocks if heading in block.heading_path)])


def name_tokens(question: str) -> list[str]:
    """What looks like the name of a command, option, variable, message or file, without backticks."""
    return [token.strip("`") for token in IDENTIFIER.findall(question)]


def words(question: str) -> frozenset[str]:
    """The question's words in lower case, for comparing questions."""
    return frozenset(re.findall(r"[a-z0-9_]+", question.lower()))


def overlap(left: frozenset[str], right: frozenset[str]) -> float:
    """Jaccard similarity of two sets of words, 0 to 1."""
    return len(left & right) / len(left | right)


@for_each("collection", COLLECTIONS)
def test_answerable_rows_have_exactly_the_keys_in_order(collection: str) -> None:
    for row in ROWS[collection]:
        assert list(row) in (
            ["question", "kind", "answerable", "references"],
            ["question", "kind", "answerable", "references", "any_of"],
        ), row
        assert row["kind"] in ("name", "meaning")
        assert row["answerable"] is True
        assert row.get("any_of", True) is True
        assert 1 <= len(row["references"]) <= 3
        assert len(row["references"]) > 1 or "any_of" not in row
        assert row["references"][0]["collection"] == collection


def test_references_have_exactly_the_keys_in_order_and_none_twice() -> None:
    for reference in REFERENCES:
        assert list(reference) in (["collection", "path"], ["collection", "path", "heading"]), reference
    for row in ANSWERABLE:
        assert len({tuple(reference.values()) for reference in row["references"]}) == len(row["references"])


def test_unanswerable_rows_have_exactly_the_keys_in_order() -> None:
    for row in UNANSWERABLE:
        assert list(row) == ["question", "kind", "answerable", "references"]
        assert (row["kind"], row["answerable"], row["references"]) == ("unanswerable", False, [])


def test_questions_are_one_trimmed_line_of_readable_length() -> None:
    for row in [*ANSWERABLE, *UNANSWERABLE]:
        question = row["question"]
        assert question == " ".join(question.split())
        assert 8 <= len(question) <= 200, question


def test_there_are_enough_questions_of_every_collection() -> None:
    assert len(ANSWERABLE) >= 200
    assert {collection: len(ROWS[collection]) >= 50 for collection in COLLECTIONS} == dict.fromkeys(COLLECTIONS, True)
    assert len(UNANSWERABLE) >= 70


@for_each("collection", COLLECTIONS)
def test_half_of_the_questions_name_something_and_half_do_not(collection: str) -> None:
    named = sum(row["kind"] == "name" for row in ROWS[collection])
    assert 0.45 <= named / len(ROWS[collection]) <= 0.55


@for_each("collection", COLLECTIONS)
def test_questions_are_spread_over_the_documents(collection: str) -> None:
    sections = [json.dumps(row["references"][0]) for row in ROWS[collection]]
    assert len(set(sections)) >= 0.6 * len(sections)
    assert max(map(sections.count, sections)) <= 5


def test_handbook_references_lead_to_one_section_of_an_article() -> None:
    for reference in (reference for reference in REFERENCES if reference["collection"] == "handbook"):
        assert (HANDBOOK / reference["path"]).is_file(), reference
        paths = {block.heading_path for block in read_article(reference["path"]).blocks}
        heading = reference.get("heading")
        assert heading is not None or len(paths) == 1, reference
        owners = {path[: path.index(heading) + 1] for path in paths if heading in path}
        assert heading is None or len(owners) == 1, reference


def test_corpus_references_have_a_path_of_the_corpus_and_a_parsed_heading() -> None:
    sources = load_sources()
    for reference in (reference for reference in REFERENCES if reference["collection"] != "handbook"):
        assert sources[reference["collection"]].selects(reference["path"]), reference
        assert format_of(reference["path"])
        heading = reference.get("heading", "-")
        assert heading == " ".join(heading.split())
        assert 0 < len(heading) <= MAX_HEADING_CHARACTERS


def test_name_questions_hold_a_name() -> None:
    assert [row["question"] for row in ANSWERABLE if row["kind"] == "name" and not name_tokens(row["question"])] == []


def test_handbook_sections_hold_the_name_asked_for() -> None:
    for row in (row for row in ROWS["handbook"] if row["kind"] == "name"):
        text = "\n".join(
            section_text(ref["path"], ref["heading"]) for ref in row["references"] if ref["collection"] == "handbook"
        )
        assert any(token in text for token in name_tokens(row["question"])), row["question"]


def test_meaning_questions_name_nothing() -> None:
    for row in (row for row in ANSWERABLE if row["kind"] == "meaning"):
        named = [token for token in name_tokens(row["question"]) if not ACRONYM.fullmatch(token)]
        assert named == [], row["question"]
        for heading in (reference.get("heading", "") for reference in row["references"]):
            in_heading = {token.lower() for token in name_tokens(heading) if not ACRONYM.fullmatch(token)}
            assert not in_heading & words(row["question"]), (row["question"], heading)


def test_no_question_is_asked_twice() -> None:
    questions = [row["question"] for row in [*read_rows("starter"), *ANSWERABLE, *UNANSWERABLE]]
    asked = [(question, words(question)) for question in questions]
    twice = [(left, right) for (left, a), (right, b) in combinations(asked, 2) if overlap(a, b) >= SAME_QUESTION]
    starter = {row["question"] for row in read_rows("starter")}
    assert [pair for pair in twice if not starter.issuperset(pair)] == []


def test_a_reworded_copy_counts_as_the_same_question() -> None:
    copy = overlap(words("How do I read a UPF file in OpenROAD?"), words("how do I read an UPF file in OpenROAD"))
    other = overlap(words("How do I read a UPF file in OpenROAD?"), words("How do I build OpenROAD with Bazel?"))
    assert other < SAME_QUESTION <= copy


@for_each(
    ("question", "tokens"),
    [
        ("is report_checks -fields new?", ["report_checks", "-fields"]),
        ("a read-only folder, sign-off and RAM", ["RAM"]),
        ("what does `opt` do to $mux and RTLIL::Wire", ["opt", "$mux", "RTLIL::Wire"]),
        ("GRT-0243 in run.tcl", ["GRT-0243", "run.tcl"]),
    ],
)
def test_names_are_distinguished_from_words(question: str, tokens: list[str]) -> None:
    assert name_tokens(question) == tokens
