"""Converts texts to token ids, without opening a large vocabulary for a short text."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.errors import ModelError
from mmsearch.formatting import replace_surrogates

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

TOKENIZER_NAME = "tokenizer.json"
PARTIAL_TOKENIZER_NAME = "tokenizer.frame.json"
PIECES_NAME = "tokenizer.pieces.npy"
PAIRS_NAME = "tokenizer.pairs.npy"
MAX_PARTIAL_CHARACTERS = 600
"""Total characters of the texts that the partial tokenizer takes, in some milliseconds."""

Piece = tuple[str, int, float]
"""A piece of the vocabulary, its id, and its score or 0."""


class StoredTokenizer:
    """The tokenizer of a stored model; its special tokens are added to each text.

    `tokenizers` indexes the whole vocabulary when it opens one: 1.2 s and 660 MB for the 250,000
    pieces of XLM-R, 1.1 s and 230 MB for the 256,000 of Gemma, 0.15 s for the 49,000 of CLIP.
    sentencepiece takes 1.0 s for XLM-R's and 0.1 s for Gemma's. But a text consists of pieces that
    are part of it, so that a tokenizer that knows no others gives the same ids: 2 to 5 ms for the
    first query, 1 to 4 ms for another. It is built from `tokenizer.frame.json` (the tokenizer
    without its vocabulary) and `tokenizer.pieces.npy` (the vocabulary, sorted, mapped into memory),
    which `mmsearch.models.conversion.vocabulary` writes and checks. Without them, and for many
    texts, the full tokenizer is opened, once.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opening = threading.Lock()
        self._opened: Tokenizer | None = None

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Returns the ids of each text, special tokens included; nothing is cut off."""
        clean = [replace_surrogates(text) for text in texts]
        if (
            self._opened is None
            and sum(map(len, clean)) <= MAX_PARTIAL_CHARACTERS
            and self.partial_tokenizer is not None
        ):
            ids = self.partial_tokenizer.encode(clean)
            if ids is not None:
                return ids
        return [encoding.ids for encoding in self.full_tokenizer.encode_batch_fast(clean)]

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Counts the tokens of each text, without special tokens."""
        clean = [replace_surrogates(text) for text in texts]
        encodings = self.full_tokenizer.encode_batch_fast(clean, add_special_tokens=False)
        return [len(encoding.ids) for encoding in encodings]

    @property
    def full_tokenizer(self) -> Tokenizer:
        """The full tokenizer, opened on first use."""
        with self._opening:
            if self._opened is None:
                self._opened = _open_tokenizer(self._folder / TOKENIZER_NAME)
            return self._opened

    @cached_property
    def partial_tokenizer(self) -> PartialTokenizer | None:
        """The partial tokenizer; None if the model has none."""
        return (
            PartialTokenizer(self._folder)
            if (self._folder / PARTIAL_TOKENIZER_NAME).is_file()
            else None
        )


