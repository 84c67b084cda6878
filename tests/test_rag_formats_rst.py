"""rag.formats.rst: directives, objects, lists, code and headings become blocks under their names."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.formats.rst import clean_inline, clean_roles, parse_rst, take_substitutions
from tests.rows import for_each


def shown(text: str) -> list[tuple[str, str]]:
    return [(block.kind, block.text) for block in parse_rst(text).blocks]


@for_each(
    ("text", "blocks"),
    [
        ("", []),
        ("\n \n", []),
        ("----\n", []),
        (".. a remark\n   that goes on\n\nx", [("prose", "x")]),
        (".. _target:\n\nx", [("prose", "x")]),
        ("x::\n\n  code\n\ny", [("prose", "x:"), ("code", "```\ncode\n```"), ("prose", "y")]),
        ("::\n\n  code", [("code", "```\ncode\n```")]),
        ("x ::\n\n  code", [("prose", "x:"), ("code", "```\ncode\n```")]),
        ("x::\n\ny", [("prose", "x:"), ("prose", "y")]),
        ("* a\n\n  more\n\n* b", [("list", "* a"), ("prose", "more"), ("list", "* b")]),
        ("#. a\n#. b", [("list", "#. a\n#. b")]),
        (":field: value", [("prose", ":field: value")]),
    ],
)
def test_each_part_of_a_page_has_its_kind(text: str, blocks: list[tuple[str, str]]) -> None:
    assert shown(text) == blocks


@for_each(
    ("directive", "blocks"),
    [
        (".. note:: x", [("prose", "Note: x")]),
        (".. note:: x\n   y\n\n   z", [("prose", "Note: x\ny"), ("prose", "z")]),
        (".. note::\n\n   - a\n   - b", [("prose", "Note:"), ("list", "- a\n- b")]),
        (".. seealso:: x", [("prose", "See also: x")]),
        (".. admonition:: Mind\n\n   x", [("prose", "Mind: x")]),
        (".. versionadded:: 1.2", [("prose", "Added in version 1.2:")]),
        (".. versionchanged:: 1.2\n   More.", [("prose", "Changed in version 1.2: More.")]),
        (".. deprecated:: 2 Use x.", [("prose", "Deprecated since version 2: Use x.")]),
        (".. only:: html\n\n   body", [("prose", "body")]),
        (".. unknown:: words\n\n   body", [("prose", "words"), ("prose", "body")]),
        (".. toctree::\n   :maxdepth: 2\n\n   a\n   b", []),
        (".. image:: x.png\n   :alt: a", []),
        (".. raw:: html\n\n   <b>x</b>", []),
        (".. code-block:: tcl\n   :caption: Cap\n   :linenos:\n\n   x", [("prose", "Cap"), ("code", "```tcl\nx\n```")]),
        (".. code::\n\n   a\n     b", [("code", "```\na\n  b\n```")]),
        (".. code-block:: tcl", []),
        (".. math::\n\n   a = b", [("code", "```\na = b\n```")]),
        (".. [1] The note.", [("prose", "1: The note.")]),
        (".. [CIT2024] A book,\n   of us.", [("prose", "CIT2024: A book,\nof us.")]),
    ],
)
def test_a_directive_becomes_what_a_reader_sees(directive: str, blocks: list[tuple[str, str]]) -> None:
    assert shown(directive) == blocks


@for_each(
    ("text", "path", "words"),
    [
        (".. option:: -a\n\n   Does a.", ("-a",), "Does a."),
        (".. option:: -a\n.. option:: -b N\n\n   Do it.", ("-a, -b N",), "Do it."),
        (".. option:: -a\n            --all\n\n   Does a.", ("-a, --all",), "Does a."),
        (".. option:: /*tool&32;public*/\n\n   Does it.", ("/*tool public*/",), "Does it."),
        (".. py:function:: f(x)\n\n   Does f.", ("f(x)",), "Does f."),
        (".. envvar:: PDK\n   :noindex:\n\n   Where it is.", ("PDK",), "Where it is."),
        (".. confval:: width\n   :type: float\n   :default: 5\n\n   Of it.", ("width",), "Type: float\nDefault: 5"),
        (".. glossary::\n\n   slack : s\n     Time left.", ("slack",), "Time left."),
        (".. glossary::\n\n   slack\n   margin\n     Time left.", ("slack, margin",), "Time left."),
    ],
)
def test_an_object_is_a_heading_over_what_is_said_of_it(text: str, path: tuple[str, ...], words: str) -> None:
    first, *_ = parse_rst(text).blocks
    assert (first.heading_path, first.text) == (path, words)


def test_an_object_ends_where_its_body_ends_and_one_without_a_body_is_still_named() -> None:
    text = ".. option:: -a\n\n   Does a.\n\nAfter.\n\n.. option:: -b\n\nEnd."
    assert [(block.heading_path, block.text) for block in parse_rst(text).blocks] == [
        (("-a",), "Does a."),
        ((), "After."),
        ((), "`-b`"),
        ((), "End."),
    ]


def test_levels_of_headings_are_learnt_from_their_order() -> None:
    text = "====\nTool\n====\n\nUse\n***\n\nCalls\n+++++\n\nx\n\nRules\n*****\n\ny\n\nDeep\n++++\n\nz"
    parsed = parse_rst(text)
    assert parsed.title == "Tool"
    assert [(block.heading_path, block.text) for block in parsed.blocks] == [
        (("Use", "Calls"), "x"),
        (("Rules",), "y"),
        (("Rules", "Deep"), "z"),
    ]


@for_each(
    ("source", "text"),
    [
        (":ref:`a <b>` and :doc:`/guide`", "a and /guide"),
        (":cmd:`x` and :c:func:`~m.f`", "`x` and `f`"),
        ("``x_y`` and `t <u>`_ and `t`_ and t_.", "`x_y` and t and t and t."),
        ("a [1]_ b [#n]_", "a [1] b [#n]"),
        ("a\\*b and 5\\ nm", "a*b and 5nm"),
        ("see :option:`/*tool&32;public*/` and ``/*tool&32;off*/``", "see `/*tool public*/` and `/*tool off*/`"),
        ("a_b_c stays, and x__y", "a_b_c stays, and x__y"),
        ("", ""),
    ],
)
def test_running_text_reads_without_marks(source: str, text: str) -> None:
    assert clean_inline(source) == text


def test_a_docstring_loses_roles_and_nothing_else() -> None:
    assert clean_roles("See :class:`~a.B`, ``x`` and t_ .") == "See `B`, ``x`` and t_ ."


@for_each(
    ("definition", "text"),
    [
        (".. |v| replace:: 3.1", "It is 3.1."),
        (".. |v| replace:: two\n   words", "It is two words."),
        (".. |v| image:: x.png", "It is ."),
        (".. |v| unicode:: 0xA9", "It is \u00a9."),
        (".. |v| unicode:: U+00B5 .. micro", "It is \u00b5."),
        (".. |v| unicode:: 0xD800", "It is 0xD800."),  # half of a sign
        (".. |w| replace:: 3.1", "It is |v|."),
    ],
)
def test_a_name_stands_for_what_is_defined_anywhere(definition: str, text: str) -> None:
    for source in (f"It is |v|.\n\n{definition}\n", f"{definition}\n\nIt is |v|.\n"):
        assert [" ".join(block.text.split()) for block in parse_rst(source).blocks] == [text]


def test_lines_without_definitions_are_as_many_paragraphs_as_before() -> None:
    lines, names = take_substitutions(["a", ".. |v| replace:: 3", "", "b |v|"])
    assert lines == ["a", "", "b |v|"]
    assert names.put("b |v| and |w|") == "b 3 and |w|"


@for_each("depth", [5, 99, 100, 150])
def test_text_at_any_depth_is_kept(depth: int) -> None:
    text = "".join(f"{'   ' * level}.. note:: level{level}x\n\n" for level in range(depth))
    words = " ".join(block.text for block in parse_rst(text).blocks)
    assert all(f"level{level}x" in words for level in range(depth))


PART = st.sampled_from(
    [
        "Title{n}\n========\n",
        "Sub{n}\n--------\n",
        "Words{n} of it.\n",
        "- item{n}\n",
        ".. note:: noted{n}\n",
        ".. option:: -flag{n}\n\n   Sets{n}.\n",
        "Code{n}::\n\n   run{n}\n",
        "=======  ====\nHead{n}    b\n=======  ====\ncell{n}    x\n=======  ====\n",
        "  Quoted{n}.\n",
        ".. code-block:: tcl\n\n   set x{n}\n",
    ]
)


@settings(max_examples=50)
@given(st.lists(PART, min_size=1, max_size=8))
def test_no_word_of_a_page_is_lost(parts: list[str]) -> None:
    text = "\n".join(part.format(n=f"9{number}9") for number, part in enumerate(parts))
    parsed = parse_rst(text)
    found = " ".join([parsed.title, *(f"{block.text} {' '.join(block.heading_path)}" for block in parsed.blocks)])
    bodies = {f"9{number}9" for number, part in enumerate(parts) if not part.startswith(("Title", "Sub"))}
    assert all(mark in found for mark in bodies)


@for_each(
    ("text", "titles"),
    [
        ("IO\n==\n\nText.\n", ["IO"]),
        ("==\nFR\n==\n\nText.\n", ["FR"]),
        ("C\n-\n\nText.\n", ["C"]),
        ("A\n==\n\nText.\n", ["A"]),
        ("as\n..\n\nText.\n", []),
        ("No\n--\nText goes on.\n", []),
        ("one, two\n--\n\nText.\n", []),
        ("::\n\n  code\n", []),
    ],
)
def test_a_title_of_one_or_two_letters_has_an_adornment_as_short(text: str, titles: list[str]) -> None:
    page = parse_rst(text)
    assert [page.title] == (titles or [""])
    assert "Text" in page.blocks[-1].text or not titles


def test_a_formula_beside_the_name_of_its_directive_is_kept() -> None:
    assert parse_rst(".. math:: R_s = \\rho / t\n").blocks[0].text == "```\nR_s = \\rho / t\n```"
    assert parse_rst("Text [1]_.\n\n.. [1] See ``route``.\n").blocks[-1].text == "1: See `route`."
