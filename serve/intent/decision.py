"""Decides whether a conversation's last turn is a question for the documents, or a task on the caller's own text.

Rules on the words and the layout of a prompt; no model, no index. In doubt it is a question: whatever is said then
stands in the documents, or is said not to.

    why_not_asked([{"role": "user", "content": "Translate to German: The meeting is at ten."}])  # "task"
    why_not_asked([{"role": "user", "content": "What is wrong with this SDC? ..."}])  # None: it is a question
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from rag.search.asked import is_about_form, is_form, unwrap
from rag.search.eda_tools import named_eda_tools
from rag.search.pasted_log import is_message
from serve.intent import task_words as words
from serve.intent.layout import MOST_OF_SENTENCE, Layout, read_layout, word_count
from serve.protocol import Message, message_text

WhyNot = Literal["task", "own_context"]
MOST_READ = 12_000  # characters of a message, half of them at its end
SYSTEM_SENTENCES = 4  # of a system message, at whose start its task stands
LEAST_CONTEXT = 6  # words beside those that announce the caller's own context
EXTRACTED = 8  # words: what a short order takes out of the text behind its colon
_EDA_NAME = re.compile(r"\b[A-Za-z]\w*_\w+\b")  # a command, an option, a variable
_CLAUSE = re.compile(
    r",\s+(?=(?:please|can you|could you|then|now)\b)|,?\s+and\s+(?=your (?:task|job) is to\b)", re.IGNORECASE
)  # an order amid a sentence
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


def why_not_asked(messages: Sequence[Message]) -> WhyNot | None:
    """Why the last user's turn is not a question for the documents; None if it is one.

    In this order of tests:

    1. marks of an editor that asks for code (SEARCH/REPLACE blocks, a hole to fill): a task;
    2. the caller's own context, in the turn or the system message (documents, sources, search results): own context;
    3. a system message that orders a task on whatever the user sends (a translator, a writer of titles);
    4. a turn that holds a conversation (a title, tags, queries are made of it), that a role makes a command of, or that
       ends at a label to fill in;
    5. an order in the first or last sentences, with a text to carry it out on. A tool's message orders nothing.
    """
    system = "\n".join(message_text(each) for each in messages if each["role"] in ("system", "developer"))
    last = next((message_text(each) for each in reversed(messages) if each["role"] == "user"), "")
    system, last = _both_ends(system), _both_ends(last)

    if words.EDITOR_MARK.search(system) or words.EDITOR_MARK.search(last):
        return "task"
    if _brings_context(last) or _brings_context(system, is_system=True):
        return "own_context"
    if _orders_tasks(system) or _holds_conversation(last):
        return "task"
    if _asks_in_a_terminal(system, last) or words.SLOT.search(last) or words.CJK_TEMPLATE.search(last):
        return "task"
    layout = read_layout(unwrap(last))
    messages_of_tools = [line for line in last.splitlines() if is_message(line)]
    clauses = (
        clause
        for instruction in layout.instructions
        if not any(instruction in line for line in messages_of_tools)
        for clause in _CLAUSE.split(instruction)
    )
    return "task" if any(_is_task(clause, layout) for clause in clauses) else None


def _asks_in_a_terminal(system: str, last: str) -> bool:
    """Whether a role makes a command or code of what is asked, and that is about no tool of the documents."""
    if not (words.TERMINAL_ROLE.search(system) or words.TERMINAL_ROLE.search(last)):
        return False
    request = words.REQUEST.split(last)[-1]
    return not (_EDA_NAME.search(request) or named_eda_tools(request))


def _both_ends(text: str) -> str:
    """A text, or of a long one its beginning and its end."""
    half = MOST_READ // 2
    return text if len(text) <= MOST_READ else f"{text[:half]}\n{text[-half:]}"


def _brings_context(text: str, is_system: bool = False) -> bool:
    """Whether a message holds context of the caller's own, and does not only speak of it."""
    if words.CONTEXT_MARK.search(text):
        return True
    if "<userRequest>" not in text:  # around which an editor puts a <context> of dates and open files
        for tag in words.CONTEXT_TAG.finditer(text):
            end = text.find(f"</{tag.group(1) or tag.group(2)}>", tag.end())
            if end >= 0 and text[tag.end() : end].strip():
                return True

    phrase = words.CONTEXT_PHRASE.search(text)
    if phrase is None:
        return False
    line_start = text.rfind("\n", 0, phrase.start()) + 1
    line, _, rest = text[line_start:].partition("\n")
    if is_system:
        return bool(words.BELOW.search(line)) and word_count(rest) >= LEAST_CONTEXT
    announced = re.split(r"[:\"“]", text[phrase.end() :].partition("\n")[0], maxsplit=1)[1:]
    return sum(map(word_count, (*announced, rest, text[:line_start]))) >= LEAST_CONTEXT


