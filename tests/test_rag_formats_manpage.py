"""rag.formats.manpage: manual pages in man and mdoc macros, and texts that are none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.blocks import Block
from rag.errors import ParseFailed
from rag.formats.manpage import parse_man, split_arguments, unescape
from tests.rows import for_each

PAGE = r"""'\" t
.\" A comment.
.TH ROUTE 1 "2026-01-01" "router 2.0" "User Commands"
.de XX
.nop never shown
..
.SH NAME
route \- connect the pins
.SH SYNOPSIS
.B route
[\fB\-v\fR]
.RI [ file ...]
.SH DESCRIPTION
.PP
Connects \(lqpins\(rq with \fIwires\fP.
It needs a design.
.TP
.BR \-g , " \-\-guide" =\fIFILE\fR
Write guides to FILE.
.TP
\fB\-v\fR
Say more.
.SS Layers
.IP \(bu 2
first
.IP \(bu 2
second
.PP
Example:
.nf
route -g x \e
	-v
.fi
.TS
tab(;);
lb lb
l l.
Name;What
M1;metal
M2;T{
metal
two
T}
.TE
.SH "SEE ALSO"
.BR place (1),
.BR sta (1)
"""

MDOC = r""".Dd January 1, 2026
.Dt ROUTE 1
.Os
.Sh NAME
.Nm route
.Nd connect the pins
.Sh SYNOPSIS
.Nm route
.Op Fl v
.Op Fl g Ar file
.Sh OPTIONS
.Bl -tag -width indent
.It Fl g Ar file
Write guides.
.It Fl v
Say more.
.El
"""


def test_a_page_in_man_macros() -> None:
    parsed = parse_man(PAGE)
    assert parsed.title == "route - connect the pins"
    layers = ("DESCRIPTION", "Layers")
    assert list(parsed.blocks) == [
        Block("prose", "route - connect the pins", ("NAME",)),
        Block("prose", "route [-v] [file...]", ("SYNOPSIS",)),
        Block("prose", 'Connects "pins" with wires. It needs a design.', ("DESCRIPTION",)),
        Block("prose", "Write guides to FILE.", ("DESCRIPTION", "-g, --guide=FILE")),
        Block("prose", "Say more.", ("DESCRIPTION", "-v")),
        Block("list", "- first\n- second", layers),
        Block("prose", "Example:", layers),
        Block("code", "```\nroute -g x \\\n        -v\n```", layers),
        Block("table", "| Name | What |\n| --- | --- |\n| M1 | metal |\n| M2 | metal two |", layers),
        Block("prose", "place(1), sta(1)", ("SEE ALSO",)),
    ]


def test_a_page_in_mdoc_macros() -> None:
    parsed = parse_man(MDOC)
    assert parsed.title == "route - connect the pins"
    assert [(block.text, block.heading_path) for block in parsed.blocks] == [
        ("route - connect the pins", ("NAME",)),
        ("route [-v] [-g file]", ("SYNOPSIS",)),
        ("Write guides.", ("OPTIONS", "-g file")),
        ("Say more.", ("OPTIONS", "-v")),
    ]


GENERATED = r"""'\" t
.TH "ADDPART" "8" "2022-05-11" "util\-linux" "Administration"
.ie \n(.g .ds Aq \(aq
.de URL
\fI\\$2\fP
..
.if \n[.g] \{\
.  am URL
.    ad l
.  .
.\}
.SH "NAME"
addpart \- tell the kernel
.SH "DESCRIPTION"
.sp
First paragraph.
.sp
Second paragraph.
.sp
.RS 4
.ie n \{\
\h'-04'\(bu\h'+03'\c
.\}
.el \{\
.  sp -1
.  IP \(bu 2.3
.\}
an item
.RE
"""


def test_a_page_that_asciidoctor_or_docbook_generated() -> None:
    assert [(block.kind, block.text) for block in parse_man(GENERATED).blocks] == [
        ("prose", "addpart - tell the kernel"),
        ("prose", "First paragraph."),
        ("prose", "Second paragraph."),
        ("list", "- an item"),
    ]


@for_each(
    ("source", "text"),
    [
        (r"a\fBb\fP\f(CWc\f[R]d", "abcd"),
        (r"\-x \e \(co \[u00B5]m \*(lqq\*(rq", '-x \\ (c) µm "q"'),
        (r"\s-1SMALL\s0 \s'+2'big", "SMALL big"),
        (r"wide\h'2n'gap\w'x'", "widegap"),
        (r"text \" a comment", "text "),
        (r"\[uD800]\(zz", ""),
        ("ends in \\", "ends in "),
    ],
)
def test_escapes(source: str, text: str) -> None:
    assert unescape(source) == text


def test_arguments_are_split_at_blanks_outside_quotes() -> None:
    assert split_arguments('a "b c" d\\ e "" "say ""x"""') == ["a", "b c", "d\\ e", "", 'say "x"']


def test_what_is_not_a_manual_page_is_named() -> None:
    with pytest.raises(ParseFailed, match="none of the macros"):
        parse_man("just a log, rotated once\n")
    with pytest.raises(ParseFailed, match=r"it only points to the manual page man1/route\.1"):
        parse_man(".so man1/route.1\n")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(st.sampled_from(PAGE.splitlines()), st.text(alphabet=".\\'\"fB[](){}TSEPHnX\t ", max_size=20)),
        max_size=40,
    )
)
def test_no_page_breaks_the_parser(lines: list[str]) -> None:
    for block in parse_man("\n".join([".TH X 1", *lines])).blocks:
        assert block.text.strip()


def test_tags_without_a_text_share_the_next_one_or_are_listed() -> None:
    options = ".TP\n.B \\-a\n.TP\n.B \\-b\nBoth.\n.TP\n.B \\-c\nAlone.\n.TP\n.B \\-d\n"
    page = f".TH A 1\n.SH OPTIONS\n{options}.SH SEE ALSO\nmore\n"
    assert [(block.heading_path, block.text) for block in parse_man(page).blocks] == [
        (("OPTIONS", "-a, -b"), "Both."),
        (("OPTIONS", "-c"), "Alone."),
        (("OPTIONS",), "`-d`"),
        (("SEE ALSO",), "more"),
    ]


def test_a_name_that_is_not_repeated_stands_wherever_it_is_meant() -> None:
    page = ".Dd March 2\n.Dt P 8\n.Sh NAME\n.Nm xplace\n.Nd place\n.Sh SYNOPSIS\n.Nm\n.Op Fl d\n"
    parsed = parse_man(f"{page}.Sh DESCRIPTION\nThe\n.Nm\nutility places; so does\n.Nm xroute .\n.Nm\n")
    assert [block.text for block in parsed.blocks][1:] == [
        "xplace [-d]",
        "The xplace utility places; so does xroute. xplace",
    ]
