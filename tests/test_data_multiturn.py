"""data/eval/multiturn.jsonl: each reference meets its own rules and no other answer does by chance, and what is said of
tools names its source.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

from serve.evaluation.model.multiturn import Conversation, read_conversations
from tests.rows import for_each

ROOT = Path(__file__).parent.parent
PATH = ROOT / "data/eval/multiturn.jsonl"
ROWS = [json.loads(line) for line in PATH.read_text(encoding="utf-8").splitlines()]
CONVERSATIONS = list(read_conversations(PATH).values())
DOMAINS = ("architecture", "build", "grid", "test")
FORMS = {"max_words", "max_sentences", "max_lines", "list_of", "code_block"}
ASKED = {  # what the user says where a rule of that type checks the form of the answer
    "max_words": r"words|[Oo]nly|[Jj]ust|nothing else|brief|short",
    "max_sentences": r"[Ss]entence",
    "max_lines": r"[Oo]nly|[Jj]ust|nothing else|One command line|only code",
    "list_of": r"list",
    "code_block": r"code|[Ss]how|[Gg]ive",
}
EMPTY_TALK = (
    "I cannot answer this from the context.",
    "Yes.",
    "No.",
    "It depends on the technology.",
    "See the documentation.",
)


def met(conversation: Conversation, turn: int, answer: str) -> bool:
    return all(rule.is_met(answer) for rule in conversation.turns[turn].rules)


def test_there_are_eleven_conversations_of_each_domain() -> None:
    assert Counter(conversation.domain for conversation in CONVERSATIONS) == dict.fromkeys(DOMAINS, 11)
    assert len(CONVERSATIONS) >= 44
    assert [row["id"] for row in ROWS] == [f"{domain}-{number:02d}" for domain in DOMAINS for number in range(1, 12)]


def test_rows_have_exactly_the_keys_in_order() -> None:
    for row in ROWS:
        assert list(row) == ["id", "domain", "context", "turns", "source"], row["id"]
        assert [list(turn) for turn in row["turns"]] == [["user", "reference", "rules"]] * 2, row["id"]


def test_contexts_are_as_long_as_what_people_paste() -> None:
    lengths = {row["id"]: len(row["context"].split()) for row in ROWS}
    assert {key: length for key, length in lengths.items() if not 60 <= length <= 200} == {}


def test_every_reference_meets_all_of_its_rules() -> None:
    missed = [
        (conversation.key, number, rule)
        for conversation in CONVERSATIONS
        for number, turn in enumerate(conversation.turns, start=1)
        for rule in turn.rules
        if not rule.is_met(turn.reference)
    ]
    assert missed == []


def test_empty_talk_and_the_context_itself_meet_no_turns_rules() -> None:
    for conversation in CONVERSATIONS:
        for turn in range(2):
            for answer in (*EMPTY_TALK, "", conversation.context):
                assert not met(conversation, turn, answer), (conversation.key, turn + 1, answer[:40])


def test_references_of_other_conversations_hardly_ever_pass() -> None:
    passed = [
        (conversation.key, turn, other.key)
        for conversation in CONVERSATIONS
        for turn in range(2)
        for other in CONVERSATIONS
        if other is not conversation
        for answer in other.turns
        if met(conversation, turn, answer.reference)
    ]
    assert len(passed) <= 10, passed  # of 44 * 2 * 43 * 2 = 7568 pairs


def test_each_turn_has_a_rule_about_content_and_a_third_one_about_form() -> None:
    turns = [{rule.type for rule in turn.rules} for conversation in CONVERSATIONS for turn in conversation.turns]
    assert all(types & {"contains_any", "contains_all", "regex"} for types in turns)
    assert sum(bool(types & FORMS) for types in turns) >= len(turns) / 3


def test_no_form_is_checked_that_the_user_did_not_ask_for() -> None:
    for conversation in CONVERSATIONS:
        for turn in conversation.turns:
            for rule in turn.rules:
                if rule.type in FORMS:
                    assert re.search(ASKED[rule.type], turn.user), (conversation.key, turn.user, rule.type)


def test_a_number_that_the_user_gives_is_that_of_the_rule() -> None:
    for conversation in CONVERSATIONS:
        for turn in conversation.turns:
            for rule in turn.rules:
                if rule.type == "max_words" and (stated := re.search(r"(\d+) words", turn.user)):
                    assert rule.values == (int(stated[1]),), conversation.key


@for_each("row", ROWS)
def test_the_source_is_the_context_or_an_article_of_the_handbook(row: dict[str, str]) -> None:
    assert row["source"] == "context" or (
        row["source"].startswith("handbook/") and (ROOT / "data" / row["source"]).is_file()
    )


@for_each("row", ROWS)
def test_names_of_tools_in_a_reference_stand_in_its_source_or_its_context(row: dict[str, object]) -> None:
    """Options, variables of ORFS and commands with an underscore: none is made up."""
    known = str(row["context"]) + (
        (ROOT / "data" / str(row["source"])).read_text(encoding="utf-8") if row["source"] != "context" else ""
    )
    turns = row["turns"]
    assert isinstance(turns, list)
    text = "\n".join(turn["reference"] for turn in turns)
    names = set(re.findall(r"(?<![\w-])--?[a-z][a-z_-]+[a-z]\b|\b[A-Z]+(?:_[A-Z]+)+\b|\b[a-z]+(?:_[a-z]+)+\b", text))
    own = {"past_valid"}  # a name that the reference itself declares
    assert {name for name in names - own if name not in known} == set()


def test_no_question_is_asked_twice() -> None:
    contexts = [conversation.context for conversation in CONVERSATIONS]
    assert len(set(contexts)) == len(contexts)
