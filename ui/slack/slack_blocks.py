"""What an answer looks like in Slack, and a thread read back as a conversation.

Pure: turns and messages in, messages and turns out. It sends nothing. The id of each block says what it is and which
question it belongs to, so that a thread read later distinguishes answers from notes, and whose answer each is, even
where two questions crossed.

    first, *more = answer_messages(turn, question_ts="1700000000.1", revision=3)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ui.conversation import Conversation, Turn, describe_answer
from ui.events import Rating, Source
from ui.slack.mrkdwn import UNSUPPORTED_SIGN, escape, from_mrkdwn, link, to_sections
from ui.slack.slack_events import is_of_a_person

SEARCHING = "Searching the documents..."
WRITING = "Writing..."
CUT_OFF = "The answer was cut off at its longest length. Ask for the rest."
NO_ANSWER = "(no answer)"
# A message may hold 40,000 characters, its blocks together much less: Slack gives no figure, and refused messages from
# 11,000 to 13,000 on (https://github.com/slackapi/bolt-js/issues/2867).
MESSAGE_CHARS = 9000
MAX_SOURCES = 10  # elements that a context block may have
TITLE_CHARS = 150
NOTE_CHARS = 300
SOURCE_CHARS = 500  # a link that makes a source longer is left out
MAX_TURNS = 10  # turns of a thread that go with a question; ui.conversation limits their characters

RATE = "rate-"  # how the actions of the thumbs begin
THUMBS = (("up", ":+1:", "This answer helped"), ("down", ":-1:", "This answer did not help"))

Block = dict[str, Any]
Content = dict[str, Any]  # "text" and "blocks" of a message
_BLOCK_ID = re.compile(r"(\w+)/([\d.]+)/(\d+)/\d+")  # kind, question, place, revision


def answer_messages(turn: Turn, question_ts: str, revision: int = 0) -> list[Content]:
    """The messages that show what has become of a question so far: one, or several where the answer is long.

    `revision` counts the updates of a message, since Slack wants new block ids in each.
    """
    links = {source.number: source.link for source in turn.sources if source.link}
    sections = [
        _section("answer", section) for section in to_sections(turn.answer, links, unsupported=turn.unsupported)
    ]

    below = [_section("problem", escape(turn.problem))] if turn.problem else []
    if turn.state in ("asked", "answering"):
        below.append(_context("note", [WRITING if sections else SEARCHING]))
    if turn.finish_reason == "length":
        below.append(_context("note", [CUT_OFF]))
    if notes := describe_answer(turn, f"marked {UNSUPPORTED_SIGN}"):
        below.append(_context("note", [escape(note[:NOTE_CHARS]) for note in notes[:MAX_SOURCES]]))
    if turn.sources and turn.state != "answering" and sections:
        below.append(_context("sources", [_source_line(source) for source in shown_sources(turn)]))
    if turn.state == "answered" and turn.answer_id and sections:
        below.append(_thumbs(turn.answer_id))
    if not sections and not below:
        below.append(_context("note", [NO_ANSWER]))

    groups: list[list[Block]] = []
    for place, block in enumerate([*sections, *below]):
        block["block_id"] += f"/{question_ts}/{place}/{revision}"
        if groups and sum(map(_chars, [*groups[-1], block])) <= MESSAGE_CHARS:
            groups[-1].append(block)
        else:
            groups.append([block])

    return [{"text": _fallback(group), "blocks": group} for group in groups]


def shown_sources(turn: Turn) -> list[Source]:
    """At most MAX_SOURCES passages in their order; where there are more, cited ones come before others."""
    best = sorted(turn.sources, key=lambda source: (source.number not in turn.cited, source.number))[:MAX_SOURCES]
    return sorted(best, key=lambda source: source.number)


def read_thread(
    messages: Iterable[Mapping[str, Any]], bot_user_id: str, before_ts: str, is_direct: bool
) -> Conversation:
    """The turns of a thread before the question at `before_ts`: what people asked the bot, and what it answered.

    In a channel only messages that mention the bot count; what people say to each other is left out.
    """
    questions: dict[str, str] = {}
    answers: dict[str, list[tuple[int, str]]] = {}
    for message in messages:
        ts, text = str(message["ts"]), message.get("text") or ""
        if message.get("user") == bot_user_id or message.get("bot_id"):
            if message.get("user") == bot_user_id:
                _collect_answer(message, answers)
        elif (
            float(ts) < float(before_ts)
            and is_of_a_person(message, bot_user_id)
            and (is_direct or f"<@{bot_user_id}" in text)
        ):
            questions[ts] = from_mrkdwn(text, bot_user_id)
    turns = [
        Turn(question, "answered", "\n\n".join(text for _, text in sorted(answers.get(ts, []))))
        for ts, question in sorted(questions.items(), key=lambda item: float(item[0]))
        if question
    ]
    return tuple(turns[-MAX_TURNS:])


def _collect_answer(message: Mapping[str, Any], answers: dict[str, list[tuple[int, str]]]) -> None:
    """Add the sections of an answer to those of its question."""
    for block in message.get("blocks") or ():
        found = _BLOCK_ID.fullmatch(block.get("block_id") or "")
        if found and found.group(1) == "answer":
            answers.setdefault(found.group(2), []).append((int(found.group(3)), _said(block["text"]["text"])))


def _said(section: str) -> str:
    """What an answer's section said, without our own signs."""
    return from_mrkdwn(section).replace(f"{UNSUPPORTED_SIGN} ", "")


def _section(kind: str, text: str) -> Block:
    return {"type": "section", "block_id": kind, "text": _text(text)}


def _context(kind: str, texts: list[str]) -> Block:
    return {"type": "context", "block_id": kind, "elements": [_text(text) for text in texts]}


def _thumbs(answer_id: str) -> Block:
    """Buttons to rate an answer by, which carry its id."""
    buttons = [
        {
            "type": "button",
            "action_id": f"{RATE}{rating}",
            "value": answer_id,
            "text": {"type": "plain_text", "text": sign, "emoji": True},
            "accessibility_label": meaning,
        }
        for rating, sign, meaning in THUMBS
    ]
    return {"type": "actions", "block_id": "rating", "elements": buttons}


def read_rating(action: Mapping[str, Any]) -> tuple[str, Rating]:
    """The answer's id, and the thumb of the button that somebody pressed."""
    return str(action["value"]), "up" if action["action_id"] == f"{RATE}up" else "down"


def _text(text: str) -> Block:
    # Verbatim: Slack makes no links or mentions of what looks like one
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _source_line(source: Source) -> str:
    place = source.place
    label = f"[{source.number}] {place if len(place) <= TITLE_CHARS else place[: TITLE_CHARS - 1] + '…'}"
    linked = (link(address, label) for address in (source.quote_link, source.link))
    return next((line for line in linked if len(line) <= SOURCE_CHARS), link("", label))


def _chars(block: Block) -> int:
    """How much text a block holds, that of buttons aside."""
    if block["type"] == "actions":
        return 0
    return sum(len(text["text"]) for text in ([block["text"]] if "text" in block else block["elements"]))


def _fallback(blocks: list[Block]) -> str:
    """What a notification and a screen reader say: the first text of the message."""
    return str(blocks[0]["text"]["text"] if blocks[0]["type"] == "section" else blocks[0]["elements"][0]["text"])
