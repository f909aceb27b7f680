"""The thumbprints of the assets of a snapshot, by the row of the asset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsearch.index.vector_matrix import Column
from mmsearch.media.pictures.thumbprint import THUMBPRINT_BYTES

if TYPE_CHECKING:
    from mmsearch.index.array_folders import Arrays
    from mmsearch.index.base import RowArray
    from mmsearch.store.reader import Reader


@dataclass(frozen=True, slots=True)
class Thumbprints:
    """Thumbprints, mapped or fetched when asked for.

    `slots` has a row of `column` for each asset, -1 for one without. Those of a library on a
    storage stay there: `reader` fetches them.
    """

    slots: RowArray | None = None
    column: Column | None = None
    reader: Reader | None = None

    @classmethod
    def from_arrays(
        cls, parts: Sequence[Arrays], is_there: NDArray[np.bool_] | None
    ) -> Thumbprints:
        """Makes them from the arrays `slots` and `looks` of every fragment."""
        column = Column([part["looks"] for part in parts])
        slots = [
            np.where(part["slots"] >= 0, part["slots"] + start, -1)
            for start, part in zip(column.starts.tolist(), parts, strict=False)
        ]
        whole = np.concatenate([np.empty(0, dtype=np.int64), *slots]).astype(np.int64)
        return cls(whole if is_there is None else whole[is_there], column)

    def find(self, assets: RowArray) -> tuple[RowArray, NDArray[np.uint8]]:
        """Returns the positions in `assets` that have a thumbprint, and these, (n, 1024)."""
        if self.reader is not None:
            return _fetch(self.reader, assets)
        if self.slots is None or self.column is None:
            return _NONE
        slots = self.slots[assets]
        places = np.flatnonzero(slots >= 0)
        return (places, self.column.take(slots[places])) if len(places) else _NONE


_NONE = (np.empty(0, dtype=np.int64), np.empty((0, THUMBPRINT_BYTES), dtype=np.uint8))


def _fetch(reader: Reader, assets: RowArray) -> tuple[RowArray, NDArray[np.uint8]]:
    stored = reader.read_thumbprints(assets.tolist())
    positions = [position for position, row in enumerate(stored) if row is not None]
    flat = np.frombuffer(b"".join(filter(None, stored)), dtype=np.uint8)
    return np.array(positions, dtype=np.int64), flat.reshape(-1, THUMBPRINT_BYTES)
