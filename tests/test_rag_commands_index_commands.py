"""rag.commands.index_commands: `chipalign index` as a user calls it, in a home folder of its own."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import chipalign
from tests.rows import for_each

NOTES = {
    "antenna.md": "# Antenna\n\n`repair_antennas` inserts diodes at the gates of violating nets.\n",
    "hold.rst": "Hold\n====\n\n``repair_timing -hold`` inserts delay buffers.\n",
}

pytestmark = pytest.mark.usefixtures("home")


def index(argv: list[str]) -> int:
    """`chipalign index` as it is run."""
    return chipalign.main(["index", *argv])


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    for name, text in NOTES.items():
        (folder / name).write_text(text)
    (folder / "broken.md").write_bytes(b"\x00\x01\x02")
    return folder


def test_a_build_counts_what_it_skips_by_kind_and_apart_what_it_read_all_the_same(
    notes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.ps", "b.ps", "c.gds"):
        (notes / name).write_bytes(b"x")
    (notes / "width.md").write_bytes("# Width\n\nAt least 0.14 µm.\n".encode("cp1252"))
    assert index(["build", "--out", str(tmp_path / "index"), str(notes)]) == 0
    captured = capsys.readouterr()
    assert "skipped 4 files: 3 not a type of document that is read, 1 binary, not text\n" in captured.out
    assert "of those that were read: 1 read as windows-1252\n" in captured.out
    assert "\nnotes/width.md: read as windows-1252\n" in captured.err


def test_build_search_and_build_again(notes: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(home / "indexes" / "starter")
    assert index(["build", "--out", out, str(notes)]) == 0
    captured = capsys.readouterr()
    assert f"{out}: 2 documents, 2 chunks (2 embedded, 0 reused)" in captured.out
    assert "skipped 1 file: 1 binary, not text" in captured.out
    assert "skipped notes/broken.md: binary, not text" in captured.err
    assert "chunk: 2 of 2" in captured.err
    assert index(["search", "how do I fix antenna violations?"]) == 0
    assert capsys.readouterr().out.startswith("[1] Antenna\n    notes/antenna.md (score ")
    assert index(["build", "--out", out, str(notes), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["up_to_date"], report["embedded"], report["collections"]) == (True, 0, {"notes": 2})
    assert report["skipped"] == [{"path": "notes/broken.md", "reason": "binary, not text"}]


def test_search_gives_one_json_document(notes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "index")
    index(["build", "--out", out, str(notes)])
    capsys.readouterr()
    assert index(["search", "repair_timing -hold", "--index", out, "--top-k", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [hit["path"] for hit in found["hits"]] == ["hold.rst"]
    assert found["hits"][0]["score"] > 0
    assert index(["search", "What is the capital of Peru?", "--index", out]) == 0
    assert "nothing about this in the indexed documents (notes)" in capsys.readouterr().out


def test_an_archive_and_one_file_are_sources(notes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = shutil.make_archive(str(tmp_path / "manual"), "zip", notes)
    assert index(["build", "--out", str(tmp_path / "index"), archive, str(notes / "hold.rst"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["collections"] == {"hold": 1, "manual": 2}


def test_the_handbook_is_a_source_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert index(["build", "--out", str(tmp_path / "index"), "handbok"]) == 2
    assert (
        "'handbok' is not a folder, file or archive here, and no corpus; corpora are handbook, openroad"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "hold"], "no index in"),
        (["search", "  "], "no index in"),
        (["build", "--out", "x", "yosys"], "the corpus 'yosys' has not been fetched: `chipalign corpus fetch yosys`"),
    ],
)
def test_the_users_mistakes_are_one_line_and_exit_two(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert index(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]


def test_nothing_readable_is_an_error_with_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"x")
    assert index(["build", "--out", str(tmp_path / "index"), str(tmp_path / "pictures")]) == 2
    assert "no document can be read" in capsys.readouterr().err
    assert not (tmp_path / "index").exists()


def test_a_bad_setting_is_reported_before_any_work(
    notes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHIPALIGN_CHUNK_TOKENS", "many")
    assert index(["build", "--out", "x", str(notes)]) == 2
    assert "CHIPALIGN_CHUNK_TOKENS='many'" in capsys.readouterr().err


@for_each("value", ["0", "-1", "many", "1001"])
def test_top_k_has_a_range(value: str) -> None:
    with pytest.raises(SystemExit) as caught:
        index(["search", "hold", "--top-k", value])
    assert caught.value.code == 2


def test_on_a_terminal_the_build_draws_a_bar(notes: Path, tmp_path: Path) -> None:
    terminal, side = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "chipalign",
        "index",
        "build",
        "--out",
        str(tmp_path / "index"),
        str(notes),
        "--json",
    ]
    with subprocess.Popen(command, cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE, stderr=side) as process:
        os.close(side)
        drawn = b""
        while True:
            try:
                drawn += os.read(terminal, 4096)
            except OSError:  # the other side has closed: the process ended
                break
        assert process.stdout is not None
        assert json.loads(process.stdout.read())["chunks"] == 2
    os.close(terminal)
    assert process.returncode == 0
    assert b"embed" in drawn
    assert b"chunk: 2 of 2" not in drawn


def test_collections_are_named_added_searched_and_removed(
    notes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "index")
    assert index(["build", "--out", out, f"flow@1.0={notes}"]) == 0
    assert index(["build", "--out", out, "--add", f"flow@2.0={notes}", f"one={notes / 'hold.rst'}", "--json"]) == 0
    report = json.loads(capsys.readouterr().out.partition("\n{")[2].join(["{", ""]))
    assert report["collections"] == {"flow@1.0": 2, "flow@2.0": 2, "one": 1}
    assert report["skipped"] == [{"path": "flow@2.0/broken.md", "reason": "binary, not text"}]
    assert (
        index(
            [
                "search",
                "repair_timing -hold",
                "--index",
                out,
                "--collection",
                "flow@2.0",
                "--collection",
                "one",
                "--json",
            ]
        )
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["collections"] == ["flow@2.0", "one"]
    assert {(hit["collection"], hit["version"]) for hit in found["hits"]} == {("flow@2.0", "2.0")}
    assert index(["search", "hold", "--index", out, "--collection", "vivado"]) == 2
    assert "no collection 'vivado'; it holds flow@1.0, flow@2.0, one" in capsys.readouterr().err
    assert index(["remove", "flow@1.0", "--index", out]) == 0
    assert capsys.readouterr().out == f"{out}: removed flow@1.0 (2 chunks); flow@2.0, one\n"
    assert index(["remove", "one", "flow@2.0", "--index", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["collections"] == {}
    assert index(["search", "hold", "--index", out]) == 2


def test_stats_show_what_is_there_and_what_was_not_read(
    notes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, picture = str(tmp_path / "index"), tmp_path / "lengths.png"
    index(["build", "--out", out, str(notes)])
    capsys.readouterr()
    assert index(["stats", "--index", out, "--plot", str(picture)]) == 0
    text = capsys.readouterr().out
    assert "2 documents, 2 chunks" in text
    assert re.search(r"^Markdown +1 +0 +1 +0 +0 +0 +0 +1$", text, re.MULTILINE)  # broken.md is not read
    assert "notes/broken.md: binary, not text" in text
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert index(["stats", "--index", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["collections"]["notes"]["skipped"] == [
        ["notes/broken.md", "binary, not text"]
    ]
    assert index(["stats", "--index", out, "--plot", str(tmp_path / "nowhere" / "a.png")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_verify_distinguishes_a_whole_index_from_a_damaged_one(
    notes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "index")
    index(["build", "--out", out, str(notes)])
    capsys.readouterr()
    assert index(["verify", "--index", out]) == 0
    assert capsys.readouterr().out.startswith(f"{out}: whole (")
    assert index(["verify", "--index", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["whole"] is True
    path = next((tmp_path / "index").rglob("chunks.jsonl"))
    path.write_bytes(path.read_bytes().replace(b"diodes", b"diodeS"))
    assert index(["verify", "--index", out]) == 2
    assert "is not the file that was built" in capsys.readouterr().err
