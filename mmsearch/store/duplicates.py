"""Finds the rows of a table that are stored twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.store.schema import ASSETS, FILES, SEGMENTS

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_KEYS = {FILES: "path", ASSETS: "asset_id", SEGMENTS: "segment_id"}


def find_duplicates(dataset: Any, table: str) -> list[int]:
    """Returns the `_rowid` of all rows but one of those that are equal.

    Rows of `files`, `assets` and `segments` are equal by their path or id; vectors by segment, box
    and values. The last row of `files` is kept, the first of all others.
    """
    if table in _KEYS:
        rows = dataset.to_table(columns=[_KEYS[table]], with_row_id=True)
        codes = _encode_values(rows.column(_KEYS[table]))
        extra = _mark_repeated(codes[::-1])[::-1] if table == FILES else _mark_repeated(codes)
    else:
        rows = dataset.to_table(columns=["segment_id", "box"], with_row_id=True)
        extra = _mark_repeated_vectors(dataset, rows)
    row_ids: list[int] = rows.column("_rowid").to_numpy()[extra].tolist()
    return row_ids


def _mark_repeated_vectors(dataset: Any, rows: pa.Table) -> NDArray[np.bool_]:
    """Marks repeated vectors; reads their values only if segment and box are repeated."""
    segments, boxes = _encode_values(rows.column("segment_id")), _encode_boxes(rows.column("box"))
    keys = np.column_stack([segments, boxes])
    _, groups, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    groups = groups.reshape(-1)
    extra = np.zeros(len(keys), dtype=np.bool_)
    suspects = np.flatnonzero(counts[groups] > 1)
    if len(suspects):
        vectors = dataset.take(suspects.tolist(), columns=["vector"]).column("vector")
        values = vectors.combine_chunks().flatten().to_numpy(zero_copy_only=False)
        bits = values.reshape(len(suspects), -1).view(np.uint16)
        extra[suspects] = _mark_repeated(np.column_stack([groups[suspects], bits]))
    return extra


def _encode_values(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Returns a number for each value, equal for equal values."""
    encoded = column.combine_chunks().dictionary_encode()
    codes: NDArray[np.int64] = encoded.indices.to_numpy().astype(np.int64)
    return codes


def _encode_boxes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Returns (n, 4) the bits of the coordinates of each box, -1 for none."""
    codes = np.full((len(column), 4), -1, dtype=np.int64)
    array = column.combine_chunks()
    corners = array.drop_null().flatten().to_numpy(zero_copy_only=False)
    bits = np.ascontiguousarray(corners, np.float32).view(np.int32).reshape(-1, 4)
    codes[array.is_valid().to_numpy(zero_copy_only=False)] = bits
    return codes


def _mark_repeated(keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Marks the (n,) or (n, k) keys that occurred before."""
    extra = np.ones(len(keys), dtype=np.bool_)
    extra[np.unique(keys, axis=0, return_index=True)[1]] = False
    return extra
