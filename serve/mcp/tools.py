"""The tools that a model in a host of MCP sees: what each does, what it takes and what it gives. Data alone.

`search` and `fetch` have the form that OpenAI's connectors look for: results with id, title and url, and a whole text
by its id.

    TOOLS["search"].input_schema
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

INSTRUCTIONS = (
    "The documentation of the chip design tools that are used here (EDA commands, options, variables, messages, flows),"
    " indexed. Before you write a command, an option or a variable of such a tool, look it up with `reference`. For a "
    "question, `search` and `fetch` give the passages to answer from, and `ask` gives a whole answer with citations. "
    "What these tools call not documented is not known here: say so instead of answering from memory. Check Verilog, "
    "Tcl, SDC and Yosys scripts that you write with `check_code`. Give the url of each passage that you use."
)
Language = Literal["verilog", "systemverilog", "tcl", "sdc", "xdc", "upf", "openroad", "opensta", "yosys"]
LANGUAGES: tuple[str, ...] = get_args(Language)
LONGEST_CODE = 50_000  # characters
LONGEST_QUESTION = 100_000  # characters; a log may go with it


class _Arguments(BaseModel):
    """What a call may carry: these fields and no other."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _collections() -> Any:
    return Field(
        default=[],
        max_length=100,
        description="Only these collections of documents; NAME means all versions of it, NAME@VERSION one. Empty: all.",
    )


class SearchArguments(_Arguments):
    """Of `search`."""

    query: str = Field(
        max_length=LONGEST_QUESTION,
        description="A question, or names as the documents spell them: commands, options, variables, message numbers.",
    )
    top_k: int = Field(default=5, ge=1, le=50, description="The most results.")
    collections: list[str] = _collections()


class FetchArguments(_Arguments):
    """Of `fetch`."""

    id: str = Field(max_length=200, description="The id of a result of `search` or of a source of `ask`.")


class AskArguments(_Arguments):
    """Of `ask`."""

    question: str = Field(
        max_length=LONGEST_QUESTION,
        description="One question that stands by itself. A log or an error message may follow it.",
    )
    top_k: int | None = Field(default=None, ge=1, le=50, description="Passages to read; null: as many as usual.")
    collections: list[str] = _collections()


class ReferenceArguments(_Arguments):
    """Of `reference`."""

    name: str = Field(
        max_length=1000,
        description="One name: a command (repair_timing), an option (-hold), a variable (PLACE_DENSITY) or a message "
        "(GRT-0118).",
    )
    collections: list[str] = _collections()


class CodeArguments(_Arguments):
    """Of `check_code`."""

    code: str = Field(max_length=LONGEST_CODE, description="The code alone, without a fence around it.")
    language: Language = Field(description="What it is written in.")


def _object(**properties: Any) -> dict[str, Any]:
    """The schema of an object that has all of these fields, and perhaps others."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


TEXT, NUMBER, FLAG, ANYTHING = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}, {"type": "object"}
REFUSAL = {"type": ["string", "null"], "description": "Why the documents do not answer; null where they do."}
PASSAGE = {"id": TEXT, "title": TEXT, "url": TEXT, "text": TEXT}


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool's title, what it says to a model, the class of its arguments and the schema of its result."""

    title: str
    description: str
    arguments: type[BaseModel]
    output_schema: dict[str, Any]

    @property
    def input_schema(self) -> dict[str, Any]:
        """The schema of the arguments, without the titles that say nothing more than the names."""
        schema = self.arguments.model_json_schema()
        properties = {
            name: {key: value for key, value in field.items() if key != "title"}
            for name, field in schema["properties"].items()
        }
        required = schema.get("required", [])
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


TOOLS = {
    "search": Tool(
        "Search the tool documentation",
        "Find passages of the indexed EDA documentation, best first, each with its text and the address of its place. "
        "No results means that the documents do not answer: `refusal` says so in words.",
        SearchArguments,
        _object(results=_list(_object(**PASSAGE, score={"type": "number"})), refusal=REFUSAL),
    ),
    "fetch": Tool(
        "Read one passage",
        "Get the whole text of a passage by its id, with its document, headings, licence and address.",
        FetchArguments,
        _object(**PASSAGE, metadata=ANYTHING),
    ),
    "ask": Tool(
        "Ask for a cited answer",
        "Get an answer made from the documentation, with numbered sources. `refused` means that the documents hold "
        "nothing about the question; `verification` says which sentences the sources support and which names stand in "
        "none of them. It takes longer than `search`.",
        AskArguments,
        _object(answer=TEXT, refused=FLAG, sources=_list(_object(number=NUMBER, **PASSAGE)), verification=ANYTHING),
    ),
    "reference": Tool(
        "Look up a command, option, variable or message",
        "Get what the documents say of one exact name: synopsis, options with what they take and their defaults, "
        "description, and where each stands. An unknown name gives an error with the names near to it.",
        ReferenceArguments,
        _object(name=TEXT, cards=_list(_object(object=TEXT, name=TEXT, collection=TEXT))),
    ),
    "check_code": Tool(
        "Check code",
        "Check a piece of Verilog or SystemVerilog (a parser), Tcl, SDC and other constraint files (a parser, and the "
        "documented commands and options) or a Yosys script (the documented commands and options). Nothing is run. "
        "The verdict is `ok`, `faulty` with lines, or `unchecked` where nothing can be said.",
        CodeArguments,
        _object(
            language=TEXT,
            verdict={"type": "string", "enum": ["ok", "faulty", "unchecked"]},
            diagnostics=_list(_object(line=NUMBER, message=TEXT)),
        ),
    ),
}
