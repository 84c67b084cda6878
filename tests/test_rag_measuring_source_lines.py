"""rag.measuring.source_lines: the rule that leaves a line out, and where it ends: to take more would hide a loss."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO

import pytest

from rag.errors import ParseFailed
from rag.measuring.source_lines import read_lines, show_words
from tests.rows import for_each


def left_out(name: str, text: str) -> dict[str, str]:
    """The rule of each line that has words, by the line without its indentation."""
    return {line.text.strip(): line.left_out for line in read_lines(name, text.encode()) if line.text.strip()}


def zipped(**parts: str) -> bytes:
    """A zip with these parts; `__` stands for a slash, and `_xml` ends each name."""
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name.replace("__", "/").replace("_xml", ".xml"), text)
    return content.getvalue()


@for_each(
    ("name", "text", "rules"),
    [
        (
            "a.rst",
            ".. todo:: later\n\n   Inside.\n\n     Deeper.\nAfter.\n",
            {
                ".. todo:: later": "directives that say nothing",
                "Inside.": "directives that say nothing",
                "Deeper.": "directives that say nothing",
                "After.": "",
            },
        ),
        (
            "a.rst",
            ".. A comment,\n   of two lines.\n\n.. note:: Said.\n\n   Below.\n",
            {
                ".. A comment,": "comments",
                "of two lines.": "comments",
                ".. note:: Said.": "lines of markup",
                "Below.": "",
            },
        ),
        (
            "a.rst",
            ".. _target:\n\n.. [1] A note.\n",
            {".. _target:": "lines of markup", ".. [1] A note.": "lines of markup"},
        ),
        (
            "a.rst",
            "See |logo|.\n\n|logo|\n\n.. |logo| image:: a.png\n",
            {"See |logo|.": "", "|logo|": "pictures", ".. |logo| image:: a.png": "directives that say nothing"},
        ),
        (
            "a.md",
            "# Empty\n\n```{todo}\nText.\n```\n\n## Full\n\nRead.\n",
            {
                "# Empty": "headings with nothing below them",
                "```{todo}": "directives that say nothing",
                "Text.": "",
                "```": "lines of markup",
                "## Full": "headings with nothing below them",
                "Read.": "",
            },
        ),
        ("a.txt", ".. todo is no directive here\n.. nor a comment\n", None),
        ("a.lef", "MACRO a\nEND a\n", {"MACRO a": "data that is not kept", "END a": "data that is not kept"}),
    ],
)
def test_a_rule_holds_for_its_lines_alone(name: str, text: str, rules: dict[str, str] | None) -> None:
    assert left_out(name, text) == (rules or dict.fromkeys(text.splitlines(), ""))


def test_only_the_encrypted_part_of_a_design_is_left_out() -> None:
    begin, end = "`pragma protect begin_protected", "`pragma protect end_protected"
    text = "\n".join(["module a;", begin, "`pragma protect data_block", "QUJD", end, "endmodule", ""])
    found = left_out("a.v", text)
    assert (found["module a;"], found["QUJD"], found["endmodule"]) == ("", "encrypted parts", "")


def test_a_page_is_read_but_for_its_navigation_and_scripts() -> None:
    page = "<html><body><nav>Home</nav><p>Cells are <b>placed</b>.</p><script>run()</script></body></html>"
    found = left_out("a.html", page)
    assert found["Home"] == found["run()"] == "what surrounds a page's text"
    assert found["Cells are"] == found["placed"] == ""


def test_a_notebook_shows_sources_and_printed_text_of_its_cells() -> None:
    cells = [
        {"source": ["Read this.\n", "And this.\n"]},
        {"source": "run()", "outputs": [{"text": ["printed\n"]}, {"evalue": "failed"}, {"data": {}}]},
    ]
    assert list(left_out("a.ipynb", json.dumps({"cells": cells}))) == [
        "Read this.",
        "And this.",
        "run()",
        "printed",
        "failed",
    ]


def test_deleted_text_notes_and_hidden_sheets_of_office_documents_have_their_rules() -> None:
    document = '<w xmlns:w="w"><w:p>Kept <w:tab/>text</w:p><w:del><w:p>Gone</w:p></w:del></w>'
    word = zipped(word__document_xml=document, word__footnotes_xml='<w xmlns:w="w"><w:p>Note</w:p></w>')
    lines = {line.text: line.left_out for line in read_lines("a.docx", word)}
    assert lines == {"Kept  text": "", "Gone": "comments and deleted text", "Note": "notes, heads and feet"}

    book = '<b><sheet name="A"/><sheet name="B" state="hidden"/><sheet name="C" state="visible"/></b>'
    sheets = {f"xl__worksheets__sheet{number}_xml": f"<s><is>Cell {number}</is></s>" for number in (1, 2, 3)}
    lines = {line.text: line.left_out for line in read_lines("a.xlsx", zipped(xl__workbook_xml=book, **sheets))}
    assert lines == {"Cell 1": "", "Cell 2": "hidden sheets", "Cell 3": ""}


@for_each(
    ("line", "words"),
    [
        ("see :ref:`the pins <pins>` of it", ["see", "`the", "pins", "`", "of", "it"]),
        ("a [link](http://a/b) here", ["a", "[link", "here"]),
        (r"\fBbold\fR and &nbsp; <b>strong</b>", ["bold", "and", "strong"]),
        ("a < b and c > d", ["a", "<", "b", "and", "c", ">", "d"]),
    ],
)
def test_marks_within_a_line_are_not_words_of_it(line: str, words: list[str]) -> None:
    assert show_words(line).split() == words


def test_what_is_not_text_is_refused() -> None:
    with pytest.raises(ParseFailed):
        read_lines("a.md", bytes(range(256)) * 4)
