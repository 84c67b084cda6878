"""rag.paged.streams: whole streams as zlib gives them, damaged ones as far as they go, and no bombs."""

from __future__ import annotations

import zlib
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pdfminer.pdftypes import PDFObjRef

from rag.errors import ParseFailed
from rag.formats.pdf import parse_pdf
from rag.paged.streams import MAX_STREAM_BYTES, StreamTooLarge, follow, unpack, unpack_damaged
from tests.test_attack_documents import pdf_of

FLATE = b"/Filter/FlateDecode"


@given(st.binary(max_size=300))
def test_a_whole_stream_is_what_was_packed(content: bytes) -> None:
    packed = zlib.compress(content)
    assert unpack(packed) == content
    assert unpack_damaged(packed) == content
    assert unpack_damaged(packed[:-4] + b"\0\0\0\0") == content  # another checksum
    assert content.startswith(unpack_damaged(packed[: len(packed) // 2]))


def test_a_stream_that_is_damaged_or_cut_is_not_taken_for_whole() -> None:
    packed = zlib.compress(b"route " * 1000)
    for damaged in (packed[:-9], packed[:8] + b"\xff\xff" + packed[10:], b"no stream"):
        with pytest.raises(zlib.error):
            unpack(damaged)
    with pytest.raises(zlib.error):
        unpack_damaged(b"no stream")


def test_a_stream_that_unpacks_to_more_than_the_bound_is_given_up() -> None:
    bomb = zlib.compress(b" " * (MAX_STREAM_BYTES + 1))
    for take in (unpack, unpack_damaged):
        with pytest.raises(StreamTooLarge):
            take(bomb)
    assert len(unpack(zlib.compress(b" " * MAX_STREAM_BYTES))) == MAX_STREAM_BYTES


def test_a_pdf_with_a_bomb_in_a_bomb_is_refused_and_a_cut_page_is_read() -> None:
    inner = zlib.compress(zlib.compress(b" " * (4 * MAX_STREAM_BYTES), 9), 9)
    with pytest.raises(ParseFailed, match=f"pages can be read .unpacked it has more than {MAX_STREAM_BYTES}"):
        parse_pdf(pdf_of(inner, b"/Filter[/FlateDecode/FlateDecode]"))
    lines = b"".join(b"BT /F1 9 Tf 9 %d Td (Line %d of the page) Tj ET\n" % (700 - 9 * row, row) for row in range(70))
    (block,) = parse_pdf(pdf_of(zlib.compress(lines)[:-5], FLATE)).blocks
    assert "Line 40 of the page" in block.text


def test_references_in_a_circle_lead_nowhere() -> None:
    content = pdf_of(b"BT /F1 9 Tf 9 700 Td (A page) Tj ET", b"")
    assert parse_pdf(content).blocks[0].text == "A page"
    circle = content.replace(b"/Kids[3 0 R]", b"/Kids[9 0 R]") + b"\n9 0 obj\n9 0 R\nendobj\n"
    with suppress(ParseFailed):  # damaged, and at once
        parse_pdf(circle)

    document: Any = SimpleNamespace(getobj=lambda number: PDFObjRef(document, 3 - number) if number < 3 else "found")
    assert follow(PDFObjRef(document, 1), "nothing") == "nothing"
    assert follow(PDFObjRef(document, 3)) == "found"
