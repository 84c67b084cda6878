"""Pictures: titles are drawn as they are written, themes leave no trace, and colours are those of the theme."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import cbook, rc_context, rcParams
from matplotlib.figure import Figure

from merge.commands.style import THEMES, faint, ink, plain, save_themes
from merge.errors import OutputRefused
from tests.rows import for_each


@for_each(
    ("title", "shown"),
    [
        ("plain", "plain"),
        ("a$b$c", r"a\$b\$c"),
        ("costs 5$", r"costs 5\$"),
        ("a\nb", r"a\nb"),
        ("größe 時", "größe 時"),
        ("", ""),
    ],
)
def test_a_title_is_escaped_where_it_would_be_mathematics_or_steer(title: str, shown: str) -> None:
    assert plain(title) == shown


@settings(max_examples=50)
@given(st.text("$\\ab^_{} \n", max_size=12))
def test_no_title_is_read_as_mathematics(title: str) -> None:
    assert not cbook.is_math_text(plain(title))


def test_each_picture_is_saved_in_every_theme_the_light_ones_first(tmp_path: Path) -> None:
    inks: list[tuple[str, str]] = []

    def draw() -> Figure:
        inks.append((ink(), faint()))
        return Figure(figsize=(0.5, 0.5))

    before = dict(rcParams)
    paths = save_themes({"a.png": draw, "b.png": draw}, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["a.png", "b.png", "a-dark.png", "b-dark.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    assert inks[0] == inks[1] != inks[2] == inks[3]
    assert dict(rcParams) == before
    assert b"Software" not in paths[0].read_bytes()  # the same picture has the same bytes
    assert save_themes({}, tmp_path) == []


def test_pictures_for_which_there_is_no_room_are_one_sentence_and_no_half_file(small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes(1 << 20))
    with pytest.raises(OutputRefused, match=r"pictures cannot be written to .*: No space left on device"):
        save_themes({"a.png": lambda: Figure(figsize=(9, 9))}, small_disk)
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


@for_each("suffix", list(THEMES))
def test_text_stands_out_from_its_paper_more_than_the_grid_does(suffix: str) -> None:
    def light(colour: str) -> int:
        return sum(int(colour[at : at + 2], 16) for at in (1, 3, 5))

    with rc_context(dict(THEMES[suffix])):  # type: ignore[arg-type]
        paper, text, grid = (light(str(colour)) for colour in (rcParams["figure.facecolor"], ink(), faint()))
        assert abs(paper - text) > 400
        assert abs(paper - grid) < abs(paper - text)
        assert rcParams["savefig.facecolor"] == rcParams["axes.facecolor"] == rcParams["figure.facecolor"]
