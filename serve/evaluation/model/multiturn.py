"""Two-turn conversations about something that an engineer pasted; the second turn builds on the first.

Each turn has a reference answer, and rules that a program checks. `collect` asks a server in bulk; `judging` gives a
judge's scores.

    conversations = read_conversations(Path("multiturn.jsonl"))
    summarize(mark(conversations, rows, {}))
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rag.answering.prompt import SYSTEM
from serve.evaluation.asking.answers import Row
from serve.evaluation.asking.client import Endpoint, Message, Model
from serve.evaluation.asking.collect import Key
from serve.evaluation.asking.question_file import field_of, read_lines
from serve.evaluation.errors import ResultUnusable
from serve.evaluation.model.chat import ask_chat
from serve.evaluation.model.judge import Case
from serve.evaluation.model.turn_rules import Rule, parse_rule

TURNS = 2
TITLE = "Pasted by the engineer"
Value = dict[str, Any]  # one conversation's results: key, domain, and per turn the rules met and the score


@dataclass(frozen=True, slots=True)
class Turn:
    """The user's words, a right answer, and the rules for any answer."""

    user: str
    reference: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Conversation:
    """The pasted text, and two turns about it."""

    key: int | str
    domain: str
    context: str
    turns: tuple[Turn, ...]


def read_conversations(path: Path) -> dict[Key, Conversation]:
    """The conversations of a file, by id. Raises QuestionsUnusable: it lists every bad line."""
    return read_lines(path, _parse_conversation, key=lambda conversation: conversation.key)


def _parse_conversation(row: dict[str, Any]) -> Conversation:
    turns = field_of(row, "turns", list)
    if len(turns) != TURNS:
        raise ValueError(f'"turns" holds {len(turns)}, not {TURNS}')
    parsed = []
    for number, turn in enumerate(turns, start=1):
        try:
            parsed.append(_parse_turn(turn))
        except ValueError as error:
            raise ValueError(f"turn {number}: {error}") from None
    return Conversation(
        field_of(row, "id", int, str),
        field_of(row, "domain", str),
        field_of(row, "context", str).strip(),
        tuple(parsed),
    )


def _parse_turn(turn: Any) -> Turn:
    if not isinstance(turn, dict):
        raise ValueError("it is not an object")
    rules = field_of(turn, "rules", list)
    if not rules:
        raise ValueError('"rules" is empty')
    return Turn(
        field_of(turn, "user", str).strip(),
        field_of(turn, "reference", str).strip(),
        tuple(parse_rule(rule) for rule in rules),
    )


def build_messages(conversation: Conversation, answers: Sequence[str]) -> list[Message]:
    """The messages up to the turn after the answers: the context in the first, fenced as the gateway fences a passage.

    It omits the gateway's rules about citing, since an answer about one pasted text needs no numbers.
    """
    fence = "~" * max(3, 1 + max((len(run) for run in re.findall("~+", conversation.context)), default=0))
    context = f"Context:\n[1]\n{fence}\n{TITLE}\n{conversation.context}\n{fence}\n\n"
    messages = [{"role": "system", "content": SYSTEM}]
    for number, turn in enumerate(conversation.turns[: len(answers) + 1]):
        messages.append({"role": "user", "content": (context if number == 0 else "") + f"Question:\n{turn.user}"})
        if number < len(answers):
            messages.append({"role": "assistant", "content": answers[number]})
    return messages


async def ask_conversation(endpoint: Endpoint, model: Model, conversation: Conversation, max_tokens: int) -> Row:
    """The model's answers, turn after turn, each asked with the earlier ones in the conversation.

    Raises what `Endpoint.post` raises.
    """
    answers: list[Row] = []
    for _ in conversation.turns:
        messages = build_messages(conversation, [answer["response"] for answer in answers])
        answers.append(await ask_chat(endpoint, model, messages, max_tokens))
    return {"answers": answers}


def make_cases(conversation: Conversation, answers: Sequence[str]) -> list[Case]:
    """What a judge sees of each turn."""
    pairs = tuple(zip((turn.user for turn in conversation.turns), answers, strict=True))
    return [
        Case(conversation.context, pairs[:n], turn.user, turn.reference, answers[n])
        for n, turn in enumerate(conversation.turns)
    ]


