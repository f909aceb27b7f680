"""Applies the filters of a request to all assets, before anything is ranked.

A filter is held against each file by itself: an asset passes where one of its files does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.index.base import RowMask
from mmsearch.snapshot.array_writers import MODALITIES
from mmsearch.snapshot.snapshot import Snapshot
from mmsearch.types import Modality

if TYPE_CHECKING:
    from mmsearch.query.request import SearchRequest


@dataclass(frozen=True, slots=True)
class FilterMask:
    """The rows that pass the filters: `assets` by asset row, `files` by place in `file_rows`."""

    assets: RowMask
    files: RowMask


def build_filter_mask(snapshot: Snapshot, request: SearchRequest) -> FilterMask | None:
    """Returns the rows that pass the filters of a request; None where it has no filter.

    Raises QueryError for a condition that cannot be read.
    """
    if not (request.is_narrowed or request.without):
        return None
    from mmsearch.search import filter_matching
    from mmsearch.snapshot import columns

    owners = columns.read_owners(snapshot)
    files = np.ones(len(owners), dtype=np.bool_)
    if request.kinds:
        codes = [MODALITIES.index(Modality(kind)) for kind in request.kinds]
        files &= np.isin(snapshot.modalities, codes)[owners]
    if request.under:
        files &= filter_matching.match_folders(snapshot, request.under)
    if (condition := request.condition()) is not None:
        files &= filter_matching.match_condition(snapshot, condition)
    assets = np.zeros(len(snapshot.modalities), dtype=np.bool_)
    assets[owners[files]] = True
    for asset_id in request.without:
        row = snapshot.asset_row(asset_id)
        if row is not None:
            assets[row] = False
    return FilterMask(assets, files)


def list_paths(
    snapshot: Snapshot, assets: Sequence[int], mask: FilterMask | None
) -> list[list[str]]:
    """Returns the paths of each asset: those that pass first, each lot in order."""
    if mask is None:
        return snapshot.paths(assets)
    places = [
        slice(int(snapshot.file_offsets[asset]), int(snapshot.file_offsets[asset + 1]))
        for asset in assets
    ]
    rows = [row for place in places for row in snapshot.file_rows[place].tolist()]
    paths = iter(snapshot.reader.read_file_paths(rows))
    return [
        [path for _, path in sorted((not is_in, next(paths)) for is_in in mask.files[place])]
        for place in places
    ]
