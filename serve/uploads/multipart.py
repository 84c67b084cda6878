"""Reads an upload (multipart/form-data) piece by piece: a file goes to the disk as it arrives, small fields stay here.

python-multipart parses; this decides what may arrive. It awaits nothing: whoever receives the pieces hands them over in
a thread.

    form = UploadForm("multipart/form-data; boundary=x", begin=library_begin, most_bytes=2**20)
    form.write(piece); form.finish(); form.fields["purpose"]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from serve.errors import BodyTooLarge, RequestError
from serve.request_body import shorten
from serve.uploads.files import Upload

FORM_TYPE = b"multipart/form-data"
FILE = "file"  # the field that holds the file
MOST_PARTS = 20
MOST_FIELD_BYTES = 10_000
FRAME_BYTES = 64 * 1024  # what a form may take beside its file
_MIB = 2**20
T = TypeVar("T")


class UploadForm:
    """A form that arrives; `upload` is its file. Whoever reads it aborts the upload if the form is refused."""

    def __init__(self, content_type: str, begin: Callable[[str], Upload], most_bytes: int) -> None:
        """begin: begins to write a file of this name; most_bytes: that it may have.

        Raises RequestError: the content type is not that of a form.
        """
        self.upload: Upload | None = None
        self.fields: dict[str, str] = {}
        self._begin, self._most_bytes = begin, most_bytes
        self._parts = 0
        self._is_whole = False
        self._header, self._value = b"", b""
        self._disposition: bytes | None = None
        self._field: str | None = None  # the name of the part that arrives, unless it is the file
        self._data = bytearray()
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != FORM_TYPE or not boundary:
            raise RequestError(
                f"An upload is a form with a file, and Content-Type says {shorten(content_type)}: send "
                "multipart/form-data with a boundary (curl: -F purpose=assistants -F file=@manual.pdf)."
            )
        self._parser = _checked(lambda: MultipartParser(boundary, self._callbacks()))

    def write(self, piece: bytes) -> None:
        """Take the next piece of the body. Raises RequestError, BodyTooLarge, StoreFull, StoreUnavailable."""
        _checked(lambda: self._parser.write(piece))

    def finish(self) -> Upload:
        """The file, after the last piece. Raises RequestError: the form ends early, or holds no file."""
        _checked(self._parser.finalize)
        if not self._is_whole:
            raise RequestError("The form ends before its last boundary: send it whole.")
        if self.upload is None:
            raise RequestError("'file' is missing: send the file as the form's field 'file'.", FILE)
        return self.upload

    def _callbacks(self) -> Any:
        return {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise RequestError(f"The form has more than {MOST_PARTS} fields: send a file and its purpose.")
        self._header, self._value, self._disposition = b"", b"", None
        self._data.clear()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        name, file_name = options.get(b"name"), options.get(b"filename")
        if name is None:
            raise RequestError("A field of the form has no name.")
        self._field = _text(name)
        if file_name is None and self._field != FILE:
            return
        if file_name is None or self._field != FILE or self.upload is not None:
            raise RequestError("A form holds one file, in the field 'file', with its name.", FILE)
        self._field = None
        self.upload = self._begin(_text(file_name))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            assert self.upload
            if self.upload.incoming.bytes + end - start > self._most_bytes:
                raise too_large(self._most_bytes)
            self.upload.incoming.write(data[start:end])
            return
        self._data += data[start:end]
        if len(self._data) > MOST_FIELD_BYTES:
            raise RequestError(f"The form's field {shorten(self._field)} holds more than {MOST_FIELD_BYTES} bytes.")

    def _on_part_end(self) -> None:
        if self._field is not None:
            self.fields[self._field] = _text(bytes(self._data))

    def _on_end(self) -> None:
        self._is_whole = True


def _checked(work: Callable[[], T]) -> T:
    """What the parser does; its errors are the client's. Raises RequestError."""
    try:
        return work()
    except FormParserError as error:
        raise RequestError(f"The form cannot be read ({error}): send multipart/form-data.") from None


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def too_large(most_bytes: int) -> BodyTooLarge:
    """The refusal of a file beyond the limit."""
    return BodyTooLarge(
        f"The file is larger than {most_bytes // _MIB} MiB, which is the most that is uploaded here "
        "(CHIPALIGN_UPLOAD_MB): split it into several files.",
        FILE,
    )
