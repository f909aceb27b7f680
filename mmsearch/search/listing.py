"""Lists the assets that pass the filters of a plan that seeks nothing, the newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mmsearch.search.hits import RankedAsset, build_hits
from mmsearch.search.negation import NegativeMatches, find_negative_matches, is_removed

if TYPE_CHECKING:
    from mmsearch.search.plan import SearchPlan
    from mmsearch.types import Hit

SCORE = 1.0
"""Nothing was asked that could be missed."""
LOT = 1024
"""Assets that are held against what is to be avoided at a time."""


def list_newest(plan: SearchPlan) -> list[Hit]:
    """Returns the assets that pass and match nothing that is to be avoided, up to the limit.

    Those first that were taken, else changed, last; equal ones in the order of their ids.
    """
    snapshot, limit = plan.snapshot, plan.request.limit
    texts, vectors = plan.avoided_texts, plan.avoided_vectors
    rows = _sort_newest_first(plan)
    matched = NegativeMatches()
    listed: list[int] = []
    for first in range(0, len(rows), LOT):
        lot = rows[first : first + LOT]
        if plan.has_avoided:
            find_negative_matches(snapshot, vectors, texts, plan.calibrations, lot, matched)
        # What has no segment has nothing to be shown.
        listed += [
            row
            for row in lot
            if len(snapshot.segments_of(row)) and not is_removed(snapshot, row, matched)
        ]
        if len(listed) >= limit:
            break
    return build_hits(
        snapshot,
        [RankedAsset(SCORE, row, ()) for row in listed[:limit]],
        matched.segments,
        "",
        models={},
        through=plan.filter_mask,
        limit=limit,
    )


def _sort_newest_first(plan: SearchPlan) -> list[int]:
    """Returns the asset rows that pass the filters, the newest first."""
    from mmsearch.snapshot import columns

    snapshot, mask = plan.snapshot, plan.filter_mask
    owners = columns.read_owners(snapshot)
    files = np.arange(len(owners))
    if mask is not None:
        files = np.flatnonzero(mask.files & mask.assets[owners])
    assets, first = np.unique(owners[files], return_index=True)
    # That of an asset, so the same for all its files.
    since_us = columns.read_times(snapshot, "date")[files[first]].astype(np.int64)
    rows: list[int] = assets[np.lexsort((snapshot.asset_keys[assets], -since_us))].tolist()
    return rows
