"""The looks of the assets of a snapshot: small grey pictures, by the row of the asset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsearch.index.vector_matrix import Column
from mmsearch.media.thumbprint import THUMBPRINT_BYTES

if TYPE_CHECKING:
    from mmsearch.index.array_folders import Arrays
    from mmsearch.index.base import RowArray
    from mmsearch.store.reader import Reader


@dataclass(frozen=True, slots=True)
class Looks:
    """What there is of looks; nothing of it is read before it is asked for.

    `slots` has a row of `column` for each asset, -1 for one without a look. Those of a library on a
    storage stay there: `reader` fetches what is asked for.
    """

    slots: RowArray | None = None
    column: Column | None = None
    reader: Reader | None = None

    @classmethod
    def mapped(cls, parts: Sequence[Arrays], is_there: NDArray[np.bool_] | None) -> Looks:
        """Of arrays `slots` and `looks`, one of each for every part of the table of assets."""
        column = Column([part["looks"] for part in parts])
        slots = [
            np.where(part["slots"] >= 0, part["slots"] + start, -1)
            for start, part in zip(column.starts.tolist(), parts, strict=False)
        ]
        whole = np.concatenate([np.empty(0, dtype=np.int64), *slots]).astype(np.int64)
        return cls(whole if is_there is None else whole[is_there], column)

    def of(self, assets: RowArray) -> tuple[RowArray, NDArray[np.uint8]]:
        """Which of these assets have a look, by their place among them; (n, 1024) looks."""
        if self.reader is not None:
            return _fetched(self.reader, assets)
        if self.slots is None or self.column is None:
            return _NONE
        slots = self.slots[assets]
        places = np.flatnonzero(slots >= 0)
        return (places, self.column.take(slots[places])) if len(places) else _NONE


_NONE = (np.empty(0, dtype=np.int64), np.empty((0, THUMBPRINT_BYTES), dtype=np.uint8))


def _fetched(reader: Reader, assets: RowArray) -> tuple[RowArray, NDArray[np.uint8]]:
    looks = reader.looks(assets.tolist())
    places = [place for place, look in enumerate(looks) if look is not None]
    flat = np.frombuffer(b"".join(look for look in looks if look is not None), dtype=np.uint8)
    return np.array(places, dtype=np.int64), flat.reshape(-1, THUMBPRINT_BYTES)
