"""serve.intent.layout: what a prompt's writer says, and the blocks that he hands over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.intent.layout import HOLE, read_layout, word_count


@pytest.mark.parametrize(
    ("prompt", "block"),
    [
        ("Explain:\n```tcl\nreport_checks\n```\nwhy?", "report_checks\n"),
        ("Go on.\n<text lang='en'>How do I</text>", "How do I"),
        ('Sum up """a b c""" now', "a b c"),
        ("Read it.\n---\nthe note\n---\nThen answer.", "the note"),
        ('Translate "the net is routed twice" please', "the net is routed twice"),
        ("Name it ```x = 1```", "x = 1"),
    ],
)
def test_a_block_is_taken_out_and_leaves_a_hole(prompt: str, block: str) -> None:
    layout = read_layout(prompt)
    assert layout.blocks == (block,)
    assert HOLE in layout.outside
    assert block.strip() not in layout.outside


@pytest.mark.parametrize("prompt", ["<context> is a tag", 'the option "-hold" of it', "a < b and b > c", "-- a --"])
def test_tags_without_their_end_and_names_in_quotes_are_text(prompt: str) -> None:
    assert read_layout(prompt).blocks == ()


def test_a_fence_that_nobody_closes_goes_to_the_end() -> None:
    layout = read_layout("Fix this:\n```python\na = 1\nb = 2")
    assert (layout.blocks, layout.language, layout.has_code) == (("a = 1\nb = 2",), "python", True)


def test_instructions_are_the_first_and_the_last_sentences() -> None:
    prompt = " ".join(f"Sentence {number}." for number in range(9))
    assert read_layout(prompt).instructions == [f"Sentence {number}." for number in (0, 1, 2, 6, 7, 8)]


def test_a_sentence_over_several_lines_is_one() -> None:
    wrapped = "Your task is to generate three different versions of\nthe given question. Then stop."
    assert read_layout(wrapped).sentences[0] == wrapped.replace("\n", " ").partition(" Then")[0]


@pytest.mark.parametrize(
    ("prompt", "hands_over"),
    [
        ("Summarize: the lab is closed", True),
        ("Summarize this\n\nthe lab is closed", True),
        ("Summarize this", False),
        ("Summarize this. Thanks!", False),
        ("翻译成英文：会议十点开始", True),
    ],
)
def test_text_to_work_on_stands_behind_the_colon_or_in_other_lines(prompt: str, hands_over: bool) -> None:
    layout = read_layout(prompt)
    assert layout.hands_over(layout.sentences[0]) is hands_over


@given(st.text(st.sampled_from('ab <>/"`-\n.:"翻')))
def test_no_prompt_breaks_it_and_no_word_is_made_up(prompt: str) -> None:
    layout = read_layout(prompt)
    assert word_count(layout.outside.replace(HOLE, "")) <= word_count(prompt) + len(layout.blocks)
    assert all(block in prompt for block in layout.blocks)
