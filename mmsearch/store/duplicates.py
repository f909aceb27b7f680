"""Finds the rows of a table that are stored twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.store.schema import ASSETS, FILES, SEGMENTS

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_KEYS = {FILES: "path", ASSETS: "asset_id", SEGMENTS: "segment_id"}


def row_ids(dataset: Any, table: str) -> list[int]:
    """The `_rowid` of all rows but one of those that are the same.

    Rows of `files`, `assets` and `segments` are the same by their path or id; vectors where
    segment, box and values are. Of `files` the last row is kept, of all others the first.
    """
    if table in _KEYS:
        found = dataset.to_table(columns=[_KEYS[table]], with_row_id=True)
        codes = _codes(found.column(_KEYS[table]))
        extra = _repeated(codes[::-1])[::-1] if table == FILES else _repeated(codes)
    else:
        found = dataset.to_table(columns=["segment_id", "box"], with_row_id=True)
        extra = _repeated_vectors(dataset, found)
    return [int(one) for one in found.column("_rowid").to_numpy()[extra]]


def _repeated_vectors(dataset: Any, found: pa.Table) -> NDArray[np.bool_]:
    """Which vectors were there before; their values are read only where segment and box were."""
    keys = np.column_stack([_codes(found.column("segment_id")), _boxes(found.column("box"))])
    _, places, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    places = places.reshape(-1)
    extra = np.zeros(len(keys), dtype=np.bool_)
    suspects = np.flatnonzero(counts[places] > 1)
    if len(suspects):
        taken = dataset.take(suspects.tolist(), columns=["vector"]).column("vector")
        values = taken.combine_chunks().flatten().to_numpy(zero_copy_only=False)
        bits = values.reshape(len(suspects), -1).view(np.uint16)
        extra[suspects] = _repeated(np.column_stack([places[suspects], bits]))
    return extra


def _codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """A number for each value: the same for the same."""
    encoded = column.combine_chunks().dictionary_encode()
    codes: NDArray[np.int64] = encoded.indices.to_numpy().astype(np.int64)
    return codes


def _boxes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """(n, 4) the bits of the coordinates of each box, -1 where there is none."""
    boxes = np.full((len(column), 4), -1, dtype=np.int64)
    array = column.combine_chunks()
    is_there = array.is_valid().to_numpy(zero_copy_only=False)
    corners = array.drop_null().flatten().to_numpy(zero_copy_only=False)
    boxes[is_there] = np.ascontiguousarray(corners, np.float32).view(np.int32).reshape(-1, 4)
    return boxes


def _repeated(keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of (n,) or (n, k) keys were there before."""
    extra = np.ones(len(keys), dtype=np.bool_)
    extra[np.unique(keys, axis=0, return_index=True)[1]] = False
    return extra
