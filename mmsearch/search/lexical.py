"""Scores segments by exact words and quoted phrases in speech, OCR and documents."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.index.addresses import AddressArray, serialize_addresses
from mmsearch.index.base import NO_ROW, RowArray, RowMask
from mmsearch.index.word_index import FUNCTION_WORDS, PHRASE, fold_text
from mmsearch.search.scores import LEXICAL_SPACE, TermScores
from mmsearch.snapshot.snapshot import Snapshot

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

MATCH_WEIGHT = 0.95
MIN_TEXTS, TEXTS_SHARE = 64, 4
"""Texts are searched one by one: a quarter as many as of vectors are taken."""
RANK_SHARE = 0.15
"""The share of a score that depends on the rank by BM25."""
SHORTEST_FUZZY, LONGEST_FUZZY = 5, 32
"""Lengths of words that may be misspellings of others."""
FUZZY_SHARE = 0.7
"""The weight of a word that is there with one letter changed."""
MOST_WORDS = 32
MOST_PHRASES = 8
MOST_KNOWN = 4096
NOWHERE = -1.0
"""Stands for the score of a word that no text has."""
_SPLIT = re.compile(r"[\W_]+")


def score_lexical(
    snapshot: Snapshot, query: str, term: int, mask: RowMask | None, depth: int
) -> TermScores:
    """Scores the segments of assets that pass `mask` by the words of a query in their texts."""
    matches = find_words(snapshot, query, max(MIN_TEXTS, depth // TEXTS_SHARE), mask)
    ranks = matches.bm25 / max(float(matches.bm25.max(initial=0.0)), 1e-9)
    # The square: half of the words is far less than half of a match.
    scores = MATCH_WEIGHT * matches.shares**2 * (1 - RANK_SHARE + RANK_SHARE * ranks)
    order = np.argsort(-scores, kind="stable")
    return TermScores(
        space=LEXICAL_SPACE,
        term=term,
        assets=matches.assets[order],
        segments=matches.segments[order],
        scores=scores[order].astype(np.float32),
        similarities=matches.shares[order],
        boxes=None,
        is_complete=matches.is_complete,
        best_beyond=float(scores.min()) if len(scores) else 0.0,
    )


def tokenize(text: str) -> list[str]:
    """Splits a text into comparable words: lower case, without accents."""
    return [word for word in _SPLIT.split(fold_text(text)) if word]


def _split_typed(text: str) -> list[str]:
    """Splits a text into the same words as they are typed.

    The full-text index takes these, for it folds the accents of Latin letters only.
    """
    composed = unicodedata.normalize("NFC", text)
    if composed.isascii():
        return [word for word in _SPLIT.split(composed) if word]
    letters = (c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in composed)
    return "".join(letters).split()


@dataclass(frozen=True, slots=True)
class LexicalQuery:
    """The words of a query, and the phrases among them that must stand together.

    `typed` has each word as it was typed.
    """

    words: tuple[str, ...]
    phrases: tuple[tuple[str, ...], ...]
    typed: Mapping[str, str]

    @classmethod
    def parse(cls, query: str) -> LexicalQuery:
        """Reads a query; text in double quotes is a phrase."""
        phrases = [tuple(tokenize(quoted)) for quoted in PHRASE.findall(query)]
        phrases = [phrase for phrase in phrases if phrase]
        typed_words: dict[str, str] = {}
        for typed in _split_typed(query):
            for word in tokenize(typed):
                typed_words.setdefault(word, typed)
        content_words = [word for word in typed_words if word not in FUNCTION_WORDS]
        words = tuple((content_words or list(typed_words))[:MOST_WORDS])
        return cls(words, tuple(phrases[:MOST_PHRASES]), typed_words)


@dataclass(frozen=True, slots=True)
class LexicalMatches:
    """Segments that have words of a query.

    `segments` and `assets` are (n,) rows; `shares` are the shares of the query that each covers
    (0..1), words weighted by rarity; `bm25` are the scores of the full-text index. With
    `is_complete` there are no others.
    """

    segments: RowArray
    assets: RowArray
    shares: FloatArray
    bm25: FloatArray
    is_complete: bool = True


def find_words(snapshot: Snapshot, query: str, limit: int, mask: RowMask | None) -> LexicalMatches:
    """Finds the segments of assets that pass `mask` and have words of the query.

    About `limit` of them, the best by BM25; as many again for each quoted phrase.
    """
    import pyarrow as pa

    parsed = LexicalQuery.parse(query)
    if not parsed.words or not snapshot.reader.has_text_index:
        return _no_matches()
    typed = parsed.typed
    weights = {word: _weigh_word(snapshot, typed[word]) for word in parsed.words}
    spellings = {
        word: spelling
        for word in parsed.words
        if (spelling := _find_spelling(snapshot, word, typed[word])) is not None
    }
    if not spellings:
        return _no_matches()
    corrected = {word: fold_text(spelling) for word, spelling in spellings.items()}
    phrases = [" ".join(typed[word] for word in phrase[:MOST_WORDS]) for phrase in parsed.phrases]
    among = None if mask is None else _encode_allowed_rows(snapshot, mask)
    find = snapshot.reader.search_text
    tables = [find(" ".join(spellings.values()), limit, among=among)]
    # A text with the phrase need not be among the best for its words.
    tables += [find(phrase, limit, is_phrase=True, among=among) for phrase in phrases]
    table = pa.concat_tables(tables)
    segments, owners = snapshot.segments.find_at(np.asarray(table.column("_rowaddr")))
    assets = snapshot.asset_rows(owners)
    passes = _mark_first_of_each(segments) & (segments != NO_ROW) & (assets != NO_ROW)
    is_complete = all(part.num_rows < limit for part in tables)
    texts = table.column("text").to_pylist()
    patterns = WordPatterns.compile({*parsed.words, *corrected.values()})
    covered = [
        _covered_share(fold_text(text), patterns, parsed, weights, corrected) if passed else 0.0
        for text, passed in zip(texts, passes.tolist(), strict=True)
    ]
    shares = np.asarray(covered, dtype=np.float32)
    passes &= shares > 0
    bm25 = np.asarray(table.column("_score"), dtype=np.float32)
    return LexicalMatches(
        segments[passes], assets[passes], shares[passes], bm25[passes], is_complete
    )


def _encode_allowed_rows(snapshot: Snapshot, mask: RowMask) -> bytes:
    """Encodes the rows of segments whose assets pass, as Lance takes them."""
    addresses: AddressArray = snapshot.memoize("segment addresses", snapshot.segments.addresses)
    owners: RowArray = snapshot.memoize(
        "segment owners", lambda: snapshot.asset_rows(snapshot.segments.owners())
    )
    return serialize_addresses(addresses[np.append(mask, False)[owners]])


def _mark_first_of_each(rows: RowArray) -> RowMask:
    first = np.zeros(len(rows), dtype=np.bool_)
    first[np.unique(rows, return_index=True)[1]] = True
    return first


def _no_matches() -> LexicalMatches:
    rows, scores = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    return LexicalMatches(rows, rows, scores, scores)


@dataclass(frozen=True, slots=True)
class WordPatterns:
    """Patterns of words, to search many texts without splitting them."""

    patterns: Mapping[str, re.Pattern[str]]

    @classmethod
    def compile(cls, words: Collection[str]) -> WordPatterns:
        """Compiles words as `tokenize` returns them."""
        return cls({word: re.compile(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])") for word in words})

    def find_in(self, text: str) -> set[str]:
        """Returns the words that a plain text has."""
        return {
            word
            for word, pattern in self.patterns.items()
            if word in text and pattern.search(text)  # the first test rules most out
        }


def _covered_share(
    text: str,
    patterns: WordPatterns,
    query: LexicalQuery,
    weights: dict[str, float],
    corrected: dict[str, str],
) -> float:
    """Returns the share of a query that a plain text covers, by the weights of its words.

    `corrected` has the spelling of each word, another where it is misspelt.
    """
    present = patterns.find_in(text)
    covered = {
        word: 1.0 if word in present else FUZZY_SHARE
        for word in query.words
        if word in present or corrected.get(word) in present
    }
    if query.phrases:
        words = tokenize(text)
        for phrase in query.phrases:
            if not _has_phrase(words, phrase):
                for word in phrase:
                    covered.pop(word, None)
    total = sum(weights.values())
    return sum(weights[word] * share for word, share in covered.items()) / total if total else 0.0


def _has_phrase(text: Sequence[str], phrase: Sequence[str]) -> bool:
    size = len(phrase)
    return any(
        word == phrase[0] and tuple(text[at : at + size]) == tuple(phrase)
        for at, word in enumerate(text)
    )


def _weigh_word(snapshot: Snapshot, word: str) -> float:
    """Returns the weight of a word: the best score of a text for it, more if no text has it.

    BM25 of one word is its inverse document frequency, times what its frequency in the text adds,
    which is between one and two.
    """
    best = _best_score(snapshot, word)
    return best if best is not None else math.log(max(2, snapshot.segments.count))


def _best_score(snapshot: Snapshot, word: str) -> float | None:
    known: dict[str, float] = snapshot.memoize("words", dict)
    best = known.get(word)
    if best is None:
        if len(known) >= MOST_KNOWN:
            known.clear()
        table = snapshot.reader.search_text(word, 1, has_text=False)
        best = table.column("_score")[0].as_py() if table.num_rows else NOWHERE
        known[word] = best
    return None if best == NOWHERE else best


def _find_spelling(snapshot: Snapshot, word: str, typed: str) -> str | None:
    """Returns the word as texts have it: as typed, or the likeliest correction; None for none."""
    if _best_score(snapshot, typed) is not None:
        return typed
    if not (SHORTEST_FUZZY <= len(word) <= LONGEST_FUZZY and word.isalpha()):
        return None
    known: dict[str, str] = snapshot.memoize("spellings", dict)
    spelt = known.get(word)
    if spelt is None:
        if len(known) >= MOST_KNOWN:
            known.clear()
        spelt = _look_up_spelling(snapshot, word, typed) or ""
        known[word] = spelt
    return spelt or None


def _look_up_spelling(snapshot: Snapshot, word: str, typed: str) -> str | None:
    import difflib

    table = snapshot.reader.search_text(typed, 8, fuzziness=1)
    texts = table.column("text").to_pylist()
    near = {
        fold_text(typed_word): typed_word for text in texts for typed_word in _split_typed(text)
    }
    matches = difflib.get_close_matches(word, sorted(near), n=1, cutoff=0.75)
    return near[matches[0]] if matches else None
