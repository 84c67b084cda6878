"""rag.printable: nothing of others' text steers a terminal or breaks a line, in any command's output."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import chipalign
from rag.printable import printable, printable_json
from tests.rows import for_each

HOSTILE = [
    "a\nb",
    "\x1b[2J",
    "\x1b]0;pwn\x07",
    "\u202efdp",
    "\u2066x",
    "\u200b",
    "\x9b31m",
    "a\u2028b",
    "\u00ad",
    "\U000e0041",
    "\udcff",
]
KINDS = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def steers(text: str) -> bool:
    return any(unicodedata.category(sign) in KINDS and sign not in "\n\u200c\u200d" for sign in text)


@for_each("name", HOSTILE)
def test_what_would_steer_a_terminal_is_shown_escaped(name: str) -> None:
    shown = printable(name)
    assert not steers(shown)
    assert "\n" not in shown
    assert shown.encode().decode("unicode_escape") == name


@given(st.text())
def test_ordinary_letters_stay_and_no_line_is_broken(text: str) -> None:
    shown = printable(text)
    assert not steers(shown)
    assert "\n" not in shown
    kept = [sign for sign in text if unicodedata.category(sign) not in KINDS or sign in "\u200c\u200d"]
    assert "".join(kept) == text or len(shown) > len(text) - 1
    assert printable("".join(kept)) == "".join(kept)


@given(st.dictionaries(st.text(), st.text()))
def test_json_says_the_same_without_them(value: dict[str, str]) -> None:
    written = printable_json(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(written) == value
    assert not steers(written)


def test_the_commands_show_hostile_names_on_one_line_each(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    docs = tmp_path / "do\u202ecs"
    docs.mkdir()
    for number, name in enumerate(HOSTILE[:-1]):
        (docs / f"{name}{number}.bin").write_bytes(b"x")
        (docs / f"{name}{number}.md").write_text("# Via\x1b[31m\n\nA via joins layers.\x9b31m\n")
    index = str(tmp_path / "index\x1b[2J")
    outputs = []
    for command in (
        ["index", "build", "--out", index, str(docs)],
        ["index", "build", "--out", index, str(docs)],
        ["index", "build", "--out", index, str(docs), "--json"],
        ["index", "stats", "--index", index],
        ["index", "search", "via", "--index", index],
        ["index", "search", "via", "--index", index, "--json"],
        ["index", "verify", "--index", index],
        ["index", "remove", "do\u202ecs", "--index", index],
        ["corpus", "text", str(docs), "--out", str(tmp_path / "t\u202e.jsonl")],
    ):
        assert chipalign.main(command) == 0
        outputs.append(capsys.readouterr())
    assert chipalign.main(["index", "build", "--out", index, str(docs / f"{HOSTILE[1]}1.bin")]) == 2
    outputs.append(capsys.readouterr())
    for output in outputs:
        assert not steers(output.out.replace("\t", ""))
        assert not steers(output.err.replace("\t", ""))
    skipped = [line for line in outputs[0].err.splitlines() if line.startswith("skipped ")]
    [line] = skipped
    assert f"{len(HOSTILE) - 1} files: not a type of document that is read (.bin)" in line
    assert "a\nb0.bin" in json.loads(outputs[2].out)["skipped"][0]["reason"]
