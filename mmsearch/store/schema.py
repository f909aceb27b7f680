"""The tables of a library as Arrow schemas, and the version of their form.

A file on disk is a row of `files`; its content is a row of `assets`; the parts of the content are
rows of `segments`; their vectors are rows of one table a space. Rows of `files` are written last:
what they do not lead to was never finished, and is cleared away by the next writer.
"""

from __future__ import annotations

import pyarrow as pa

FORMAT_VERSION = 2
"""1 had no column `look`; `Writer.open` adds it, empty."""

FILES = "files"
ASSETS = "assets"
SEGMENTS = "segments"
LOOK = "look"
LOOK_BYTES = 1024
TEXT_INDEX = "text_words"
"""The full-text index over the texts of `segments`."""

FILES_SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("asset_id", pa.string()),  # null for a file that could not be indexed
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("mtime_ns", pa.int64(), nullable=False),
        pa.field("error", pa.string()),
        pa.field("message", pa.string()),
        pa.field("seen_at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)

ASSETS_SCHEMA = pa.schema(
    [
        pa.field("asset_id", pa.string(), nullable=False),
        pa.field("modality", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("format", pa.string(), nullable=False),
        pa.field("width_px", pa.int32()),
        pa.field("height_px", pa.int32()),
        pa.field("duration_s", pa.float64()),
        pa.field("page_count", pa.int32()),
        pa.field("taken_at", pa.string()),  # ISO 8601; many cameras know no time zone
        pa.field("latitude", pa.float64()),
        pa.field("longitude", pa.float64()),
        pa.field("camera", pa.string()),
        pa.field("artist", pa.string()),
        pa.field("title", pa.string()),
        pa.field("album", pa.string()),
        pa.field("language", pa.string()),
        pa.field("description", pa.string()),
        pa.field("indexed_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field(LOOK, pa.binary(LOOK_BYTES)),  # of a still picture, see mmsearch.media.thumbprint
    ]
)

SEGMENTS_SCHEMA = pa.schema(
    [
        pa.field("segment_id", pa.string(), nullable=False),
        pa.field("asset_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("start_s", pa.float64()),
        pa.field("end_s", pa.float64()),
        pa.field("page", pa.int32()),
        pa.field("char_start", pa.int64()),
        pa.field("char_end", pa.int64()),
        pa.field("text", pa.string()),
        pa.field(
            "tags", pa.list_(pa.struct([("name", pa.string()), ("probability", pa.float32())]))
        ),
    ]
)


def vectors_table(space: str) -> str:
    """The name of the table that holds the vectors of a space."""
    return f"vectors_{space}"


def vectors_schema(dim: int) -> pa.Schema:
    """Vectors as float16: half the disk, and ranks that do not suffer (unit vectors)."""
    return pa.schema(
        [
            pa.field("segment_id", pa.string(), nullable=False),
            pa.field("asset_id", pa.string(), nullable=False),
            pa.field("box", pa.list_(pa.float32(), 4)),
            pa.field("vector", pa.list_(pa.float16(), dim), nullable=False),
        ]
    )
