"""rag.answering.loops: what runs in circles is cut before a copy is shown; what documents repeat is not."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from rag.answering.loops import FARTHEST, LEAST_WORDS_WITHOUT_LETTERS, LONGEST_GAP, LONGEST_WORD, LoopGuard
from tests.rows import for_each

ROOT = Path(__file__).parent.parent
PERIODS = [
    "Use the core ring. ",
    "The command repairs the antenna violations of the design by adding diodes near the gates. ",
    "The same line here.\n",
    "1. Run global_route.\n2. Run detailed_route.\n",
    "of the clock ",
    "word ",
    "x",
    "foo-bar,",
    (
        "# Heading\n\nSome text that stands below the heading and says a little more than that, since a period can be "
        "long as well, even longer.\n\n"
    ),
]


def cut_loop(answer: str, is_cut_off: bool = False) -> tuple[str, bool]:
    """A whole answer without the tail that repeats itself, and whether there was one."""
    guard = LoopGuard()
    shown = guard.feed(answer) + guard.close(is_cut_off)
    return (shown.rstrip(), True) if guard.looped else (shown, False)


@for_each("period", PERIODS)
@for_each("before", ["", "Hold is fixed by repair_timing.\n\n", "```tcl\nset x 1\n```\n"])
def test_a_loop_is_cut_behind_its_first_copy(before: str, period: str) -> None:
    shown, looped = cut_loop(before + period * 3000)
    assert looped
    assert (before + period * 3000).startswith(shown)
    assert (
        len(shown) <= len(before) + max(len(period), 40) + 1
    )  # a word without blanks is counted in pieces of 40 signs


def test_numbers_of_a_list_do_not_hide_a_loop() -> None:
    shown, looped = cut_loop(
        "".join(f"{number}. Check that the design has no violations left.\n" for number in range(1, 40))
    )
    assert (shown, looped) == ("1. Check that the design has no violations left.", True)


def test_an_answer_that_was_cut_off_in_its_second_copy_is_cut_there() -> None:
    sentences = " ".join(f"Sentence {number} says that step number {number} follows." for number in range(12))
    assert cut_loop(f"{sentences} {sentences} {sentences[:200]}", is_cut_off=True) == (sentences, True)
    assert not cut_loop(f"{sentences} {sentences[:200]}", is_cut_off=True)[1]
    assert not cut_loop(f"{sentences} {sentences} {sentences[:200]}")[1]


LEGITIMATE = [
    "It is very, very, very, very, very important.",
    "| 0 | 0 | 0 | 0 |\n" * 20,
    "-" * 300 + "\n" + "=" * 300,
    "| Pin | Layer | Width |\n|---|---|---|\n" + "".join(f"| A{n} | metal{n % 3} | 0.1 |\n" for n in range(60)),
    "".join(f"- `read_lef cell_{n}.lef` reads the file of cell {n}.\n" for n in range(60)),
    "```verilog\n" + "      end\n" * 9 + "```",
    "```tcl\n" + "puts {}\n" * 9 + "```",
    'values ("0.1, 0.1, 0.1, 0.1", \\\n' * 3,
    "Run it. Run it. Run it.",
]


@for_each("text", LEGITIMATE)
def test_what_repeats_on_purpose_stays(text: str) -> None:
    assert cut_loop(text) == (text, False)


def test_no_page_of_the_handbook_and_of_our_own_documents_is_cut() -> None:
    pages = [*(ROOT / "data/handbook").glob("*.md"), *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    assert len(pages) > 60
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert cut_loop(text) == (text, False), page.name


@given(
    st.lists(
        st.sampled_from(
            ["Run ", "it. ", "it", " ", "\n", "Use `a`. ", "x" * 50, "1. ", "```\n", "Run it. " * 30, " " * 250]
        ),
        max_size=12,
    ),
    st.integers(1, 9),
)
def test_however_the_text_arrives_the_same_is_shown(pieces: list[str], size: int) -> None:
    text = "".join(pieces)
    guard, shown = LoopGuard(), ""
    for at in range(0, len(text), size):
        shown += guard.feed(text[at : at + size])
        assert text.startswith(shown)
    shown += guard.close()
    whole = LoopGuard()
    again = whole.feed(text) + whole.close()
    assert (again.rstrip(), whole.looped) == (shown.rstrip(), guard.looped)
    assert guard.looped or shown == again == text


def test_no_copy_is_ever_shown_of_what_becomes_a_loop() -> None:
    guard = LoopGuard()
    shown = "".join(guard.feed(piece) for piece in ["Use ", "the ", "core ", "ring. "] * 12)
    assert guard.looped
    assert shown.rstrip() == "Use the core ring."


def test_new_words_are_shown_as_they_come() -> None:
    guard = LoopGuard()
    assert [guard.feed(piece) for piece in ["Run ", "`repair_", "antennas` ", "[1]."]] == [
        "Run ",
        "`repair_",
        "antennas` ",
        "[1].",
    ]


def test_the_memory_of_a_guard_is_bounded() -> None:
    guard = LoopGuard()
    for number in range(5 * FARTHEST):
        guard.feed(f"word{number} ")
    assert len(guard._recent) <= FARTHEST
    assert not guard._held


@for_each("before", ["", "Run it. ", "Run it. Run it. "])
def test_of_blanks_that_arrive_one_by_one_only_the_last_are_kept(before: str) -> None:
    guard = LoopGuard()
    shown = guard.feed(before)
    for _ in range(20_000):
        shown += guard.feed(" ")
        assert len(guard._open) <= LONGEST_GAP + LONGEST_WORD
    assert shown + guard.feed("Done.") + guard.close() == before + " " * 20_000 + "Done."
    assert not guard.looped


def test_blanks_without_end_are_a_loop() -> None:
    guard = LoopGuard()
    shown = "".join(guard.feed(" " * 1000) for _ in range(1000))
    assert guard.looped
    assert len(shown) <= 1000 + LONGEST_GAP
    assert sum(map(len, guard._held)) <= LEAST_WORDS_WITHOUT_LETTERS * LONGEST_GAP
