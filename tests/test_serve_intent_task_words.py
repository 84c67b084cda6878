"""serve.intent.task_words: each pattern holds what it is for, in any case of letters, and lets its neighbours pass."""

from __future__ import annotations

import re

from serve.intent import task_words as words
from tests.rows import for_each

ORDERS = {name: each for name, each in vars(words).items() if name.endswith("_ORDER") and isinstance(each, re.Pattern)}


@for_each(
    ("pattern", "order"),
    [
        (words.TRANSLATE_ORDER, "translate this text to German"),
        (words.TRANSLATE_ORDER, "how do you say setup time in French"),
        (words.TRANSLATE_ORDER, "what's the Japanese word for clock"),
        (words.TRANSLATE_ORDER, "translate it to en-us"),
        (words.WRITING_ORDER, "fix the spelling"),
        (words.WRITING_ORDER, "proof-read this"),
        (words.WRITING_ORDER, "correct: teh clock"),
        (words.REFORM_ORDER, "summarise the log"),
        (words.REFORM_ORDER, "TL;DR"),
        (words.REFORM_ORDER, "tl; dr"),
        (words.REFORM_ORDER, "make this sound more formal"),
        (words.EXTRACT_ORDER, "anonymize the names"),
        (words.TRANSFORM_ORDER, "put these into a table"),
        (words.TRANSFORM_ORDER, "order the following by date"),
        (words.ANNOTATE_ORDER, "add type hints"),
        (words.EDIT_ORDER, "refactor it"),
        (words.EDIT_ORDER, "write two unit tests"),
        (words.CHECK_INPUT_ORDER, "check whether the message is safe"),
        (words.FOREIGN_ORDER, "fasse den Text zusammen"),
        (words.FOREIGN_ORDER, "Übersetzen Sie das"),
        (words.FOREIGN_ORDER, "résumez ce texte"),
        (words.FOREIGN_ORDER, "переведи это"),
        (words.CJK_ORDER, "请帮我翻译这句话"),
        (words.CJK_ORDER, "次の文を要約して"),
        (words.CJK_ORDER, "다음 글을 요약해"),
    ],
)
def test_an_order_is_known_from_its_verb_on(pattern: re.Pattern[str], order: str) -> None:
    assert pattern.match(order)


@for_each(
    ("pattern", "sentence"),
    [
        (words.REFORM_ORDER, "simplify(net)"),  # a call of a function
        (words.REFORM_ORDER, "summarizes the netlist"),
        (words.TRANSFORM_ORDER, "sort of slow, isn't it"),
        (words.TRANSFORM_ORDER, "selection of cells"),
        (words.EXTRACT_ORDER, "extraction rules"),
        (words.TRANSLATE_ORDER, "translate the netlist"),
        (words.WRITING_ORDER, "fix the hold violations"),
        (words.ANNOTATE_ORDER, "add buffers"),
        (words.FOREIGN_ORDER, "was ist ein Takt"),
        (words.CJK_ORDER, "如何修复保持时间"),
        (words.CHECK_INPUT_ORDER, "check whether the net is routed"),
    ],
)
def test_what_only_looks_like_an_order_is_none(pattern: re.Pattern[str], sentence: str) -> None:
    assert not pattern.match(sentence)


@for_each("name", ORDERS.keys() - {"POLITE_ORDER"})
def test_no_order_is_found_in_nothing(name: str) -> None:
    for text in ("", "\n", "???", "\ufffc"):
        assert not ORDERS[name].match(text)


@for_each(
    ("sentence", "order"),
    [
        ("Hi, could you please shorten it", "shorten it"),
        ("PLEASE shorten it", "shorten it"),
        ("Your task is to shorten it", "shorten it"),
        ("### Task: shorten it", "shorten it"),
        ("I'd like you to carefully shorten it", "shorten it"),
        ("then quickly shorten it", "shorten it"),
        ("multiply the two", "multiply the two"),
        ("reply to it", "reply to it"),
        ("apply it", "apply it"),
    ],
)
def test_politeness_ends_where_the_verb_begins(sentence: str, order: str) -> None:
    found = words.POLITE_ORDER.match(sentence)
    assert sentence[found.end() if found else 0 :] == order


@for_each(
    ("text", "is_slot"),
    [
        ("Sum up.\n\nSummary:", True),
        ("Sum up.\n\nCONCISE SUMMARY: ", True),
        ("q\n### JSON output:\n", True),
        ('q\nTitle: "', True),
        ("Summary:", False),  # nothing stands before it
        ("q\nSummary: hold", False),
        ("q\nAnswer:", False),
        ("q\nQuestion", False),
    ],
)
def test_only_a_label_at_the_end_is_to_be_filled_in(text: str, is_slot: bool) -> None:
    assert bool(words.SLOT.search(text)) == is_slot


@for_each(
    ("text", "is_context"),
    [
        ("<context>\na", True),
        ('<source id="1">a', True),
        ("<source>", False),
        ("<documents_folder>", False),
        ("<Retrieved-Chunks n=3>", True),
        ("[DOCUMENT 12]: a", True),
        ("[document 1]\na", True),
        ("[CONTEXT]", False),
        ("a context of 8k tokens", False),
    ],
)
def test_marks_of_the_callers_own_context_are_known(text: str, is_context: bool) -> None:
    assert bool(words.CONTEXT_TAG.search(text) or words.CONTEXT_MARK.search(text)) == is_context


@for_each(
    ("text", "is_edit"),
    [
        ("a <|fim_middle|> b", True),
        ("{{FILL_HERE}}", True),
        ("x\ndiff --git a/x b/x", True),
        ("see diff --git", False),
        ("<<<<<<< HEAD", True),
        ("search/replace", False),
    ],
)
def test_marks_of_editors_are_known_wherever_they_stand(text: str, is_edit: bool) -> None:
    assert bool(words.EDITOR_MARK.search(text)) == is_edit


def test_words_that_begin_no_order_and_verbs_of_personas_are_lower_case_words() -> None:
    for vocabulary in (words.NO_VERB, words.EXPLAINING, words.PERSONA_VERBS):
        assert all(re.fullmatch("[a-z]+", word) for word in vocabulary)
    assert not words.NO_VERB & words.EXPLAINING
