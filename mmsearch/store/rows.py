"""Between the frozen values and Arrow rows, in both directions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from mmsearch.store.schema import (
    ASSETS_SCHEMA,
    FILES_SCHEMA,
    LOOK,
    SEGMENTS_SCHEMA,
    vectors_schema,
)
from mmsearch.types import (
    Asset,
    Metadata,
    Modality,
    Place,
    Segment,
    SegmentKind,
    Span,
    Tag,
    Vectors,
)


@dataclass(frozen=True, slots=True)
class FileRow:
    """A path that was seen, and the asset that lies there or why there is none."""

    path: str
    asset_id: str | None
    size_bytes: int
    mtime_ns: int
    error: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class EncodedSegment:
    """A segment with its vectors, ready to be written."""

    segment: Segment
    vectors: tuple[Vectors, ...]


@dataclass(frozen=True, slots=True)
class EncodedAsset:
    """An asset with all its segments, ready to be written.

    `look` is that of `mmsearch.media.thumbprint`, None where it has none.
    """

    asset: Asset
    segments: tuple[EncodedSegment, ...]
    look: bytes | None = None


def _table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schema)


def files_table(rows: Iterable[FileRow]) -> pa.Table:
    """Rows of `files`, seen now."""
    now = datetime.now(UTC)
    return _table(
        [
            {
                "path": row.path,
                "asset_id": row.asset_id,
                "size_bytes": row.size_bytes,
                "mtime_ns": row.mtime_ns,
                "error": row.error,
                "message": row.message,
                "seen_at": now,
            }
            for row in rows
        ],
        FILES_SCHEMA,
    )


def assets_table(assets: Iterable[EncodedAsset]) -> pa.Table:
    """Rows of `assets`, indexed now."""
    now = datetime.now(UTC)
    return _table([_asset_row(one.asset, one.look, now) for one in assets], ASSETS_SCHEMA)


def _asset_row(asset: Asset, look: bytes | None, now: datetime) -> dict[str, Any]:
    said = asset.metadata
    return {
        "asset_id": asset.id,
        "modality": asset.modality.value,
        "size_bytes": asset.size_bytes,
        "format": said.format,
        "width_px": said.width_px,
        "height_px": said.height_px,
        "duration_s": said.duration_s,
        "page_count": said.page_count,
        "taken_at": None if said.taken_at is None else said.taken_at.isoformat(),
        "latitude": said.latitude,
        "longitude": said.longitude,
        "camera": said.camera,
        "artist": said.artist,
        "title": said.title,
        "album": said.album,
        "language": said.language,
        "description": said.description,
        "indexed_at": now,
        LOOK: look,
    }


def segments_table(segments: Iterable[Segment]) -> pa.Table:
    """Rows of `segments`."""
    return _table([_segment_row(segment) for segment in segments], SEGMENTS_SCHEMA)


def _segment_row(segment: Segment) -> dict[str, Any]:
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
    }


def vectors_table(encoded: Sequence[EncodedSegment], space: str, dim: int) -> pa.Table | None:
    """Rows of the table of one space; None where no segment has a vector there."""
    segment_ids: list[str] = []
    asset_ids: list[str] = []
    boxes: list[list[float] | None] = []
    values = []
    for one in encoded:
        for vectors in one.vectors:
            if vectors.space != space:
                continue
            count = len(vectors.values)
            segment_ids += [one.segment.id] * count
            asset_ids += [one.segment.asset_id] * count
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
        schema=vectors_schema(dim),
    )


def read_asset(row: Mapping[str, Any]) -> Asset:
    """An asset from a row of `assets`."""
    taken_at = row["taken_at"]
    return Asset(
        id=row["asset_id"],
        modality=Modality(row["modality"]),
        size_bytes=row["size_bytes"],
        metadata=Metadata(
            format=row["format"],
            width_px=row["width_px"],
            height_px=row["height_px"],
            duration_s=row["duration_s"],
            page_count=row["page_count"],
            taken_at=None if taken_at is None else datetime.fromisoformat(taken_at),
            latitude=row["latitude"],
            longitude=row["longitude"],
            camera=row["camera"],
            artist=row["artist"],
            title=row["title"],
            album=row["album"],
            language=row["language"],
            description=row["description"],
        ),
        indexed_at=row["indexed_at"],
    )


def read_segment(row: Mapping[str, Any]) -> Segment:
    """A segment from a row of `segments`."""
    span = None if row["start_s"] is None else Span(row["start_s"], row["end_s"])
    chars = None if row["char_start"] is None else (row["char_start"], row["char_end"])
    return Segment(
        id=row["segment_id"],
        asset_id=row["asset_id"],
        kind=SegmentKind(row["kind"]),
        place=Place(span=span, page=row["page"], chars=chars),
        text=row["text"],
        tags=tuple(Tag(tag["name"], tag["probability"]) for tag in row["tags"] or ()),
    )
