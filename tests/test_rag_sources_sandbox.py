"""rag.sources.sandbox: a real child process that parses, is ended by files that take too long, too much or crash, and
starts again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reportlab.pdfgen.canvas import Canvas

from rag.blocks import Block, Parsed
from rag.child import Child
from rag.errors import ParseFailed
from rag.formats.parser import FORMATS, parse
from rag.settings import RagSettings
from rag.sources.sandbox import Sandbox
from tests.rows import for_each

ROOT = Path(__file__).parent.parent
SLOW = b"a\n\n" * 1_500_000  # a second for each of its megabytes, and more


def limited(timeout_s: float = 30, memory_mb: int = 2048) -> RagSettings:
    return RagSettings(parse_timeout_s=timeout_s, parse_s_per_mb=0, parse_memory_mb=memory_mb)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(limited()) as opened:
        yield opened


def child_of(sandbox: Sandbox) -> Child:
    """The one child that waits."""
    (child,) = sandbox._pool._idle
    return child


def pdf(text: str) -> bytes:
    stream = BytesIO()
    canvas = Canvas(stream)
    canvas.drawString(60, 500, text)
    canvas.save()
    return stream.getvalue()


def test_it_parses_as_the_parser_does(sandbox: Sandbox) -> None:
    text = "# Routes.\nproc route {} {\n  puts \u00fc\n}\n"
    assert sandbox.read("a.tcl", text.encode())[1] == parse("a.tcl", text)
    assert sandbox.read("a.pdf", pdf("One sentence."))[1] == Parsed(
        "a", (Block("prose", "One sentence.", ("Page 1",), 1),)
    )


def test_a_reason_comes_back_as_it_was_given(sandbox: Sandbox) -> None:
    with pytest.raises(ParseFailed, match=r"^no PDF: it does not begin as one$"):
        sandbox.read("a.pdf", b"text")
    with pytest.raises(ParseFailed, match=r"^binary, not text$"):
        sandbox.read("a.tcl", b"ab\0")


def test_a_file_that_takes_too_long_is_given_up_and_the_next_one_is_read() -> None:
    with Sandbox(limited(1, 8192)) as opened:
        with pytest.raises(
            ParseFailed, match=r"takes longer than 1 s \(CHIPALIGN_PARSE_TIMEOUT_S\)|_PARSE_MEMORY_MB|crashed"
        ):
            opened.read("slow.txt", SLOW)
        assert opened.read("a.v", b"module a; endmodule")[1].blocks[0].heading_path == ("module a",)


def test_a_file_that_takes_too_much_memory_is_given_up_and_the_next_one_is_read() -> None:
    with Sandbox(limited(60, 400)) as opened:
        with pytest.raises(ParseFailed, match=r"more memory than allowed \(CHIPALIGN_PARSE_MEMORY_MB\)|crashed"):
            opened.read("wide.csv", b"a," * 100 + b"\n" + b'"' + b"x" * (300 * 2**20))
        assert opened.read("a.csv", b"a,b\n1,2\n")[1].blocks[0].kind == "table"


def test_a_child_that_is_killed_is_named_and_started_again() -> None:
    with Sandbox(limited()) as opened:
        opened.read("a.csv", b"a,b\n")
        child = child_of(opened)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        with pytest.raises(ParseFailed, match=r"its parser crashed \(SIGKILL\)"):
            opened.read("a.csv", b"a,b\n")
        assert opened.read("a.csv", b"a,b\n")[1].blocks


def test_the_child_ends_when_the_sandbox_is_closed_or_its_owner_dies() -> None:
    with Sandbox(limited()) as opened:
        opened.read("a.csv", b"a,b\n")
        child = child_of(opened)
    assert child.poll() is not None
    script = "import os; from rag.settings import RagSettings; from rag.sources.sandbox import Sandbox; "
    script += "s = Sandbox(RagSettings()); s.read('a.csv', b'a,b'); "
    script += "print(s._pool._idle[0].pid, flush=True); os.kill(os.getpid(), 9)"
    owner = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    pid = int(owner.stdout)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_large_file_may_take_longer_than_a_small_one() -> None:
    settings = RagSettings(parse_timeout_s=10, parse_s_per_mb=30)
    assert settings.parse_limit_s(0) == 10
    assert settings.parse_limit_s(8 * 2**20) == 250


def test_files_are_read_at_a_time_and_one_that_ends_its_child_costs_no_other() -> None:
    with Sandbox(limited(1)) as opened, ThreadPoolExecutor(3) as threads:
        files = {f"{number}.v": b"module a; endmodule" for number in range(6)} | {"slow.txt": SLOW}
        reasons = dict(zip(files, threads.map(partial(read_or_refuse, opened), files, files.values()), strict=True))
        assert len(opened._pool._idle) <= 3
    assert [name for name, reason in reasons.items() if reason] == ["slow.txt"]


def test_closing_a_sandbox_ends_what_it_is_reading() -> None:
    opened = Sandbox(limited())
    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(read_or_refuse, opened, "slow.txt", SLOW)
        while not opened._pool._busy:
            time.sleep(0.01)
        opened.close()
        assert "SIGKILL" in reading.result(timeout=20)


def test_halves_of_surrogate_pairs_leave_the_sandbox_as_signs_that_can_be_stored(sandbox: Sandbox) -> None:
    _, parsed = sandbox.read("a.html", b"<p>Half a pair &#xD800; of signs.</p>")
    "".join(block.text for block in parsed.blocks).encode()


def read_or_refuse(sandbox: Sandbox, name: str, content: bytes) -> str:
    """The reason why a file is not read; "" where it is."""
    try:
        sandbox.read(name, content)
    except ParseFailed as error:
        return str(error)
    return ""


def test_what_a_file_includes_is_asked_for_and_put_in_its_place(sandbox: Sandbox) -> None:
    asked: list[str] = []

    def included(name: str) -> str | None:
        """One file of the source; it notes what it is asked for."""
        asked.append(name)
        return "Shared words.\n" if name == "docs/shared.inc" else None

    text, parsed = sandbox.read(
        "docs/a.rst",
        b"Title\n=====\n\n" + b".. include:: shared.inc\n.. include:: /etc/passwd\n" * 3,
        included=included,
    )
    assert text is not None
    assert text.count("Shared words.") == 3
    assert parsed.blocks[0].text == "Shared words."
    assert set(asked) == {"docs/shared.inc", "docs/etc/passwd", "etc/passwd"}
    assert len(asked) == 3


@pytest.mark.parametrize("line", ["a\n\n", "- a\n\n"])
def test_restructured_text_as_deep_as_it_likes_is_read(sandbox: Sandbox, line: str) -> None:
    text = "".join(" " * depth + line for depth in range(1500))
    assert "a" in sandbox.read("deep.rst", text.encode())[1].blocks[-1].text


def test_headings_and_titles_are_no_longer_than_a_chunk_can_carry(sandbox: Sandbox) -> None:
    page = sandbox.read("a.html", b"<title>" + b"a " * 10_000 + b"</title><p>Text.")[1]
    assert len(page.title) <= 300
    code = sandbox.read("a.v", b"module " + b"a" * 10_000 + b"; endmodule")[1]
    assert max(len(heading) for heading in code.blocks[0].heading_path) <= 120


HOSTILE = {
    "nested.html": b"<div>" * 200_000,
    "attributes.html": b"<a " + b"x=y " * 200_000 + b">text",
    "entities.html": b"&amp;" * 400_000,
    "line.html": b"<p>" + b"x" * (10 * 2**20),
    "line.py": b"x = '" + b"a" * (5 * 2**20) + b"'",
    "nested.py": b"(" * 100_000 + b")" * 100_000,
    "deep.py": b"\n".join(b" " * depth + b"if x:" for depth in range(120)),
    "nested.v": b"module m; initial " + b"begin " * 100_000,
    "line.v": b"module m(" + b"input a, " * 100_000,
    "line.tcl": b"proc a {} {" + b"{" * 500_000 + b"}" * 500_000,
    "procs.tcl": b"proc a {} {\n" * 20_000,
    "comments.tcl": b"#\n" * 200_000,
    "line.csv": b'"' + b"a" * (200 * 2**10),
    "columns.csv": b"a," * 500_000,
    "line.1": b".TH A 1\n" + b"\\fB" * 500_000,
    "tables.1": b".TH A 1\n.TS\n" + b"T{\n" * 20_000,
    "quotes.1": b".TH A 1\n.B " + b'"' * 200_000,
    "line.lib": b"library(a) {" + b" " * 500_000,
    "comments.lib": b"library(a) {" + b"/* " * 50_000,
    "words.lef": b"VERSION 5.8 ;\n" + b"LAYER a\n" * 200_000,
    "header.pdf": b"%PDF-1.7\n" + b"<<" * 100_000,
    "loop.pdf": (
        b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 1 0 R /Kids [1 0 R] /Count 1 >>\nendobj\ntrailer << /Root 1 0 R"
        b" >>\n%%EOF"
    ),
    "empty.docx": b"PK\x05\x06" + b"\0" * 18,
}


@for_each("name", HOSTILE)
def test_hostile_files_are_read_or_named_and_never_end_the_reader(sandbox: Sandbox, name: str) -> None:
    assert "takes longer" not in read_or_refuse(sandbox, name, HOSTILE[name])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(FORMATS)), st.binary(max_size=300))
def test_no_bytes_end_the_reader(sandbox: Sandbox, suffix: str, content: bytes) -> None:
    assert "crashed" not in read_or_refuse(sandbox, f"a{suffix}", content)
