"""POST /v1/files with forms that are broken, too large, too slow or cut off: one clear error, and nothing is kept."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import openai
import pytest

import serve.uploads.receiving
from tests.conftest import Gateway, OpenAIAt
from tests.fake_engine import FakeEngine
from tests.uploading import uploading_gateway

FORM = "multipart/form-data; boundary=x"
DISPOSITION = 'Content-Disposition: form-data; name="{name}"{more}\r\n\r\n{value}\r\n'
MIB = 2**20


def field(name: str, value: str, file_name: str | None = None) -> str:
    more = f'; filename="{file_name}"' if file_name is not None else ""
    return "--x\r\n" + DISPOSITION.format(name=name, more=more, value=value)


def form(*fields: str) -> str:
    return "".join(fields) + "--x--\r\n"


FILE = field("file", "# A\n\nText.\n", "a.md")
PURPOSE = field("purpose", "assistants")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def url(gateway_at: Gateway, shared_engine: FakeEngine, home: Path) -> Iterator[str]:
    with uploading_gateway(gateway_at, shared_engine.url, home, upload_mb=1, uploads_gb=1) as address:
        yield address


def kept(home: Path) -> set[str]:
    """The folders of files, whole or not."""
    return {path.name for path in (home / "files").glob("file-*")}


def post(url: str, body: str | bytes | Iterator[bytes], content_type: str = FORM) -> httpx.Response:
    return httpx.post(
        f"{url}/v1/files", content=body, headers={"content-type": content_type}, trust_env=False, timeout=60
    )


def head(host: str, length: int) -> str:
    return f"POST /v1/files HTTP/1.1\r\nHost: {host}\r\nContent-Type: {FORM}\r\nContent-Length: {length}\r\n\r\n"


def refusal(answer: httpx.Response, status: int) -> dict[str, str]:
    assert answer.status_code == status, answer.text
    error: dict[str, str] = answer.json()["error"]
    return error


def test_fields_come_in_any_order(url: str) -> None:
    for body in (form(FILE, PURPOSE), form(PURPOSE, FILE), form(field("extra", "1"), FILE, PURPOSE)):
        answer = post(url, body)
        assert (answer.status_code, answer.json()["filename"]) == (200, "a.md")


def test_a_life_is_read_and_bounded(url: str) -> None:
    life = field("expires_after[anchor]", "created_at") + field("expires_after[seconds]", "3600")
    answer = post(url, form(life, FILE, PURPOSE)).json()
    assert answer["expires_at"] == answer["created_at"] + 3600
    for seconds in ("5", "2592001", "", "-3600", "3600.0", "\u0663\u0666\u0660\u0660", "0000003600" + "9" * 5000):
        given = field("expires_after[anchor]", "created_at") + field("expires_after[seconds]", seconds)
        assert refusal(post(url, form(given, FILE, PURPOSE).encode()), 400)["param"] == "expires_after.seconds", seconds
    assert refusal(post(url, form(life.replace("created", "read"), FILE, PURPOSE)), 400)["param"]


@pytest.mark.parametrize(
    ("body", "content_type", "said"),
    [
        (form(FILE), FORM, "'purpose' is missing"),
        (form(FILE, field("purpose", "fun")), FORM, "'purpose' is 'fun': give one of assistants"),
        (form(PURPOSE), FORM, "'file' is missing"),
        (form(PURPOSE, field("file", "text")), FORM, "one file, in the field 'file', with its name"),
        (form(PURPOSE, FILE, FILE), FORM, "one file"),
        (form(PURPOSE, field("other", "text", "b.md")), FORM, "one file"),
        (form(*[field(f"f{number}", "1") for number in range(30)]), FORM, "more than 20 fields"),
        (form(field("purpose", "x" * 20_000), FILE), FORM, "holds more than 10000 bytes"),
        ((FILE + PURPOSE).removesuffix("\r\n"), FORM, "ends before its last boundary"),
        ("not a form", FORM, "The form cannot be read"),
        ("", FORM, "ends before its last boundary"),
        ("{}", "application/json", "Content-Type says 'application/json'"),
        (form(FILE), "multipart/form-data", "with a boundary"),
        ("--x\r\nContent-Type: text/plain\r\n\r\na\r\n--x--\r\n", FORM, "has no name"),
        ("--x\r\n" + "A: b\r\n" * 500 + "\r\na\r\n--x--\r\n", FORM, "cannot be read"),
    ],
)
def test_a_broken_form_is_refused_and_leaves_nothing(
    url: str, home: Path, body: str, content_type: str, said: str
) -> None:
    before = kept(home)
    error = refusal(post(url, body, content_type), 400)
    assert said in error["message"]
    assert kept(home) == before


def test_two_gigabytes_are_refused_before_they_arrive(url: str, home: Path) -> None:
    before, parts = kept(home), urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(head(parts.netloc, 2**31).encode())
        answer = connection.recv(65_536).decode()
    assert " 413 " in answer.splitlines()[0]
    assert "The file is larger than 1 MiB" in answer
    assert kept(home) == before


def test_a_file_that_grows_beyond_the_limit_is_refused_while_it_arrives(
    url: str, home: Path, openai_at: OpenAIAt
) -> None:
    def endless() -> Iterator[bytes]:
        yield (PURPOSE + FILE).encode().removesuffix(b"\r\n")
        for _ in range(2000):
            yield bytes(MIB)

    before = kept(home)
    assert refusal(post(url, endless()), 413)["code"] == "body_too_large"
    with pytest.raises(openai.APIStatusError, match="larger than 1 MiB"):
        openai_at(url).files.create(file=("big.bin", bytes(2 * MIB)), purpose="assistants")
    assert kept(home) == before
    largest = openai_at(url).files.create(file=("largest.bin", bytes(MIB)), purpose="assistants")
    assert largest.bytes == MIB


def test_an_upload_that_is_cut_off_leaves_nothing(url: str, home: Path) -> None:
    before, parts = kept(home), urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        head = (
            f"POST /v1/files HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: {FORM}\r\nContent-Length: 100000\r\n\r\n"
        )
        connection.sendall((head + PURPOSE + FILE + "x" * 50_000).encode())
        wait_for(lambda: len(kept(home)) == len(before) + 1)
    wait_for(lambda: kept(home) == before)


def held(hold: threading.Event) -> Iterator[bytes]:
    """A form whose end is held back for a second at most."""
    yield (PURPOSE + FILE).encode()
    hold.wait(1)
    yield b"--x--\r\n"


def test_an_upload_that_takes_too_long_in_all_leaves_nothing(
    url: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve.uploads.receiving, "UPLOAD_TIMEOUT_S", 0.3)
    hold = threading.Event()
    before = kept(home)
    assert "did not arrive within" in refusal(post(url, held(hold)), 408)["message"]
    hold.set()
    assert kept(home) == before


def test_a_sender_that_falls_silent_is_given_up(url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve.uploads.receiving, "PIECE_TIMEOUT_S", 0.3)
    hold = threading.Event()
    before = kept(home)
    assert "Nothing of the file arrived" in refusal(post(url, held(hold)), 408)["message"]
    hold.set()
    assert kept(home) == before


def test_more_uploads_at_a_time_than_may_be_are_refused(url: str, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setattr(serve.uploads.receiving, "MOST_UPLOADS", 1)
    begun, hold, before = threading.Event(), threading.Event(), len(kept(home))

    def slow() -> Iterator[bytes]:
        yield (PURPOSE + FILE).encode()
        begun.set()
        hold.wait(10)
        yield b"--x--\r\n"

    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(post(url, slow()).status_code))
    thread.start()
    begun.wait(10)
    wait_for(lambda: len(kept(home)) == before + 1)
    assert refusal(post(url, form(PURPOSE, FILE)), 429)["code"] == "rate_limit_exceeded"
    hold.set()
    thread.join(20)
    assert statuses == [200]


def test_where_uploads_are_off_files_are_only_read(
    gateway_at: Gateway, engine: FakeEngine, home: Path, openai_at: OpenAIAt, url: str
) -> None:
    file = openai_at(url).files.create(file=("a.md", b"# A"), purpose="assistants")
    with uploading_gateway(gateway_at, engine.url, home, uploads="off") as address:
        client = openai_at(address)
        assert client.files.content(file.id).content == b"# A"
        assert "router" in {store.id for store in client.vector_stores.list()}
        for call, given in (
            (client.files.create, {"file": ("b.md", b"# B"), "purpose": "assistants"}),
            (client.files.delete, {"file_id": file.id}),
            (client.vector_stores.create, {}),
        ):
            with pytest.raises(openai.PermissionDeniedError, match="CHIPALIGN_UPLOADS is off"):
                call(**given)


def test_all_files_together_have_a_limit(url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.uploads.files.GIB", 100)  # bytes
    before = kept(home)
    error = refusal(post(url, form(PURPOSE, FILE)), 507)
    assert (error["code"], "CHIPALIGN_UPLOADS_GB" in error["message"]) == ("store_full", True)
    assert kept(home) == before


def test_a_page_of_another_origin_cannot_upload(url: str) -> None:
    answer = httpx.post(
        f"{url}/v1/files",
        content=form(PURPOSE, FILE),
        headers={"content-type": FORM, "origin": "https://evil.example"},
        trust_env=False,
    )
    assert refusal(answer, 403)["code"] == "origin_not_allowed"


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)
