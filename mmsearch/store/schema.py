"""The tables of a library as Arrow schemas, and the version of their format.

A file on disk is a row of `files`; its content is a row of `assets`; the parts of the content are
rows of `segments`; their vectors are rows of one table per space. Rows of `files` are written last:
assets without one were never finished, and are removed by the next writer.
"""

from __future__ import annotations

import pyarrow as pa

FORMAT_VERSION = 3
"""1 had no column `look`, 2 none of `ADDED_COLUMNS`; `Writer.open` adds them, empty."""

FILES = "files"
ASSETS = "assets"
SEGMENTS = "segments"
THUMBPRINT = "look"
THUMBPRINT_BYTES = 1024
TEXT_INDEX = "text_words"
"""The full-text index over the texts of `segments`."""

_TIMESTAMP = pa.timestamp("us", tz="UTC")
_TAG = pa.struct([("name", pa.string()), ("probability", pa.float32())])
_OMISSION = pa.struct(
    [
        ("cause", pa.string()),
        ("detail", pa.string()),
        ("name", pa.string()),
        ("value", pa.float64()),
    ]
)

FILES_SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        ("asset_id", pa.string()),  # null for a file that could not be indexed
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("mtime_ns", pa.int64(), nullable=False),
        ("error", pa.string()),
        ("message", pa.string()),
        ("sidecars", pa.string()),  # names, sizes and times of the files beside it that it takes in
        pa.field("seen_at", _TIMESTAMP, nullable=False),
    ]
)

ASSETS_SCHEMA = pa.schema(
    [
        pa.field("asset_id", pa.string(), nullable=False),
        pa.field("modality", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("format", pa.string(), nullable=False),
        ("width_px", pa.int32()),
        ("height_px", pa.int32()),
        ("duration_s", pa.float64()),
        ("page_count", pa.int32()),
        ("taken_at", pa.string()),  # ISO 8601; many cameras know no time zone
        ("latitude", pa.float64()),
        ("longitude", pa.float64()),
        ("camera", pa.string()),
        ("artist", pa.string()),
        ("title", pa.string()),
        ("album", pa.string()),
        ("language", pa.string()),
        ("description", pa.string()),
        pa.field("indexed_at", _TIMESTAMP, nullable=False),
        (
            THUMBPRINT,
            pa.binary(THUMBPRINT_BYTES),
        ),  # of an image, see mmsearch.media.pictures.thumbprint
        ("keywords", pa.list_(pa.string())),
        ("location", pa.string()),
        ("omissions", pa.list_(_OMISSION)),
    ]
)

SEGMENTS_SCHEMA = pa.schema(
    [
        pa.field("segment_id", pa.string(), nullable=False),
        pa.field("asset_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("page", pa.int32()),
        ("char_start", pa.int64()),
        ("char_end", pa.int64()),
        ("text", pa.string()),
        ("tags", pa.list_(_TAG)),
        ("track", pa.int32()),
        ("language", pa.string()),
    ]
)

ADDED_COLUMNS = (
    (ASSETS, ASSETS_SCHEMA, (THUMBPRINT, "keywords", "location", "omissions")),
    (FILES, FILES_SCHEMA, ("sidecars",)),
    (SEGMENTS, SEGMENTS_SCHEMA, ("track", "language")),
)
"""Columns that libraries of older formats lack, by table."""


def name_vectors_table(space: str) -> str:
    """Returns the name of the table of the vectors of a space."""
    return f"vectors_{space}"


def make_vectors_schema(dim: int) -> pa.Schema:
    """Returns a schema of float16 vectors: half the disk, and the ranks of unit vectors stay."""
    return pa.schema(
        [
            pa.field("segment_id", pa.string(), nullable=False),
            pa.field("asset_id", pa.string(), nullable=False),
            pa.field("box", pa.list_(pa.float32(), 4)),
            pa.field("vector", pa.list_(pa.float16(), dim), nullable=False),
        ]
    )
