"""rag.office.slides: presentations as PowerPoint writes them, damaged ones, and bombs."""

from __future__ import annotations

import zipfile
from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.errors import ParseFailed
from rag.office import slides
from rag.office.slides import parse_slides
from tests.golden_files import presentation
from tests.rows import for_each


def without(*names: str, **parts: str) -> bytes:
    """The golden presentation without some parts, and with others instead."""
    stream = BytesIO()
    with zipfile.ZipFile(BytesIO(presentation())) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            if not name.endswith(names):
                new.writestr(name, parts.get(name.rpartition("/")[2].partition(".")[0], old.read(name)))
    return stream.getvalue()


def test_slides_without_a_list_are_read_in_the_order_of_their_numbers() -> None:
    parsed = parse_slides(without("presentation.xml"))
    assert parsed.title == "Timing"
    assert [block.page for block in parsed.blocks] == [1, 1, 1, 2, 2]


def test_a_slide_without_a_title_is_called_by_its_number() -> None:
    empty = '<p:sld xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"/>'
    assert parse_slides(without(slide1=empty, slide2=empty)).title == "Slide 1"


@for_each(
    ("content", "reason"),
    [
        (b"no zip", "not a zip archive"),
        (b"\xd0\xcf\x11\xe0" + bytes(100), "old format: save it as .pptx"),
        (without(".xml"), "it has no slides"),
        (without(slide1="<p:sld"), "can be read"),
        (without(slide1="<!DOCTYPE p [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><p>&e;</p>", slide2="<p/>"), ""),
    ],
)
def test_what_is_not_a_presentation_is_named(content: bytes, reason: str) -> None:
    if not reason:
        assert "root" not in "".join(block.text for block in parse_slides(content).blocks)
        return
    with pytest.raises(ParseFailed, match=reason):
        parse_slides(content)


def test_many_slides_and_many_tags_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slides, "MAX_SLIDES", 1)
    assert parse_slides(presentation()).note == "its first 1 slides"
    monkeypatch.setattr(slides, "MAX_TAGS", 10)
    with pytest.raises(ParseFailed, match="more than 10 tags"):
        parse_slides(presentation())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4000), st.binary(min_size=1, max_size=40))
def test_a_damaged_presentation_is_read_or_named(at: int, noise: bytes) -> None:
    content = without()
    place = at % len(content)
    with suppress(ParseFailed):
        parse_slides(content[:place] + noise + content[place + len(noise) :])
