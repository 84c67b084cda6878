"""The shapes of OpenAI's requests about vector stores and their files; pydantic checks them.

Fields that have no meaning here (how a file is cut, a description) are checked and not used.

    body = check_shape(CreateStore, read_object(content))
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

from serve.filters import WantedFilter
from serve.request_body import Words

MOST_FILES = 2000  # of one batch, as OpenAI's
MOST_PAIRS, LONGEST_KEY, LONGEST_VALUE = 16, 64, 512  # of metadata and of attributes, as OpenAI's
MOST_HITS = 50


Key = Annotated[str, Field(max_length=LONGEST_KEY)]
Text = Annotated[StrictStr, Field(max_length=LONGEST_VALUE)]
Name = Annotated[Words, Field(max_length=256)]
Metadata = Annotated[dict[Key, Text], Field(max_length=MOST_PAIRS)]
Attributes = Annotated[dict[Key, Text | StrictBool | StrictInt | StrictFloat], Field(max_length=MOST_PAIRS)]
FileId = Annotated[str, Field(min_length=1, max_length=100)]


class _Fields(BaseModel):
    """A request whose optional fields may be null, as some clients write what they leave out."""

    @model_validator(mode="before")
    @classmethod
    def leave_out_nulls(cls, given: Any) -> Any:
        """The fields that have a value."""
        return {name: each for name, each in given.items() if each is not None} if isinstance(given, dict) else given


class Strategy(BaseModel):
    """How a file is to be cut: our own chunker decides."""

    type: Literal["auto", "static"]
    static: dict[str, int] | None = None


class ExpiresAfter(BaseModel):
    """A number of days after the last use."""

    anchor: Literal["last_active_at"]
    days: int = Field(ge=1, le=365)


class CreateStore(_Fields):
    """POST /v1/vector_stores."""

    name: Name | None = None
    description: str | None = None
    metadata: Metadata | None = None
    file_ids: list[FileId] = Field(default=[], max_length=MOST_FILES)
    expires_after: ExpiresAfter | None = None
    chunking_strategy: Strategy | None = None


class UpdateStore(BaseModel):
    """POST /v1/vector_stores/{id}: only the fields that are given change."""

    name: Name | None = None
    metadata: Metadata | None = None
    expires_after: ExpiresAfter | None = None


class AttachFile(_Fields):
    """POST /v1/vector_stores/{id}/files."""

    file_id: FileId
    attributes: Attributes | None = None
    chunking_strategy: Strategy | None = None


class UpdateFile(BaseModel):
    """POST /v1/vector_stores/{id}/files/{file_id}."""

    attributes: Attributes | None


class CreateBatch(_Fields):
    """POST /v1/vector_stores/{id}/file_batches: ids with attributes for all, or files with their own."""

    file_ids: list[FileId] = Field(default=[], max_length=MOST_FILES)
    files: list[AttachFile] = Field(default=[], max_length=MOST_FILES)
    attributes: Attributes | None = None
    chunking_strategy: Strategy | None = None


class RankingOptions(_Fields):
    """The least score of a hit; our ranking is the only ranker."""

    ranker: str | None = None
    score_threshold: float = Field(default=0.0, ge=0.0, le=1.0)


class Search(_Fields):
    """POST /v1/vector_stores/{id}/search; the query is searched as it is, whether it may be rewritten or not."""

    query: Annotated[str, Field(max_length=100_000)] | Annotated[list[str], Field(min_length=1, max_length=20)]
    filters: WantedFilter = None
    max_num_results: int = Field(default=10, ge=1, le=MOST_HITS)
    ranking_options: RankingOptions | None = None
    rewrite_query: bool | None = None

    @property
    def queries(self) -> list[str]:
        """The query, or the queries, as a list."""
        return [self.query] if isinstance(self.query, str) else list(self.query)
