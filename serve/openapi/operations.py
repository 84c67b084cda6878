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

JSON, EVENTS, FORM = "application/json", "text/event-stream", "multipart/form-data"


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

    `body` and `answer` name schemas, `takes` is the body's type; `example` is a body that works. `streams`: events
    where the body asks for them. `other` are further statuses with their schemas, None for an empty body.
    """

    group: str
    summary: str
    answer: str = ""
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: str = ""
    takes: str = JSON
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

CONVERSATION = "/v1/conversations/{conversation_id}"
CONVERSATION_ID = Parameter("conversation_id", text(), "path", True)
ITEM_ID = Parameter("item_id", text(), "path", True)
STORE = "/v1/vector_stores/{store_id}"
FILE_ID = Parameter("file_id", text(), "path", True)
STORE_ID = Parameter("store_id", text("Its id; of a collection that the operator built, its name."), "path", True)
BATCH_ID = Parameter("batch_id", text(), "path", True)
AFTER = Parameter("after", text("The id of an object: what comes after it."))
ORDER = Parameter("order", word("asc", "desc", description="By the time at which they were made."))
PAGE = (
    Parameter("limit", whole(least=1, most=100)),
    ORDER,
    AFTER,
    Parameter("before", text("The id of an object: what comes before it.")),
)
STATUS = Parameter("filter", word("in_progress", "completed", "failed", "cancelled"))

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
        "ItemList",
        parameters=(RESPONSE_ID, *PAGE),
    ),
    ("POST", "/v1/conversations"): Operation(
        "Conversations",
        "Begin a conversation that is kept",
        "Conversation",
        "OpenAI's conversations: a response that names one is asked with its items, and adds its own.",
        body="CreateConversation",
        example={"items": QUESTION, "metadata": {"team": "cad"}},
    ),
    ("GET", CONVERSATION): Operation(
        "Conversations", "Get a conversation", "Conversation", parameters=(CONVERSATION_ID,)
    ),
    ("POST", CONVERSATION): Operation(
        "Conversations",
        "Change a conversation's metadata",
        "Conversation",
        parameters=(CONVERSATION_ID,),
        body="UpdateConversation",
        example={"metadata": {"team": "analog"}},
    ),
    ("DELETE", CONVERSATION): Operation(
        "Conversations", "Delete a conversation and its items", "Deleted", parameters=(CONVERSATION_ID,)
    ),
    ("GET", f"{CONVERSATION}/items"): Operation(
        "Conversations",
        "List the items of a conversation",
        "ItemList",
        parameters=(CONVERSATION_ID, *PAGE),
    ),
    ("POST", f"{CONVERSATION}/items"): Operation(
        "Conversations",
        "Add items to a conversation",
        "ItemList",
        parameters=(CONVERSATION_ID,),
        body="AddItems",
        example={"items": QUESTION},
    ),
    ("GET", f"{CONVERSATION}/items/{{item_id}}"): Operation(
        "Conversations", "Get an item of a conversation", "Item", parameters=(CONVERSATION_ID, ITEM_ID)
    ),
    ("DELETE", f"{CONVERSATION}/items/{{item_id}}"): Operation(
        "Conversations",
        "Delete an item of a conversation",
        "Conversation",
        "Answered with the conversation.",
        parameters=(CONVERSATION_ID, ITEM_ID),
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
    ("POST", "/v1/feedback"): Operation(
        "Answers",
        "Say whether an answer helped",
        "Feedback",
        "What is kept of it is the operator's setting: counts alone, or words too.",
        body="FeedbackRequest",
        example={"answer_id": "chatcmpl-1", "rating": "down", "reason": "the option is of another command"},
    ),
    ("POST", "/v1/files"): Operation(
        "Uploads",
        "Upload a file",
        "File",
        "OpenAI's files. Attach it to a vector store to search it.",
        body="FileUpload",
        takes=FORM,
    ),
    ("GET", "/v1/files"): Operation(
        "Uploads",
        "List the uploaded files",
        "Files",
        parameters=(Parameter("limit", whole(least=1, most=10_000)), ORDER, AFTER, Parameter("purpose", text())),
    ),
    ("GET", "/v1/files/{file_id}"): Operation("Uploads", "Get a file", "File", parameters=(FILE_ID,)),
    ("GET", "/v1/files/{file_id}/content"): Operation(
        "Uploads", "Read a file", content="application/octet-stream", parameters=(FILE_ID,)
    ),
    ("DELETE", "/v1/files/{file_id}"): Operation(
        "Uploads",
        "Delete a file",
        "Deleted",
        "Answered when its text is in no vector store any more.",
        parameters=(FILE_ID,),
    ),
    ("POST", "/v1/vector_stores"): Operation(
        "Uploads",
        "Make a vector store",
        "VectorStore",
        "It is a collection: a request that names it searches it, and no other.",
        body="CreateVectorStore",
        example={"name": "PLL notes"},
    ),
    ("GET", "/v1/vector_stores"): Operation(
        "Uploads",
        "List the vector stores",
        "VectorStores",
        "The collections that the operator built are among them; they cannot be changed here.",
        parameters=PAGE,
    ),
    ("GET", STORE): Operation("Uploads", "Get a vector store", "VectorStore", parameters=(STORE_ID,)),
    ("POST", STORE): Operation(
        "Uploads",
        "Change a vector store",
        "VectorStore",
        parameters=(STORE_ID,),
        body="UpdateVectorStore",
        example={"name": "PLL"},
    ),
    ("DELETE", STORE): Operation(
        "Uploads",
        "Delete a vector store",
        "Deleted",
        "Answered when its text is gone from the index; its files stay.",
        parameters=(STORE_ID,),
    ),
    ("POST", f"{STORE}/search"): Operation(
        "Uploads",
        "Search a vector store",
        "VectorStoreHits",
        "The best passages, whether they answer the query or not.",
        parameters=(STORE_ID,),
        body="VectorStoreSearch",
        example={"query": "How much jitter has the PLL?"},
    ),
    ("POST", f"{STORE}/files"): Operation(
        "Uploads",
        "Put a file into a vector store",
        "VectorStoreFile",
        "It is built in the background: `status` says when it can be searched, or why it cannot be.",
        parameters=(STORE_ID,),
        body="AttachFile",
        example={"file_id": "file-1"},
    ),
    ("GET", f"{STORE}/files"): Operation(
        "Uploads", "List the files of a vector store", "VectorStoreFiles", parameters=(STORE_ID, *PAGE, STATUS)
    ),
    ("GET", f"{STORE}/files/{{file_id}}"): Operation(
        "Uploads", "Get a file of a vector store", "VectorStoreFile", parameters=(STORE_ID, FILE_ID)
    ),
    ("POST", f"{STORE}/files/{{file_id}}"): Operation(
        "Uploads",
        "Change the attributes of a file",
        "VectorStoreFile",
        parameters=(STORE_ID, FILE_ID),
        body="UpdateStoreFile",
        example={"attributes": {"team": "analog"}},
    ),
    ("DELETE", f"{STORE}/files/{{file_id}}"): Operation(
        "Uploads",
        "Take a file out of a vector store",
        "Deleted",
        "Answered when its text is gone from the index; the file stays.",
        parameters=(STORE_ID, FILE_ID),
    ),
    ("GET", f"{STORE}/files/{{file_id}}/content"): Operation(
        "Uploads", "Read the passages of a file", "VectorStoreText", parameters=(STORE_ID, FILE_ID)
    ),
    ("POST", f"{STORE}/file_batches"): Operation(
        "Uploads",
        "Put several files into a vector store",
        "VectorStoreBatch",
        parameters=(STORE_ID,),
        body="CreateBatch",
        example={"file_ids": ["file-1"]},
    ),
    ("GET", f"{STORE}/file_batches/{{batch_id}}"): Operation(
        "Uploads", "Get a batch", "VectorStoreBatch", parameters=(STORE_ID, BATCH_ID)
    ),
    ("GET", f"{STORE}/file_batches/{{batch_id}}/files"): Operation(
        "Uploads", "List the files of a batch", "VectorStoreFiles", parameters=(STORE_ID, BATCH_ID, *PAGE, STATUS)
    ),
    ("POST", f"{STORE}/file_batches/{{batch_id}}/cancel"): Operation(
        "Uploads", "Build no more files of a batch", "VectorStoreBatch", parameters=(STORE_ID, BATCH_ID)
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
