"""What passes a filter when nothing is looked for: all of it, the newest first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.query.ranking import DEFAULT_RANKING, Ranking
from mmsearch.search import filter_mask, hits
from mmsearch.search.hits import Found
from mmsearch.search.negation import Avoided, avoided, is_out
from mmsearch.snapshot.snapshot import Snapshot

if TYPE_CHECKING:
    from mmsearch.models.presets import Calibration
    from mmsearch.search.filter_mask import Filter, FilterMask
    from mmsearch.search.retrieval import Asked
    from mmsearch.types import Hit

SCORE = 1.0
"""Nothing was asked that could be missed."""
LOT = 1024
"""Assets that are held against what is to be avoided at a time."""


def newest(
    snapshot: Snapshot,
    asked: Asked,
    curves: Mapping[str, Calibration],
    *,
    where: Filter,
    limit: int,
    ranking: Ranking = DEFAULT_RANKING,
) -> list[Hit]:
    """At most `limit` assets that pass, without those that match what `asked` avoids.

    Those first that were taken, else changed, last; equal ones in the order of their ids.
    """
    through = filter_mask.build_filter_mask(snapshot, where)
    rows = _newest_first(snapshot, through)
    probes = list(asked.encode()) if asked.avoids and ranking.vectors else []
    texts = asked.shunned if ranking.words else []
    out = Avoided()
    chosen: list[int] = []
    for first in range(0, len(rows), LOT):
        lot = rows[first : first + LOT]
        if asked.avoids:
            avoided(snapshot, probes, texts, curves, lot, out)
        # What has no segment has nothing to be shown.
        chosen += [
            row for row in lot if len(snapshot.segments_of(row)) and not is_out(snapshot, row, out)
        ]
        if len(chosen) >= limit:
            break
    return hits.hits(
        snapshot,
        [Found(SCORE, row, ()) for row in chosen[:limit]],
        out.segments,
        "",
        models={},
        through=through,
        limit=limit,
    )


def _newest_first(snapshot: Snapshot, through: FilterMask | None) -> list[int]:
    """The asset rows that pass."""
    from mmsearch.snapshot import columns

    owners = columns.owners(snapshot)
    files = np.arange(len(owners))
    if through is not None:
        files = np.flatnonzero(through.files & through.assets[owners])
    assets, first = np.unique(owners[files], return_index=True)
    # That of an asset, so the same for all its files.
    since_us = columns.times(snapshot, "date")[files[first]].astype(np.int64)
    rows: list[int] = assets[np.lexsort((snapshot.asset_keys[assets], -since_us))].tolist()
    return rows
