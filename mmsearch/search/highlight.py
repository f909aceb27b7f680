"""Finds the words of a query in a text, to show them in bold."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from mmsearch.index.word_index import FUNCTION_WORDS, PHRASE, fold_text

Chars = tuple[int, int]
"""A half-open range of characters, counted as Python counts them."""

# Characters that stand inside a word and are not seen: soft hyphens, joiners.
_INVISIBLE = frozenset("\u00ad\u200c\u200d\u2060\ufeff")
# Scripts written without spaces between words: there a word is found inside a longer run.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff]"
)


@dataclass(frozen=True, slots=True)
class _Word:
    """A folded word, and the positions in the text of it and of each of its letters."""

    folded: str
    chars: Chars
    origins: tuple[int, ...]


def find_highlights(text: str, query: str, *, is_stemmed: bool = True) -> tuple[Chars, ...]:
    """Returns the ranges of `text` that match words and "phrases" of `query`: rising, disjoint.

    Case and accents are passed over, and a plural matches its singular unless `is_stemmed` is
    False. Words are matched whole, in scripts without spaces inside a run. A phrase matches where
    its words follow each other. Function words match in phrases alone, unless nothing else is
    looked for.
    """
    sought = {word.folded for word in _split_words(PHRASE.sub(" ", query))}
    phrases = [[word.folded for word in _split_words(phrase)] for phrase in PHRASE.findall(query)]
    phrases = [phrase for phrase in phrases if phrase]
    sought = sought - FUNCTION_WORDS or (set() if phrases else sought)
    words = _split_words(text) if sought or phrases else []
    forms = _singular_forms if is_stemmed else _keep_word
    singular = sought.union(*(forms(word) for word in sought))
    ranges = [
        word.chars
        for word in words
        if word.folded in singular or not sought.isdisjoint(forms(word.folded))
    ]
    inside = {*sought, *(phrase[0] for phrase in phrases if len(phrase) == 1)}
    for part in (part for part in inside if _UNSPACED.match(part)):
        ranges += _find_in_runs(text, words, part)
    for phrase in phrases:
        ranges += _find_phrase(words, phrase)
    return _join_ranges(ranges)


def clip_ranges(ranges: Sequence[Chars], start: int, end: int) -> tuple[Chars, ...]:
    """Returns the ranges relative to `text[start:end]`."""
    cut = [(max(first, start) - start, min(last, end) - start) for first, last in ranges]
    return tuple((first, last) for first, last in cut if first < last)


def _fold(text: str) -> list[tuple[str, int]]:
    """Folds each letter, lower-case and without marks, with its position."""
    return [
        (folded, at)
        for at, char in enumerate(text)
        if char not in _INVISIBLE
        # One Greek letter has two small forms.
        for folded in fold_text(char).casefold()
    ]


def _split_words(text: str) -> list[_Word]:
    words = []
    for is_word, group in groupby(_fold(text), key=lambda pair: pair[0].isalnum()):
        if is_word:
            pairs = list(group)
            chars = (pairs[0][1], _skip_marks(text, pairs[-1][1] + 1))
            origins = tuple(at for _, at in pairs)
            words.append(_Word("".join(char for char, _ in pairs), chars, origins))
    return words


def _skip_marks(text: str, end: int) -> int:
    """Returns the end behind the marks that belong to the character before `end`."""
    while end < len(text) and unicodedata.category(text[end])[0] == "M":
        end += 1
    return end


def _keep_word(word: str) -> set[str]:
    return {word}


def _singular_forms(word: str) -> set[str]:
    """Returns a word and its possible English singulars (after Harman, JASIS 1991)."""
    if len(word) <= 3 or not word.endswith("s") or word.endswith(("ss", "us")):
        return {word}
    forms = {word, word[:-1]}
    if word.endswith("es"):
        forms.add(word[:-2])
    if word.endswith("ies"):
        forms.add(f"{word[:-3]}y")
    return forms


def _find_in_runs(text: str, words: Sequence[_Word], part: str) -> list[Chars]:
    """Finds a word of a script without spaces inside runs."""
    ranges = []
    for run in words:
        at = run.folded.find(part)
        while at >= 0:
            end = at + len(part)
            ranges.append((run.origins[at], _skip_marks(text, run.origins[end - 1] + 1)))
            at = run.folded.find(part, end)
    return ranges


def _find_phrase(words: Sequence[_Word], phrase: Sequence[str]) -> list[Chars]:
    """Finds the ranges of a phrase, from its first word to its last."""
    size = len(phrase)
    return [
        (words[at].chars[0], words[at + size - 1].chars[1])
        for at in range(len(words) - size + 1)
        if all(words[at + step].folded == phrase[step] for step in range(size))
    ]


def _join_ranges(ranges: Sequence[Chars]) -> tuple[Chars, ...]:
    """Joins overlapping ranges, rising."""
    joined: list[Chars] = []
    for start, end in sorted(ranges):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)
