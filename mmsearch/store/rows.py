"""Converts frozen values to Arrow rows and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from mmsearch.store.schema import (
    ASSETS_SCHEMA,
    FILES_SCHEMA,
    SEGMENTS_SCHEMA,
    THUMBPRINT,
    make_vectors_schema,
)
from mmsearch.types import (
    Asset,
    Metadata,
    Modality,
    Omission,
    OmissionCause,
    Place,
    Segment,
    SegmentKind,
    Span,
    Tag,
    Vectors,
)


@dataclass(frozen=True, slots=True)
class FileRow:
    """A path that was indexed, with its asset or its error.

    `sidecars` are the names, sizes and times of the files beside it that its asset takes in.
    """

    path: str
    asset_id: str | None
    size_bytes: int
    mtime_ns: int
    error: str | None = None
    message: str | None = None
    sidecars: str | None = None


@dataclass(frozen=True, slots=True)
class EncodedSegment:
    """A segment with its vectors, ready to be written."""

    segment: Segment
    vectors: tuple[Vectors, ...]


@dataclass(frozen=True, slots=True)
class EncodedAsset:
    """An asset with its segments and its thumbprint, if it has one, ready to be written."""

    asset: Asset
    segments: tuple[EncodedSegment, ...]
    thumbprint: bytes | None = None


FILE_COLUMNS = tuple(field.name for field in fields(FileRow))
_METADATA_NAMES = [field.name for field in fields(Metadata) if field.name != "taken_at"]


def make_files_table(rows: Iterable[FileRow]) -> pa.Table:
    """Returns rows of `files`, seen now."""
    seen_at = {"seen_at": datetime.now(UTC)}
    values = [{name: getattr(row, name) for name in FILE_COLUMNS} | seen_at for row in rows]
    return pa.Table.from_pylist(values, FILES_SCHEMA)


def make_assets_table(assets: Iterable[EncodedAsset]) -> pa.Table:
    """Returns rows of `assets`, indexed now."""
    indexed_at = datetime.now(UTC)
    rows = [_make_asset_row(encoded, indexed_at) for encoded in assets]
    return pa.Table.from_pylist(rows, ASSETS_SCHEMA)


def _make_asset_row(encoded: EncodedAsset, indexed_at: datetime) -> dict[str, Any]:
    asset, taken_at = encoded.asset, encoded.asset.metadata.taken_at
    return {name: getattr(asset.metadata, name) for name in _METADATA_NAMES} | {
        "asset_id": asset.id,
        "modality": asset.modality.value,
        "size_bytes": asset.size_bytes,
        "taken_at": None if taken_at is None else taken_at.isoformat(),
        "indexed_at": indexed_at,
        THUMBPRINT: encoded.thumbprint,
        "omissions": [asdict(omission) for omission in asset.omissions],
    }


def make_segments_table(segments: Iterable[Segment]) -> pa.Table:
    """Returns rows of `segments`."""
    return pa.Table.from_pylist(list(map(_make_segment_row, segments)), SEGMENTS_SCHEMA)


def _make_segment_row(segment: Segment) -> dict[str, Any]:
    place = segment.place
    return {
        "segment_id": segment.id,
        "asset_id": segment.asset_id,
        "kind": segment.kind.value,
        "start_s": place.span.start_s if place.span else None,
        "end_s": place.span.end_s if place.span else None,
        "page": place.page,
        "char_start": place.chars[0] if place.chars else None,
        "char_end": place.chars[1] if place.chars else None,
        "text": segment.text,
        "tags": [{"name": tag.name, "probability": tag.probability} for tag in segment.tags],
        "track": place.track,
        "language": segment.language,
    }


def make_vectors_table(encoded: Sequence[EncodedSegment], space: str, dim: int) -> pa.Table | None:
    """Returns rows of the table of one space; None if no segment has a vector there."""
    segment_ids: list[str] = []
    asset_ids: list[str] = []
    boxes: list[list[float] | None] = []
    values = []
    for segment, vectors in (
        (part.segment, vectors) for part in encoded for vectors in part.vectors
    ):
        if vectors.space != space:
            continue
        count = len(vectors.values)
        segment_ids += [segment.id] * count
        asset_ids += [segment.asset_id] * count
        values.append(vectors.values)
        if vectors.boxes is None:
            boxes += [None] * count
        else:
            boxes += [[box.x0, box.y0, box.x1, box.y1] for box in vectors.boxes]
    if not values:
        return None
    flat = np.concatenate(values).astype(np.float16).reshape(-1)
    return pa.Table.from_arrays(
        [
            pa.array(segment_ids),
            pa.array(asset_ids),
            pa.array(boxes, type=pa.list_(pa.float32(), 4)),
            pa.FixedSizeListArray.from_arrays(pa.array(flat), dim),
        ],
        schema=make_vectors_schema(dim),
    )


def read_asset(row: Mapping[str, Any]) -> Asset:
    """Returns the asset of a row of `assets`."""
    taken_at = row["taken_at"]
    facts: dict[str, Any] = {name: row.get(name) for name in _METADATA_NAMES}
    facts["keywords"] = tuple(facts["keywords"] or ())
    return Asset(
        id=row["asset_id"],
        modality=Modality(row["modality"]),
        size_bytes=row["size_bytes"],
        metadata=Metadata(
            taken_at=None if taken_at is None else datetime.fromisoformat(taken_at),
            **facts,
        ),
        indexed_at=row["indexed_at"],
        omissions=read_omissions(row.get("omissions")),
    )


def read_omissions(values: Iterable[Mapping[str, Any]] | None) -> tuple[Omission, ...]:
    """Returns the omissions of the column of that name; none for a null."""
    return tuple(
        Omission(**{**value, "cause": OmissionCause(value["cause"])}) for value in values or ()
    )


def read_segment(row: Mapping[str, Any]) -> Segment:
    """Returns the segment of a row of `segments`."""
    span = None if row["start_s"] is None else Span(row["start_s"], row["end_s"])
    chars = None if row["char_start"] is None else (row["char_start"], row["char_end"])
    return Segment(
        id=row["segment_id"],
        asset_id=row["asset_id"],
        kind=SegmentKind(row["kind"]),
        place=Place(span=span, page=row["page"], chars=chars, track=row.get("track")),
        text=row["text"],
        tags=tuple(Tag(tag["name"], tag["probability"]) for tag in row["tags"] or ()),
        language=row.get("language"),
    )
