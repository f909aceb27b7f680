"""What answers are made of, as OpenAPI describes them.

They are written by `mmsearch.serialization` and not checked again on their way out: a test holds
them against these models.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from mmsearch.server.http.requests import Kind, SegmentKind


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SpaceScore(_Answer):
    """What one space said of a hit: its rank there, its score, and the model behind it."""

    rank: int
    score: float
    similarity: float | None = Field(default=None, description="The cosine, with `explain`.")
    model: str | None = None
    revision: str | None = None
    weights_sha256: str | None = None


class MatchedSegment(_Answer):
    """The part of a file that matched best."""

    id: str
    kind: SegmentKind
    start_s: float | None
    end_s: float | None
    page: int | None
    text: str | None


class Moment(_Answer):
    """A stretch of a file that matches, and where in the picture it does."""

    segment_id: str
    kind: SegmentKind
    score: float
    start_s: float | None
    end_s: float | None
    page: int | None
    text: str | None
    box: list[float] | None = Field(description="x0, y0, x1, y1 as fractions of the picture.")


class Hit(_Answer):
    """A file that matches. The URLs are relative to the server."""

    rank: int
    score: float = Field(description="Calibrated to 0..1 across kinds.")
    path: str
    kind: Kind
    asset_id: str
    segment: MatchedSegment
    spaces: dict[str, SpaceScore]
    indexed_at: str | None
    moments: list[Moment]
    also_at: list[str] = Field(description="Where copies of the same content lie.")
    duplicates: list[str] = Field(description="Where near-duplicates lie.")
    play: str | None = Field(description="A command that plays the moment, where it can be played.")
    why: str
    asset_url: str
    thumbnail_url: str | None
    media_url: str
    matches: list[list[int]] | None = Field(
        default=None,
        description="With `explain`: the characters of the segment's text that are asked for, as "
        "half-open ranges.",
    )


class SearchAnswer(_Answer):
    """The best hits, best first."""

    query: str
    preset: str
    took_ms: float
    total: int
    hits: list[Hit]
    hint: str | None = Field(default=None, description="What to try where there is no hit.")


class Metadata(_Answer):
    """What a file says of itself."""

    format: str
    width_px: int | None
    height_px: int | None
    duration_s: float | None
    page_count: int | None
    taken_at: str | None
    latitude: float | None
    longitude: float | None
    camera: str | None
    artist: str | None
    title: str | None
    album: str | None
    language: str | None
    description: str | None


class Asset(_Answer):
    """The content of a file, and where it lies."""

    id: str
    kind: Kind
    size_bytes: int
    paths: list[str]
    indexed_at: str | None
    metadata: Metadata
    thumbnail_url: str | None
    media_url: str
    segments_url: str


class Tag(_Answer):
    """A word for what an encoder saw or heard, and how sure it was."""

    name: str
    probability: float


class Segment(_Answer):
    """A part of an asset: a picture, a stretch of sound, an utterance, a passage."""

    id: str
    asset_id: str
    kind: SegmentKind
    start_s: float | None
    end_s: float | None
    page: int | None
    chars: list[int] | None
    text: str | None
    tags: list[Tag]


class Segments(_Answer):
    """The segments of an asset, in the order of time, page and place in the text."""

    asset_id: str
    total: int = Field(description="How many there are of the kinds that were asked for.")
    offset: int
    segments: list[Segment]


class Embedding(_Answer):
    """One vector of unit length: numbers, or the base64 of float32 in little-endian order."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Usage(_Answer):
    """How many tokens the texts took, without special tokens."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(_Answer):
    """The vectors, in the order of the inputs."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Usage


class Model(_Answer):
    """A space of the library, in OpenAI's shape."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    dimensions: int
    takes: list[Literal["text", "image"]]
    model: str = Field(description="What the space is made with.")
    revision: str


class Models(_Answer):
    """The spaces that something can be embedded into."""

    object: Literal["list"]
    data: list[Model]


class IndexStatus(_Answer):
    """An index over one space."""

    space: str
    kind: str
    vectors: int
    recall_at_10: float
    latency_ms: float | None
    tail: int
    size_bytes: int
    seconds: float
    advice: str


class WeightFile(_Answer):
    """A file that a model consists of."""

    name: str
    sha256: str
    size_bytes: int


class Provenance(_Answer):
    """Which model made something."""

    model: str
    revision: str
    weights_sha256: str
    files: list[WeightFile]


class Space(Provenance):
    """A vector space of the library."""

    name: str
    dim: int
    metric: str


class Status(_Answer):
    """What is in the library."""

    library: str
    preset: str
    speech_model: str
    speech: Provenance | None
    assets: dict[str, int]
    files: int
    segments: dict[str, int]
    spaces: list[Space]
    indexes: list[IndexStatus]
    failed: int
    size_bytes: int
    first_indexed_at: str | None
    last_indexed_at: str | None


class Health(_Answer):
    """Whether the server lives, or is ready."""

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
