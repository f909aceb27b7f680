"""Rows of the assets that have a file, and their columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.snapshot.array_writers import MODALITIES
from mmsearch.snapshot.keys import compute_keys
from mmsearch.store.schema import ASSETS, FILES

if TYPE_CHECKING:
    from mmsearch.index.base import RowArray
    from mmsearch.snapshot.snapshot import Snapshot
    from mmsearch.types import Modality


def list_rows(snapshot: Snapshot) -> RowArray:
    """Returns the rows of the assets that have a file and were read, rising."""
    return snapshot.memoize("survey.listed", lambda: _list_rows(snapshot))


def _list_rows(snapshot: Snapshot) -> RowArray:
    is_listed = np.diff(snapshot.file_offsets) > 0
    files = snapshot.reader.read_columns(FILES, "asset_id", "error")
    refused = files.filter(files.column("error").is_valid()).column("asset_id").drop_null()
    rows = snapshot.asset_rows(compute_keys(refused.combine_chunks()))
    is_listed[rows[rows >= 0]] = False
    return np.flatnonzero(is_listed)


def read_column(snapshot: Snapshot, name: str, assets: RowArray) -> Any:
    """Returns one column of `assets` for some rows, in their order, as an Arrow array."""
    column = snapshot.reader.read_columns(ASSETS, name).column(name)
    return column.take(assets).combine_chunks()


def sample_rows(snapshot: Snapshot, among: RowArray, at_most: int) -> RowArray:
    """Returns at most `at_most` of some rows, rising.

    They are those with the smallest ids. As ids are hashes of contents, this is a random sample; it
    is the same every time, and most of it stays when the library grows.
    """
    if len(among) <= at_most:
        return among
    keys = snapshot.asset_keys[among]
    return np.sort(among[np.argpartition(keys, at_most)[:at_most]])


def kind_of(snapshot: Snapshot, asset: int) -> Modality:
    """Returns the kind of an asset."""
    return MODALITIES[int(snapshot.modalities[asset])]


def list_titles(snapshot: Snapshot, assets: RowArray) -> list[str]:
    """Returns the name of the first file of each asset."""
    return [paths[0].rpartition("/")[2] for paths in snapshot.paths(assets.tolist())]
