"""What can go wrong in the gateway and in running it, each as a class that says what happened.

`RequestError` and its subclasses become OpenAI's error envelope; the others stop a command with one line and exit 2.

    raise EngineUnavailable("the model engine at http://127.0.0.1:8001 does not answer")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class ServeError(Exception):
    """The user's input or surroundings are wrong; the message is the whole story."""

    exit_code = 2


class SettingsError(ServeError):
    """An environment variable or option holds a value that cannot be used."""


class PortTaken(ServeError):
    """Another process listens on a port of ours."""


class AlreadyRunning(ServeError):
    """A second `chipalign up` runs on the same home folder."""


class StepFailed(ServeError):
    """A preparation step of `chipalign up` ended with an error."""


class NotReadyInTime(ServeError):
    """A part did not become ready within its time."""


class CheckpointNotFound(ServeError):
    """The folder of the served checkpoint holds no usable tokenizer."""


class WeightsBroken(ServeError):
    """Weight files of the served checkpoint are missing, cut off or not safetensors."""


class ExperimentUnusable(ServeError):
    """An experiment's input cannot be used, or does not fit the folder, which holds another experiment."""


class ExperimentIncomplete(ServeError):
    """Some cells of an experiment could not be measured."""


class RequestError(Exception):
    """A request that is answered with OpenAI's error envelope.

    `status` is the HTTP status, `type` and `code` are OpenAI's words, `param` is the request field at fault. `headers`
    go with the answer.
    """

    status = 400
    type = "invalid_request_error"
    code: str | None = None
    retry_after_s: int | None = None  # when asking again makes sense; becomes the header of that name

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code or self.code

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer that belong to this error."""
        return {} if self.retry_after_s is None else {"retry-after": str(self.retry_after_s)}

    def envelope(self) -> dict[str, Any]:
        """The body of the answer, as OpenAI writes it."""
        return {"error": {"message": str(self), "type": self.type, "param": self.param, "code": self.code}}


class ContextLengthExceeded(RequestError):
    """The conversation alone does not fit the model's context window."""

    code = "context_length_exceeded"


class ToolsUnsupported(RequestError):
    """A tool must be called, and the engine cannot call any."""

    code = "tools_unsupported"


class TooManyTokens(Exception):
    """A conversation has more tokens than its limit, at least `at_least`; it was not counted further."""

    def __init__(self, at_least: int) -> None:
        super().__init__(f"at least {at_least} tokens")
        self.at_least = at_least


class CollectionNotFound(RequestError):
    """The request names a collection that the index does not hold; the message lists those it holds."""

    code = "collection_not_found"


class NothingFound(RequestError):
    """The documents hold nothing about a question whose answer must be JSON, which the sentence that says so is not.

    OpenAI's clients show a 422 and do not ask again.
    """

    status = 422
    code = "nothing_found"


class PreviousResponseNotFound(RequestError):
    """The request continues a response that is not in the store."""

    code = "previous_response_not_found"


class ItemNotFound(RequestError):
    """The request refers to an item that no stored response and no kept conversation has."""

    code = "item_not_found"


class ConversationItemNotFound(RequestError):
    """No item of the conversation has this id."""

    status = 404
    code = "item_not_found"


class InvalidApiKey(RequestError):
    """The key is missing or wrong where one is required."""

    status = 401
    code = "invalid_api_key"

    @property
    def headers(self) -> dict[str, str]:
        """How to send a key (RFC 9110, section 11.6.1)."""
        return {"www-authenticate": 'Bearer realm="chipalign"'}


class PathNotFound(RequestError):
    """This API has no such path."""

    status = 404
    code = "not_found"


class ModelNotFound(PathNotFound):
    """The engine serves no such model, or the index holds no collection of the one that the model's name gives."""

    code = "model_not_found"


class ResponseNotFound(PathNotFound):
    """No stored response has this id."""

    code = "response_not_found"


class ConversationNotFound(PathNotFound):
    """No conversation that is kept has this id."""

    code = "conversation_not_found"


class NameNotFound(PathNotFound):
    """No indexed document describes the name; the message offers near ones."""

    code = "name_not_found"


class MethodNotAllowed(RequestError):
    """The path exists, the method does not; `allowed` are those that do."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, message: str, allowed: Sequence[str]) -> None:
        super().__init__(message)
        self.allowed = allowed

    @property
    def headers(self) -> dict[str, str]:
        """The allowed methods (RFC 9110, section 15.5.6)."""
        return {"allow": ", ".join(self.allowed)}


class VectorStoreNotFound(PathNotFound):
    """No vector store has the id."""

    code = "vector_store_not_found"


class FileNotKept(PathNotFound):
    """No uploaded file, no file of the vector store, or no batch has the id."""

    code = "file_not_found"


class CollectionReadOnly(RequestError):
    """The vector store is a collection that the operator builds; it is not changed over HTTP."""

    status = 403
    code = "collection_read_only"


class UploadsOff(RequestError):
    """The operator allows no uploads."""

    status = 403
    code = "uploads_off"


class BodyTooLarge(RequestError):
    """The request body is larger than the gateway reads."""

    status = 413
    code = "body_too_large"


class BodyTooSlow(RequestError):
    """The request body did not arrive in time."""

    status = 408
    code = "request_timeout"


class BodyNotJson(RequestError):
    """The request body is not declared as JSON, or is compressed."""

    status = 415
    code = "unsupported_media_type"


class HeadersTooLarge(RequestError):
    """The request's headers are more, or larger, than the gateway reads."""

    status = 431
    code = "headers_too_large"


