"""Where in a text the words of a query stand, so that they can be shown in bold."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from mmsearch.index.word_index import FUNCTION_WORDS, PHRASE, plain

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
    """A word as it is compared, and where in the text it and each of its letters stand."""

    folded: str
    chars: Chars
    origins: tuple[int, ...]


def highlights(text: str, query: str, *, is_stemmed: bool = True) -> tuple[Chars, ...]:
    """The ranges of `text` that match words and "quoted phrases" of `query`: rising, disjoint.

    Case and accents are passed over, and a plural matches its singular unless `is_stemmed` is
    False. Words are matched whole, in scripts without spaces inside a run. A phrase matches where
    its words follow each other. Function words match in phrases alone, unless nothing else is
    looked for.
    """
    wanted = {word.folded for word in _words(PHRASE.sub(" ", query))}
    phrases = [[word.folded for word in _words(phrase)] for phrase in PHRASE.findall(query)]
    phrases = [phrase for phrase in phrases if phrase]
    wanted = wanted - FUNCTION_WORDS or (set() if phrases else wanted)
    words = _words(text) if wanted or phrases else []
    forms = _forms if is_stemmed else _itself
    singular = wanted.union(*(forms(word) for word in wanted))
    found = [
        word.chars
        for word in words
        if word.folded in singular or not wanted.isdisjoint(forms(word.folded))
    ]
    inside = {*wanted, *(phrase[0] for phrase in phrases if len(phrase) == 1)}
    for part in (part for part in inside if _UNSPACED.match(part)):
        found += _within(text, words, part)
    for phrase in phrases:
        found += _phrase(words, phrase)
    return _joined(found)


def bounded(ranges: Sequence[Chars], start: int, end: int) -> tuple[Chars, ...]:
    """The ranges as they lie in `text[start:end]`."""
    cut = [(max(first, start) - start, min(last, end) - start) for first, last in ranges]
    return tuple((first, last) for first, last in cut if first < last)


def _folded(text: str) -> list[tuple[str, int]]:
    """Each letter as it is compared, lower-case and without marks, and where it came from."""
    return [
        (folded, at)
        for at, char in enumerate(text)
        if char not in _INVISIBLE
        # One Greek letter has two small forms.
        for folded in plain(char).casefold()
    ]


def _words(text: str) -> list[_Word]:
    words = []
    for is_word, group in groupby(_folded(text), key=lambda pair: pair[0].isalnum()):
        if is_word:
            pairs = list(group)
            chars = (pairs[0][1], _end(text, pairs[-1][1] + 1))
            origins = tuple(at for _, at in pairs)
            words.append(_Word("".join(char for char, _ in pairs), chars, origins))
    return words


def _end(text: str, end: int) -> int:
    """Behind the marks that belong to the character before `end`."""
    while end < len(text) and unicodedata.category(text[end])[0] == "M":
        end += 1
    return end


def _itself(word: str) -> set[str]:
    return {word}


def _forms(word: str) -> set[str]:
    """A word, and what it is the English plural of, if it is one (after Harman, JASIS 1991)."""
    if len(word) <= 3 or not word.endswith("s") or word.endswith(("ss", "us")):
        return {word}
    forms = {word, word[:-1]}
    if word.endswith("es"):
        forms.add(word[:-2])
    if word.endswith("ies"):
        forms.add(f"{word[:-3]}y")
    return forms


def _within(text: str, words: Sequence[_Word], part: str) -> list[Chars]:
    """Where a word of a script without spaces stands inside runs."""
    found = []
    for run in words:
        at = run.folded.find(part)
        while at >= 0:
            end = at + len(part)
            found.append((run.origins[at], _end(text, run.origins[end - 1] + 1)))
            at = run.folded.find(part, end)
    return found


def _phrase(words: Sequence[_Word], phrase: Sequence[str]) -> list[Chars]:
    """From the first word to the last of each place where the words follow each other."""
    size = len(phrase)
    return [
        (words[at].chars[0], words[at + size - 1].chars[1])
        for at in range(len(words) - size + 1)
        if all(words[at + step].folded == phrase[step] for step in range(size))
    ]


def _joined(ranges: Sequence[Chars]) -> tuple[Chars, ...]:
    """Rising, those that overlap made one."""
    joined: list[Chars] = []
    for start, end in sorted(ranges):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)
