"""Bodies of requests, as pydantic checks and OpenAPI describes them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from mmsearch.query.algebra import MAX_WEIGHT
from mmsearch.query.ranking import DEFAULT_RANKING
from mmsearch.query.request import (
    DEFAULT_LIMIT,
    HIGHEST_SCORE,
    LOWEST_SCORE,
    MAX_LIMIT_HTTP,
    MIN_LIMIT,
)

MAX_TERMS = 32
"""In the line of a query."""
MAX_FURTHER = 16
"""Terms beside it, and terms to avoid."""
MAX_LISTED = 1000
MAX_FOLDERS = 100
MAX_CHARS = 10_000

ID_PATTERN = "^[0-9a-f]{32}$"
"""Ids of assets and segments."""
Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
Words = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_CHARS, pattern=r"\S"),
]
Input = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]
"""A text, or a picture as a data URL, which is longer."""
Line = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_CHARS, pattern=r"\S"),
    Field(json_schema_extra={"format": "mmsearch-query"}),
]


def _accept_whole_float(value: object) -> object:
    """Turns 2.0 into 2, which is an integer to JSON Schema and to some clients."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_accept_whole_float)]
Count = Annotated[int, Field(ge=1), BeforeValidator(_accept_whole_float)]
Weight = Annotated[float, Field(gt=0, le=MAX_WEIGHT, allow_inf_nan=False)]
Folder = Annotated[str, StringConstraints(pattern=r"^(/|[A-Za-z]:[\\/]|\\\\)", max_length=4096)]
Day = Annotated[
    str, StringConstraints(max_length=40), Field(json_schema_extra={"format": "mmsearch-date"})
]
Kind = Literal["image", "audio", "video", "text", "other"]
SegmentKind = Literal["image", "frame", "sound", "speech", "text", "ocr", "other"]


class _Request(BaseModel):
    """A body: unknown members are errors, and nothing is turned into another type."""

    model_config = ConfigDict(extra="forbid", strict=True, validate_by_name=True)


class TextTerm(_Request):
    """Words, taken literally."""

    text: Words
    weight: Weight = 1.0


class AssetTerm(_Request):
    """A term that is like an asset of the library."""

    asset: Id
    weight: Weight = 1.0


class UploadTerm(_Request):
    """A term that is like a file that is sent along, by the name of its part."""

    upload: Annotated[
        str,
        StringConstraints(min_length=1, max_length=200),
        Field(json_schema_extra={"format": "mmsearch-part"}),
    ]
    weight: Weight = 1.0


Term = TextTerm | AssetTerm
AnyTerm = TextTerm | AssetTerm | UploadTerm


