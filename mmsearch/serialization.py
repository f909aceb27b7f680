"""Hits, assets, segments and status as the JSON objects that commands and servers give."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmsearch.types import Box, Modality, Span

if TYPE_CHECKING:
    from mmsearch.library.stats import Status
    from mmsearch.types import Asset, Hit, Moment, Place, Provenance, Segment, SpaceScore

SCORE_DIGITS = 4
SECOND_DIGITS = 3


def answer_object(query: str, preset: str, took_ms: float, hits: Sequence[Hit]) -> dict[str, Any]:
    """What a search answers."""
    return {
        "query": query,
        "preset": preset,
        "took_ms": round(took_ms, 1),
        "total": len(hits),
        "hits": [hit_object(hit) for hit in hits],
    }


def json_text(query: str, preset: str, took_ms: float, hits: Sequence[Hit]) -> str:
    """The same as one line."""
    return json.dumps(answer_object(query, preset, took_ms, hits), ensure_ascii=False)


def rounded(hit: Hit) -> Hit:
    """A hit whose figures are as exact as they are told, so that it is shown alike everywhere.

    Who rounds for a person what was rounded before may round up what is to be rounded down.
    """
    segment = _rounded_segment(hit.segment)
    return dataclasses.replace(
        hit,
        score=round(hit.score, SCORE_DIGITS),
        segment=segment,
        spaces={name: _rounded_space(one) for name, one in hit.spaces.items()},
        moments=tuple(_rounded_moment(moment) for moment in hit.moments),
    )


def _rounded_space(space: SpaceScore) -> SpaceScore:
    return dataclasses.replace(
        space,
        score=round(space.score, SCORE_DIGITS),
        similarity=round(space.similarity, SCORE_DIGITS),
    )


def _rounded_moment(moment: Moment) -> Moment:
    return dataclasses.replace(
        moment,
        segment=_rounded_segment(moment.segment),
        score=round(moment.score, SCORE_DIGITS),
        box=_rounded_box(moment.box),
        span=_rounded_span(moment.span),
    )


def _rounded_segment(segment: Segment) -> Segment:
    span = _rounded_span(segment.place.span)
    return dataclasses.replace(segment, place=dataclasses.replace(segment.place, span=span))


def _rounded_span(span: Span | None) -> Span | None:
    if span is None:
        return None
    return Span(round(span.start_s, SECOND_DIGITS), round(span.end_s, SECOND_DIGITS))


def _rounded_box(box: Box | None) -> Box | None:
    if box is None:
        return None
    return Box(*(round(edge, SCORE_DIGITS) for edge in dataclasses.astuple(box)))


def hit_object(hit: Hit) -> dict[str, Any]:
    """A hit as `--json` shows it."""
    hit = rounded(hit)
    segment = hit.segment
    return {
        "rank": hit.rank,
        "score": hit.score,
        "path": hit.path,
        "kind": hit.kind.value,
        "asset_id": hit.asset.id,
        "segment": {
            "id": segment.id,
            "kind": segment.kind.value,
            **_span_object(segment.span),
            "page": segment.place.page,
            "text": segment.text,
        },
        "spaces": {
            name: {"rank": one.rank, "score": one.score, **_maker(one.provenance)}
            for name, one in hit.spaces.items()
        },
        "indexed_at": None if hit.asset.indexed_at is None else hit.asset.indexed_at.isoformat(),
        "moments": [_moment_object(moment) for moment in hit.moments],
        "also_at": list(hit.also_at),
        "duplicates": list(hit.duplicates),
        "play": play(hit),
        "why": hit.why,
    }


def play(hit: Hit) -> str | None:
    """The command that plays the best moment of a recording or a film, else None."""
    if hit.kind not in (Modality.AUDIO, Modality.VIDEO):
        return None
    from mmsearch.export.play_command import play_command

    return play_command(hit.path, hit.moments[0].span if hit.moments else hit.segment.span)


def _maker(made_by: Provenance | None) -> dict[str, str]:
    if made_by is None:
        return {}
    return {
        "model": made_by.model,
        "revision": made_by.revision,
        "weights_sha256": made_by.weights_sha256,
    }


def _moment_object(moment: Moment) -> dict[str, Any]:
    span = moment.span or moment.segment.span
    box = moment.box
    return {
        "segment_id": moment.segment.id,
        "kind": moment.segment.kind.value,
        "score": moment.score,
        **_span_object(span),
        "page": moment.segment.place.page,
        "text": moment.segment.text,
        "box": None if box is None else list(dataclasses.astuple(box)),
    }


def _span_object(span: Span | None) -> dict[str, float | None]:
    return {
        "start_s": None if span is None else span.start_s,
        "end_s": None if span is None else span.end_s,
    }


def asset_object(asset: Asset, paths: Sequence[str]) -> dict[str, Any]:
    """An asset: what it is, and where it lies."""
    metadata = dataclasses.asdict(asset.metadata)
    taken_at = asset.metadata.taken_at
    metadata["taken_at"] = None if taken_at is None else taken_at.isoformat()
    return {
        "id": asset.id,
        "kind": asset.modality.value,
        "size_bytes": asset.size_bytes,
        "paths": list(paths),
        "indexed_at": None if asset.indexed_at is None else asset.indexed_at.isoformat(),
        "metadata": metadata,
    }


def segment_object(segment: Segment) -> dict[str, Any]:
    """A segment by itself, with its text and its tags."""
    return {
        "id": segment.id,
        "asset_id": segment.asset_id,
        "kind": segment.kind.value,
        **_place_object(segment.place),
        "text": segment.text,
        "tags": [
            {"name": tag.name, "probability": round(tag.probability, SCORE_DIGITS)}
            for tag in segment.tags
        ],
    }


def _place_object(place: Place) -> dict[str, Any]:
    return {
        **_span_object(_rounded_span(place.span)),
        "page": place.page,
        "chars": None if place.chars is None else list(place.chars),
    }


def status_object(status: Status) -> dict[str, Any]:
    """What `status --json` prints."""
    shown = dataclasses.asdict(status)
    for name in ("first_indexed_at", "last_indexed_at"):
        shown[name] = None if shown[name] is None else shown[name].isoformat()
    return shown
