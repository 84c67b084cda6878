"""ui.pasted: a log's bytes become the text that a person saw, and stand below the question."""

from __future__ import annotations

from tests.rows import for_each
from ui.pasted import decode_pasted, is_text, join_question


@for_each(
    ("pasted", "text"),
    [
        (b"\x1b[1;31mError\x1b[0m: x\r\n", "Error: x"),
        ("\ufeffcaf\u00e9".encode(), "caf\u00e9"),
        (b"\xff\xfe" + "Fehler: \u00b5".encode("utf-16-le"), "Fehler: \u00b5"),
        (b"\xfe\xff" + "Fehler\n".encode("utf-16-be"), "Fehler"),
        (b"\xff\xfeodd", "\u646f\ufffd"),
        (b"", ""),
    ],
)
def test_bytes_become_the_text_that_a_person_saw(pasted: bytes, text: str) -> None:
    assert decode_pasted(pasted) == text
    assert is_text(pasted)


@for_each("pasted", [b"\x7fELF\x02\x01\x01\0\0", b"PK\x03\x04\x14\0", b"text\0"])
def test_what_has_zero_bytes_is_no_text(pasted: bytes) -> None:
    assert not is_text(pasted)


@for_each(
    ("question", "pasted", "joined"),
    [
        ("why?", "", "why?"),
        (" why? ", "log", "why?\n\nlog"),
        ("", "log", "log"),
        ("", "", ""),
        ("", " \n ", ""),
        ("a", "  b", "a\n\n  b"),
    ],
)
def test_question_stands_above_what_was_pasted(question: str, pasted: str, joined: str) -> None:
    assert join_question(question, pasted) == joined
