"""rag.xml_tree: XML of strangers is read without what it names, and damage is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.errors import ParseFailed
from rag.xml_tree import read_xml_tree


def test_no_entity_brings_in_a_file_and_remarks_are_left_out(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("hidden")
    declared = f'<!DOCTYPE a [<!ENTITY e SYSTEM "{secret.as_uri()}">]>'
    root = read_xml_tree(f"{declared}<a><!-- x -->b&e;c</a>".encode(), "XML")
    assert "hidden" not in "".join(map(str, root.itertext()))
    assert (root.tag, root.text) == ("a", "b")


@pytest.mark.parametrize("content", [b"", b"<a>", b"<a></b>", b"no markup"])
def test_damage_is_told_with_what_it_should_be(content: bytes) -> None:
    with pytest.raises(ParseFailed, match=r"^no OpenDocument text that can be read \("):
        read_xml_tree(content, "OpenDocument text")
