"""Which documents have which words, as arrays that can be memory-mapped."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.index.base import RowArray

MAX_WORD = 32
FUNCTION_WORDS = frozenset(
    {"a", "an", "and", "are", "as", "at", "be", "by", "did", "do", "does", "for", "from", "had",
     "has", "have", "how", "in", "is", "it", "its", "of", "on", "or", "that", "the", "their",
     "there", "this", "to", "was", "were", "what", "when", "where", "which", "who", "why", "will",
     "with"}
)  # fmt: skip
"""English words that say nothing of what is looked for; in a title of few words they would."""
PHRASE = re.compile(r'"([^"]*)"')
"""What stands in double quotes must stand together."""
_WORD = re.compile(r"[^\W\d_]+|\d+")
_SURE = 255
# Letters that Unicode does not take apart, as the full-text index of Lance folds them.
_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ħ": "h",
     "ı": "i", "ŋ": "n"}
)  # fmt: skip


def plain(text: str) -> str:
    """Lower case, without accents and other marks: 'Ærø Café' -> aero cafe."""
    if text.isascii():
        return text.lower()
    parts = unicodedata.normalize("NFKD", text)
    bare = "".join(char for char in parts if unicodedata.category(char)[0] != "M")
    return bare.lower().translate(_LETTERS)


def words(text: str) -> list[str]:
    """Lower-case words and numbers, without accents: 'IMG_41 Zürich.jpg' -> img 41 zurich jpg."""
    return [word[:MAX_WORD] for word in _WORD.findall(plain(text))]


@dataclass(frozen=True, slots=True)
class WordIndex:
    """An inverted index over numbered documents.

    `vocabulary` is sorted; the documents with word i are `postings[offsets[i]:offsets[i + 1]]`,
    rising, and `weights`, of the same length, says how surely each has it (255: it does).
    """

    vocabulary: NDArray[np.str_]
    offsets: NDArray[np.int64]
    postings: NDArray[np.int32]
    weights: NDArray[np.uint8]

    @classmethod
    def build(cls, texts: Iterable[tuple[int, str, float]]) -> WordIndex:
        """From (document, text, how sure); a document may come several times."""
        found: defaultdict[str, dict[int, int]] = defaultdict(dict)
        for document, text, sure in texts:
            weight = max(1, min(_SURE, round(_SURE * sure)))
            for word in words(text):
                known = found[word]
                known[document] = max(weight, known.get(document, 0))
        vocabulary = sorted(found)
        pairs = [pair for word in vocabulary for pair in sorted(found[word].items())]
        sizes = [len(found[word]) for word in vocabulary]
        return cls(
            np.array(vocabulary, dtype=f"<U{MAX_WORD}"),
            np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64),
            np.array([document for document, _ in pairs], dtype=np.int32),
            np.array([weight for _, weight in pairs], dtype=np.uint8),
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Its arrays by the names that `mapped` takes them by."""
        return {
            "vocabulary": self.vocabulary,
            "word_offsets": self.offsets,
            "postings": self.postings,
            "word_weights": self.weights,
        }

    @classmethod
    def mapped(cls, arrays: Mapping[str, NDArray[Any]]) -> WordIndex:
        """From what `arrays` gave."""
        return cls(
            arrays["vocabulary"], arrays["word_offsets"], arrays["postings"], arrays["word_weights"]
        )

    def having(self, word: str) -> tuple[RowArray, NDArray[np.float32]]:
        """The documents that have a word, rising, and how surely each does (0..1)."""
        at = int(np.searchsorted(self.vocabulary, word))
        if at == len(self.vocabulary) or self.vocabulary[at] != word:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        part = slice(int(self.offsets[at]), int(self.offsets[at + 1]))
        return self.postings[part].astype(np.int64), (self.weights[part] / _SURE).astype(np.float32)
