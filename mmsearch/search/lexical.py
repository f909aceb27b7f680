"""Finds exact words and quoted phrases in what is said and written."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.index.addresses import AddressArray, address_set
from mmsearch.index.base import NO_ROW, RowArray, RowMask
from mmsearch.index.word_index import FUNCTION_WORDS, PHRASE, plain
from mmsearch.snapshot.snapshot import Snapshot

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

SHORTEST_FUZZY, LONGEST_FUZZY = 5, 32
"""Letters of a word that may be taken for a misspelling of another."""
FUZZY_SHARE = 0.7
"""What a word counts for that is there with one letter changed."""
MOST_WORDS = 32
MOSTPHRASES = 8
MOST_KNOWN = 4096
NOWHERE = -1.0
"""In place of the score of a word that no text has."""
_SPLIT = re.compile(r"[\W_]+")


def tokens(text: str) -> list[str]:
    """Words that can be compared: lower case, without accents, cut at all else."""
    return [one for one in _SPLIT.split(plain(text)) if one]


def _typed(text: str) -> list[str]:
    """The same words as they are written.

    The full-text index is asked for these, for it folds the accents of Latin letters only.
    """
    whole = unicodedata.normalize("NFC", text)
    if whole.isascii():
        return [one for one in _SPLIT.split(whole) if one]
    kept = (c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in whole)
    return "".join(kept).split()


@dataclass(frozen=True, slots=True)
class Wanted:
    """The words of a query, and the phrases among them that must stand together.

    `typed` has each word as it was typed.
    """

    words: tuple[str, ...]
    phrases: tuple[tuple[str, ...], ...]
    typed: Mapping[str, str]

    @classmethod
    def of(cls, query: str) -> Wanted:
        """From what is typed: what stands in double quotes is a phrase."""
        phrases = [tuple(tokens(one)) for one in PHRASE.findall(query)]
        phrases = [phrase for phrase in phrases if phrase]
        found: dict[str, str] = {}
        for typed in _typed(query):
            for one in tokens(typed):
                found.setdefault(one, typed)
        telling = [one for one in found if one not in FUNCTION_WORDS] or list(found)
        return cls(tuple(telling[:MOST_WORDS]), tuple(phrases[:MOSTPHRASES]), found)


@dataclass(frozen=True, slots=True)
class Written:
    """Segments that have words of a query.

    `segments` and `assets` are (n,) rows; `shares` says how much of the query each covers (0..1),
    words weighed by how rare they are; `bm25` is its score by the full-text index. `is_all` says
    that no others do.
    """

    segments: RowArray
    assets: RowArray
    shares: FloatArray
    bm25: FloatArray
    is_all: bool = True


def written(snapshot: Snapshot, query: str, limit: int, mask: RowMask | None) -> Written:
    """The segments of assets that pass `mask` and have words of the query.

    About `limit` of them, the best by BM25; as many again for each quoted phrase.
    """
    import pyarrow as pa

    wanted = Wanted.of(query)
    if not wanted.words or not snapshot.reader.has_text_index:
        return _nothing()
    typed = wanted.typed
    weights = {word: _weight(snapshot, typed[word]) for word in wanted.words}
    asked = {
        word: one
        for word in wanted.words
        if (one := _as_written(snapshot, word, typed[word])) is not None
    }
    if not asked:
        return _nothing()
    meant = {word: plain(one) for word, one in asked.items()}
    phrases = [" ".join(typed[word] for word in one[:MOST_WORDS]) for one in wanted.phrases]
    among = None if mask is None else _among(snapshot, mask)
    find = snapshot.reader.full_text
    tables = [find(" ".join(asked.values()), limit, among=among)]
    # A text with the phrase need not be among the best for its words.
    tables += [find(one, limit, is_phrase=True, among=among) for one in phrases]
    table = pa.concat_tables(tables)
    segments, owners = snapshot.segments.at(np.asarray(table.column("_rowaddr")))
    assets = snapshot.asset_rows(owners)
    passes = _first_of_each(segments) & (segments != NO_ROW) & (assets != NO_ROW)
    is_all = all(one.num_rows < limit for one in tables)
    texts = table.column("text").to_pylist()
    sought = Sought.of({*wanted.words, *meant.values()})
    shares = [
        _share(plain(text), sought, wanted, weights, meant) if there else 0.0
        for text, there in zip(texts, passes.tolist(), strict=True)
    ]
    found = np.asarray(shares, dtype=np.float32)
    passes &= found > 0
    bm25 = np.asarray(table.column("_score"), dtype=np.float32)
    return Written(segments[passes], assets[passes], found[passes], bm25[passes], is_all)


def _among(snapshot: Snapshot, mask: RowMask) -> bytes:
    """The rows of segments whose assets pass, as Lance takes them."""
    addresses: AddressArray = snapshot.kept("segment addresses", snapshot.segments.addresses)
    owners: RowArray = snapshot.kept(
        "segment owners", lambda: snapshot.asset_rows(snapshot.segments.owners())
    )
    return address_set(addresses[np.append(mask, False)[owners]])


def _first_of_each(rows: RowArray) -> RowMask:
    first = np.zeros(len(rows), dtype=np.bool_)
    first[np.unique(rows, return_index=True)[1]] = True
    return first


def _nothing() -> Written:
    rows, scores = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    return Written(rows, rows, scores, scores)


@dataclass(frozen=True, slots=True)
class Sought:
    """Words that are looked for in many texts; most texts need not be cut into words for that."""

    patterns: Mapping[str, re.Pattern[str]]

    @classmethod
    def of(cls, words: Collection[str]) -> Sought:
        """From words as `tokens` gives them."""
        return cls({word: re.compile(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])") for word in words})

    def within(self, text: str) -> set[str]:
        """Those that are among the words of a text, which is plain already."""
        # Most are not there at all, which the first look tells in no time.
        return {
            word for word, whole in self.patterns.items() if word in text and whole.search(text)
        }


def _share(
    text: str,
    sought: Sought,
    wanted: Wanted,
    weights: dict[str, float],
    meant: dict[str, str],
) -> float:
    """How much of the query a plain text covers, by the weights of its words.

    `meant` has what each word is taken for, which is another where it is misspelt.
    """
    there = sought.within(text)
    covered = {
        word: 1.0 if word in there else FUZZY_SHARE
        for word in wanted.words
        if word in there or meant.get(word) in there
    }
    if wanted.phrases:
        cut = tokens(text)
        for phrase in wanted.phrases:
            if not _has_phrase(cut, phrase):
                for word in phrase:
                    covered.pop(word, None)
    total = sum(weights.values())
    return sum(weights[word] * share for word, share in covered.items()) / total if total else 0.0


def _has_phrase(text: Sequence[str], phrase: Sequence[str]) -> bool:
    size = len(phrase)
    first = phrase[0]
    return any(
        one == first and tuple(text[at : at + size]) == tuple(phrase) for at, one in enumerate(text)
    )


def _weight(snapshot: Snapshot, word: str) -> float:
    """How much a word tells: what the best text for it alone scores, more where none has it.

    BM25 of one word is its inverse document frequency, times what its frequency in the text adds,
    which is between one and two.
    """
    best = _best(snapshot, word)
    return best if best is not None else math.log(max(2, snapshot.segments.count))


def _best(snapshot: Snapshot, word: str) -> float | None:
    known: dict[str, float] = snapshot.kept("words", dict)
    best = known.get(word)
    if best is None:
        if len(known) >= MOST_KNOWN:
            known.clear()
        table = snapshot.reader.full_text(word, 1, has_text=False)
        best = table.column("_score")[0].as_py() if table.num_rows else NOWHERE
        known[word] = best
    return None if best == NOWHERE else best


def _as_written(snapshot: Snapshot, word: str, typed: str) -> str | None:
    """The word as texts have it: as typed, or the likeliest that it is a misspelling of."""
    if _best(snapshot, typed) is not None:
        return typed
    if not (SHORTEST_FUZZY <= len(word) <= LONGEST_FUZZY and word.isalpha()):
        return None
    known: dict[str, str] = snapshot.kept("spellings", dict)
    spelt = known.get(word)
    if spelt is None:
        if len(known) >= MOST_KNOWN:
            known.clear()
        spelt = _spelling(snapshot, word, typed) or ""
        known[word] = spelt
    return spelt or None


def _spelling(snapshot: Snapshot, word: str, typed: str) -> str | None:
    import difflib

    table = snapshot.reader.full_text(typed, 8, fuzziness=1)
    near = {plain(one): one for text in table.column("text").to_pylist() for one in _typed(text)}
    found = difflib.get_close_matches(word, sorted(near), n=1, cutoff=0.75)
    return near[found[0]] if found else None
