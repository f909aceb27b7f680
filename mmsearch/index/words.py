"""Which files have which words in their names and titles."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_WORD = 32
FUNCTION_WORDS = frozenset(
    {"a", "an", "and", "are", "as", "at", "be", "by", "did", "do", "does", "for", "from", "had",
     "has", "have", "how", "in", "is", "it", "its", "of", "on", "or", "that", "the", "their",
     "there", "this", "to", "was", "were", "what", "when", "where", "which", "who", "why", "will",
     "with"}
)  # fmt: skip
"""English words that say nothing of what is looked for; in a title of few words they would."""
_WORD = re.compile(r"[^\W\d_]+|\d+")


def words(text: str) -> list[str]:
    """Lower-case words and numbers, without accents: 'IMG_41 Zürich.jpg' -> img 41 zurich jpg."""
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    return [word.lower()[:MAX_WORD] for word in _WORD.findall(plain)]


@dataclass(frozen=True, slots=True)
class WordIndex:
    """An inverted index as three arrays, so that it can be memory-mapped.

    `vocabulary` is sorted; the assets with word i are `postings[offsets[i]:offsets[i + 1]]`.
    """

    vocabulary: NDArray[np.str_]
    offsets: NDArray[np.int64]
    postings: NDArray[np.int32]
    asset_count: int

    @classmethod
    def build(cls, texts: Iterable[tuple[int, str]], asset_count: int) -> WordIndex:
        """From (asset, text) pairs; an asset may come several times."""
        found: defaultdict[str, set[int]] = defaultdict(set)
        for asset, text in texts:
            for word in words(text):
                found[word].add(asset)
        vocabulary = sorted(found)
        sizes = [len(found[word]) for word in vocabulary]
        postings = [asset for word in vocabulary for asset in sorted(found[word])]
        return cls(
            np.array(vocabulary, dtype=f"<U{MAX_WORD}"),
            np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64),
            np.array(postings, dtype=np.int32),
            asset_count,
        )

    def match(self, query: Sequence[str]) -> dict[int, float]:
        """Assets that have any of the words, with the share of the query that they cover.

        Words weigh by their inverse document frequency (Spärck Jones 1972); a word that every asset
        has weighs nothing, one that none has weighs most: a name that lacks it covers less.
        """
        covered: defaultdict[int, float] = defaultdict(float)
        total = 0.0
        for word in dict.fromkeys(query):
            if word in FUNCTION_WORDS:
                continue
            at = int(np.searchsorted(self.vocabulary, word))
            known = at < len(self.vocabulary) and self.vocabulary[at] == word
            having = self.postings[self.offsets[at] : self.offsets[at + 1]] if known else ()
            weight = float(np.log((self.asset_count + 1) / (len(having) + 1)))
            total += weight
            for asset in having:
                covered[int(asset)] += weight
        if total <= 0.0:
            return {}
        return {asset: weight / total for asset, weight in covered.items() if weight > 0.0}