def mark(
    conversations: Mapping[Key, Conversation], rows: Mapping[Key, Row], verdicts: Mapping[Key, Sequence[Row]]
) -> list[Value]:
    """Every conversation's results: per turn whether each rule is met, and the judge's score or None.

    verdicts: empty without a judge.
    """
    values = []
    for key, conversation in conversations.items():
        judged: Sequence[Row] = verdicts.get(key) or [{"score": None}] * TURNS
        turns = [
            {"rules": [rule.is_met(answer["response"]) for rule in turn.rules], "score": verdict["score"]}
            for turn, answer, verdict in zip(conversation.turns, rows[key]["answers"], judged, strict=True)
        ]
        values.append({"key": key, "domain": conversation.domain, "turns": turns})
    return values


def summarize(values: Sequence[Value]) -> dict[str, Any]:
    """Results for each turn and for both, over all conversations and per domain.

    `rules_met` is the share of rules met, `all_rules_met` the share of answers that meet all of theirs, and `score` the
    judge's mean, each with its interval over conversations. Without a scored answer there is no `score`.
    """
    return _by_domain([{**value, "turns": [_points(turn) for turn in value["turns"]]} for value in values])


def compare(values: Sequence[Value], others: Any) -> dict[str, Any]:
    """Differences, these results minus the others, with paired bootstrap intervals, in the form of `summarize`.

    Only conversations that both have count, and only scores of answers that both judged.

    Raises ResultUnusable: there are none, or the others are not results for the same rules.
    """
    try:
        before = {other["key"]: other["turns"] for other in others}
        pairs = [(value, before[value["key"]]) for value in values if value["key"] in before]
        differences = [
            {**value, "turns": [_subtract(turn, other) for turn, other in zip(value["turns"], turns, strict=True)]}
            for value, turns in pairs
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ResultUnusable(
            "the result to compare with is not one that `eval multiturn --json` wrote: name another with --compare"
        ) from None
    if not differences:
        raise ResultUnusable("the result to compare with is of other conversations: name one of these with --compare")
    return _by_domain(differences)


def _points(turn: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """A turn's sum and count per measure."""
    met = [bool(rule) for rule in turn["rules"]]
    points = {"rules_met": (float(sum(met)), float(len(met))), "all_rules_met": (float(all(met)), 1.0)}
    return points if turn["score"] is None else points | {"score": (float(turn["score"]), 1.0)}


def _subtract(turn: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    mine, theirs = _points(turn), _points(other)
    if mine["rules_met"][1] != theirs["rules_met"][1]:
        raise ValueError("other rules")
    return {name: (mine[name][0] - theirs[name][0], mine[name][1]) for name in mine if name in theirs}


def _by_domain(values: Sequence[Value]) -> dict[str, Any]:
    domains = sorted({value["domain"] for value in values})
    return {"all": _estimate(values)} | {
        domain: _estimate([value for value in values if value["domain"] == domain]) for domain in domains
    }


def _estimate(values: Sequence[Value]) -> dict[str, Any]:
    """The estimates of `values`, whose turns are points."""
    parts = {
        f"turn_{number}": [value["turns"][number - 1 : number] for value in values] for number in range(1, TURNS + 1)
    }
    parts["both"] = [value["turns"] for value in values]
    return {"conversations": len(values)} | {name: _estimate_turns(turns) for name, turns in parts.items()}


def _estimate_turns(conversations: Sequence[Sequence[Mapping[str, tuple[float, float]]]]) -> dict[str, Any]:
    import numpy as np

    from serve.evaluation.asking.intervals import estimate_ratios

    estimates: dict[str, Any] = {}
    for name in ("rules_met", "all_rules_met", "score"):
        having = [[turn[name] for turn in turns if name in turn] for turns in conversations]
        totals = np.array(
            [[sum(total for total, _ in turns), sum(count for _, count in turns)] for turns in having if turns]
        )
        if len(totals):
            (estimate,) = estimate_ratios(totals[:, :1], totals[:, 1:])
            estimates[name] = {**asdict(estimate), "answers": sum(map(len, having))}
    return estimates
