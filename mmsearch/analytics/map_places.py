"""Where on Earth assets were taken, as far as they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.analytics import asset_rows
from mmsearch.types import Modality

if TYPE_CHECKING:
    from mmsearch.snapshot.snapshot import Snapshot

AT_MOST = 5_000


@dataclass(frozen=True, slots=True)
class Pin:
    """An asset at a place, in degrees."""

    asset_id: str
    latitude: float
    longitude: float
    kind: Modality
    title: str


@dataclass(frozen=True, slots=True)
class Places:
    """The assets with a place: `assets` of them, of which `pins` are all or a sample."""

    pins: tuple[Pin, ...]
    assets: int


def places(snapshot: Snapshot, *, at_most: int = AT_MOST) -> Places:
    """At most so many pins."""
    return snapshot.kept(f"survey.places.{at_most}", lambda: _places(snapshot, at_most))


def _places(snapshot: Snapshot, at_most: int) -> Places:
    rows = asset_rows.rows(snapshot)
    degrees = np.stack(
        [
            np.asarray(asset_rows.column(snapshot, name, rows).to_numpy(zero_copy_only=False))
            for name in ("latitude", "longitude")
        ],
        axis=1,
    ).astype(np.float64)
    is_placed = np.isfinite(degrees).all(axis=1) & (np.abs(degrees) <= (90, 180)).all(axis=1)
    # A camera without a fix writes zeros: nothing was taken in the Gulf of Guinea that often.
    is_placed &= degrees.any(axis=1)
    placed = rows[is_placed]
    shown = asset_rows.sampled(snapshot, placed, at_most)
    at = degrees[np.searchsorted(rows, shown)]
    ids = asset_rows.column(snapshot, "asset_id", shown).to_pylist()
    pins = tuple(
        Pin(asset_id, latitude, longitude, asset_rows.kind(snapshot, asset), title)
        for asset_id, (latitude, longitude), asset, title in zip(
            ids, at.tolist(), shown.tolist(), asset_rows.titles(snapshot, shown), strict=True
        )
    )
    return Places(pins, len(placed))
