"""What files say of themselves: their names and folders, titles, cameras, and tags."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsearch.index.base import RowArray
from mmsearch.index.word_index import FUNCTION_WORDS, WordIndex

Having = tuple[RowArray, NDArray[np.float32]]
"""Assets, rising, and how surely each has a word (0..1)."""
LEAST = 0.15
"""What covers less of a query than this is not worth telling."""


@dataclass(frozen=True, slots=True)
class NamePart:
    """The words of one part of a table; `owners` takes its documents to asset rows, -1 for none.

    `segments` takes those of tags to rows of segments; it is None where words are of whole assets.
    """

    index: WordIndex
    owners: Callable[[RowArray], RowArray]
    segments: Callable[[RowArray], RowArray] | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """Assets, rising, and the share of a query (0..1) that their words cover."""

    assets: RowArray
    shares: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Tagged:
    """Segments, rising, their assets, and the share of a query (0..1) that their tags cover."""

    segments: RowArray
    assets: RowArray
    shares: NDArray[np.float32]


class Names:
    """Which assets have which words, over all parts of all tables."""

    def __init__(self, parts: Sequence[NamePart], assets: int) -> None:
        self._parts = tuple(parts)
        self._assets = assets

    def match(self, query: Sequence[str], *, with_tags: bool = True) -> Named:
        """The assets that have words of a query, and how much of it each covers.

        Words weigh by their inverse document frequency (Spärck Jones 1972); a word that every asset
        has weighs nothing, one that none has weighs most: a name that lacks it covers less.
        """
        covered = np.zeros(self._assets, dtype=np.float32)
        for word, weight in self._weights(having := self._having(query)).items():
            assets, sure = having[word] if with_tags else self.having(word, with_tags=False)
            covered[assets] += np.float32(weight) * sure
        assets = np.flatnonzero(covered >= LEAST)
        return Named(assets, covered[assets])

    def tagged(self, query: Sequence[str]) -> Tagged:
        """The segments whose tags have words of a query, which weigh as they do for assets."""
        segments, assets = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
        shares = [np.empty(0, dtype=np.float32)]
        for word, weight in self._weights(self._having(query)).items():
            for part in self._parts:
                documents, sure = part.index.having(word)
                if part.segments is not None and len(documents):
                    owners = part.owners(documents)
                    is_there = owners >= 0
                    segments.append(part.segments(documents)[is_there])
                    assets.append(owners[is_there])
                    shares.append(np.float32(weight) * sure[is_there])
        rows, first, at = np.unique(
            np.concatenate(segments), return_index=True, return_inverse=True
        )
        covered = np.bincount(at, np.concatenate(shares), len(rows)).astype(np.float32)
        is_told = covered >= LEAST
        owned = np.concatenate(assets)[first]
        return Tagged(rows[is_told], owned[is_told], covered[is_told])

    def _having(self, query: Sequence[str]) -> dict[str, Having]:
        """What `having` gives for each telling word of a query."""
        return {
            word: self.having(word) for word in dict.fromkeys(query) if word not in FUNCTION_WORDS
        }

    def _weights(self, having: Mapping[str, Having]) -> dict[str, float]:
        """What each word weighs of a query; nothing where none tells anything."""
        weights = {
            word: float(np.log((self._assets + 1) / (len(assets) + 1)))
            for word, (assets, _) in having.items()
        }
        total = sum(weights.values())
        return {word: one / total for word, one in weights.items()} if total > 0.0 else {}

    def having(self, word: str, *, with_tags: bool = True) -> Having:
        """The assets that have a word, rising, and how surely each does (0..1)."""
        listed, known = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.float32)]
        for part in self._parts if with_tags else [p for p in self._parts if p.segments is None]:
            documents, sure = part.index.having(word)
            if len(documents):
                owners = part.owners(documents)
                is_there = owners >= 0
                listed.append(owners[is_there])
                known.append(sure[is_there])
        owners, sure = np.concatenate(listed), np.concatenate(known)
        order = np.lexsort((-sure, owners))
        assets, first = np.unique(owners[order], return_index=True)
        return assets, sure[order][first]
