"""Texts as token ids, without opening a large vocabulary for a short text."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.encoders.text_batching import valid
from mmsearch.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

WHOLE = "tokenizer.json"
FRAME = "tokenizer.frame.json"
PIECES = "tokenizer.pieces.npy"
PAIRS = "tokenizer.pairs.npy"
FEW = 600
"""Characters in all up to which texts are few: they take some milliseconds."""

Piece = tuple[str, int, float]
"""A text, its id, and its score where the vocabulary has scores."""


class TextTokens:
    """The tokenizer of a stored model; its special tokens are added to each text.

    `tokenizers` builds a tree of the whole vocabulary when it opens one: 1.1 s and 670 MB for the
    250,000 pieces of XLM-R. But only pieces that are part of a text can be found in it, so that a
    tokenizer that knows no others gives the same ids: 9 ms and 8 MB. It is made of
    `tokenizer.frame.json` (the tokenizer without its vocabulary) and `tokenizer.pieces.npy` (the
    vocabulary, sorted, mapped into memory), which
    `mmsearch.models.conversion.vocabulary` writes and tries. Where they are not there, or texts are
    many, the whole is opened, once.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opening = threading.Lock()
        self._opened: Tokenizer | None = None

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, special tokens included; nothing is cut off."""
        clean = [valid(text) for text in texts]
        if self._opened is None and sum(map(len, clean)) <= FEW and self.frame is not None:
            few = self.frame.ids(clean)
            if few is not None:
                return few
        return [encoding.ids for encoding in self.whole.encode_batch_fast(clean)]

    def counts(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text takes, without special tokens."""
        clean = [valid(text) for text in texts]
        encodings = self.whole.encode_batch_fast(clean, add_special_tokens=False)
        return [len(encoding.ids) for encoding in encodings]

    @property
    def whole(self) -> Tokenizer:
        """The whole tokenizer, opened when it is first wanted."""
        with self._opening:
            if self._opened is None:
                self._opened = _open(self._folder / WHOLE)
            return self._opened

    @cached_property
    def frame(self) -> Frame | None:
        """What makes small tokenizers; None where a model has none."""
        return Frame(self._folder) if (self._folder / FRAME).is_file() else None


class Frame:
    """Makes a tokenizer for some short texts, which knows the pieces that are in them."""

    def __init__(self, folder: Path) -> None:
        try:
            read = json.loads((folder / FRAME).read_text(encoding="utf-8"))
            self._tokenizer: Mapping[str, Any] = read["tokenizer"]
            self._model: Mapping[str, Any] = self._tokenizer["model"]
            self._longest: int = read["longest"]
            self._always: list[Piece] = [(str(p), int(n), float(s)) for p, n, s in read["always"]]
            self._added: list[str] = read["added"]
            self._around: tuple[list[int], list[int]] = (read["before"], read["after"])
            self._pieces = np.load(folder / PIECES, mmap_mode="r", allow_pickle=False)
            self._pairs = None
            if self._model["type"] == "BPE":
                self._pairs = np.load(folder / PAIRS, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise ModelError(
                f"{folder / FRAME} cannot be used ({exc!r}): remove the model and pull it again"
            ) from exc
        self._cutter = self._small([])

    def ids(self, texts: Sequence[str]) -> list[list[int]] | None:
        """The ids of each text, special tokens included; None where a text spells one of them."""
        words: set[str] = set()
        for text in texts:
            normal = text
            if self._cutter.normalizer is not None:
                normal = self._cutter.normalizer.normalize_str(text)
            if any(added in text or added in normal for added in self._added):
                return None  # they are cut out before anything else is done
            if self._cutter.pre_tokenizer is None:
                words.add(normal)
            else:
                words |= {word for word, _ in self._cutter.pre_tokenizer.pre_tokenize_str(normal)}
        pieces = self._found(self._parts(words))
        encodings = self._small(pieces).encode_batch_fast(list(texts), add_special_tokens=False)
        before, after = self._around
        if self._model["type"] == "Unigram":  # there an id is a place
            numbers = [number for _, number, _ in (*self._always, *pieces)]
            return [[*before, *(numbers[i] for i in one.ids), *after] for one in encodings]
        return [[*before, *one.ids, *after] for one in encodings]

    def _parts(self, words: Iterable[str]) -> set[str]:
        """Every part of every word that is short enough for a piece."""
        suffix = self._model.get("end_of_word_suffix") or ""
        parts: set[str] = set()
        for word in words:
            for start in range(len(word)):
                stop = min(len(word), start + self._longest)
                parts.update(word[start:end] for end in range(start + 1, stop + 1))
                if suffix and stop == len(word):
                    parts.add(word[start:] + suffix)
        return parts

    def _found(self, parts: Collection[str]) -> list[Piece]:
        """Those parts that are pieces, but for those that are there always."""
        always = {piece for piece, _, _ in self._always}
        wanted = [part for part in parts if part not in always]
        hashes = np.fromiter(map(piece_hash, wanted), np.uint64, len(wanted))
        rows = _rows(self._pieces[0], hashes)
        hits = np.flatnonzero(rows >= 0)
        numbers = self._pieces[1][rows[hits]].tolist()
        scores = self._pieces[2][rows[hits]].view(np.float64).tolist()
        names = [wanted[hit] for hit in hits]
        return list(zip(names, numbers, scores, strict=True))

    def _small(self, found: Sequence[Piece]) -> Tokenizer:
        from tokenizers import Tokenizer

        pieces = [*self._always, *found]
        model = dict(self._model)
        if self._pairs is None:
            model["vocab"] = [[piece, score] for piece, _, score in pieces]
        else:
            model["vocab"] = {piece: number for piece, number, _ in pieces}
            model["merges"] = _merges(model["vocab"], self._pairs)
        return Tokenizer.from_str(json.dumps({**self._tokenizer, "model": model}))


def piece_hash(piece: str) -> int:
    """64 bits of BLAKE2b."""
    digest = hashlib.blake2b(piece.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _merges(numbers: Mapping[str, int], pairs: NDArray[np.uint64]) -> list[tuple[str, str]]:
    """The merges whose both sides and result are known, in their order."""
    splits = [
        (piece[:at], piece[at:])
        for piece in numbers
        for at in range(1, len(piece))
        if piece[:at] in numbers and piece[at:] in numbers
    ]
    keys = [numbers[left] << 32 | numbers[right] for left, right in splits]
    rows = _rows(pairs[0], np.array(keys, dtype=np.uint64))
    ranked = sorted((int(pairs[1][row]), i) for i, row in enumerate(rows) if row >= 0)
    return [splits[i] for _, i in ranked]


def _rows(column: NDArray[np.uint64], keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Where each key is in a sorted column, -1 where it is not."""
    if not len(column):
        return np.full(len(keys), -1, dtype=np.int64)
    places = np.minimum(np.searchsorted(column, keys), len(column) - 1)
    rows: NDArray[np.int64] = np.where(column[places] == keys, places, -1)
    return rows


def _open(path: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as exc:  # the library raises Exception itself
        raise ModelError(f"{path} is no tokenizer ({exc}): pull the model again") from exc
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
