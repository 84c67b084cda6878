"""rag.alphabets: one-byte encodings are told by the words that they make, also in a remark of a few letters."""

from __future__ import annotations

import time

from rag.alphabets import guess_alphabet
from rag.encodings import read_text
from tests.rows import for_each

WESTERN = [
    "Die Länge der Leitung beträgt höchstens 5 µm bei 125 °C ±5 %.",
    "La sección del cañón está en el menú español; ¿qué hacer?",
    "Le réseau d'horloge a été équilibré.",
    "größe",
    "résumé",
]
CASES = {
    ("cp1252", "iso8859_1", "mac_roman", "cp850"): WESTERN,
    ("cp1252", "iso8859_1"): [
        "A ligação não é possível: configuração inválida, você não pode.",
        "Længden af ledningen er for stor; prøv igen på et andet lag.",
        "Pituuden täytyy olla enintään viisi; tämä on hyvä.",
        "Temperature: 125 °C, ±5 %, 3 µA",
        "µ",
    ],
    ("cp1252",): ["The “clock” isn’t ok – see §3…", "5 € für Jean-François"],
    ("cp437", "cp850"): ["┌────┬───┐\n│ M1 │ 3 │\n├────┼───┤\n│ M2 │ 0 │\n└────┴───┘\n"],
    ("cp1250", "iso8859_2", "cp852"): [
        "Délka cesty je příliš velká.",
        "Długość ścieżki jest zbyt duża",
        "Dĺžka cesty je veľmi veľká, skúste inú vrstvu.",
    ],
    ("cp1250",): ["Šířka vodiče met1: 0.14", "Širina žice je najmanje 0,14; provjerite pravila dizajna."],
    ("cp1251", "koi8_r", "cp866", "iso8859_5"): ["Проверка"],
    ("cp1251", "koi8_r", "cp866", "iso8859_5", "mac_cyrillic"): [
        "# ширина\nset w 1",
        "Ширина шины 8 бит. Команда set_width задаёт её.",
        "настройка тактового дерева",
    ],
    ("cp1253", "iso8859_7"): ["Πλάτος", "Ελέγξτε τους κανόνες σχεδίασης πριν από την αποστολή"],
    ("cp1254", "iso8859_9"): ["genişlik", "Saat ağacı için kullanılan komut budur; değeri değiştirin."],
    ("cp1255",): ["בדיקת חוקי התכנון", "רוחב"],
    ("cp1256",): ["عرض السلك الأدنى هو"],
    ("cp874",): ["ความกว้าง", "ความกว้างต่ำสุดของสายคือ 0.14 ไมครอน"],
}


@for_each(("codec", "text"), [(codec, text) for codecs, texts in CASES.items() for codec in codecs for text in texts])
def test_a_text_comes_back_from_the_encoding_of_its_language(codec: str, text: str) -> None:
    assert read_text(text.encode(codec)).text == text


@for_each(("codec", "name"), [("cp850", "DOS (850)"), ("iso8859_2", "ISO 8859-2"), ("mac_roman", "Mac Roman")])
def test_what_was_recognised_is_said(codec: str, name: str) -> None:
    text = CASES["cp1250", "iso8859_2", "cp852"][0] if codec == "iso8859_2" else WESTERN[0]
    assert read_text(text.encode(codec)).encoding == name


def test_a_long_text_costs_no_more_than_its_sample() -> None:
    sample = "настройка тактового дерева ".encode("cp866") * 2000
    begun = time.process_time()
    assert guess_alphabet(sample) == "cp866"
    assert time.process_time() - begun < 3
