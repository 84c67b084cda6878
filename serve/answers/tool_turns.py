"""What the tools of a request mean for its answer: whether the documents answer, or the model, which may call one.

Documents answer a question that they can answer, whatever tools are offered: chat pages send theirs with every turn.
The model goes first where a tool must be called, has just been called, or where a system prompt makes an agent of the
model by naming its tools. It calls nothing and asks no engine.

    question = asked_turn(request.messages); leads = model_leads(request)
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from serve.protocol import ChatRequest, Message, message_text

HEADER = "x-chipalign-tools"  # says which tools of a request were left out
RESULTS = ("tool", "function")  # the roles of a tool's result
_NOT_IN_HEADERS = re.compile(r"[^\w.:-]", re.ASCII)
MOST_NAMED, LONGEST_TYPE = 20, 100
TOOL_RULE = "What your tools have returned in this conversation counts as context too."


def left_out_headers(are_dropped: bool, types: Sequence[str]) -> dict[str, str]:
    """What an answer's headers say of tools that were left out: all that were offered, or all of some types."""
    named = ", ".join(_NOT_IN_HEADERS.sub("?", each[:LONGEST_TYPE]) for each in types[:MOST_NAMED])
    said = ["dropped"] * are_dropped + [f"left out: {named}"] * bool(named)
    return {HEADER: "; ".join(said)} if said else {}


def asked_turn(messages: Sequence[Message]) -> int | None:
    """The place of the user's turn that is to be answered: the last message, or the one before its tools' results.

    None: something else comes last, such as the beginning of an answer that the model goes on with.
    """
    last = len(messages) - 1
    if answers_tools(messages):
        while last >= 0 and (messages[last]["role"] in RESULTS or messages[last]["role"] == "assistant"):
            last -= 1
    return last if last >= 0 and messages[last]["role"] == "user" else None


def answers_tools(messages: Sequence[Message]) -> bool:
    """Whether the conversation ends with a tool's result, from which the model words its answer."""
    return messages[-1]["role"] in RESULTS


def model_leads(request: ChatRequest) -> bool:
    """Whether the model must see the request first, because an answer in quotes would keep it from its tools."""
    return request.must_call or answers_tools(request.messages) or (request.may_call and names_its_tools(request))


def names_its_tools(request: ChatRequest) -> bool:
    """Whether a system prompt speaks of a tool by its name, as those of agents do and those of chat pages do not."""
    prompts = [message_text(each) for each in request.messages if each["role"] in ("system", "developer")]
    text = "\n".join(prompts)
    return bool(text) and any(_is_named(name, text) for name in request.tool_names)


def _is_named(name: str, text: str) -> bool:
    """Whether a text speaks of a tool. A name that is a plain word (`search`) must look like a name."""
    exact = re.escape(name)
    if name.isalpha() and name.islower():
        return bool(re.search(rf"[`'\"]{exact}[`'\"]|\b{exact}\(", text))
    return bool(re.search(rf"(?<![\w-]){exact}(?![\w-])", text))
