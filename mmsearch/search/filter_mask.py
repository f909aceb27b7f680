"""Which assets may be hits: decided for all of them before anything is ranked.

A filter is held against each file by itself: an asset passes where one of its files does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.errors import QueryError
from mmsearch.index.base import RowMask
from mmsearch.snapshot.snapshot import MODALITIES, Snapshot
from mmsearch.types import Modality

if TYPE_CHECKING:
    from mmsearch.query.filters.dates import Period
    from mmsearch.query.filters.expressions import Expression

Day = str | date
"""A date, a moment, or a text such as 2024-05 or 7d."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which assets may be hits."""

    kinds: frozenset[Modality] = frozenset()
    under: tuple[str, ...] = ()
    without: frozenset[str] = frozenset()  # asset ids
    where: Expression | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether it says what is wanted, not only what is not."""
        return bool(self.kinds or self.under or self.where)

    @property
    def is_open(self) -> bool:
        """Whether it lets everything pass."""
        return not (self.kinds or self.under or self.without or self.where)


@dataclass(frozen=True, slots=True)
class FilterMask:
    """What passes a filter: `assets` by asset row, `files` by their place in `file_rows`."""

    assets: RowMask
    files: RowMask


def condition(
    where: str | Expression | None, *, after: Day | None = None, before: Day | None = None
) -> Expression | None:
    """All that is asked for as one condition, None where nothing is.

    `after` begins with the first moment of what it names, `before` ends there. Raises QueryError
    for what cannot be read.
    """
    if where is None and after is None and before is None:
        return None
    # Here, so that a search without them does not wait for their language.
    from mmsearch.query.filters import parser as language
    from mmsearch.query.filters.expressions import Compare, all_of

    return all_of(
        [
            None if after is None else Compare("date", ">=", _period("after", after)),
            None if before is None else Compare("date", "<", _period("before", before)),
            language.parse(where) if isinstance(where, str) else where,
        ]
    )


def _period(name: str, said: Day) -> Period:
    from mmsearch.query.filters.dates import period

    try:
        return period(said)
    except QueryError as exc:
        raise QueryError(f"{name}: {exc}") from exc


def build_filter_mask(snapshot: Snapshot, wanted: Filter) -> FilterMask | None:
    """What passes; None where everything does."""
    if wanted.is_open:
        return None
    from mmsearch.search import filter_matching
    from mmsearch.snapshot import columns

    owners = columns.owners(snapshot)
    files = np.ones(len(owners), dtype=np.bool_)
    if wanted.kinds:
        codes = [MODALITIES.index(kind) for kind in wanted.kinds]
        files &= np.isin(snapshot.modalities, codes)[owners]
    if wanted.under:
        files &= filter_matching.files_under(snapshot, wanted.under)
    if wanted.where is not None:
        files &= filter_matching.files_where(snapshot, wanted.where)
    assets = np.zeros(len(snapshot.modalities), dtype=np.bool_)
    assets[owners[files]] = True
    for asset_id in wanted.without:
        row = snapshot.asset_row(asset_id)
        if row is not None:
            assets[row] = False
    return FilterMask(assets, files)


def allowed_assets(snapshot: Snapshot, wanted: Filter) -> RowMask | None:
    """Which assets pass, by asset row; None where all do."""
    found = build_filter_mask(snapshot, wanted)
    return None if found is None else found.assets


def list_paths(
    snapshot: Snapshot, assets: Sequence[int], found: FilterMask | None
) -> list[list[str]]:
    """Where each asset lies: the paths that pass first, each lot in the order of the paths."""
    if found is None:
        return snapshot.paths(assets)
    places = [
        slice(int(snapshot.file_offsets[asset]), int(snapshot.file_offsets[asset + 1]))
        for asset in assets
    ]
    rows = [row for place in places for row in snapshot.file_rows[place].tolist()]
    read = iter(snapshot.reader.file_paths(rows))
    return [
        [path for _, path in sorted((not good, next(read)) for good in found.files[place].tolist())]
        for place in places
    ]
