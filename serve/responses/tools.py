"""The tools of a response, sorted: functions for the model, `file_search` for the gateway, and those that it lacks.

Functions stand flat here and nested in a chat; a namespace's functions get its name in front. Agents send their whole
kit with each question, so a built-in tool that the gateway lacks is left out where others remain and the model may
choose; asked for alone or by name it is refused.

    kit = read_tools(wanted.tools, wanted.tool_choice)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from serve.errors import RequestError
from serve.request_body import shorten
from serve.responses.file_search import FileSearch, read_file_search

MODES = ("auto", "none", "required")
CHOICES = f"{', '.join(map(repr, MODES))}, or an object with the 'type' and 'name' of a tool"


@dataclass(frozen=True)
class Kit:
    """A request's tools.

    `functions` and `choice` are in chat's form (`choice` None: there are no functions to choose); `said` are the tools
    as the response echoes them; `names` are what functions of namespaces are called in the chat, by namespace and name;
    `missing` are the types of tools that were left out.
    """

    functions: tuple[dict[str, Any], ...] = ()
    choice: Any = None
    search: FileSearch | None = None
    said: tuple[dict[str, Any], ...] = ()
    names: Mapping[tuple[str, str], str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    def origin(self, called: str) -> tuple[str | None, str]:
        """The namespace and the name of a function that the chat calls so."""
        return next((key for key, name in self.names.items() if name == called), (None, called))


def read_tools(tools: Sequence[Mapping[str, Any]] | None, choice: Any) -> Kit:
    """Sort the tools, and choose among them as the request does.

    Raises RequestError: a tool is malformed, or one is asked for that is not here; names it.
    """
    kit = Kit()
    for number, tool in enumerate(tools or []):
        kit = _with_tool(kit, tool, f"tools[{number}]")
    if kit.missing and not kit.said:
        raise RequestError(
            f"This gateway lacks the tool {' and '.join(kit.missing)}: it has 'function', and 'file_search' over its "
            "own index.",
            "tools",
        )
    return _choose(kit, "auto" if choice is None else choice)


def _with_tool(kit: Kit, tool: Mapping[str, Any], place: str) -> Kit:
    """The kit with one more tool. Raises RequestError."""
    kind = tool.get("type")
    if not isinstance(kind, str) or not kind:
        raise RequestError(f"'{place}.type' is {shorten(kind)}: give 'function' or 'file_search'.", f"{place}.type")
    if kind == "function":
        function = _function(tool, place)
        return replace(kit, functions=(*kit.functions, function), said=(*kit.said, _said(tool)))
    if kind == "file_search":
        if kit.search:
            raise RequestError(f"'{place}' is a second file_search: name all vector stores in one.", place)
        return replace(kit, search=read_file_search(tool, place), said=(*kit.said, dict(tool)))
    if kind == "namespace":
        return _with_namespace(kit, tool, place)
    return replace(kit, missing=tuple(dict.fromkeys([*kit.missing, kind])))


def _with_namespace(kit: Kit, tool: Mapping[str, Any], place: str) -> Kit:
    """The kit with the functions of a namespace. Raises RequestError."""
    namespace, tools = _name(tool, place), tool.get("tools")
    if not isinstance(tools, list) or not all(isinstance(each, dict) for each in tools):
        raise RequestError(f"'{place}.tools' is {shorten(tools)}: give a list of tools.", f"{place}.tools")
    names, functions = dict(kit.names), list(kit.functions)
    for number, each in enumerate(tools):
        if each.get("type") == "function":
            function = _function(each, f"{place}.tools[{number}]")["function"]
            called = names[namespace, function["name"]] = f"{namespace}__{function['name']}"
            functions.append({"type": "function", "function": {**function, "name": called}})
    return replace(kit, functions=tuple(functions), names=names, said=(*kit.said, dict(tool)))


def _function(tool: Mapping[str, Any], place: str) -> dict[str, Any]:
    """A function in chat's form. Raises RequestError: it lacks a name, or its parameters are not a schema."""
    name, parameters = _name(tool, place), tool.get("parameters")
    if not isinstance(parameters, dict | None):
        raise RequestError(f"'{place}.parameters' is {shorten(parameters)}: give a JSON schema.", f"{place}.parameters")
    given = {key: tool[key] for key in ("description", "parameters", "strict") if tool.get(key) is not None}
    return {"type": "function", "function": {"name": name, **given}}


def _name(tool: Mapping[str, Any], place: str) -> str:
    """A tool's name. Raises RequestError."""
    name = tool.get("name")
    if not isinstance(name, str) or not name:
        nested = " (not inside 'function', as in chat completions)" if "function" in tool else ""
        problem = "is missing" if name is None else f"is {shorten(name)}"
        raise RequestError(f"'{place}.name' {problem}: give the tool's name{nested}.", f"{place}.name")
    return name


def _said(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A function as a response echoes it."""
    return {"description": None, "parameters": None, "strict": None, **tool}


def _choose(kit: Kit, choice: Any) -> Kit:
    """The kit with the request's choice among the tools. Raises RequestError."""
    if isinstance(choice, str) and choice in MODES:
        silent = choice == "none" and kit.search
        return replace(kit, choice=choice if kit.functions else None, search=None if silent else kit.search)
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind == "allowed_tools":
        return _allow(kit, choice)
    if kind == "function":
        called = _called(kit, choice, "tool_choice")
        return replace(kit, choice={"type": "function", "function": {"name": called}})
    if kind == "file_search" and kit.search:
        return replace(kit, choice="auto" if kit.functions else None)
    if kind in kit.missing:
        raise RequestError(f"'tool_choice' asks for {shorten(kind)}, a tool that this gateway lacks.", "tool_choice")
    raise RequestError(f"'tool_choice' is {shorten(choice)}: give {CHOICES} that stands in 'tools'.", "tool_choice")


def _allow(kit: Kit, choice: Mapping[str, Any]) -> Kit:
    """The kit with the allowed tools alone, so that no other can be called. Raises RequestError."""
    mode, allowed = choice.get("mode", "auto"), choice.get("tools")
    if mode not in ("auto", "required"):
        raise RequestError(f"'tool_choice.mode' is {shorten(mode)}: give 'auto' or 'required'.", "tool_choice.mode")
    if not isinstance(allowed, list) or not all(isinstance(each, dict) for each in allowed):
        raise RequestError(f"'tool_choice.tools' is {shorten(allowed)}: give a list of tools.", "tool_choice.tools")
    kinds = [each.get("type") for each in allowed]
    called = {
        _called(kit, each, f"tool_choice.tools[{number}]")
        for number, each in enumerate(allowed)
        if each.get("type") == "function"
    }
    functions = tuple(each for each in kit.functions if each["function"]["name"] in called)
    search = kit.search if "file_search" in kinds else None
    return replace(kit, functions=functions, choice=mode if functions else None, search=search)


def _called(kit: Kit, choice: Mapping[str, Any], place: str) -> str:
    """What the chat calls a chosen function. Raises RequestError: it is not among the tools."""
    name, namespace = choice.get("name"), choice.get("namespace")
    called = kit.names.get((str(namespace), str(name)), name)
    if called not in [each["function"]["name"] for each in kit.functions]:
        raise RequestError(f"'{place}.name' is {shorten(name)}, which is not a function in 'tools'.", f"{place}.name")
    return str(called)