class SearchBody(_Request):
    """A search.

    `query` is a line as one writes it on the command line: words, +terms, -terms, 2:weights,
    "phrases", asset:ids. It never names a file. With filters alone all that passes them is
    given, the newest first.
    """

    model_config = ConfigDict(
        title="SearchRequest",
        json_schema_extra={
            "anyOf": [
                {"required": ["query"], "properties": {"query": {"type": "string"}}},
                {"required": ["terms"], "properties": {"terms": {"minItems": 1}}},
                {"required": ["kinds"], "properties": {"kinds": {"minItems": 1}}},
                {"required": ["in"], "properties": {"in": {"minItems": 1}}},
                {"required": ["after"], "properties": {"after": {"type": "string"}}},
                {"required": ["before"], "properties": {"before": {"type": "string"}}},
                {"required": ["where"], "properties": {"where": {"type": "string"}}},
            ],
            "examples": [{"query": "dog on a beach", "limit": 5, "kinds": ["image"]}],
        },
    )

    query: Line | None = Field(
        default=None, description='What to look for, for example `harbour +boats -"oil tanker"`.'
    )
    terms: list[Term] = Field(
        default=[], max_length=MAX_FURTHER, description="Further terms, each with a weight."
    )
    avoided: list[Term] = Field(
        default=[], max_length=MAX_FURTHER, alias="not", description="Terms to avoid."
    )
    limit: Whole = Field(
        default=DEFAULT_LIMIT, ge=MIN_LIMIT, le=MAX_LIMIT_HTTP, description="At most so many hits."
    )
    kinds: list[Kind] = Field(default=[], max_length=16, description="Only these kinds.")
    under: list[Folder] = Field(
        default=[],
        max_length=MAX_FOLDERS,
        alias="in",
        description="Only files below these folders: absolute paths, compared as text.",
    )
    after: Day | None = Field(
        default=None, description="Taken from then on: 2024, 2024-05-01, today, 7d."
    )
    before: Day | None = Field(default=None, description="Taken before then.")
    where: str | None = Field(
        default=None,
        max_length=4000,
        description="A condition such as `ext = jpg and size > 10MB`.",
        json_schema_extra={"format": "mmsearch-where"},
    )
    min_score: float | None = Field(
        default=None,
        ge=LOWEST_SCORE,
        le=HIGHEST_SCORE,
        description="Hits below are none; 0 gives the best there are, whatever they are.",
    )
    group: bool = Field(
        default=DEFAULT_RANKING.group, description="One hit a file, or one for every moment."
    )
    dedupe: bool = Field(
        default=DEFAULT_RANKING.dedupe,
        description="Near-duplicates under the best of them, or each by itself.",
    )
    without: list[Id] = Field(
        default=[], max_length=MAX_LISTED, description="Assets that are not wanted."
    )
    ranking: str = Field(
        default="",
        max_length=200,
        description="To compare ways of ranking: `fusion=rrf`, `words=off`, `vectors=off`.",
        json_schema_extra={"format": "mmsearch-ranking"},
    )
    explain: bool = Field(
        default=False, description="Say of each hit which characters of its text match."
    )

    @property
    def is_narrowed(self) -> bool:
        """True if a filter says which assets are meant."""
        conditions = (self.after, self.before, self.where)
        return bool(self.kinds or self.under) or any(one is not None for one in conditions)

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if self.query is None and not self.terms and not self.is_narrowed:
            raise ValueError("say what to look for, in `query` or in `terms`, or by a filter")
        return self


class UploadSearchBody(SearchBody):
    """A search with files.

    Those that are sent as parts called `file` are looked for, and nothing else need be said.
    """

    model_config = ConfigDict(
        title="UploadSearchRequest", json_schema_extra={"examples": [{"limit": 5}]}
    )

    terms: list[AnyTerm] = Field(default=[], max_length=MAX_FURTHER)  # type: ignore[assignment]
    avoided: list[AnyTerm] = Field(  # type: ignore[assignment]
        default=[], max_length=MAX_FURTHER, alias="not"
    )

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        return self


class EmbeddingsRequest(_Request):
    """As for OpenAI's endpoint, and more: pictures as `data:` URLs, and `input_type`."""

    # Other clients send more than is meant here; OpenAI's servers pass over it as well.
    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [{"model": "text", "input": ["a quiet harbour", "rain on a roof"]}]
        },
    )

    input: Input | Annotated[list[Input], Field(min_length=1, max_length=2048)] = Field(
        description="Texts, or pictures as `data:image/...;base64,...` where the space takes them. "
        "Nothing is ever fetched."
    )
    model: str = Field(max_length=200, description="A space of the library: see `/v1/models`.")
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Count | None = Field(
        default=None, description="Only that of the space: nothing is cut off."
    )
    input_type: Literal["query", "document"] = Field(
        default="document", description="Some models want what is asked marked as such."
    )
    user: str | None = Field(default=None, max_length=MAX_CHARS)


REQUESTS: tuple[type[BaseModel], ...] = (SearchBody, UploadSearchBody, EmbeddingsRequest)
"""Bodies that handlers read themselves, so that FastAPI does not know of them."""
