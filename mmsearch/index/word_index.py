"""An inverted index of words, as arrays that can be memory-mapped."""

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
"""English stop words: as matches in a title of few words they would mislead."""
PHRASE = re.compile(r'"([^"]*)"')
"""Words in double quotes must follow each other."""
_WORD = re.compile(r"[^\W\d_]+|\d+")
_CERTAIN = 255
# Letters that Unicode does not decompose, as the full-text index of Lance folds them.
_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ħ": "h",
     "ı": "i", "ŋ": "n"}
)  # fmt: skip


def fold_text(text: str) -> str:
    """Returns lower case without accents and other marks: 'Ærø Café' -> aero cafe."""
    if text.isascii():
        return text.lower()
    parts = unicodedata.normalize("NFKD", text)
    bare = "".join(char for char in parts if unicodedata.category(char)[0] != "M")
    return bare.lower().translate(_LETTERS)


def split_words(text: str) -> list[str]:
    """Returns folded words and numbers: 'IMG_41 Zürich.jpg' -> img 41 zurich jpg."""
    return [word[:MAX_WORD] for word in _WORD.findall(fold_text(text))]


@dataclass(frozen=True, slots=True)
class WordIndex:
    """An inverted index over numbered documents.

    `vocabulary` is sorted; the documents with word i are `postings[offsets[i]:offsets[i + 1]]`,
    rising; `weights`, of the same length, are the confidences that they have it (255: certain).
    """

    vocabulary: NDArray[np.str_]
    offsets: NDArray[np.int64]
    postings: NDArray[np.int32]
    weights: NDArray[np.uint8]

    @classmethod
    def build(cls, texts: Iterable[tuple[int, str, float]]) -> WordIndex:
        """Builds it from (document, text, confidence); a document may come several times."""
        documents: defaultdict[str, dict[int, int]] = defaultdict(dict)
        for document, text, confidence in texts:
            weight = max(1, min(_CERTAIN, round(_CERTAIN * confidence)))
            for word in split_words(text):
                weights = documents[word]
                weights[document] = max(weight, weights.get(document, 0))
        vocabulary = sorted(documents)
        pairs = [pair for word in vocabulary for pair in sorted(documents[word].items())]
        sizes = [len(documents[word]) for word in vocabulary]
        return cls(
            np.array(vocabulary, dtype=f"<U{MAX_WORD}"),
            np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64),
            np.array([document for document, _ in pairs], dtype=np.int32),
            np.array([weight for _, weight in pairs], dtype=np.uint8),
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Returns its arrays by the names that `from_arrays` reads."""
        return {
            "vocabulary": self.vocabulary,
            "word_offsets": self.offsets,
            "postings": self.postings,
            "word_weights": self.weights,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> WordIndex:
        """Builds it from the arrays of `to_arrays`."""
        return cls(
            arrays["vocabulary"], arrays["word_offsets"], arrays["postings"], arrays["word_weights"]
        )

    def find_documents(self, word: str) -> tuple[RowArray, NDArray[np.float32]]:
        """Returns the documents with a word, rising, and the confidence of each (0..1)."""
        number = int(np.searchsorted(self.vocabulary, word))
        if number == len(self.vocabulary) or self.vocabulary[number] != word:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        part = slice(int(self.offsets[number]), int(self.offsets[number + 1]))
        return self.postings[part].astype(np.int64), (self.weights[part] / _CERTAIN).astype(
            np.float32
        )
