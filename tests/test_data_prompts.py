"""data/eval/prompts.jsonl: well-formed, in two halves of the same kinds, and none of our questions in both."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from serve.evaluation.prompts.prompts import SPLITS, read_prompts

PROMPTS = list(read_prompts(Path(__file__).parent.parent / "data/eval/prompts.jsonl").values())
KINDS = {
    True: "plain terse log code follow-up form imperative look-alike persona language long".split(),
    False: "title tags follow-ups search-query history translation summary rewriting extraction classification "
    "code-edit completion commit own-context judge conversion".split(),
}


def test_there_are_enough_and_half_of_them_are_questions() -> None:
    assert len(PROMPTS) >= 200
    assert abs(sum(prompt.is_question for prompt in PROMPTS) / len(PROMPTS) - 0.5) < 0.05


def test_both_halves_have_every_kind_as_often() -> None:
    counts = {split: Counter(prompt.kind for prompt in PROMPTS if prompt.split == split) for split in SPLITS}
    assert counts["open"] == counts["closed"]
    for is_question, kinds in KINDS.items():
        assert {prompt.kind for prompt in PROMPTS if prompt.is_question == is_question} == set(kinds)
    assert min(counts["open"].values()) >= 5


def test_no_prompt_stands_twice() -> None:
    said = [tuple(" ".join(message["content"].lower().split()) for message in prompt.messages) for prompt in PROMPTS]
    assert [text for text, count in Counter(said).items() if count > 1] == []


def test_every_question_about_the_form_has_the_text_to_search_for() -> None:
    for prompt in PROMPTS:
        assert (prompt.query is not None) == (prompt.kind == "form"), prompt.id
