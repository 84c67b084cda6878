"""serve.uploads.multipart: a form says the same however it is cut into pieces, and never more than it may."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve.errors import BodyTooLarge, RequestError
from serve.store.contents import Contents
from serve.uploads.files import Upload
from serve.uploads.multipart import MOST_FIELD_BYTES, MOST_PARTS, UploadForm
from tests.rows import for_each

TYPE = "multipart/form-data; boundary=x"
CONTENT = "\r\n--y is another boundary\r\n--\r\n- -x\r\n\u00b5m".encode() + bytes(range(256))
BODY = (
    b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
    b'--x\r\ncontent-disposition: form-data; name="file"; filename="a b.bin"\r\nContent-Type: odd/odd\r\n\r\n'
    + CONTENT
    + b"\r\n--x--\r\n"
)


class Begun:
    """Begins files in a folder, and knows their names and places."""

    def __init__(self, home: Path) -> None:
        self.contents = Contents(home)
        self.names: list[str] = []
        self.uploads: list[Upload] = []

    def __call__(self, name: str) -> Upload:
        self.names.append(name)
        file_id = f"file-{len(self.uploads)}"
        self.uploads.append(Upload(file_id, name, self.contents.begin(file_id, "content")))
        return self.uploads[-1]

    def content(self, upload: Upload) -> bytes:
        upload.incoming.seal()
        upload.incoming.place()
        return self.contents.path(upload.file_id, "content").read_bytes()


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begun]:
    begun = Begun(tmp_path)
    yield begun
    for upload in begun.uploads:
        upload.incoming.abort()


def read(begin: Begun, *pieces: bytes, most_bytes: int = 10_000) -> UploadForm:
    form = UploadForm(TYPE, begin, most_bytes)
    for piece in pieces:
        form.write(piece)
    return form


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, len(BODY)), max_size=12))
def test_a_form_is_the_same_however_it_is_cut_into_pieces(begin: Begun, cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(BODY)]
    form = read(begin, *(BODY[start:end] for start, end in pairwise(places)))
    assert begin.content(form.finish()) == CONTENT
    assert form.fields == {"purpose": "assistants"}
    assert begin.names[-1] == "a b.bin"


def test_an_empty_file_is_a_file(begin: Begun) -> None:
    empty = b'--x\r\nContent-Disposition: form-data; name="file"; filename=""\r\n\r\n\r\n--x--\r\n'
    assert begin.content(read(begin, empty).finish()) == b""


def test_a_name_in_utf8_is_kept_and_what_is_not_is_marked(begin: Begun) -> None:
    name = "\u00fcber \u65e5\u672c.pdf"
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="'
    for raw in (name.encode(), name.encode() + b"\xff"):
        read(begin, head + raw + b'"\r\n\r\n1\r\n--x--\r\n')
    assert begin.names == [name, f"{name}\ufffd"]


@for_each(
    ("content_type", "said"),
    [
        ("", "Content-Type says ''"),
        ("text/plain; boundary=x", "Content-Type says 'text/plain"),
        ("multipart/form-data", "with a boundary"),
        ("multipart/form-data; boundary=", "with a boundary"),
        (f"multipart/form-data; boundary={'x' * 5000}", "cannot be read"),
    ],
)
def test_what_is_not_a_form_is_refused_before_anything_is_read(content_type: str, said: str, begin: Begun) -> None:
    with pytest.raises(RequestError) as caught:
        UploadForm(content_type, begin, 10)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 400
    assert begin.names == []


def test_the_file_may_have_so_many_bytes_and_not_one_more(begin: Begun) -> None:
    assert begin.content(read(begin, BODY, most_bytes=len(CONTENT)).finish()) == CONTENT
    with pytest.raises(BodyTooLarge, match=r"larger than 0 MiB.*CHIPALIGN_UPLOAD_MB"):
        read(begin, BODY, most_bytes=len(CONTENT) - 1)


def field(name: str, value: bytes) -> bytes:
    return b'--x\r\nContent-Disposition: form-data; name="' + name.encode() + b'"\r\n\r\n' + value + b"\r\n"


def test_fields_are_few_and_short(begin: Begun) -> None:
    whole = b"".join(field(f"f{number}", b"v") for number in range(MOST_PARTS))
    assert len(read(begin, whole).fields) == MOST_PARTS - 1  # the last is still open
    with pytest.raises(RequestError, match="more than 20 fields"):
        read(begin, whole + field("one more", b"v"))
    assert len(read(begin, field("long", b"v" * MOST_FIELD_BYTES) + b"--x--").fields["long"]) == MOST_FIELD_BYTES
    with pytest.raises(RequestError, match="'long' holds more than 10000 bytes"):
        read(begin, field("long", b"v" * (MOST_FIELD_BYTES + 1)))


def test_of_a_field_that_stands_twice_the_last_counts(begin: Begun) -> None:
    assert read(begin, field("a", b"1") + field("a", b"2") + b"--x--\r\n").fields == {"a": "2"}


def test_a_form_that_ends_early_or_holds_no_file_is_not_finished(begin: Begun) -> None:
    for end in (1, len(BODY) // 2, len(BODY) - 5):
        with pytest.raises(RequestError, match=r"cannot be read|ends before its last boundary"):
            read(begin, BODY[:end]).finish()
    with pytest.raises(RequestError, match="'file' is missing") as caught:
        read(begin, field("purpose", b"assistants") + b"--x--\r\n").finish()
    assert caught.value.param == "file"
