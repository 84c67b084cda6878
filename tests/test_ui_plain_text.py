"""Text that steers neither a terminal nor a reader's eye."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ui.plain_text import one_line, plain


def test_commands_of_a_terminal_lose_what_makes_them_commands() -> None:
    assert plain("\x1b]8;;http://h/\x07link\x1b]8;;\x07 \x9b31m\r\b\x7f") == "]8;;http://h/link]8;; 31m"


def test_letters_keep_their_order() -> None:
    assert plain("if \u202e{ siht \u2066is\u2069\u202c") == "if { siht is"


def test_lines_tabs_and_letters_of_all_languages_stay() -> None:
    assert (
        plain("a\tb\r\nc\n\u00e4 \u65e5\u672c \u05d0\u05d1 \U0001f600")
        == "a\tb\nc\n\u00e4 \u65e5\u672c \u05d0\u05d1 \U0001f600"
    )


def test_a_path_of_several_lines_is_one_line() -> None:
    assert one_line("a\n  b\t\x00c.md\n") == "a b c.md"


@given(st.text(max_size=60))
def test_what_is_left_can_be_written_and_is_left_alone(text: str) -> None:
    plain(text).encode()
    assert plain(plain(text)) == plain(text)


def test_half_a_character_is_left_out() -> None:
    assert plain("a\ud800b") == "ab"