def _orders_tasks(system: str) -> bool:
    """Whether a system message makes a task of whatever the user sends."""
    if words.CJK_TEMPLATE.search(system):
        return True
    sentences = (each[:MOST_OF_SENTENCE].strip(" \t#*->") for each in _SENTENCE_END.split(system))
    is_general = bool(words.ANSWERING.search(system))
    for sentence in [each for each in sentences if each][:SYSTEM_SENTENCES]:
        if _is_task_role(sentence) or _is_standing_order(sentence, is_general):
            return True
        is_general = is_general or bool(words.GENERAL_ROLE.search(sentence))
    return False


def _is_task_role(sentence: str) -> bool:
    """Whether a sentence gives a role that does nothing but such tasks: "You are a translator"."""
    if words.TASK_ROLE.search(sentence) or words.CHANGING_ROLE.search(sentence):
        return True
    makes = words.PRODUCT_ROLE.search(sentence) and words.ARTEFACT.search(sentence)
    return bool(makes) and not words.OF_ANSWERS.search(sentence)


def _is_standing_order(sentence: str, is_general: bool) -> bool:
    """Whether a sentence of a system message orders what to do with the user's text.

    is_general: an assistant of any use is spoken to, who may also be told how to write commit messages.
    """
    if any(each.search(sentence) for each in (words.ON_DEMAND, words.OF_ANSWERS, words.ANSWERING)):
        return False
    order = _order(_CLAUSE.split(sentence)[-1])
    if any(each.match(order) for each in (words.CHECK_INPUT_ORDER, words.TRANSLATE_ORDER, words.FOREIGN_ORDER)):
        return True
    is_own = _is_on_own_text(sentence, order) or bool(words.USERS_TEXT.search(sentence))
    if any(each.match(order) for each in words.CHANGING_ORDERS):
        return is_own or (not is_general and bool(words.INPUT.search(sentence)))
    if words.MAKE_ORDER.match(order) and words.ARTEFACT.search(order):
        return not is_general or bool(words.OF_CONVERSATION.search(order))
    if is_general and sentence.lower().startswith("you "):
        return False
    return _is_imperative(order, words.PERSONA_VERBS) and bool(words.USERS_TEXT.search(sentence))


def _holds_conversation(text: str) -> bool:
    """Whether a turn holds what a user and an assistant said to each other."""
    if words.TRANSCRIPT_TAG.search(text):
        return True
    return any(all(speaker.search(text) for speaker in pair) for pair in (words.SPEAKERS, words.ROLES_IN_JSON))


def _order(sentence: str) -> str:
    """A sentence from its verb on: without politeness, and without what it is "based on"."""
    order, before = sentence, ""
    while order != before:
        before = order
        for opening in (words.POLITE_ORDER, words.ON_WHAT_ORDER):
            found = opening.match(order)
            order = order[found.end() :] if found and found.end() < len(order) else order
    return order


def _is_task(sentence: str, layout: Layout) -> bool:
    """Whether a sentence orders a task, and the turn holds what to carry it out on."""
    order = _order(sentence)
    if is_form(sentence) and not any(each.match(order) for each in words.CHANGING_ORDERS):
        return False
    if words.EXTRACT_STATEMENT.match(order) or (words.MAKE_ORDER.match(order) and words.OF_NEXT_TURN.search(order)):
        return True
    if not layout.hands_over(sentence):
        is_reform = words.REFORM_ORDER.match(order) or (words.MAKE_ORDER.match(order) and words.ARTEFACT.search(order))
        return bool(is_reform and words.OF_CONVERSATION.search(sentence))
    if words.TRANSLATE_ORDER.match(order) or words.WRITING_ORDER.match(order) or _is_foreign_task(sentence, order):
        return True

    head = _head(order)
    if _EDA_NAME.search(head) or named_eda_tools(head):  # what it is about stands in the documents
        return False
    kinds = (_changes_text, _makes, _edits_code, _is_about_prose, _is_order_on_text)
    return any(is_kind(sentence, order, layout) for is_kind in kinds)


