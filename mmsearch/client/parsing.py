"""Parses the JSON that `mmsearch.serialization` writes; anything else is an error."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

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
    SegmentKind,
    SpaceScore,
    Span,
    Tag,
)

T = TypeVar("T")
_ID = re.compile("[0-9a-f]{32}")


class NotUnderstood(Exception):
    """An answer is not of the shape that mmsearch gives it."""


def hits(told: Any) -> list[Hit]:
    """The hits of an answer to a search; raises NotUnderstood."""
    return [_hit(_object(one)) for one in _list(_object(told), "hits")]


def _hit(told: Mapping[str, Any]) -> Hit:
    asset_id = _id(told, "asset_id")
    best = _object(told.get("segment"))
    segment = Segment(
        _id(best, "id"), asset_id, _segment_kind(best), _place(best), _maybe_text(best, "text")
    )
    moments = tuple(_moment(_object(one), asset_id, segment) for one in _list(told, "moments"))
    return Hit(
        rank=_whole(told, "rank"),
        score=_number(told, "score"),
        path=_text(told, "path"),
        asset=Asset(asset_id, _modality(told), 0, Metadata(), _time(told, "indexed_at")),
        segment=segment,
        spaces={
            _clean(name): _space(_object(one)) for name, one in _object(told.get("spaces")).items()
        },
        moments=moments or (Moment(segment, _number(told, "score"), span=segment.span),),
        also_at=_texts(told, "also_at"),
        duplicates=_texts(told, "duplicates"),
        why=_text(told, "why"),
    )


def _moment(told: Mapping[str, Any], asset_id: str, best: Segment) -> Moment:
    found = Segment(
        _id(told, "segment_id"), asset_id, _segment_kind(told), _place(told),
        _maybe_text(told, "text"),
    )  # fmt: skip
    edges = told.get("box")
    return Moment(
        segment=best if found.id == best.id else found,
        score=_number(told, "score"),
        box=None if edges is None else _box(edges),
        span=found.span,
    )


def _space(told: Mapping[str, Any]) -> SpaceScore:
    made_by = None
    if "model" in told:
        made_by = Provenance(
            _text(told, "model"), _text(told, "revision"), _text(told, "weights_sha256")
        )
    similarity = told.get("similarity")
    return SpaceScore(
        _whole(told, "rank"),
        _number(told, "score"),
        math.nan if similarity is None else _number(told, "similarity"),
        made_by,
    )


def with_asset(hit: Hit, told: Any) -> Hit:
    """A hit with what `/v1/assets/{id}` says of its asset; raises NotUnderstood."""
    found = _object(told)
    facts = _object(found.get("metadata"))
    metadata = Metadata(
        format=_text(facts, "format"),
        width_px=_maybe_whole(facts, "width_px"),
        height_px=_maybe_whole(facts, "height_px"),
        duration_s=_maybe_number(facts, "duration_s"),
        page_count=_maybe_whole(facts, "page_count"),
        taken_at=_time(facts, "taken_at"),
        latitude=_maybe_number(facts, "latitude"),
        longitude=_maybe_number(facts, "longitude"),
        camera=_maybe_text(facts, "camera"),
        artist=_maybe_text(facts, "artist"),
        title=_maybe_text(facts, "title"),
        album=_maybe_text(facts, "album"),
        language=_maybe_text(facts, "language"),
        description=_maybe_text(facts, "description"),
    )
    size_bytes = _whole(found, "size_bytes")
    return replace(hit, asset=replace(hit.asset, size_bytes=size_bytes, metadata=metadata))


def tags(told: Any) -> tuple[Tag, ...]:
    """The tags in what `/v1/segments/{id}` says; raises NotUnderstood."""
    listed = map(_object, _list(_object(told), "tags"))
    return tuple(Tag(_text(one, "name"), _number(one, "probability")) for one in listed)


def kind_of(told: Any) -> Modality:
    """The kind in what `/v1/assets/{id}` says; raises NotUnderstood."""
    return _modality(_object(told))


def preset(told: Any) -> str:
    """The preset in an answer to a search; raises NotUnderstood."""
    return _text(_object(told), "preset")


def _place(told: Mapping[str, Any]) -> Place:
    start_s, end_s = _maybe_number(told, "start_s"), _maybe_number(told, "end_s")
    span = None if start_s is None or end_s is None else Span(start_s, end_s)
    return Place(span=span, page=_maybe_whole(told, "page"))


def _box(edges: Any) -> Box:
    if not isinstance(edges, list) or len(edges) != 4:
        raise NotUnderstood("a box has four edges")
    x0, y0, x1, y1 = (_as_number(one) for one in edges)
    return Box(x0, y0, x1, y1)


def _modality(told: Mapping[str, Any]) -> Modality:
    kind = _text(told, "kind")
    if kind not in set(Modality):
        raise NotUnderstood(f"there is no kind {kind[:40]!r}")
    return Modality(kind)


def _segment_kind(told: Mapping[str, Any]) -> SegmentKind:
    kind = _text(told, "kind")
    if kind not in set(SegmentKind):
        raise NotUnderstood(f"there is no kind of segment {kind[:40]!r}")
    return SegmentKind(kind)


def _object(told: Any) -> Mapping[str, Any]:
    if not isinstance(told, dict):
        raise NotUnderstood("an object was expected")
    return told


def _list(told: Mapping[str, Any], name: str) -> list[Any]:
    found = told.get(name)
    if not isinstance(found, list):
        raise NotUnderstood(f"{name} is no list")
    return found


def _id(told: Mapping[str, Any], name: str) -> str:
    found = _text(told, name)
    if _ID.fullmatch(found) is None:
        raise NotUnderstood(f"{name} is no id")
    return found


def _clean(text: str) -> str:
    """Without halves of characters, which JSON can hold and nothing else."""
    return text.encode("utf-8", "replace").decode()


def _text(told: Mapping[str, Any], name: str) -> str:
    found = _maybe_text(told, name)
    if found is None:
        raise NotUnderstood(f"{name} is no text")
    return found


def _maybe_text(told: Mapping[str, Any], name: str) -> str | None:
    found = told.get(name)
    if found is None:
        return None
    if not isinstance(found, str):
        raise NotUnderstood(f"{name} is no text")
    return _clean(found)


def _texts(told: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = _list(told, name)
    if not all(isinstance(one, str) for one in found):
        raise NotUnderstood(f"{name} has what is no text")
    return tuple(map(_clean, found))


def _as_number(found: Any) -> float:
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise NotUnderstood("a number was expected")
    try:
        number = float(found)
    except OverflowError as exc:
        raise NotUnderstood("a number is too large") from exc
    if not math.isfinite(number):
        raise NotUnderstood("a number is not finite")
    return number


def _number(told: Mapping[str, Any], name: str) -> float:
    return _as_number(told.get(name))


def _maybe_number(told: Mapping[str, Any], name: str) -> float | None:
    return None if told.get(name) is None else _number(told, name)


def _whole(told: Mapping[str, Any], name: str) -> int:
    found = told.get(name)
    if isinstance(found, bool) or not isinstance(found, int):
        raise NotUnderstood(f"{name} is no whole number")
    return found


def _maybe_whole(told: Mapping[str, Any], name: str) -> int | None:
    return None if told.get(name) is None else _whole(told, name)


def _time(told: Mapping[str, Any], name: str) -> datetime | None:
    written = _maybe_text(told, name)
    try:
        return None if written is None else datetime.fromisoformat(written)
    except ValueError as exc:
        raise NotUnderstood(f"{name} is no time") from exc
