"""rag.encodings: texts in the encodings of old editors and spreadsheets, and what is no text."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.encodings import SAMPLE_BYTES, Decoded, read_text
from rag.errors import ParseFailed
from rag.formats.html_page import parse_html
from rag.formats.parser import read_file
from tests.rows import for_each

GERMAN = "# Breite der Leiterbahn für Größe 3: 0,14 µm bis 125 °C ±5 %\nset x 1\n"
CHINESE = "时钟树综合的目标偏差建议为 0.05。\n使用命令 route_nets -effort high 完成布线。\n"
JAPANESE = "# 配線\n\n最小幅は 0.14 um です。カタカナも読みます。\n"
KANJI = "設計規則 電源配線 最小幅 検証\n"
KOREAN = "배선의 최소 폭은 0.14 um 입니다. 설계 규칙을 확인하십시오.\n"
TAIWAN = "佈局階段的目標密度建議為零點六五。請使用設計規則檢查。\n"
RUSSIAN = "Минимальная ширина проводника равна 0,14 мкм. Проверьте правила проектирования перед отправкой.\n"
CZECH = "Nejmenší šířka vodiče je 0,14 µm. Příliš úzké vodiče způsobují chyby; opravte je. Žádné další meze nejsou.\n"
POLISH = "Minimalna szerokość ścieżki wynosi 0,14 µm. Zbyt wąskie ścieżki powodują błędy, więc można zacząć.\n"
HALF_KANA = "# 配線の幅を設定する\nset width 0.14\n# ｱﾝﾃﾅ ﾁｪｯｸ\n"
FRENCH = "La règle précédente s'applique déjà: vérifiez après chaque étape, où le réseau est très chargé.\n"
BUS = "The bus is 3 µs late.\n"


@for_each(
    ("text", "codec", "name"),
    [
        (GERMAN, "cp1252", "windows-1252"),
        ("Die Maske kostet 900 €, die Höhe ist größer.\n", "iso8859-15", "ISO 8859-15"),
        (BUS, "cp1252", "windows-1252"),
        ("Pin;Größe\nVDD;1,6 µm\n", "cp1252", "windows-1252"),
        ("“Quoted” — and – dashed… it’s 5 µm wide.\n", "cp1252", "windows-1252"),
        (FRENCH, "cp1252", "windows-1252"),
        (CZECH, "cp1250", "windows-1250"),
        (POLISH, "cp1250", "windows-1250"),
        (HALF_KANA, "cp932", "Shift-JIS"),
        (CHINESE, "gbk", "GBK"),
        (JAPANESE, "shift_jis", "Shift-JIS"),
        (KANJI, "shift_jis", "Shift-JIS"),
        (JAPANESE, "euc_jp", "EUC-JP"),
        (JAPANESE, "iso2022_jp", "ISO-2022-JP"),
        (KOREAN, "euc_kr", "EUC-KR"),
        ("// 카운터\nmodule cnt;\n", "euc_kr", "EUC-KR"),
        ("// 计数器\nmodule cnt;\n", "gbk", "GBK"),
        (TAIWAN, "big5", "Big5"),
        (RUSSIAN, "cp1251", "windows-1251"),
        (RUSSIAN, "koi8_r", "KOI8-R"),
        (GERMAN, "utf-16", "UTF-16"),
        (CHINESE, "utf-16", "UTF-16"),
        (GERMAN, "utf-16-le", "UTF-16 without a byte order mark"),
        (GERMAN, "utf-16-be", "UTF-16 without a byte order mark"),
        (CHINESE, "utf-16-le", "UTF-16 without a byte order mark"),
        (GERMAN, "utf-8", ""),
        (GERMAN, "utf-8-sig", ""),
    ],
)
def test_a_text_is_read_in_the_encoding_that_it_was_written_in(text: str, codec: str, name: str) -> None:
    decoded = read_text(text.replace("\n", "\r\n").encode(codec))
    assert (decoded.text, decoded.encoding, decoded.note) == (text, name, "")


@for_each(
    ("text", "codec"),
    [
        ("# -*- coding: iso-8859-2 -*-\n# Größe\n", "iso8859_2"),
        ("#!/usr/bin/tclsh\n# vim: set fileencoding=cp850 :\n# µ\n", "cp850"),
        ("\\documentclass{article}\n\\usepackage[applemac]{inputenc}\nGröße\n", "mac_roman"),
        ("\\usepackage[latin9]{inputenc} 5 €\n", "iso8859_15"),
    ],
)
def test_an_encoding_that_a_file_names_is_not_guessed(text: str, codec: str) -> None:
    assert read_text(text.encode(codec)) == Decoded(text)


@for_each("name", ["zip", "rot13", "unicode_escape", "none-such", "utf-7", "idna"])
def test_a_name_of_no_encoding_of_texts_is_passed(name: str) -> None:
    text = f"# coding: {name}\n# Größe\n"
    assert read_text(text.encode("cp1252")) == Decoded(text, "windows-1252")


@for_each(("content", "text"), [(b"5 \xc2\xb5m\n" + b"\0" * 9, "5 µm\n"), (b"\xef\xbb\xbf" * 2 + b"a", "a")])
def test_padding_behind_a_text_and_marks_before_it_are_no_text(content: bytes, text: str) -> None:
    assert read_text(content) == Decoded(text)


@for_each(("codec", "lost"), [("utf-8", 1), ("gbk", 1), ("utf-16", 1)])
def test_a_last_character_that_is_cut_costs_only_itself(codec: str, lost: int) -> None:
    text = CHINESE.strip()
    decoded = read_text(text.encode(codec)[:-lost])
    assert (decoded.text, decoded.note) == (text[:-1], "its last character is cut")


def test_lines_of_another_encoding_in_utf8_keep_their_signs() -> None:
    content = f"# Größe und Höhe für alle µ\n{'ä' * 9}\n".encode() + "pasted: 5 µm\n".encode("cp1252")
    decoded = read_text(content)
    assert decoded.text.endswith("pasted: 5 µm\n")
    assert decoded.encoding == "windows-1252 in 1 lines"


@for_each(
    "content", [b"a\0b", bytes(range(1, 256)) * 9, b"\x7fELF\x01\x02" + b"\0" * 90, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"]
)
def test_what_is_not_text_is_called_binary(content: bytes) -> None:
    with pytest.raises(ParseFailed, match="binary, not text"):
        read_text(content)


@for_each("content", [b"", b" \n", b"\xef\xbb\xbf", b"\xff\xfe"])
def test_a_file_without_a_word_is_called_empty(content: bytes) -> None:
    with pytest.raises(ParseFailed, match="empty"):
        read_text(content)


def test_the_encoding_goes_with_what_was_read() -> None:
    assert read_file("a.tcl", GERMAN.encode("cp1252"))[1].encoding == "windows-1252"
    table = read_file("a.csv", "Pin\tGröße\r\nVDD\t1,6 µm\r\n".encode("utf-16"))[1]
    assert table.blocks[0].text == "| Pin | Größe |\n| --- | --- |\n| VDD | 1,6 µm |"


def test_a_page_says_its_encoding_itself_or_it_is_guessed() -> None:
    declared = '<meta charset="iso-8859-1"><p>5 µm</p>'.encode("latin-1")
    assert [(parse_html(page).blocks[0].text, parse_html(page).encoding) for page in (declared, declared[27:])] == [
        ("5 µm", ""),
        ("5 µm", "windows-1252"),
    ]


@given(st.binary(max_size=300))
def test_no_bytes_break_it(content: bytes) -> None:
    with suppress(ParseFailed):
        assert read_text(content).text.strip()


@for_each("end", ["\r\n", "\r", "\n"])
def test_any_end_of_a_line_is_one_of_unix(end: str) -> None:
    for codec in ("utf-8", "utf-16", "cp1252"):
        assert read_text(f"Größe{end}{end}zwei{end}".encode(codec)).text == "Größe\n\nzwei\n"


def test_signs_that_end_lines_elsewhere_stay() -> None:
    text = "a\u2028b\x0cc\x1b[31md\x85e\n"
    assert read_text(text.encode()) == Decoded(text)


@for_each(
    ("content", "text", "encoding"),
    [
        (b"\xff\xfea\0", "a", "UTF-16"),
        (b"\xfe\xff\0a", "a", "UTF-16"),
        (b"\xff\xfe\0\0a\0\0\0", "a", "UTF-32"),
        (b"\0\0\xfe\xff\0\0\0a", "a", "UTF-32"),
        (b"\xef\xbb\xbfa", "a", ""),
        (b"\x80 5", "€ 5", "windows-1252"),
    ],
)
def test_a_mark_at_the_beginning_is_not_text(content: bytes, text: str, encoding: str) -> None:
    assert read_text(content) == Decoded(text, encoding)


@for_each("content", [b"\xff\xfe\0\0\xff\xff\xff\xff", b"\xff\xfe\0\xd8a\0", b"\xef\xbb\xbf\xff\xff"])
def test_what_a_mark_promises_and_the_bytes_break_is_said_with_the_place(content: bytes) -> None:
    with pytest.raises(ParseFailed, match=r"not UTF-(?:8|16|32) as its first bytes say \(byte \d+\)"):
        read_text(content)


def test_zero_bytes_behind_the_sample_are_binary_too() -> None:
    with pytest.raises(ParseFailed, match="binary, not text"):
        read_text(b"text\n" * (SAMPLE_BYTES // 5 + 1) + b"\0")


@settings(max_examples=50)
@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0\r\ufeff", exclude_categories=["Cs"]), min_size=1),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
)
def test_every_text_comes_back_from_unicode(text: str, codec: str) -> None:
    content = f"x{text}".encode(codec)
    decoded = read_text(content)
    assert (decoded.text, decoded.note) == (f"x{text}", "")
