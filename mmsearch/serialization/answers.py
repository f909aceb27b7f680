"""Declares the JSON of searches, hits, assets and segments, and builds it from their values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from mmsearch.export.play_command import format_hit_command
from mmsearch.serialization.json_format import JsonObject, SparseJsonObject
from mmsearch.serialization.rounding import SCORE_DIGITS, round_box, round_span
from mmsearch.types import Metadata, Modality, Omission, SegmentKind, Tag

if TYPE_CHECKING:
    from mmsearch.types import Asset, Box, Hit, Moment, Segment, SpaceScore, Span

Id = Annotated[str, re.compile("[0-9a-f]{32}")]


@dataclass(frozen=True, slots=True)
class SpaceScoreAnswer(SparseJsonObject):
    """The rank and score of a hit in one space, and the model behind it."""

    rank: int
    score: float
    model: str | None = None
    revision: str | None = None
    weights_sha256: str | None = None
    similarity: float | None = field(
        default=None, metadata={"description": "The cosine, with `explain`."}
    )


@dataclass(frozen=True, slots=True)
class MatchedSegment(JsonObject):
    """The part of a file that matched best."""

    id: Id
    kind: SegmentKind
    start_s: float | None
    end_s: float | None
    page: int | None
    text: str | None
    track: int | None = field(
        metadata={"description": "Of a file with several sound tracks, from 1."}
    )
    language: str | None = field(metadata={"description": "The language of what is said."})


@dataclass(frozen=True, slots=True)
class MomentAnswer(JsonObject):
    """A segment of a file that matches, with its span and the part of the picture that does."""

    segment_id: Id
    kind: SegmentKind
    score: float
    start_s: float | None
    end_s: float | None
    page: int | None
    text: str | None
    box: tuple[float, ...] | None = field(
        metadata={"description": "x0, y0, x1, y1 as fractions of the picture."}
    )


@dataclass(frozen=True, slots=True)
class HitAnswer(JsonObject):
    """A file that matches."""

    rank: int
    score: float = field(metadata={"description": "Calibrated to 0..1 across kinds."})
    path: str
    kind: Modality
    asset_id: Id
    segment: MatchedSegment
    spaces: dict[str, SpaceScoreAnswer]
    indexed_at: datetime | None
    moments: tuple[MomentAnswer, ...]
    also_at: tuple[str, ...] = field(
        metadata={"description": "Paths of copies of the same content."}
    )
    duplicates: tuple[str, ...] = field(metadata={"description": "Paths of near-duplicates."})
    omissions: tuple[Omission, ...] = field(
        metadata={"description": "The parts of the file that were not read, and why."}
    )
    play: str | None = field(
        metadata={"description": "A command that plays the moment, where it can be played."}
    )
    why: str


@dataclass(frozen=True, slots=True)
class SearchAnswer(JsonObject):
    """The best hits, best first."""

    query: str
    preset: str
    took_ms: float
    total: int
    hits: tuple[HitAnswer, ...]


@dataclass(frozen=True, slots=True)
class AssetAnswer(JsonObject):
    """The content of a file, with its paths."""

    id: Id
    kind: Modality
    size_bytes: int
    paths: tuple[str, ...]
    indexed_at: datetime | None
    metadata: Metadata
    omissions: tuple[Omission, ...]
    thumbnail_url: str | None
    media_url: str
    segments_url: str


@dataclass(frozen=True, slots=True)
class SegmentAnswer(JsonObject):
    """A part of an asset: a picture, a span of sound, an utterance, a passage."""

    id: Id
    asset_id: Id
    kind: SegmentKind
    start_s: float | None
    end_s: float | None
    page: int | None
    chars: tuple[int, ...] | None
    text: str | None
    tags: tuple[Tag, ...]
    track: int | None
    language: str | None


def build_search(query: str, preset: str, took_ms: float, hits: Sequence[Hit]) -> SearchAnswer:
    """Builds the answer to a search that took `took_ms`."""
    return SearchAnswer(query, preset, round(took_ms, 1), len(hits), tuple(map(build_hit, hits)))


def build_hit(hit: Hit, *, explains: bool = False) -> HitAnswer:
    """Builds a hit with rounded figures; `explains` adds the similarity in each space."""
    segment = hit.segment
    return HitAnswer(
        rank=hit.rank,
        score=round(hit.score, SCORE_DIGITS),
        path=hit.path,
        kind=hit.kind,
        asset_id=hit.asset.id,
        segment=MatchedSegment(
            segment.id,
            segment.kind,
            *_list_ends(segment.span),
            segment.place.page,
            segment.text,
            segment.place.track,
            segment.language,
        ),
        spaces={name: _build_space(space, explains) for name, space in hit.spaces.items()},
        indexed_at=hit.asset.indexed_at,
        moments=tuple(map(_build_moment, hit.moments)),
        also_at=hit.also_at,
        duplicates=hit.duplicates,
        omissions=hit.asset.omissions,
        play=format_hit_command(hit),
        why=hit.why,
    )


def _build_space(space: SpaceScore, explains: bool) -> SpaceScoreAnswer:
    maker = space.provenance
    score = round(space.score, SCORE_DIGITS)
    similarity = round(space.similarity, SCORE_DIGITS) if explains else None
    if maker is None:
        return SpaceScoreAnswer(space.rank, score, similarity=similarity)
    return SpaceScoreAnswer(
        space.rank, score, maker.model, maker.revision, maker.weights_sha256, similarity
    )


def _build_moment(moment: Moment) -> MomentAnswer:
    segment = moment.segment
    return MomentAnswer(
        segment.id,
        segment.kind,
        round(moment.score, SCORE_DIGITS),
        *_list_ends(moment.span or segment.span),
        segment.place.page,
        segment.text,
        None if moment.box is None else _list_edges(moment.box),
    )


def _list_ends(span: Span | None) -> tuple[float | None, float | None]:
    if span is None:
        return None, None
    span = round_span(span)
    return span.start_s, span.end_s


def _list_edges(box: Box) -> tuple[float, ...]:
    box = round_box(box)
    return box.x0, box.y0, box.x1, box.y1


def build_asset(asset: Asset, paths: Sequence[str], links: Mapping[str, Any]) -> AssetAnswer:
    """Builds an asset; `links` are its URLs by their keys."""
    return AssetAnswer(
        id=asset.id,
        kind=asset.modality,
        size_bytes=asset.size_bytes,
        paths=tuple(paths),
        indexed_at=asset.indexed_at,
        metadata=asset.metadata,
        omissions=asset.omissions,
        **links,
    )


def build_segment(segment: Segment) -> SegmentAnswer:
    """Builds a segment by itself, with its text and its tags."""
    place = segment.place
    return SegmentAnswer(
        segment.id,
        segment.asset_id,
        segment.kind,
        *_list_ends(place.span),
        place.page,
        place.chars,
        segment.text,
        tuple(Tag(tag.name, round(tag.probability, SCORE_DIGITS)) for tag in segment.tags),
        place.track,
        segment.language,
    )
