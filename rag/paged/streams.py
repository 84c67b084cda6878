"""Keeps pdfminer from unpacking a stream of a PDF to more than a bound, and from following references in a circle.

A stream of a megabyte can unpack to a gigabyte; pdfminer unpacks it whole, and has no setting for that. An object that
is a reference to itself would keep it for ever.

    bound_streams()  # once, before a PDF is opened
"""

from __future__ import annotations

import zlib
from types import SimpleNamespace
from typing import Any

MAX_STREAM_BYTES = 64 * 2**20  # unpacked; the largest drawing on a page has some ten million bytes
MAX_REFERENCES = 20  # from one to the next; a PDF has one
_CHECKSUM_BYTES = 4


class StreamTooLarge(Exception):
    """A stream of a PDF unpacks to more than `MAX_STREAM_BYTES`."""


def bound_streams() -> None:
    """From now on pdfminer unpacks with the functions below. Safe to call again."""
    from pdfminer import pdftypes

    pdftypes.zlib = SimpleNamespace(decompress=unpack, error=zlib.error)
    pdftypes.decompress_corrupted = unpack_damaged
    pdftypes.PDFObjRef.resolve = follow


def follow(reference: Any, default: object = None) -> Any:
    """The object that a reference of pdfminer's leads to; `default` where it leads to none, or in a circle."""
    from pdfminer.pdftypes import PDFObjectNotFound, PDFObjRef

    found = reference
    for _ in range(MAX_REFERENCES):
        try:
            found = found.doc.getobj(found.objid)
        except PDFObjectNotFound:
            return default
        if not isinstance(found, PDFObjRef):
            return found
    return default


def unpack(data: bytes) -> bytes:
    """The content of a stream; zlib's error where it is damaged or lacks its end, as pdfminer expects it.

    Raises StreamTooLarge.
    """
    inflater = zlib.decompressobj()
    found = _unpack_some(inflater, data, MAX_STREAM_BYTES)
    if not inflater.eof:
        raise zlib.error("its end is missing")
    return found


def unpack_damaged(data: bytes) -> bytes:
    """The content of a stream that is whole up to its checksum, or lacks its end; zlib's error for all others.

    Raises StreamTooLarge.
    """
    inflater = zlib.decompressobj()
    found = _unpack_some(inflater, data[:-_CHECKSUM_BYTES], MAX_STREAM_BYTES)
    for at in range(max(len(data) - _CHECKSUM_BYTES, 0), len(data)):
        try:
            found += inflater.decompress(data[at : at + 1])
        except zlib.error:
            break
    return found


def _unpack_some(inflater: zlib._Decompress, data: bytes, most: int) -> bytes:
    found = inflater.decompress(data, most + 1)
    if len(found) > most:
        raise StreamTooLarge(f"more than {most} bytes")
    return found