def _changes_text(sentence: str, order: str, layout: Layout) -> bool:
    """Whether an order changes, sorts or takes apart the text that was handed over."""
    head, tail = _head(order), layout.tail(sentence)
    verb, _, rest = head.partition(" ")
    is_own = _is_on_own_text(sentence, order) or bool(words.ANNOUNCED.search(layout.outside))
    if words.REFORM_ORDER.match(order):
        return is_own or (is_about_form(rest) and not verb.endswith("?"))
    if tail.endswith("?"):
        return False
    if words.EXTRACT_ORDER.match(order):
        is_short = bool(tail) and word_count(head) <= EXTRACTED
        return is_own or (is_short and not words.OF_CHIP.search(head) and not _EDA_NAME.search(tail))
    is_bare = bool(tail and rest) and is_about_form(rest) and verb.lower() != "format"  # "Format as a table: ..."
    return bool(words.TRANSFORM_ORDER.match(order)) and (is_own or is_bare)


def _makes(sentence: str, order: str, layout: Layout) -> bool:
    """Whether an order makes a title, a summary, a commit message of the text that was handed over."""
    head, tail = _head(order), layout.tail(sentence)
    artefact = words.ARTEFACT.search(head)
    if not (artefact and words.MAKE_ORDER.match(order)):
        return False
    follows = bool(tail) and word_count(head[artefact.end() :]) <= 1 and not tail.endswith("?")
    is_own = _is_on_own_text(sentence, order) or bool(words.ANNOUNCED.search(layout.outside))
    return is_own or bool(layout.blocks) or (follows and not _EDA_NAME.search(tail))


def _edits_code(sentence: str, order: str, layout: Layout) -> bool:
    """Whether something is wanted of code that was handed over: a change, or a word on a program of no chip's.

    What a log says is asked about.
    """
    texts = "\n".join((layout.outside, *layout.blocks))
    if not layout.has_code or words.LOG.search(texts):
        return False
    if words.ANNOTATE_ORDER.match(order):
        return True
    is_code, is_edit = bool(words.OF_CODE.search(sentence)), bool(words.EDIT_ORDER.match(order))
    if layout.language in words.GENERAL_LANGUAGES and (is_code or is_edit or words.OF_THIS.search(order)):
        return not (named_eda_tools(texts) or words.OF_TOOLS.search(texts))
    return is_edit and (is_code or (bool(words.OF_THIS.search(order)) and not words.OF_CHIP.search(_head(order))))


def _is_about_prose(sentence: str, order: str, layout: Layout) -> bool:
    """Whether something is wanted of prose that was handed over, beyond what it says."""
    is_prose = bool(words.OF_PROSE.search(sentence))
    if words.SOFT_ORDER.match(order):
        return is_prose or bool(words.OF_WORK.search(sentence))
    return is_prose and bool(words.QUESTION.match(order)) and not words.OF_CONTENT.search(sentence)


def _is_order_on_text(sentence: str, order: str, layout: Layout) -> bool:
    """Whether any other order is about a text that its writer hands over, and wants more than an explanation."""
    head = _head(sentence)
    if not _is_imperative(order, words.EXPLAINING) or words.FINITE.search(head):
        return False
    return bool(words.THIS_TEXT.search(head)) and not words.OF_CHIP.search(head)


def _is_imperative(order: str, other_verbs: frozenset[str]) -> bool:
    """Whether an order begins with what may be a verb, and none of the others."""
    verb = order.partition(" ")[0].lower().strip(",;:.")
    return verb.isalpha() and verb not in words.NO_VERB and verb not in other_verbs


def _is_on_own_text(sentence: str, order: str) -> bool:
    """Whether a sentence, or its part from the verb on, speaks of text that its writer hands over."""
    heads = [part[: part.find(":") + 1] or part for part in (sentence, order)]
    return any(words.OWN_TEXT.search(head) or words.POINTING.search(head) for head in heads)


def _head(sentence: str) -> str:
    """A sentence up to its colon."""
    return sentence.partition(":")[0]


def _is_foreign_task(sentence: str, order: str) -> bool:
    """Whether a sentence in another language orders such a task."""
    head = re.split(r"[:：]", sentence, maxsplit=1)[0]
    if words.CJK_ORDER.search(head):
        return not words.CJK_QUESTION.search(head)
    return bool(words.FOREIGN_ORDER.match(order))
