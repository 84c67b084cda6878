"""rag.index.bm25: the tokenizer keeps names whole; scores are the formula's, calculated here another way."""

from __future__ import annotations

import math
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import IndexCorrupt
from rag.index.bm25 import K1, B, Bm25Index, find_tokens, idf, is_identifier, tokenize
from tests.rows import for_each

TEXTS = [
    "global_route writes guides with -guide_file",
    "set_wire_rc sets the wire resistance and capacitance of a layer",
    "repair_timing -hold inserts hold buffers, hold slack improves",
    "the wire of the clk[3] net",
    "routing guides",
    "",
]


@for_each(
    ("text", "terms"),
    [
        ("set_wire_rc", ["set_wire_rc", "set", "wire", "rc"]),
        ("use -hold", ["-hold", "hold"]),
        ("verilator --lint-only", ["veril", "--lint-only", "lint", "onli"]),
        ("clk[3] and data[7:0]", ["clk[3]", "clk", "3", "data[7:0]", "data", "7", "0"]),
        ("GRT-0243", ["grt-0243", "grt", "0243"]),
        ("$shiftx", ["$shiftx", "shiftx"]),
        ("The violations", ["violat"]),
        ("[-guide_file out_file]", ["-guide_file", "guid", "file", "out_file", "out", "file"]),
        ("clock-tree", ["clock", "tree"]),
        ("x-ray a-hold", ["x", "ray", "hold"]),
        ("ord::get_db refg::", ["ord::get_db", "get_db", "ord", "get", "db", "refg::", "refg"]),
        ("rule poly.3a, m1.2", ["rule", "poly.3a", "poli", "3a", "m1.2", "m1", "2"]),
        ("10ps = 10 ps; 1.8V", ["10", "ps", "10", "ps", "1.8", "1", "8", "v"]),
        ("130nm 5 µm 5um", ["130", "nm", "5", "um", "5", "um"]),
        ("2.5D 3V3 0x1F sky130", ["2", "5d", "3v3", "0x1f", "sky130"]),
        ("Größe naïve", ["größe", "naïv"]),
    ],
)
def test_names_are_kept_whole_beside_their_parts(text: str, terms: list[str]) -> None:
    assert tokenize(text) == terms


@for_each(
    ("glued", "spaced"),
    [
        ("report_checks命令怎么用", "report_checks 命令怎么用"),
        ("默认的-density是多少", "默认的 -density 是多少"),
        ("detailed_routeのDRC報告", "detailed_route の DRC 報告"),
        ("-hold옵션", "-hold 옵션"),
        ("用GRT-0243来查ord::get_db吧", "用 GRT-0243 来查 ord::get_db 吧"),
    ],
)
def test_a_name_beside_chinese_japanese_or_korean_is_a_name(glued: str, spaced: str) -> None:
    assert tokenize(glued) == tokenize(spaced)
    names = [token for token in find_tokens(glued) if is_identifier(token)]
    assert names == [token for token in spaced.split() if is_identifier(token)]


def test_of_chinese_two_neighbouring_signs_are_a_term() -> None:
    assert tokenize("时钟树综合, 的") == ["时钟", "钟树", "树综", "综合", "的"]


def test_words_in_a_script_that_no_text_has_say_nothing() -> None:
    english, mixed = Bm25Index.build(["report_checks shows paths"]), Bm25Index.build(["report_checks 命令", "时钟树"])
    assert english.coverage("report_checks命令怎么用") == (1.0, 0.0)
    assert english.coverage("食堂今天有什么菜") == (0.0, 1.0)
    held, unknown = mixed.coverage("report_checks命令怎么用")
    assert 0 < held < 1
    assert 0 < unknown < 1


def test_identifiers_are_exact_names_and_not_words() -> None:
    tokens = find_tokens("the CTS step of global_route with -hold, clk[3], $add, GRT-0243 and -v on sky130")
    assert [token for token in tokens if is_identifier(token)] == [
        "global_route",
        "-hold",
        "clk[3]",
        "$add",
        "GRT-0243",
    ]


def direct_bm25(query: str, row: int, texts: list[str]) -> float:
    """The formula term by term over plain dictionaries: no postings, no numpy."""
    bags = [Counter(tokenize(text)) for text in texts]
    average = sum(sum(bag.values()) for bag in bags) / len(bags)
    score = 0.0
    for term in sorted(set(tokenize(query))):
        containing = sum(term in bag for bag in bags)
        frequency = bags[row][term]
        if frequency:
            weight = math.log(1 + (len(bags) - containing + 0.5) / (containing + 0.5))
            score += weight * frequency * (K1 + 1) / (frequency + K1 * (1 - B + B * sum(bags[row].values()) / average))
    return score


