"""rag.sources.titles: pages of one site are told apart, wherever their own name stands."""

from __future__ import annotations

from pathlib import Path

from rag.documents import Skipped
from rag.settings import RagSettings
from rag.sources.reader import read_source


def titles(folder: Path, pages: dict[str, str]) -> dict[str, tuple[str, list[tuple[str, ...]]]]:
    """The title and the headings of each page of a folder."""
    for name, text in pages.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    skipped: list[Skipped] = []
    documents = list(read_source(folder, "site", skipped, settings=RagSettings(home=folder / "home"), caches=False))
    assert not skipped
    return {item.path: (item.title, [block.heading_path for block in item.blocks]) for item in documents}


def test_pages_under_the_name_of_their_site_are_called_by_their_own_heading(tmp_path: Path) -> None:
    site = "<title>Heron manual</title><h1>Heron manual</h1>"
    found = titles(
        tmp_path,
        {
            "grow.html": f"{site}<h2>grow</h2><p>Enlarges paint.</p><h3>Options</h3><p>None.</p>",
            "shrink.html": f"{site}<h2>shrink</h2><p>Takes paint away.</p>",
            "about/index.html": f"{site}<p>No heading of its own.</p>",
            "notes.md": "# Heron manual\n\nNot a page.\n",
        },
    )
    assert found["grow.html"] == ("grow", [(), ("Options",)])
    assert found["shrink.html"] == ("shrink", [()])
    assert found["about/index.html"][0] == "Heron manual: about"
    assert found["notes.md"][0] == "Heron manual"


def test_two_pages_of_one_title_keep_it(tmp_path: Path) -> None:
    page = "<title>Limits</title><h2>{}</h2><p>Text.</p>"
    found = titles(tmp_path, {"a.html": page.format("Old"), "b.html": page.format("New")})
    assert [title for title, _ in found.values()] == ["Limits", "Limits"]
