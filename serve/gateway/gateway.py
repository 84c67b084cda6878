"""The state that all requests of a gateway share, and what the routes need of an index.

It speaks no HTTP; `create_app` makes one, and `gateway_of` finds it.

    gateway = gateway_of(request)
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Protocol, Self

from starlette.requests import Request

from rag.checking.code_checks import CodeChecker
from rag.documents import Hit
from rag.embedding.embedder import TextEmbedder
from rag.errors import CollectionUnknown, IndexCorrupt, IndexUnusable
from rag.index.generation import Index
from rag.index.selection import is_uploaded
from serve.answers.chat import Counter, Searcher
from serve.answers.guidance import GuidedEngine
from serve.answers.model_names import NamedModel, offered_names, read_name, write_name
from serve.answers.passage_page import public_url
from serve.answers.recent import RecentAnswers
from serve.answers.tool_probe import ToolProbe
from serve.answers.upstream import Upstream
from serve.answers.verification import Store
from serve.errors import (
    ContextLengthExceeded,
    InternalError,
    ModelNotFound,
    RequestError,
    RetrievalUnavailable,
)
from serve.filters import Filter
from serve.gateway.metrics import Metrics
from serve.limits.admission import Admission
from serve.limits.cross_origin import CrossOrigin
from serve.limits.slots import Slots
from serve.limits.visitors import Visitors
from serve.settings import ServeSettings
from serve.store.database import Database, open_database
from serve.store.responses import Responses
from serve.uploads.narrowing import Part, narrow
from serve.uploads.shelf import Shelf

UNKNOWN_WINDOW = 1_000_000  # tokens
WINDOW_HOLDS_S = 30.0  # another engine, or the same with other options, may have taken its place since
LISTED = 20  # models that a refusal names
log = logging.getLogger("chipalign.gateway")


class PassageStore(Searcher, Store, Protocol):
    """What the routes need of a `rag.search.retriever.Retriever`."""

    @property
    def chunk_count(self) -> int:
        """Passages in the index."""

    @property
    def embedder(self) -> TextEmbedder | None:
        """What embeds the questions; None where the index was removed."""

    def within(self, collections: Iterable[str]) -> PassageStore:
        """The same over the named collections alone. Raises CollectionUnknown."""

    @property
    def index(self) -> Index | None:
        """The open index; None where it was removed."""

    def over(self, index: Index) -> Self:
        """The same over a part of the index."""

    def rank(self, query: str) -> Iterator[Hit]:
        """All passages, best first."""


Newest = Callable[[], PassageStore]  # the index as it is now, and stays for who has it; raises rag.errors.IndexUnusable


@dataclass
class Gateway:
    """The state that all requests share: `create_app` hands it to the routes as `app.state.gateway`."""

    settings: ServeSettings
    newest: Newest
    counter: Counter
    upstream: Upstream
    metrics: Metrics = field(default_factory=Metrics)
    # Who words answers now: a calibration may finish while the gateway runs
    choose_answer: Callable[[], str] | None = None
    shelf: Shelf = field(init=False)  # `create_app` sets it
    engine: GuidedEngine = field(init=False)
    tool_probe: ToolProbe = field(init=False)
    admission: Admission = field(init=False)
    visitors: Visitors = field(init=False)
    cross_origin: CrossOrigin = field(init=False)
    body_bytes: int = 0  # of the bodies that are arriving now
    slots: Slots = field(default_factory=Slots)
    code_checker: CodeChecker = field(default_factory=CodeChecker)
    database: Database = field(init=False)
    responses: Responses = field(init=False)
    recent: RecentAnswers = field(default_factory=RecentAnswers)  # of chats, where the words of feedback are kept
    _windows: dict[str, int] = field(default_factory=dict)
    _windows_read_at: float = 0.0

    def __post_init__(self) -> None:
        self.engine = GuidedEngine(self.upstream, self.settings)
        self.tool_probe = ToolProbe(self.upstream)
        self.admission = Admission(self.settings.answers_in_flight)
        self.visitors = Visitors.of(self.settings)
        self.cross_origin = CrossOrigin.of(self.settings)
        self.database = open_database(self.settings)
        self.responses = Responses(self.database)

    def follow_choice(self) -> None:
        """Update the choice of who words answers."""
        if self.choose_answer and (mode := self.choose_answer()) != self.settings.answer:
            log.info("answers are worded by: %s", mode)
            self.settings = replace(self.settings, answer=mode)

    async def max_model_len(self, model_id: str) -> int:
        """A model's context window in tokens, asked for now and then.

        If an engine does not say it (one that is not vLLM), its own refusal has to do.

        Raises ModelNotFound: the engine serves no such model.
        """
        is_old = time.monotonic() - self._windows_read_at > WINDOW_HOLDS_S
        if model_id not in self._windows or is_old:
            await self._ask_for_models()
        if model_id not in self._windows:
            raise no_such_model(model_id, self._windows)
        return self._windows[model_id]

    async def find_model(self, asked: str, passages: PassageStore) -> NamedModel:
        """What a model's name in a request means; names of the settings' own model need no engine.

        Raises ModelNotFound: the engine has no such model, or the index no such collection; or what `Upstream.models`
        raises.
        """
        named = read_name(asked, [self.settings.model_id, *self._windows])
        if named is None:
            await self._ask_for_models()
            named = read_name(asked, self._windows)
        if named is None:
            raise no_such_model(asked, self._windows)

        if named.collection is not None and not is_uploaded(named.collection):
            try:
                passages.within([named.collection])
            except CollectionUnknown:
                names = map(write_name, offered_names(named.model_id, passages.collections))
                raise no_such_model(asked, names) from None
        return named

    def narrow(
        self,
        passages: PassageStore,
        collections: Sequence[str],
        wanted: Filter | None = None,
        param: str = "retrieval.collections",
    ) -> Part[PassageStore]:
        """The collections and vector stores that a request names in `param`, or all collections. It may wait for disks.

        Raises CollectionNotFound, RetrievalUnavailable, StoreUnavailable.
        """
        try:
            return narrow(self.shelf.library, passages, collections, wanted, param)
        except IndexCorrupt as error:
            raise RetrievalUnavailable(f"{error}") from error

    async def _ask_for_models(self) -> None:
        """Note the engine's models and their windows. Raises what `Upstream.models` raises."""
        self._windows_read_at = time.monotonic()  # whoever comes meanwhile takes the windows as they were
        self._windows = {
            model["id"]: model.get("max_model_len") or UNKNOWN_WINDOW for model in await self.upstream.models()
        }

    def note_failure(self, error: RequestError) -> None:
        """Ask for context windows again after an error that another engine, or a restarted one, may explain."""
        if error.status >= 502 or error.code == ContextLengthExceeded.code:
            self._windows = {}

    def passages(self) -> PassageStore:
        """The index that answers one request: taken once, so that no answer mixes two builds.

        Raises RetrievalUnavailable: the index was replaced by one that cannot be searched.
        """
        try:
            return self.newest()
        except IndexUnusable as error:
            raise RetrievalUnavailable(f"{error}") from error

    def passage_url(self, hit: Hit) -> str:
        """The address of the passage for a person: the document's public page, else our own page of the passage."""
        return public_url(hit.chunk.url) or f"{self.settings.gateway_base_url}/sources/{hit.chunk.chunk_id}"


def gateway_of(request: Request) -> Gateway:
    """The gateway that received the request."""
    gateway: Gateway = request.app.state.gateway
    return gateway


def no_such_model(model_id: str, known: Iterable[str]) -> ModelNotFound:
    """The refusal of a model's name that this gateway does not serve."""
    return ModelNotFound(
        f"The model '{model_id}' does not exist; this gateway serves {', '.join(islice(known, LISTED))}.", "model"
    )


def internal_error(request_id: str) -> InternalError:
    """The client's answer for a bug of ours."""
    return InternalError(f"The gateway failed on this request; its log says why under request id {request_id}.")
