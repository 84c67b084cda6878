"""rag.formats.spice: what a corner sets is found under its name, and a library of models is no Liberty file."""

from __future__ import annotations

import time

import pytest

from rag.errors import ParseFailed
from rag.formats.parser import parse
from rag.formats.spice import parse_spice
from tests.rows import for_each

SPICE = """* Models of the Heron process

.lib TT
* Typical
.param dvth=0
.lib 'common.lib' MOS
.endl TT
.LIB SS $ slow
.model n nmos
+ level=72
.ENDL
.end
"""
SPECTRE = """simulator lang=spectre
library corners
section tt
parameters dvth=0
endsection tt
section ff // fast
model n bsim4 type=n
endsection
endlibrary corners
"""


@for_each(
    ("text", "language", "paths"),
    [
        (SPICE, "spice", [(), ("lib TT",), ("lib TT",), ("lib SS", "model n"), ()]),
        (SPECTRE, "spectre", [(), ("section tt",), ("section ff", "model n"), ()]),
        (".lib all.lib\n.param a=1\n", "spice", [()]),
        (".lib TT\n.param a=1\n", "spice", [()]),
        (".endl\n.lib A\n.lib B\n.param a=1\n.endl\n.endl\n", "spice", [(), ("lib B",), ()]),
    ],
)
def test_a_section_stands_above_what_it_sets(text: str, language: str, paths: list[tuple[str, ...]]) -> None:
    assert [block.heading_path for block in parse_spice(text, language).blocks] == paths


def test_each_line_of_a_section_is_read() -> None:
    shown = "\n".join(block.text for block in parse_spice(SPICE, "spice").blocks)
    assert all(part in shown for part in ("Models of", "Typical", "dvth=0", "'common.lib' MOS", "level=72", ".end"))


@for_each(("text", "shown"), [(SPICE, "dvth=0"), (SPECTRE, "bsim4"), (".subckt a b\nr1 a b 1\n.ends\n", "r1 a b 1")])
def test_a_library_of_models_is_read_by_what_it_holds(text: str, shown: str) -> None:
    assert any(shown in block.text for block in parse("models.lib", text).blocks)


def test_a_library_of_neither_kind_is_refused() -> None:
    with pytest.raises(ParseFailed, match="no Liberty file"):
        parse("symbols.lib", "DEF LM317 U 0 10 Y Y 1 F N\nENDDEF\n")


@for_each("line", ["* remark\n", ".lib TT\n", ".endl\n", ".lib TT\n* a\n.endl\n"])
def test_sections_cost_no_more_than_their_length(line: str) -> None:
    begun = time.process_time()
    parse_spice(line * 30_000, "spice")
    assert time.process_time() - begun < 5
