"""Parses the JSON of a server into hits; raises JsonShapeError for JSON of another shape."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from mmsearch.serialization.answers import (
    AssetAnswer,
    HitAnswer,
    MatchedSegment,
    MomentAnswer,
    SearchAnswer,
    SegmentAnswer,
    SpaceScoreAnswer,
)
from mmsearch.serialization.json_format import JsonShapeError, read_member
from mmsearch.types import (
    Asset,
    Box,
    Hit,
    Metadata,
    Modality,
    Moment,
    Place,
    Provenance,
    Segment,
    SpaceScore,
    Span,
    Tag,
)


def read_hits(answer: Any) -> list[Hit]:
    """Reads the hits of the answer to a search."""
    hits: tuple[HitAnswer, ...] = read_member(SearchAnswer, "hits", answer)
    return [_to_hit(hit) for hit in hits]


def read_preset(answer: Any) -> str:
    """Reads the preset of the answer to a search."""
    preset: str = read_member(SearchAnswer, "preset", answer)
    return preset


def read_kind(answer: Any) -> Modality:
    """Reads the kind of an asset in what `/v1/assets/{id}` answers."""
    kind: Modality = read_member(AssetAnswer, "kind", answer)
    return kind


def read_tags(answer: Any) -> tuple[Tag, ...]:
    """Reads the tags of a segment in what `/v1/segments/{id}` answers."""
    tags: tuple[Tag, ...] = read_member(SegmentAnswer, "tags", answer)
    return tags


def add_asset(hit: Hit, answer: Any) -> Hit:
    """Adds to a hit the size and the metadata that `/v1/assets/{id}` answers."""
    metadata: Metadata = read_member(AssetAnswer, "metadata", answer)
    size_bytes: int = read_member(AssetAnswer, "size_bytes", answer)
    return replace(hit, asset=replace(hit.asset, size_bytes=size_bytes, metadata=metadata))


def _to_hit(hit: HitAnswer) -> Hit:
    best = hit.segment
    place = replace(_to_place(best), track=best.track)
    segment = Segment(best.id, hit.asset_id, best.kind, place, best.text, language=best.language)
    moments = tuple(_to_moment(moment, segment) for moment in hit.moments)
    return Hit(
        rank=hit.rank,
        score=hit.score,
        path=hit.path,
        asset=Asset(hit.asset_id, hit.kind, 0, Metadata(), hit.indexed_at, hit.omissions),
        segment=segment,
        spaces={name: _to_space(space) for name, space in hit.spaces.items()},
        moments=moments or (Moment(segment, hit.score, span=segment.span),),
        also_at=hit.also_at,
        duplicates=hit.duplicates,
        why=hit.why,
    )


def _to_moment(moment: MomentAnswer, best: Segment) -> Moment:
    place = _to_place(moment)
    segment = best
    if moment.segment_id != best.id:
        segment = Segment(moment.segment_id, best.asset_id, moment.kind, place, moment.text)
    if moment.box is None:
        return Moment(segment, moment.score, span=place.span)
    if len(moment.box) != 4:
        raise JsonShapeError("a box has four edges")
    return Moment(segment, moment.score, Box(*moment.box), place.span)


def _to_space(space: SpaceScoreAnswer) -> SpaceScore:
    provenance = None
    if space.model is not None:
        if space.revision is None or space.weights_sha256 is None:
            raise JsonShapeError("a model has a revision and weights_sha256")
        provenance = Provenance(space.model, space.revision, space.weights_sha256)
    similarity = math.nan if space.similarity is None else space.similarity
    return SpaceScore(space.rank, space.score, similarity, provenance)


def _to_place(part: MatchedSegment | MomentAnswer) -> Place:
    if part.start_s is None or part.end_s is None:
        return Place(page=part.page)
    return Place(Span(part.start_s, part.end_s), part.page)
