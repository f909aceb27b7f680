"""Counts assets by kind, time, camera, language, format and length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.analytics import asset_rows
from mmsearch.snapshot import columns
from mmsearch.snapshot.array_writers import MODALITIES
from mmsearch.types import Modality

if TYPE_CHECKING:
    from mmsearch.index.base import RowArray
    from mmsearch.snapshot.snapshot import Snapshot

AT_MOST = 50
"""The most values that are named."""
LENGTHS_S = (0.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""The lower bounds of the classes of lengths; the last class has no upper bound."""
YEARS = (1826, 9999)
"""The range of plausible years: from the first photograph on."""


@dataclass(frozen=True, slots=True)
class NamedCount:
    """The number of assets with a value."""

    name: str
    assets: int


@dataclass(frozen=True, slots=True)
class TopValues:
    """The most frequent values, the most frequent first.

    `distinct` is the number of different values, `unknown` the number of assets without one.
    """

    named: tuple[NamedCount, ...] = ()
    distinct: int = 0
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class MonthCount:
    """The number of assets of a kind in a month, written as 2024-05."""

    month: str
    kind: Modality
    assets: int


@dataclass(frozen=True, slots=True)
class LengthCount:
    """The number of assets of a kind with a length in [start_s, end_s); no end where it is None."""

    kind: Modality
    start_s: float
    end_s: float | None
    assets: int


@dataclass(frozen=True, slots=True)
class AssetCounts:
    """Counts of assets; the content of several files is one asset.

    `size_bytes` and `duration_s` are totals by kind. The time of an asset is when it was taken,
    else when its oldest file was last changed; `undated` counts those without a plausible time.
    """

    assets: int
    files: int
    kinds: tuple[NamedCount, ...]
    size_bytes: dict[Modality, int]
    duration_s: dict[Modality, float]
    months: tuple[MonthCount, ...]
    undated: int
    lengths: tuple[LengthCount, ...]
    cameras: TopValues
    languages: TopValues
    formats: TopValues


def count_assets(snapshot: Snapshot) -> AssetCounts:
    """Counts all of `AssetCounts`; one column is in memory at a time."""
    return snapshot.memoize("survey.counts", lambda: _count_assets(snapshot))


def _count_assets(snapshot: Snapshot) -> AssetCounts:
    assets = asset_rows.list_rows(snapshot)
    kinds = snapshot.modalities[assets]
    counts = np.bincount(kinds, minlength=len(MODALITIES)).tolist()
    months, undated = _count_months(snapshot, assets)
    sizes = _read_numbers(snapshot, "size_bytes", assets)
    durations = _read_numbers(snapshot, "duration_s", assets)
    return AssetCounts(
        assets=len(assets),
        files=int(np.diff(snapshot.file_offsets)[assets].sum()),
        kinds=tuple(
            NamedCount(kind.value, count)
            for kind, count in zip(MODALITIES, counts, strict=True)
            if count
        ),
        size_bytes={kind: int(total) for kind, total in _sum_by(kinds, sizes).items()},
        duration_s=_sum_by(kinds, durations),
        months=months,
        undated=undated,
        lengths=_count_lengths(kinds, durations),
        cameras=_rank_values(asset_rows.read_column(snapshot, "camera", assets)),
        languages=_rank_values(asset_rows.read_column(snapshot, "language", assets)),
        formats=_rank_values(asset_rows.read_column(snapshot, "format", assets)),
    )


def _read_numbers(snapshot: Snapshot, name: str, assets: RowArray) -> columns.NumberArray:
    numbers = asset_rows.read_column(snapshot, name, assets).cast("float64")
    return np.asarray(numbers.to_numpy(zero_copy_only=False), dtype=np.float64)


def _sum_by(kinds: Any, values: columns.NumberArray) -> dict[Modality, float]:
    is_known = np.isfinite(values)
    totals = np.bincount(kinds[is_known], weights=values[is_known], minlength=len(MODALITIES))
    present = set(kinds[is_known].tolist())
    return {kind: float(totals[code]) for code, kind in enumerate(MODALITIES) if code in present}


def _count_months(snapshot: Snapshot, assets: RowArray) -> tuple[tuple[MonthCount, ...], int]:
    times = columns.read_times(snapshot, "date")[snapshot.file_offsets[assets]]
    first, last = (np.datetime64(f"{year:04}-01-01") for year in YEARS)
    # NaT is never between two times.
    is_known = (times >= first) & (times < last)
    months = times[is_known].astype("datetime64[M]")
    kinds = snapshot.modalities[assets][is_known]
    pairs, counts = np.unique(months.astype(np.int64) * len(MODALITIES) + kinds, return_counts=True)
    month_numbers, kind_codes = np.divmod(pairs, len(MODALITIES))
    return tuple(
        MonthCount(str(month), MODALITIES[kind], count)
        for month, kind, count in zip(
            month_numbers.astype("datetime64[M]"), kind_codes.tolist(), counts.tolist(), strict=True
        )
    ), int(np.count_nonzero(~is_known))


def _count_lengths(kinds: Any, durations: columns.NumberArray) -> tuple[LengthCount, ...]:
    is_known = np.isfinite(durations) & (durations >= 0)
    classes = np.searchsorted(LENGTHS_S, durations[is_known], side="right") - 1
    size = len(LENGTHS_S)
    counts = np.bincount(
        kinds[is_known].astype(np.int64) * size + classes, minlength=size * len(MODALITIES)
    ).reshape(-1, size)
    ends: tuple[float | None, ...] = (*LENGTHS_S[1:], None)
    return tuple(
        LengthCount(MODALITIES[kind], LENGTHS_S[step], ends[step], int(counts[kind, step]))
        for kind in np.flatnonzero(counts.any(axis=1)).tolist()
        for step in range(size)
    )


def _rank_values(values: Any) -> TopValues:
    import pyarrow.compute as pc

    tidy = pc.utf8_trim_whitespace(values.drop_null())
    tidy = tidy.filter(pc.not_equal(tidy, ""))
    names, counts = pc.value_counts(tidy).flatten()
    pairs = sorted(
        zip(names.to_pylist(), counts.to_pylist(), strict=True),
        key=lambda pair: (-pair[1], pair[0]),
    )
    return TopValues(
        named=tuple(NamedCount(name, count) for name, count in pairs[:AT_MOST]),
        distinct=len(pairs),
        unknown=len(values) - len(tidy),
    )
