"""The table of tools: schemas that hosts accept, with words for every argument."""

from __future__ import annotations

from rag.checking import code_checks
from serve.mcp.tools import LANGUAGES, LONGEST_CODE, TOOLS
from tests.rows import for_each


@for_each("name", TOOLS)
def test_a_tool_has_schemas_and_words_for_every_argument(name: str) -> None:
    tool = TOOLS[name]
    for schema in (tool.input_schema, tool.output_schema):
        assert schema["type"] == "object"
        assert set(schema["required"]) <= set(schema["properties"])
    assert tool.input_schema["additionalProperties"] is False
    assert all(each["description"].endswith(".") for each in tool.input_schema["properties"].values())
    assert "$ref" not in str(tool.input_schema)  # hosts hand schemas on to models, and not all follow references
    assert 50 <= len(tool.description) <= 400


def test_search_and_fetch_need_what_openais_connectors_send_and_no_more() -> None:
    assert TOOLS["search"].input_schema["required"] == ["query"]
    assert TOOLS["fetch"].input_schema["required"] == ["id"]


def test_every_language_of_check_code_is_one_that_is_checked() -> None:
    assert set(LANGUAGES) <= set(code_checks.LANGUAGES)
    assert set(code_checks.LANGUAGES.values()) == {code_checks.LANGUAGES[name] for name in LANGUAGES}
    assert LONGEST_CODE == code_checks.LONGEST
