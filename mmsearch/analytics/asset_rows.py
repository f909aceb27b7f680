"""The assets that a file leads to: which there are, and what is noted of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.snapshot.snapshot import MODALITIES
from mmsearch.store.schema import ASSETS

if TYPE_CHECKING:
    from mmsearch.index.base import RowArray
    from mmsearch.snapshot.snapshot import Snapshot
    from mmsearch.types import Modality


def rows(snapshot: Snapshot) -> RowArray:
    """The rows of the assets that a file leads to, rising."""

    def make() -> RowArray:
        return np.flatnonzero(np.diff(snapshot.file_offsets) > 0)

    return snapshot.kept("survey.listed", make)


def column(snapshot: Snapshot, name: str, assets: RowArray) -> Any:
    """One column of `assets` for these rows, in their order, as an Arrow array."""
    whole = snapshot.reader.column(ASSETS, name).column(name)
    return whole.take(assets).combine_chunks()


def sampled(snapshot: Snapshot, among: RowArray, at_most: int) -> RowArray:
    """At most so many of these rows, rising.

    Ids are hashes of contents, so that those with the least ones are as good as drawn by lot; they
    are the same every time, and most of them stay when the library grows.
    """
    if len(among) <= at_most:
        return among
    keys = snapshot.asset_keys[among]
    return np.sort(among[np.argpartition(keys, at_most)[:at_most]])


def kind(snapshot: Snapshot, asset: int) -> Modality:
    """What kind of file an asset is."""
    return MODALITIES[int(snapshot.modalities[asset])]


def titles(snapshot: Snapshot, assets: RowArray) -> list[str]:
    """What each is called: the name of its first file."""
    listed: Sequence[int] = assets.tolist()
    return [paths[0].rpartition("/")[2] for paths in snapshot.paths(listed)]