@for_each("query", ["hold", "set_wire_rc wire", "guide routing", "the clk[3] wire resistance", "unknown"])
def test_scores_are_the_formulas(query: str) -> None:
    scores = Bm25Index.build(TEXTS).scores(query)
    assert scores == pytest.approx([direct_bm25(query, row, TEXTS) for row in range(len(TEXTS))], rel=1e-5)


def test_golden_value_by_hand() -> None:
    # two texts of 1 and 3 terms (average 2); "hold" stands twice in the second: n = 1, N = 2, f = 2
    index = Bm25Index.build(["setup", "hold hold slack"])
    expected = math.log(1 + 1.5 / 1.5) * 2 * 2.2 / (2 + 1.2 * (0.25 + 0.75 * 3 / 2))
    assert index.scores("hold")[1] == pytest.approx(expected)
    assert index.scores("hold")[0] == 0


def test_search_is_best_first_and_leaves_out_what_shares_nothing() -> None:
    rows, scores = Bm25Index.build(TEXTS).search("set_wire_rc for a wire", 10)
    assert rows == [1, 3]
    assert scores == sorted(scores, reverse=True)
    assert Bm25Index.build(TEXTS).search("nothing shared", 10) == ([], [])


TEXT = st.lists(st.sampled_from(["hold", "setup", "set_wire_rc", "clk[1]", "wire", "-hold"]), max_size=8).map(" ".join)


@given(st.lists(TEXT, min_size=1, max_size=8))
def test_any_texts_score_as_the_formula_does(texts: list[str]) -> None:
    if any(tokenize(text) for text in texts):
        scores = Bm25Index.build(texts).scores("hold set_wire_rc")
        assert scores == pytest.approx(
            [direct_bm25("hold set_wire_rc", row, texts) for row in range(len(texts))], rel=1e-4, abs=1e-6
        )


def test_idf_is_positive_even_for_a_term_in_every_text() -> None:
    assert idf(10, 10) > 0
    assert idf(10, 1) > idf(10, 5)


def test_coverage_is_the_share_of_the_querys_weight_in_one_row() -> None:
    index = Bm25Index.build(TEXTS)
    assert index.coverage("wire resistance") == pytest.approx((1, 0))
    known, unknown = idf(6, 1), idf(6, 1)  # an unknown term weighs as the rarest known one
    assert index.coverage("resistance zebra") == pytest.approx((known / (known + unknown), unknown / (known + unknown)))
    assert index.coverage("what does resistance mean") == pytest.approx((1, 0))
    assert index.coverage("the of") == (0, 1)


def test_rows_with_a_name() -> None:
    index = Bm25Index.build(TEXTS)
    assert index.rows_with("-hold") == {2}
    assert index.rows_with("-setup") == frozenset()


def test_saved_and_loaded_it_scores_the_same_from_mapped_files(tmp_path: Path) -> None:
    index = Bm25Index.build(TEXTS)
    index.save(tmp_path)
    loaded = Bm25Index.load(tmp_path, len(TEXTS))
    assert isinstance(loaded._weights, np.memmap)
    assert loaded.search("wire hold", 5) == index.search("wire hold", 5)


def test_a_pickled_array_is_refused_unread(tmp_path: Path) -> None:
    Bm25Index.build(TEXTS).save(tmp_path)
    np.save(tmp_path / "bm25_weights.npy", np.array([{"code": "runs"}], dtype=object), allow_pickle=True)
    with pytest.raises(IndexCorrupt, match="build the index again"):
        Bm25Index.load(tmp_path, len(TEXTS))


@pytest.mark.parametrize("name", ["bm25_rows.npy", "vocabulary.json"])
def test_damaged_files_are_refused(tmp_path: Path, name: str) -> None:
    Bm25Index.build(TEXTS).save(tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:40])
    with pytest.raises(IndexCorrupt):
        Bm25Index.load(tmp_path, len(TEXTS))


def test_postings_of_another_index_are_refused(tmp_path: Path) -> None:
    Bm25Index.build(TEXTS).save(tmp_path)
    with pytest.raises(IndexCorrupt, match="do not fit together"):
        Bm25Index.load(tmp_path, 2)


def test_many_threads_search_one_index() -> None:
    index = Bm25Index.build(TEXTS)
    expected = index.search("hold wire guides", 5)
    results: list[object] = []
    threads = [
        threading.Thread(target=lambda: results.extend(index.search("hold wire guides", 5) for _ in range(50)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 400


@for_each(
    "text", ["ｃｈｅｃｋ＿ｄｒｃ", "コマンド「ｃｈｅｃｋ＿ｄｒｃ」は", "check_drcとは", "Ｃｈｅｃｋ＿ＤＲＣ（　）"]
)
def test_letters_of_full_width_are_those_of_ascii(text: str) -> None:
    assert "check_drc" in tokenize(text)
