"""rag.sources.account: included files are indexed where they stand, and types that are not read are told once."""

from __future__ import annotations

from pathlib import Path

from rag.documents import Skipped
from rag.sources.account import find_held, join_types, kind_of
from rag.sources.reader import read_source
from tests.rows import for_each

WHOLE = ".. include:: "


@for_each(
    ("files", "held"),
    [
        ({"a.rst": f"{WHOLE}sub/b.txt", "sub/b.txt": "B"}, {"sub/b.txt": "a.rst"}),
        ({"a.rst": ".. csv-table:: T\n   :file: b.csv\n", "b.csv": "x"}, {"b.csv": "a.rst"}),
        ({"a.rst": f"{WHOLE}b.txt\n   :start-after: x\n", "b.txt": "B"}, {}),
        ({"a.rst": ".. literalinclude:: b.tcl\n", "b.tcl": "B"}, {}),
        ({"a.rst": f"{WHOLE}b.md", "b.md": "B"}, {}),
        ({"a.rst": f"{WHOLE}b.rst", "b.rst": f"{WHOLE}a.rst"}, {"b.rst": "a.rst"}),
        ({"a.rst": f"{WHOLE}b.rst", "b.rst": f"{WHOLE}c.rst", "c.rst": "C"}, {"b.rst": "a.rst", "c.rst": "b.rst"}),
        ({"a.rst": f"{WHOLE}a.rst", "b.md": f"{WHOLE}a.rst"}, {}),
    ],
)
def test_a_file_that_another_includes_whole_is_held_by_it(files: dict[str, str], held: dict[str, str]) -> None:
    assert find_held(files, files.get) == held


def test_a_table_is_read_where_its_file_is_named_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "limits.rst").write_text(
        "Limits\n======\n\n.. csv-table:: Current\n   :file: a.csv\n   :header-rows: 1\n"
    )
    (tmp_path / "a.csv").write_text('layer,"max, mA"\nmet1,1.1\n')
    skipped: list[Skipped] = []
    [document] = read_source(tmp_path, "kit", skipped)
    assert [block.text for block in document.blocks] == [
        "Current",
        "| layer | max, mA |\n| --- | --- |\n| met1 | 1.1 |",
    ]
    assert skipped == [Skipped("kit/a.csv", "stands whole in limits.rst, which includes it")]


def test_files_of_a_type_that_is_not_read_are_told_once_with_their_number(tmp_path: Path) -> None:
    for name in ("a.md", *(f"{number}.ps" for number in range(7)), "one.gds"):
        (tmp_path / name).write_text("# A\n\nText.\n")
    skipped = [Skipped("other/x.ps", "not a type of document that is read (.ps)")]
    list(read_source(tmp_path, "kit", skipped))
    assert [(item.path, item.reason) for item in skipped] == [
        ("other/x.ps", "not a type of document that is read (.ps)"),
        ("kit/one.gds", "not a type of document that is read (.gds)"),
        (
            "kit/*.ps",
            "7 files: not a type of document that is read (.ps): 0.ps, 1.ps, 2.ps, 3.ps, 4.ps, ...",
        ),
    ]


def test_files_without_a_suffix_are_one_type() -> None:
    reason = "not a type of document that is read (no suffix)"
    assert join_types([Skipped("k/a", reason), Skipped("k/b", reason)], "k") == [
        Skipped("k/*", f"2 files: {reason}: a, b")
    ]


def test_what_documents_include_is_counted_without_its_names() -> None:
    reasons = [f"read in part: it includes what could not be read: {name}" for name in ("a.out", "b.v, c.v and 2 more")]
    assert [kind_of(reason) for reason in reasons] == [("read in part: it includes what could not be read", 1)] * 2
