"""How many assets there are, by kind, time, camera, language, format and length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.analytics import asset_rows
from mmsearch.snapshot import columns
from mmsearch.snapshot.snapshot import MODALITIES
from mmsearch.types import Modality

if TYPE_CHECKING:
    from mmsearch.index.base import RowArray
    from mmsearch.snapshot.snapshot import Snapshot

AT_MOST = 50
"""How many different values are named."""
LENGTHS_S = (0.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""Where the classes of lengths begin, in seconds; the last has no end."""
YEARS = (1826, 9999)
"""What a time may be that is believed: from the first photograph on."""


@dataclass(frozen=True, slots=True)
class Named:
    """How many assets have a value."""

    name: str
    assets: int


@dataclass(frozen=True, slots=True)
class Ranked:
    """The values that most assets have, the most frequent first.

    `distinct` is how many values there are, `unknown` how many assets have none.
    """

    named: tuple[Named, ...] = ()
    distinct: int = 0
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Month:
    """How many assets of a kind are of a month, written as 2024-05."""

    month: str
    kind: Modality
    assets: int


@dataclass(frozen=True, slots=True)
class Length:
    """How many assets of a kind last from `start_s` to before `end_s` (None: any longer)."""

    kind: Modality
    start_s: float
    end_s: float | None
    assets: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What there is, in assets; a content that lies in several files is one.

    `size_bytes` is by kind, as is `duration_s` of what has one. A time is when it was taken, else
    when its oldest file was last changed; `undated` have none that can be believed.
    """

    assets: int
    files: int
    kinds: tuple[Named, ...]
    size_bytes: dict[Modality, int]
    duration_s: dict[Modality, float]
    months: tuple[Month, ...]
    undated: int
    lengths: tuple[Length, ...]
    cameras: Ranked
    languages: Ranked
    formats: Ranked


def counts(snapshot: Snapshot) -> Counts:
    """Count everything; one column is in memory at a time."""
    return snapshot.kept("survey.counts", lambda: _counts(snapshot))


def _counts(snapshot: Snapshot) -> Counts:
    assets = asset_rows.rows(snapshot)
    kinds = snapshot.modalities[assets]
    found = np.bincount(kinds, minlength=len(MODALITIES)).tolist()
    months, undated = _months(snapshot, assets)
    sizes = _numbers(snapshot, "size_bytes", assets)
    durations = _numbers(snapshot, "duration_s", assets)
    return Counts(
        assets=len(assets),
        files=len(snapshot.file_rows),
        kinds=tuple(
            Named(kind.value, count) for kind, count in zip(MODALITIES, found, strict=True) if count
        ),
        size_bytes={kind: int(total) for kind, total in _sums(kinds, sizes).items()},
        duration_s=_sums(kinds, durations),
        months=months,
        undated=undated,
        lengths=_lengths(kinds, durations),
        cameras=_ranked(asset_rows.column(snapshot, "camera", assets)),
        languages=_ranked(asset_rows.column(snapshot, "language", assets)),
        formats=_ranked(asset_rows.column(snapshot, "format", assets)),
    )


def _numbers(snapshot: Snapshot, name: str, assets: RowArray) -> columns.NumberArray:
    known = asset_rows.column(snapshot, name, assets).cast("float64")
    return np.asarray(known.to_numpy(zero_copy_only=False), dtype=np.float64)


def _sums(kinds: Any, values: columns.NumberArray) -> dict[Modality, float]:
    is_known = np.isfinite(values)
    totals = np.bincount(kinds[is_known], weights=values[is_known], minlength=len(MODALITIES))
    there = set(kinds[is_known].tolist())
    return {kind: float(totals[at]) for at, kind in enumerate(MODALITIES) if at in there}


def _months(snapshot: Snapshot, assets: RowArray) -> tuple[tuple[Month, ...], int]:
    times = columns.times(snapshot, "date")[snapshot.file_offsets[assets]]
    first, last = (np.datetime64(f"{year:04}-01-01") for year in YEARS)
    # NaT is never between two times.
    is_known = (times >= first) & (times < last)
    months = times[is_known].astype("datetime64[M]")
    kinds = snapshot.modalities[assets][is_known]
    pairs, found = np.unique(months.astype(np.int64) * len(MODALITIES) + kinds, return_counts=True)
    at, which = np.divmod(pairs, len(MODALITIES))
    return tuple(
        Month(str(month), MODALITIES[kind], count)
        for month, kind, count in zip(
            at.astype("datetime64[M]"), which.tolist(), found.tolist(), strict=True
        )
    ), int(np.count_nonzero(~is_known))


def _lengths(kinds: Any, durations: columns.NumberArray) -> tuple[Length, ...]:
    is_known = np.isfinite(durations) & (durations >= 0)
    classes = np.searchsorted(LENGTHS_S, durations[is_known], side="right") - 1
    size = len(LENGTHS_S)
    found = np.bincount(
        kinds[is_known].astype(np.int64) * size + classes, minlength=size * len(MODALITIES)
    ).reshape(-1, size)
    ends: tuple[float | None, ...] = (*LENGTHS_S[1:], None)
    return tuple(
        Length(MODALITIES[kind], LENGTHS_S[at], ends[at], int(found[kind, at]))
        for kind in np.flatnonzero(found.any(axis=1)).tolist()
        for at in range(size)
    )


def _ranked(values: Any) -> Ranked:
    import pyarrow.compute as pc

    tidy = pc.utf8_trim_whitespace(values.drop_null())
    tidy = tidy.filter(pc.not_equal(tidy, ""))
    names, found = pc.value_counts(tidy).flatten()
    pairs = sorted(
        zip(names.to_pylist(), found.to_pylist(), strict=True), key=lambda one: (-one[1], one[0])
    )
    return Ranked(
        named=tuple(Named(name, count) for name, count in pairs[:AT_MOST]),
        distinct=len(pairs),
        unknown=len(values) - len(tidy),
    )
