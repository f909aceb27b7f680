"""Finds words in the names, folders, titles, cameras and tags of assets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsearch.index.base import RowArray
from mmsearch.index.word_index import FUNCTION_WORDS, WordIndex

WordMatches = tuple[RowArray, NDArray[np.float32]]
"""Rows of assets, rising, and the confidence (0..1) that each has a word."""
MIN_SHARE = 0.15
"""Matches that cover less of a query are dropped."""


@dataclass(frozen=True, slots=True)
class NameIndexPart:
    """The word index of one fragment; `owners` maps its documents to asset rows, -1 for none.

    `segments` maps the documents of tags to rows of segments; None where words are of assets.
    """

    index: WordIndex
    owners: Callable[[RowArray], RowArray]
    segments: Callable[[RowArray], RowArray] | None = None


@dataclass(frozen=True, slots=True)
class NameMatches:
    """Rows of assets, rising, and the share of a query (0..1) that their words cover."""

    assets: RowArray
    shares: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TagMatches:
    """Rows of segments, rising, their assets, and the share of a query that their tags cover."""

    segments: RowArray
    assets: RowArray
    shares: NDArray[np.float32]


class Names:
    """The word indexes of all fragments, searched together."""

    def __init__(self, parts: Sequence[NameIndexPart], assets: int) -> None:
        self._parts = tuple(parts)
        self._assets = assets

    def match(self, query: Sequence[str], *, with_tags: bool = True) -> NameMatches:
        """Returns the assets that have words of a query, and the share of it that each covers.

        Words weigh by their inverse document frequency (Spärck Jones 1972); a word that every asset
        has weighs nothing, one that none has weighs most: a name that lacks it covers less.
        """
        covered = np.zeros(self._assets, dtype=np.float32)
        for word, weight in self._weigh_words(having := self._find_words(query)).items():
            assets, sure = having[word] if with_tags else self.find_word(word, with_tags=False)
            covered[assets] += np.float32(weight) * sure
        assets = np.flatnonzero(covered >= MIN_SHARE)
        return NameMatches(assets, covered[assets])

    def match_tags(self, query: Sequence[str]) -> TagMatches:
        """Returns the segments whose tags have words of a query, weighted as for assets."""
        segments, assets = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
        shares = [np.empty(0, dtype=np.float32)]
        for word, weight in self._weigh_words(self._find_words(query)).items():
            for part in self._parts:
                documents, sure = part.index.find_documents(word)
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
        is_match = covered >= MIN_SHARE
        owners = np.concatenate(assets)[first]
        return TagMatches(rows[is_match], owners[is_match], covered[is_match])

    def _find_words(self, query: Sequence[str]) -> dict[str, WordMatches]:
        """Looks up each word of a query that is no function word."""
        content_words = [word for word in dict.fromkeys(query) if word not in FUNCTION_WORDS]
        return {word: self.find_word(word) for word in content_words}

    def _weigh_words(self, having: Mapping[str, WordMatches]) -> dict[str, float]:
        """Returns the weight of each word, in sum 1; empty where all are in every asset."""
        weights = {
            word: float(np.log((self._assets + 1) / (len(assets) + 1)))
            for word, (assets, _) in having.items()
        }
        total = sum(weights.values())
        return {word: weight / total for word, weight in weights.items()} if total > 0.0 else {}

    def find_word(self, word: str, *, with_tags: bool = True) -> WordMatches:
        """Returns the assets that have a word, rising, and the confidence of each (0..1)."""
        listed, confidences = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.float32)]
        for part in self._parts if with_tags else [p for p in self._parts if p.segments is None]:
            documents, sure = part.index.find_documents(word)
            if len(documents):
                owners = part.owners(documents)
                is_there = owners >= 0
                listed.append(owners[is_there])
                confidences.append(sure[is_there])
        owners, sure = np.concatenate(listed), np.concatenate(confidences)
        order = np.lexsort((-sure, owners))
        assets, first = np.unique(owners[order], return_index=True)
        return assets, sure[order][first]
