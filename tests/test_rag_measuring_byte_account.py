"""rag.measuring.byte_account: of every golden document each byte is read or left out by a rule, and a loss is seen."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rag.documents import Document
from rag.measuring import byte_account
from rag.measuring.byte_account import account_for, describe_accounts
from rag.settings import RagSettings
from rag.sources.reader import read_source
from tests.commands import run_command
from tests.golden_files import GOLDEN, MADE


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden") / "documents"
    shutil.copytree(GOLDEN / "documents", folder)
    for name, make in MADE.items():
        (folder / name).write_bytes(make())
    (folder / "drawing.dwg").write_bytes(b"\0" * 40)
    (folder / "sub").mkdir()
    (folder / "sub" / "all.rst").write_text("All\n===\n\n.. include:: part.rst\n")
    (folder / "sub" / "part.rst").write_text("A part that another file includes.\n")
    return folder


def test_no_byte_of_the_golden_corpus_is_lost_in_silence(corpus: Path, tmp_path: Path) -> None:
    accounts = account_for(corpus, RagSettings(home=tmp_path))
    assert {name: account.lost for name, account in accounts.items() if account.lost} == {}
    for name, account in accounts.items():
        assert account.bytes["read"] or name == "no format that is read", name
    sizes = sum(path.stat().st_size for path in corpus.rglob("*") if path.is_file())
    assert sum(account.bytes.total() for account in accounts.values()) == sizes
    assert accounts["no format that is read"].bytes == {"not read: not a type of document that is read (.dwg)": 40}
    assert accounts["reStructuredText"].bytes["not read: stands whole"] == 35


def test_a_block_that_a_parser_drops_is_lost_and_shown(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_a_table(*arguments: object, **named: object) -> list[Document]:
        documents = list(read_source(*arguments, **named))  # type: ignore[arg-type]
        for document in documents:
            kept = tuple(block for block in document.blocks if block.kind != "table")
            object.__setattr__(document, "blocks", kept)
        return documents

    monkeypatch.setattr(byte_account, "read_source", without_a_table)
    text = describe_accounts(account_for(corpus, RagSettings(home=tmp_path)))
    assert "pins.csv: RESET_N" in text
    assert "lost in silence: 0 bytes" not in text


def test_the_command_accounts_for_one_file(corpus: Path, tmp_path: Path) -> None:
    done = run_command("index", "inspect", str(corpus / "rules.yaml"), "--account", CHIPALIGN_HOME=str(tmp_path))
    assert done.returncode == 0
    assert done.stdout.startswith("YAML: 1 file, 808 bytes\n")
    assert done.stdout.endswith("lost in silence: 0 bytes\n")


def test_names_that_look_like_marks_are_read_and_pictures_have_their_rule(tmp_path: Path) -> None:
    page = tmp_path / "a.rst"
    text = (
        "Cells\n=====\n\n- |tool logo|\n\n.. |tool logo| image:: a.svg\n\n"
        ".. code:: RTLIL\n\n   switch \\in5\n     assign $0\\out3 \\in6\n"
    )
    page.write_text(text)
    account = account_for(page, RagSettings(home=tmp_path))["reStructuredText"]
    assert account.lost == []
    assert account.bytes["pictures"] == len("- |tool logo|")
    assert account.bytes.total() == len(text)
