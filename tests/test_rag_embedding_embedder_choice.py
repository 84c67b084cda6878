"""The embedder and the reader that settings name are opened, or one sentence says what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.embedding.embedder import Embedder
from rag.embedding.embedder_choice import NO_READER, open_embedder, open_reader
from rag.errors import EmbedderUnavailable
from rag.settings import RagSettings
from tests.rows import for_each


def test_settings_that_name_no_reader_open_none(tmp_path: Path) -> None:
    assert open_reader(RagSettings(home=tmp_path, reader=NO_READER)) is None


@for_each("name", ["", "None", "no/such/reader", "./none"])
def test_a_reader_that_cannot_be_found_is_not_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(EmbedderUnavailable) as caught:
        open_reader(RagSettings(home=tmp_path, reader=name))
    assert str(caught.value).isprintable()


@for_each("name", ["no-such-embedder", "./none", "/no/such/folder"])
def test_an_embedder_that_cannot_be_found_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(EmbedderUnavailable) as caught:
        open_embedder(RagSettings(home=tmp_path, embedder=name))
    assert name.rpartition("/")[2] in str(caught.value)


def test_the_embedder_of_the_settings_opens_without_loading_its_model(tmp_path: Path) -> None:
    settings = RagSettings(home=tmp_path)
    opened = open_embedder(settings, threads=1)
    assert isinstance(opened, Embedder)
    assert opened.fingerprint == Embedder.find(settings.embedder).fingerprint