class PartialTokenizer:
    """Tokenizes short texts with the pieces of the vocabulary that are in them."""

    def __init__(self, folder: Path) -> None:
        try:
            frame = json.loads((folder / PARTIAL_TOKENIZER_NAME).read_text(encoding="utf-8"))
            self._tokenizer: Mapping[str, Any] = frame["tokenizer"]
            self._model: Mapping[str, Any] = self._tokenizer["model"]
            self._longest: int = frame["longest"]
            self._always: list[Piece] = [(str(p), int(n), float(s)) for p, n, s in frame["always"]]
            self._added: list[str] = frame["added"]
            self._around: tuple[list[int], list[int]] = (frame["before"], frame["after"])
            self._pieces = np.load(folder / PIECES_NAME, mmap_mode="r", allow_pickle=False)
            self._pairs = None
            if self._model["type"] == "BPE":
                self._pairs = np.load(folder / PAIRS_NAME, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, KeyError, TypeError) as exc:
            path = folder / PARTIAL_TOKENIZER_NAME
            raise ModelError(
                f"{path} cannot be used ({exc!r}): remove the model and pull it again"
            ) from exc
        self._base = self._build_tokenizer([])

    def encode(self, texts: Sequence[str]) -> list[list[int]] | None:
        """Returns ids with special tokens; None if a text spells a special token."""
        words: set[str] = set()
        for text in texts:
            normal = text
            if self._base.normalizer is not None:
                normal = self._base.normalizer.normalize_str(text)
            if any(added in text or added in normal for added in self._added):
                return None  # they are cut out before normalization
            if self._base.pre_tokenizer is None:
                words.add(normal)
            else:
                words |= {word for word, _ in self._base.pre_tokenizer.pre_tokenize_str(normal)}
        pieces = self._find_pieces(self._list_substrings(words))
        encodings = self._build_tokenizer(pieces).encode_batch_fast(
            list(texts), add_special_tokens=False
        )
        before, after = self._around
        if self._model["type"] == "Unigram":  # its ids are indices
            numbers = [number for _, number, _ in (*self._always, *pieces)]
            return [[*before, *(numbers[i] for i in e.ids), *after] for e in encodings]
        return [[*before, *encoding.ids, *after] for encoding in encodings]

    def _list_substrings(self, words: Iterable[str]) -> set[str]:
        """Lists the substrings of the words that are short enough for a piece."""
        suffix = self._model.get("end_of_word_suffix") or ""
        parts: set[str] = set()
        for word in words:
            for start in range(len(word)):
                stop = min(len(word), start + self._longest)
                parts.update(word[start:end] for end in range(start + 1, stop + 1))
                if suffix and stop == len(word):
                    parts.add(word[start:] + suffix)
        return parts

    def _find_pieces(self, parts: Collection[str]) -> list[Piece]:
        """Returns the parts that are pieces, except those that are always there."""
        always = {piece for piece, _, _ in self._always}
        others = [part for part in parts if part not in always]
        hashes = np.fromiter(map(hash_piece, others), np.uint64, len(others))
        rows = _find_rows(self._pieces[0], hashes)
        hits = np.flatnonzero(rows >= 0)
        numbers = self._pieces[1][rows[hits]].tolist()
        scores = self._pieces[2][rows[hits]].view(np.float64).tolist()
        return list(zip((others[hit] for hit in hits), numbers, scores, strict=True))

    def _build_tokenizer(self, extra: Sequence[Piece]) -> Tokenizer:
        from tokenizers import Tokenizer

        pieces = [*self._always, *extra]
        model = dict(self._model)
        if self._pairs is None:
            model["vocab"] = [[piece, score] for piece, _, score in pieces]
        else:
            model["vocab"] = {piece: number for piece, number, _ in pieces}
            model["merges"] = _find_merges(model["vocab"], self._pairs)
        return Tokenizer.from_str(json.dumps({**self._tokenizer, "model": model}))


def hash_piece(piece: str) -> int:
    """Returns 64 bits of BLAKE2b."""
    digest = hashlib.blake2b(piece.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _find_merges(numbers: Mapping[str, int], pairs: NDArray[np.uint64]) -> list[tuple[str, str]]:
    """Returns the merges whose two sides and result are in the vocabulary, in their order."""
    splits = [
        (piece[:at], piece[at:])
        for piece in numbers
        for at in range(1, len(piece))
        if piece[:at] in numbers and piece[at:] in numbers
    ]
    keys = [numbers[left] << 32 | numbers[right] for left, right in splits]
    rows = _find_rows(pairs[0], np.array(keys, dtype=np.uint64))
    ranked = sorted((int(pairs[1][row]), i) for i, row in enumerate(rows) if row >= 0)
    return [splits[i] for _, i in ranked]


def _find_rows(column: NDArray[np.uint64], keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Returns the row of each key in a sorted column, -1 if it is missing."""
    if not len(column):
        return np.full(len(keys), -1, dtype=np.int64)
    places = np.minimum(np.searchsorted(column, keys), len(column) - 1)
    rows: NDArray[np.int64] = np.where(column[places] == keys, places, -1)
    return rows


def _open_tokenizer(path: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as exc:  # the library raises Exception itself
        raise ModelError(f"{path} is no tokenizer ({exc}): pull the model again") from exc
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
