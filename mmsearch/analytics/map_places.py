"""The places at which assets were taken."""

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
class MapPlaces:
    """The number of assets with a place, and pins for all or a sample of them."""

    pins: tuple[Pin, ...]
    assets: int


def list_places(snapshot: Snapshot, *, at_most: int = AT_MOST) -> MapPlaces:
    """Returns at most `at_most` pins."""
    return snapshot.memoize(f"survey.places.{at_most}", lambda: _list_places(snapshot, at_most))


def _list_places(snapshot: Snapshot, at_most: int) -> MapPlaces:
    rows = asset_rows.list_rows(snapshot)
    degrees = np.stack(
        [
            np.asarray(asset_rows.read_column(snapshot, name, rows).to_numpy(zero_copy_only=False))
            for name in ("latitude", "longitude")
        ],
        axis=1,
    ).astype(np.float64)
    is_placed = np.isfinite(degrees).all(axis=1) & (np.abs(degrees) <= (90, 180)).all(axis=1)
    # A camera without a GPS fix writes zeros.
    is_placed &= degrees.any(axis=1)
    placed = rows[is_placed]
    shown = asset_rows.sample_rows(snapshot, placed, at_most)
    shown_degrees = degrees[np.searchsorted(rows, shown)]
    ids = asset_rows.read_column(snapshot, "asset_id", shown).to_pylist()
    pins = tuple(
        Pin(asset_id, latitude, longitude, asset_rows.kind_of(snapshot, asset), title)
        for asset_id, (latitude, longitude), asset, title in zip(
            ids,
            shown_degrees.tolist(),
            shown.tolist(),
            asset_rows.list_titles(snapshot, shown),
            strict=True,
        )
    )
    return MapPlaces(pins, len(placed))
