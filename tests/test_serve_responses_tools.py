"""serve.responses.tools: each tool goes to whom it is for, and what is asked for by name is there or refused."""

from __future__ import annotations

from typing import Any

import pytest

from serve.errors import RequestError
from serve.responses.tools import Kit, read_tools
from tests.rows import for_each

STA = {"type": "function", "name": "run_sta", "description": "Runs STA.", "parameters": {"type": "object"}}
WRITE = {"type": "function", "name": "write_db", "strict": True}
SEARCH = {"type": "file_search", "vector_store_ids": ["handbook"]}
SHELL = {"type": "local_shell"}
SPACE = {"type": "namespace", "name": "jobs", "tools": [{"type": "function", "name": "run"}, {"type": "custom"}]}


def called(kit: Kit) -> list[str]:
    return [each["function"]["name"] for each in kit.functions]


def test_functions_are_nested_for_the_chat_and_echoed_as_they_came() -> None:
    kit = read_tools([STA, WRITE], None)
    assert kit.functions == (
        {"type": "function", "function": {k: v for k, v in STA.items() if k != "type"}},
        {"type": "function", "function": {"name": "write_db", "strict": True}},
    )
    assert kit.said[1] == {**WRITE, "description": None, "parameters": None}
    assert (kit.choice, kit.search, kit.missing) == ("auto", None, ())


def test_functions_of_a_namespace_are_called_with_its_name_and_found_again() -> None:
    kit = read_tools([STA, SPACE], None)
    assert called(kit) == ["run_sta", "jobs__run"]
    assert kit.origin("jobs__run") == ("jobs", "run")
    assert kit.origin("run_sta") == (None, "run_sta")
    chosen = read_tools([STA, SPACE], {"type": "function", "name": "run", "namespace": "jobs"})
    assert chosen.choice == {"type": "function", "function": {"name": "jobs__run"}}


def test_a_tool_that_the_gateway_lacks_is_left_out_beside_others_and_refused_alone() -> None:
    kit = read_tools([SHELL, STA, SHELL, {"type": "computer"}], "auto")
    assert (called(kit), kit.missing) == (["run_sta"], ("local_shell", "computer"))
    assert len(kit.said) == 1
    with pytest.raises(RequestError, match="lacks the tool local_shell and computer") as caught:
        read_tools([SHELL, {"type": "computer"}], "auto")
    assert caught.value.param == "tools"


@for_each(
    ("tools", "choice", "functions", "chosen", "searches"),
    [
        (None, None, [], None, False),
        ([], "auto", [], None, False),
        ([SEARCH], None, [], None, True),
        ([SEARCH], "none", [], None, False),  # nothing is searched where no tool may be used
        ([SEARCH], {"type": "file_search"}, [], None, True),
        ([STA, SEARCH], {"type": "file_search"}, ["run_sta"], "auto", True),
        ([STA, SEARCH], "required", ["run_sta"], "required", True),
        ([STA, SEARCH], "none", ["run_sta"], "none", False),
    ],
)
def test_a_choice_says_what_is_called_and_whether_is_searched(
    tools: list[dict[str, Any]] | None, choice: Any, functions: list[str], chosen: Any, searches: bool
) -> None:
    kit = read_tools(tools, choice)
    assert (called(kit), kit.choice, kit.search is not None) == (functions, chosen, searches)


@for_each(
    ("allowed", "mode", "functions", "chosen", "searches"),
    [
        ([STA], None, ["run_sta"], "auto", False),
        ([STA, {"type": "file_search"}], "required", ["run_sta"], "required", True),
        ([{"type": "file_search"}], "auto", [], None, True),
        ([], "auto", [], None, False),
        ([{"type": "function", "name": "run", "namespace": "jobs"}], "auto", ["jobs__run"], "auto", False),
    ],
)
def test_only_allowed_tools_can_be_called(
    allowed: list[dict[str, Any]], mode: str | None, functions: list[str], chosen: Any, searches: bool
) -> None:
    choice = {"type": "allowed_tools", "tools": allowed, **({"mode": mode} if mode else {})}
    kit = read_tools([STA, WRITE, SEARCH, SPACE], choice)
    assert (called(kit), kit.choice, kit.search is not None) == (functions, chosen, searches)
    assert len(kit.said) == 4  # the response echoes all


@for_each(
    ("tools", "choice", "param", "said"),
    [
        ([{}], None, "tools[0].type", "'tools[0].type' is None: give 'function' or 'file_search'"),
        ([STA, {"type": 5}], None, "tools[1].type", "is 5"),
        ([{"type": "function"}], None, "tools[0].name", "is missing: give the tool's name"),
        ([{"type": "function", "function": STA}], None, "tools[0].name", "(not inside 'function', as in chat"),
        ([{"type": "function", "name": 5}], None, "tools[0].name", "'tools[0].name' is 5"),
        ([{**STA, "parameters": []}], None, "tools[0].parameters", "is []: give a JSON schema"),
        ([SEARCH, SEARCH], None, "tools[1]", "is a second file_search: name all vector stores in one"),
        ([{"type": "namespace", "name": "n"}], None, "tools[0].tools", "give a list of tools"),
        ([{"type": "namespace", "name": "n", "tools": [5]}], None, "tools[0].tools", "give a list of tools"),
        ([{**SPACE, "tools": [{"type": "function"}]}], None, "tools[0].tools[0].name", "is missing"),
        ([STA], "sometimes", "tool_choice", "'tool_choice' is 'sometimes': give 'auto', 'none', 'required', or"),
        ([STA], 5, "tool_choice", "is 5"),
        ([STA], {"type": "file_search"}, "tool_choice", "that stands in 'tools'"),
        (
            [STA, SHELL],
            {"type": "local_shell"},
            "tool_choice",
            "asks for 'local_shell', a tool that",
        ),
        ([STA], {"type": "function", "name": "other"}, "tool_choice.name", "is 'other', which is not a function in"),
        ([SPACE], {"type": "function", "name": "run"}, "tool_choice.name", "is 'run', which is not a function in"),
        ([STA], {"type": "allowed_tools", "mode": "none"}, "tool_choice.mode", "give 'auto' or 'required'"),
        ([STA], {"type": "allowed_tools", "tools": {}}, "tool_choice.tools", "give a list of tools"),
        ([STA], {"type": "allowed_tools", "tools": [WRITE]}, "tool_choice.tools[0].name", "is not a function in"),
    ],
)
def test_a_wrong_tool_or_choice_is_refused_by_its_place(tools: Any, choice: Any, param: str, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_tools(tools, choice)
    assert said in str(caught.value)
    assert caught.value.param == param
