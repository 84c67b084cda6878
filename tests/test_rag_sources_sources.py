"""rag.sources.sources: what a SOURCE argument names, and the version and date that its documents get."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from rag.documents import Skipped
from rag.errors import SourceUnusable
from rag.settings import RagSettings
from rag.sources.named import NamedSource
from rag.sources.sources import HANDBOOK, find_named_source, read_named_source

DAY = 1_700_000_000  # 2023-11-14


@pytest.fixture
def settings(tmp_path: Path) -> RagSettings:
    return RagSettings(home=tmp_path / "home")


@pytest.fixture
def manuals(tmp_path: Path) -> Path:
    folder = tmp_path / "manuals"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.md", "deep/b.md"):
        (folder / name).write_text("# Title\n\nSome text.\n")
        os.utime(folder / name, (DAY, DAY))
    (folder / "picture.png").write_bytes(b"x")
    return folder


@pytest.mark.parametrize(
    ("prefix", "collection", "version"),
    [
        ("", "manuals", ""),
        ("tool=", "tool", ""),
        ("tool@2.0=", "tool@2.0", "2.0"),
        ("or-flow@v3.1-rc+1=", "or-flow@v3.1-rc+1", "v3.1-rc+1"),
    ],
)
def test_a_source_may_carry_a_name_and_a_version(
    manuals: Path, settings: RagSettings, prefix: str, collection: str, version: str
) -> None:
    skipped: list[Skipped] = []
    documents = list(read_named_source(find_named_source(f"{prefix}{manuals}", settings), skipped, settings))
    assert [(one.collection, one.path, one.version, one.date) for one in documents] == [
        (collection, "a.md", version, "2023-11-14"),
        (collection, "deep/b.md", version, "2023-11-14"),
    ]
    assert [item.path for item in skipped] == [f"{collection}/picture.png"]


def test_documents_of_an_archive_have_its_date(manuals: Path, settings: RagSettings, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "kit"), "zip", manuals)
    os.utime(archive, (DAY, DAY))
    assert {
        (one.collection, one.date) for one in read_named_source(find_named_source(archive, settings), [], settings)
    } == {("kit", "2023-11-14")}
    (document,) = read_named_source(find_named_source(f"one={manuals / 'a.md'}", settings), [], settings)
    assert (document.name, document.date) == ("one/a.md", "2023-11-14")


def test_a_path_that_exists_is_meant_whatever_signs_it_has(tmp_path: Path, settings: RagSettings) -> None:
    odd = tmp_path / "a=b"
    odd.mkdir()
    assert find_named_source(str(odd), settings) == NamedSource(odd, "a=b", "")


def test_the_handbook_has_no_dates_of_files_and_can_be_renamed(settings: RagSettings) -> None:
    handbook = find_named_source(HANDBOOK, settings)
    assert (handbook.collection, handbook.licence, handbook.version) == ("handbook", "Apache-2.0", "")
    assert {document.date for document in read_named_source(handbook, [], settings)} == {""}
    assert find_named_source(f"ours@1={HANDBOOK}", settings).collection == "ours@1"


def test_a_corpus_that_is_not_fetched_is_reported(settings: RagSettings) -> None:
    for argument in ("yosys", "mine=yosys", "mine@1=yosys"):
        with pytest.raises(
            SourceUnusable, match="the corpus 'yosys' has not been fetched: `chipalign corpus fetch yosys`"
        ):
            find_named_source(argument, settings)


@pytest.mark.parametrize(
    "argument", ["nowhere", "name=nowhere", "@2=nowhere", "name@=nowhere", "=nowhere", "a/b=nowhere"]
)
def test_an_argument_that_names_nothing_is_reported(argument: str, settings: RagSettings) -> None:
    with pytest.raises(
        SourceUnusable,
        match=r"nowhere' is not a folder, file or archive here, and no corpus; corpora are handbook, openroad",
    ):
        find_named_source(argument, settings)
