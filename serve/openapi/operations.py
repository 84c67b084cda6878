"""What each path of the gateway does, in the words of its description: one row a method and path, as in ENDPOINTS.

It describes no schema; `answers` and `requests` do.

    OPERATIONS["GET", "/v1/search"].summary
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serve.answers.model_names import RETRIEVAL_HEADER
from serve.openapi.shapes import Schema, text, whole, word

JSON, EVENTS = "application/json", "text/event-stream"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the path or of the query."""

    name: str
    schema: Schema
    place: str = "query"
    is_required: bool = False
    is_repeated: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    `body` and `answer` name schemas; `example` is a body that works. `streams`: events where the body asks for them.
    `other` are further statuses with their schemas, None for an empty body.
    """

    group: str
    summary: str
    answer: str = ""
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: str = ""
    example: Any = None
    streams: bool = False
    content: str = JSON
    error: str = "Error"
    other: Mapping[str, str | None] | None = None
    needs_key: bool = True


COLLECTION = Parameter("collection", text("Only this collection; may be given several times."), is_repeated=True)
RETRIEVAL = Parameter(
    RETRIEVAL_HEADER, word("on", "off", description="Whether to search, whatever is asked."), "header"
)
RESPONSE_ID = Parameter("response_id", text("As the response has it."), "path", True)
QUESTION = [{"role": "user", "content": "Which command repairs antenna violations?"}]

OPERATIONS: dict[tuple[str, str], Operation] = {
    ("POST", "/v1/chat/completions"): Operation(
        "Answers",
        "Answer a conversation from the documents",
        "ChatCompletion",
        "OpenAI's chat completions; `retrieval`, `annotations` and `verification` stand beside the answer.",
        parameters=(RETRIEVAL,),
        body="ChatRequest",
        example={"messages": QUESTION},
        streams=True,
    ),
    ("POST", "/v1/responses"): Operation(
        "Answers",
        "Answer from the documents, with tools and a memory",
        "Response",
        "OpenAI's Responses API.",
        parameters=(RETRIEVAL,),
        body="ResponsesRequest",
        example={"input": "Which command repairs antenna violations?"},
        streams=True,
    ),
    ("GET", "/v1/responses/{response_id}"): Operation(
        "Answers", "Get a stored response", "Response", parameters=(RESPONSE_ID,)
    ),
    ("DELETE", "/v1/responses/{response_id}"): Operation(
        "Answers", "Forget a stored response", "DeletedResponse", parameters=(RESPONSE_ID,)
    ),
    ("GET", "/v1/responses/{response_id}/input_items"): Operation(
        "Answers",
        "List what a stored response was asked",
        "InputItems",
        parameters=(
            RESPONSE_ID,
            Parameter("limit", whole(least=1, most=100)),
            Parameter("order", word("asc", "desc")),
            Parameter("after", text("The id of an item: what comes after it.")),
        ),
    ),
    ("POST", "/v1/completions"): Operation(
        "The engine",
        "Continue a text",
        "Completion",
        "OpenAI's completions, by the engine; nothing is searched.",
        body="CompletionRequest",
        example={"prompt": "Clock skew is", "max_tokens": 16},
        streams=True,
    ),
    ("POST", "/v1/messages"): Operation(
        "The engine",
        "Answer a conversation in Anthropic's form",
        "Message",
        "Anthropic's messages, by the engine; nothing is searched.",
        body="MessageRequest",
        example={"max_tokens": 64, "messages": QUESTION},
        streams=True,
        error="AnthropicError",
    ),
    ("POST", "/v1/messages/count_tokens"): Operation(
        "The engine",
        "Count the tokens of a conversation in Anthropic's form",
        "TokenCount",
        body="CountRequest",
        example={"messages": QUESTION},
        error="AnthropicError",
    ),
    ("GET", "/v1/models"): Operation("The engine", "List the models", "Models"),
    ("GET", "/v1/models/{model_id}"): Operation(
        "The engine", "Get one model", "Model", parameters=(Parameter("model_id", text(), "path", True),)
    ),
    ("GET", "/v1/search"): Operation(
        "Documents",
        "Search without a model",
        "SearchResults",
        parameters=(
            Parameter("q", text("A question, or names as the documents spell them."), is_required=True),
            Parameter("top_k", whole("The most hits.", least=1, most=50)),
            COLLECTION,
        ),
    ),
    ("GET", "/v1/reference/{name}"): Operation(
        "Documents",
        "Look up a command, option, variable or message",
        "ReferenceCards",
        parameters=(Parameter("name", text("Its exact name."), "path", True), COLLECTION),
    ),
    ("GET", "/v1/reference"): Operation(
        "Documents",
        "List the names that are described",
        "ReferenceNames",
        parameters=(Parameter("prefix", text("Only names that begin so.")), COLLECTION),
    ),
    ("POST", "/v1/embeddings"): Operation(
        "Documents",
        "Get the vectors of texts",
        "Embeddings",
        "OpenAI's embeddings, by the embedder of the index.",
        body="EmbeddingsRequest",
        example={"input": ["clock skew", "hold slack"]},
    ),
    ("POST", "/mcp"): Operation(
        "Documents",
        "Tools for editors and agents",
        "McpAnswer",
        "The Model Context Protocol over streamable HTTP, without sessions.",
        body="McpMessage",
        example={"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
        error="JsonRpcError",
        other={"202": None},
    ),
    ("GET", "/sources/{chunk_id}"): Operation(
        "Documents",
        "Read a passage as a page",
        content="text/html",
        parameters=(
            Parameter("chunk_id", text("As a hit has it."), "path", True),
            Parameter("quote", text("A place that is marked, such as 0-120."), is_repeated=True),
        ),
        needs_key=False,
    ),
    ("GET", "/health"): Operation("State", "Whether the process lives", "Health", needs_key=False),
    ("GET", "/ready"): Operation(
        "State",
        "Whether the engine answers and the index can be searched",
        "Ready",
        other={"503": "Ready"},
        needs_key=False,
    ),
    ("GET", "/metrics"): Operation("State", "Counters for Prometheus", content="text/plain", needs_key=False),
    ("GET", "/openapi.json"): Operation(
        "State", "This description", content=JSON, description="In OpenAPI 3.1.", needs_key=False
    ),
    ("GET", "/docs"): Operation("State", "This description as a page", content="text/html", needs_key=False),
}
