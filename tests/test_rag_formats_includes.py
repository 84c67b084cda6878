"""rag.formats.includes: what reST names is put in its place, from the source's own files and no others."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.formats.includes import (
    MAX_CHARACTERS,
    MAX_DEPTH,
    candidate_paths,
    expand_includes,
    find_missing,
    select_lines,
)
from rag.formats.parser import read_file
from rag.formats.rst import parse_rst
from tests.rows import for_each

CODE = ["line one", "# begin", "line two", "  line three", "# end", "line four"]


def expanded(text: str, files: dict[str, str], path: str = "docs/index.rst") -> str:
    return expand_includes(path, text, files.get)


def test_an_included_file_stands_in_the_place_of_its_directive() -> None:
    text = "Title\n=====\n\nBefore.\n\n.. include:: parts/intro.inc\n\nAfter.\n"
    parsed = parse_rst(expanded(text, {"docs/parts/intro.inc": "Intro\n-----\n\nHello.\n"}))
    assert [(block.text, block.heading_path) for block in parsed.blocks] == [
        ("Before.", ()),
        ("Hello.", ("Intro",)),
        ("After.", ("Intro",)),
    ]


def test_an_included_file_includes_others_relative_to_itself() -> None:
    files = {"docs/a/one.inc": ".. include:: two.inc", "docs/a/two.inc": "Deep text."}
    assert "Deep text." in expanded(".. include:: a/one.inc", files)


def test_a_literal_include_becomes_a_code_block_with_its_language() -> None:
    text = (
        "Run it:\n\n.. literalinclude:: /code/fifo.ys\n   :start-after: # begin\n   :end-before: # end\n   :caption: "
        "part\n\nDone.\n"
    )
    blocks = parse_rst(expanded(text, {"docs/code/fifo.ys": "\n".join(CODE)}, "docs/using/page.rst")).blocks
    assert [block.text for block in blocks] == ["Run it:", "```yoscrypt\nline two\n  line three\n```", "Done."]


def test_an_indented_directive_keeps_its_indentation() -> None:
    text = ".. note:: Look:\n\n   .. literalinclude:: a.v\n      :lines: 1\n"
    assert "   .. code-block:: verilog\n\n      module a;" in expanded(text, {"docs/a.v": "module a;\nendmodule\n"})


@for_each(
    ("options", "lines"),
    [
        ({}, CODE),
        ({"lines": "1,3-4"}, ["line one", "line two", "  line three"]),
        ({"lines": "5-"}, ["# end", "line four"]),
        ({"lines": "-2"}, ["line one", "# begin"]),
        ({"lines": "9-12,x"}, []),
        ({"start-at": "begin", "end-at": "end"}, CODE[1:5]),
        ({"start-after": "begin", "end-before": "end"}, CODE[2:4]),
        ({"start-at": "not there"}, []),
        ({"end-before": "not there"}, CODE),
        ({"start-at": "three", "dedent": "2"}, ["line three", "end", "ne four"]),
    ],
)
def test_the_options_choose_the_lines(options: dict[str, str], lines: list[str]) -> None:
    assert select_lines(CODE, options) == lines


def test_paths_stay_inside_the_source() -> None:
    assert candidate_paths("docs/a/page.rst", "../b.inc") == ["docs/b.inc"]
    assert candidate_paths("docs/a/page.rst", "/b.inc") == ["docs/a/b.inc", "docs/b.inc", "b.inc"]
    for target in ("../../../etc/passwd", "../../b/../../c", "/../../etc/passwd"):
        assert not any(path.startswith(("/", "..")) for path in candidate_paths("docs/page.rst", target))


@given(st.text(alphabet="./ab", max_size=20), st.text(alphabet="/ab", min_size=1, max_size=10))
def test_no_target_leads_out(target: str, path: str) -> None:
    for candidate in candidate_paths(path.strip("/") or "a", target or "x"):
        assert not candidate.startswith(("/", "../"))
        assert candidate != ".."


def test_files_that_include_each_other_are_read_once() -> None:
    files = {
        "docs/index.rst": ".. include:: a.inc",
        "docs/a.inc": "A\n\n.. include:: b.inc",
        "docs/b.inc": "B\n\n.. include:: a.inc\n\n.. include:: index.rst",
    }
    text = expanded(files["docs/index.rst"], files)
    assert (text.count("A"), text.count("B"), text.count(".. include::")) == (1, 1, 2)


def test_depth_and_size_are_limited() -> None:
    chain = {f"docs/{number}.inc": f"level {number}\n\n.. include:: {number + 1}.inc" for number in range(30)}
    assert expanded(".. include:: 0.inc", chain).count("level") == MAX_DEPTH
    big = {"docs/big.inc": "x" * (MAX_CHARACTERS // 3)}
    assert len(expanded(".. include:: big.inc\n\n" * 50, big)) < MAX_CHARACTERS + 5000
    doubling = {
        f"docs/{number}.inc": f".. include:: {number + 1}.inc\n\n.. include:: {number + 1}.inc\n"
        for number in range(30)
    }
    assert len(expanded(".. include:: 0.inc", doubling)) < MAX_CHARACTERS


def test_what_is_not_there_stays_a_directive_that_says_nothing() -> None:
    text = "Text.\n\n.. include:: gone.inc\n   :start-line: 2\n\n.. literalinclude:: /etc/passwd\n"
    assert expanded(text, {}) == text
    assert [block.text for block in parse_rst(expanded(text, {})).blocks] == ["Text."]


def test_a_markdown_file_is_shown_as_it_is() -> None:
    assert "   # Heading" in expanded(".. include:: readme.md", {"docs/readme.md": "# Heading"})


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=".: includetra\n-1", max_size=150), st.text(alphabet=".: includeab\n", max_size=80))
def test_no_text_breaks_the_expansion(text: str, other: str) -> None:
    expand_includes("a.rst", text, lambda _: other)


def test_lines_that_are_named_again_and_again_are_not_more_than_the_file_has() -> None:
    lines = [str(number) for number in range(1000)]
    assert select_lines(lines, {"lines": "1-," * 100_000}) == lines


@for_each(
    ("text", "missing"),
    [
        (".. include:: gone.inc\n\n.. literalinclude:: run.out\n   :language: tcl\n", ["gone.inc", "run.out"]),
        (".. include:: gone.inc\n\n.. include:: gone.inc\n", ["gone.inc"]),
        (".. csv-table:: T\n   :file: gone.csv\n   :header-rows: 1\n\nText.\n", ["gone.csv"]),
        (".. include:: here.inc\n\n.. csv-table:: T\n   :file: here.inc\n\n.. csv-table:: T\n\n   a, b\n", []),
        (".. code-block:: rst\n\n   .. include:: example.rst\n", []),
    ],
)
def test_files_that_are_not_in_the_source_are_named(text: str, missing: list[str]) -> None:
    assert find_missing(expanded(text, {"docs/here.inc": "a, b"})) == missing


def test_a_document_says_what_of_it_could_not_be_read() -> None:
    text = "Text.\n\n" + "".join(f".. include:: {number}.inc\n\n" for number in range(5))
    note = read_file("a.rst", text.encode())[1].note
    assert note == "it includes what could not be read: 0.inc, 1.inc, 2.inc and 2 more"