class MisdirectedRequest(RequestError):
    """The request names a host that is not this gateway; 421 is what RFC 9110 has for it."""

    status = 421
    code = "host_not_allowed"


class OriginNotAllowed(RequestError):
    """A browser sent the request from a page that may not ask."""

    status = 403
    code = "origin_not_allowed"


class TooManyInFlight(RequestError):
    """The limit of answers in flight is reached."""

    status = 429
    type = "requests"  # OpenAI's type where requests are counted, not tokens
    code = "rate_limit_exceeded"
    retry_after_s = 5


class TooManyConnections(RequestError):
    """The limit of open connections is reached."""

    status = 503
    type = "server_error"
    code = "too_many_connections"
    retry_after_s = 5


class GatewayStopping(RequestError):
    """The gateway stops before the answer is complete."""

    status = 503
    type = "server_error"
    code = "gateway_stopping"
    retry_after_s = 10


class EngineUnavailable(RequestError):
    """The engine cannot be reached: it is starting or down, or the message gives another reason."""

    status = 503
    type = "server_error"
    code = "engine_unavailable"
    retry_after_s = 10  # an engine that restarts takes about a minute; clients that honour the header ask a few times


class EngineOverloaded(EngineUnavailable):
    """The engine, or this process, accepts no more connections now."""

    code = "engine_overloaded"


class RetrievalUnavailable(RequestError):
    """A server that the search needs (a Milvus, a served embedder) does not answer; the message says which."""

    status = 503
    type = "server_error"
    code = "retrieval_unavailable"


class StoreUnavailable(RequestError):
    """The gateway's store cannot be opened, read or written."""

    status = 503
    type = "server_error"
    code = "store_unavailable"


class StoreBusy(StoreUnavailable):
    """Others write into the store for longer than a request waits."""

    code = "store_busy"
    retry_after_s = 5


class StoreFull(RequestError):
    """There is no room left for what the request would keep."""

    status = 507
    type = "server_error"
    code = "store_full"


class UpstreamTimeout(RequestError):
    """The engine took longer than the configured time."""

    status = 504
    type = "server_error"
    code = "upstream_timeout"


class UpstreamBroken(RequestError):
    """The engine broke off, or its answer does not follow the protocol."""

    status = 502
    type = "server_error"
    code = "upstream_error"


class InternalError(RequestError):
    """A bug of ours, answered without its details; the log has them under the request id."""

    status = 500
    type = "server_error"
    code = "internal_error"


# How vLLM ends its refusals of tool_choice "auto", "required" and a named tool
NO_TOOL_PARSER = "--tool-call-parser to be set"
TOOL_PARSER_ADVICE = (
    "The engine runs without a tool parser, so it cannot call tools: set CHIPALIGN_TOOL_PARSER=NAME before "
    "`chipalign up`, or give `--enable-auto-tool-choice --tool-call-parser NAME` to a vLLM of your own; NAME is vLLM's "
    "name of the parser for this model, such as hermes."
)
LONGEST_REFUSAL = 2000  # characters of an engine's own words that we pass on


class UpstreamRefused(RequestError):
    """The engine refused the request; we pass on its words and status in OpenAI's form.

    `error` is what it said, of whatever type. Its own failure (500) becomes the gateway's 502. One refusal gets our
    words, that of tools without a tool parser, because vLLM's names only half of what has to be done.
    """

    def __init__(self, status: int, error: Any) -> None:
        fields = error if isinstance(error, Mapping) else {"message": error}
        said = str(fields.get("message") or f"the engine answered with status {status}")[:LONGEST_REFUSAL]
        param = fields.get("param")
        super().__init__(
            TOOL_PARSER_ADVICE if said.rstrip(".").endswith(NO_TOOL_PARSER) else said,
            param[:LONGEST_REFUSAL] if isinstance(param, str) else None,
        )
        self.status = 502 if status == 500 else status
        self.type = "invalid_request_error" if status < 500 else "server_error"
        self.code = self._code(status, str(self))

    @staticmethod
    def _code(status: int, message: str) -> str | None:
        """vLLM puts the number of the status into `code`; OpenAI's clients look for a word."""
        if "maximum context length" in message:
            return ContextLengthExceeded.code
        return {404: "model_not_found", 429: "rate_limit_exceeded"}.get(status)
