"""Declares the JSON that HTTP alone answers; the rest is in `mmsearch.serialization.answers`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from mmsearch.library.stats import Status
from mmsearch.serialization.answers import HitAnswer, SearchAnswer, SegmentAnswer
from mmsearch.serialization.json_format import JsonObject, SparseJsonObject


@dataclass(frozen=True, slots=True)
class LinkedHitAnswer(SparseJsonObject, HitAnswer):
    """A file that matches. The URLs are relative to the server."""

    asset_url: str
    thumbnail_url: str | None
    media_url: str
    matches: tuple[tuple[int, ...], ...] | None = field(
        default=None,
        metadata={
            "description": "With `explain`: the characters of the segment's text that are asked "
            "for, as half-open ranges."
        },
    )


@dataclass(frozen=True, slots=True)
class LinkedSearchAnswer(SparseJsonObject, SearchAnswer):
    """The best hits, best first."""

    hits: tuple[LinkedHitAnswer, ...]
    hint: str | None = field(
        default=None, metadata={"description": "What to try where there is no hit."}
    )


@dataclass(frozen=True, slots=True)
class SegmentsAnswer(JsonObject):
    """The segments of an asset, in the order of time, page and place in the text."""

    asset_id: str
    total: int = field(
        metadata={"description": "How many there are of the kinds that were asked for."}
    )
    offset: int
    segments: tuple[SegmentAnswer, ...]


@dataclass(frozen=True, slots=True)
class EmbeddingAnswer(JsonObject):
    """One vector of unit length: numbers, or the base64 of float32 in little-endian order."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


@dataclass(frozen=True, slots=True)
class UsageAnswer(JsonObject):
    """The number of tokens of the texts, without special tokens."""

    prompt_tokens: int
    total_tokens: int


@dataclass(frozen=True, slots=True)
class EmbeddingsAnswer(JsonObject):
    """The vectors, in the order of the inputs."""

    object: Literal["list"]
    data: tuple[EmbeddingAnswer, ...]
    model: str
    usage: UsageAnswer


@dataclass(frozen=True, slots=True)
class ModelAnswer(JsonObject):
    """A space of the library, in OpenAI's shape."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    dimensions: int
    takes: tuple[Literal["text", "image"], ...]
    model: str = field(metadata={"description": "The model that makes the vectors of the space."})
    revision: str


@dataclass(frozen=True, slots=True)
class ModelsAnswer(JsonObject):
    """The spaces that something can be embedded into."""

    object: Literal["list"]
    data: tuple[ModelAnswer, ...]


@dataclass(frozen=True, slots=True)
class StatusAnswer(JsonObject, Status):
    """Counts and sizes of the library, its models and its indexes."""


@dataclass(frozen=True, slots=True)
class HealthAnswer(JsonObject):
    """The server lives, or is ready."""

    status: Literal["ok", "ready"]


class ProblemDetails(BaseModel):
    """Problem details (RFC 9457); a kind of problem may have further members."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:mmsearch:problem:bad-query",
                    "title": "The query cannot be answered",
                    "status": 422,
                    "detail": "the query is empty: say what to look for",
                }
            ]
        },
    )

    type: str = Field(description="What kind of problem it is: a stable name.")
    title: str
    status: int
    detail: str = Field(default="", description="What is wrong, and what to do.")
