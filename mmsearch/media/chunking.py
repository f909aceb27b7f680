"""Cuts passages into chunks that an encoder of text takes whole, at the ends of sentences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from mmsearch.media.base import Passage
from mmsearch.media.strings import split_words
from mmsearch.types import Place

CountTokens: TypeAlias = Callable[[Sequence[str]], list[int]]
_Range: TypeAlias = tuple[int, int]

# Ends of sentences: Latin, Greek, Cyrillic, Arabic, Devanagari, Armenian and Ethiopic before a
# blank; CJK anywhere; and the ends of lines.
_END = re.compile(r"[.!?…؟۔।॥։።]+[\"'”’»)\]]*(?=\s)|[。！？｡]+[”’」』）】\"]*|\n")
_LAST_WORD = re.compile(r"([^\W_]+(?:\.[^\W_]+)*)$")
_ABBREVIATIONS = frozenset(
    split_words("""
    mr mrs ms dr prof st sr jr vs etc e.g i.e eg ie cf al fig figs eq no nr vol pp p ed eds
    dept inc ltd co corp approx ca z.b d.h u.a bzw usw ggf hrsg bd abb tel str m mme mlle
    """)
)
_LONGEST_WORD = 40
# A last chunk shorter than this share of the limit says too little by itself.
_TINY_SHARE = 8


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stripped slice of a text: `place.chars` are its offsets there, `place.page` its page."""

    text: str
    place: Place


def split_chunks(
    passages: Iterable[Passage],
    count_tokens: CountTokens,
    *,
    max_tokens: int = 128,
    overlap_tokens: int = 32,
) -> Iterator[Chunk]:
    """Cut each passage into chunks of at most `max_tokens`, in order.

    `count_tokens` gives the number of tokens of each text it gets; it is asked for many at a time.
    Neighbours share their border sentence where it has at most `overlap_tokens`. Only a single
    character can be longer than `max_tokens`.
    """
    if max_tokens < 1 or overlap_tokens < 0:
        raise ValueError("max_tokens must be at least 1, overlap_tokens at least 0")
    for passage in passages:
        text = passage.text
        units, counts = _halve_long_ranges(text, list(split_sentences(text)), count_tokens, max_tokens)
        groups = _pack_groups(counts, max_tokens, overlap_tokens)
        reached = 0
        for first, last in _split_long_groups(text, units, groups, count_tokens, max_tokens):
            # Halves of two neighbours that overlap can lie within each other.
            if last <= reached:
                continue
            reached = last
            start, end = units[first][0], units[last - 1][1]
            chars = (passage.start_char + start, passage.start_char + end)
            yield Chunk(text[start:end], Place(page=passage.page, chars=chars))


def split_sentences(text: str) -> Iterator[_Range]:
    """(start, end) of each sentence or line, stripped; together they hold all but white space."""
    start = 0
    for match in _END.finditer(text):
        if _is_sentence_end(text, match.start(), match.end()):
            yield from _strip_range(text, start, match.end())
            start = match.end()
    yield from _strip_range(text, start, len(text))


def _is_sentence_end(text: str, start: int, end: int) -> bool:
    mark = text[start]
    if mark == "\n":
        # A line broken in the middle of a sentence goes on in small letters.
        before = text[start - 1 : start]
        after = text[end : end + 1]
        return not ((before.islower() or before in (",", "-", "–")) and after.islower())
    if mark in "。！？｡":
        return True
    following = text[end : end + 8].lstrip()
    if following[:1].islower():
        return False
    if text[start:end] != ".":
        return True
    word = _LAST_WORD.search(text, max(0, start - _LONGEST_WORD), start)
    if word is None:
        return True
    name = word[1]
    is_initial = len(name) == 1 and name.isalpha() and name.isupper() and name.isascii()
    is_list_number = (
        name.isdecimal()
        and len(name) <= 2
        and (word.start() == 0 or text[word.start() - 1] == "\n")
    )
    return not (is_initial or is_list_number or name.lower() in _ABBREVIATIONS)


def _strip_range(text: str, start: int, end: int) -> Iterator[_Range]:
    part = text[start:end]
    left = len(part) - len(part.lstrip())
    if left < len(part):
        yield start + left, start + len(part.rstrip())


def _halve_long_ranges(
    text: str, ranges: list[_Range], count_tokens: CountTokens, max_tokens: int
) -> tuple[list[_Range], list[int]]:
    """The ranges with those that are too long halved until they fit, and the tokens of each."""
    counts = _count_range_tokens(text, ranges, count_tokens)
    while True:
        long = [at for at, count in enumerate(counts) if count > max_tokens]
        halves = {at: _halve(text, *ranges[at]) for at in long}
        halves = {at: parts for at, parts in halves.items() if len(parts) > 1}
        if not halves:
            return ranges, counts
        fresh = iter(
            _count_range_tokens(text, [part for parts in halves.values() for part in parts], count_tokens)
        )
        next_ranges: list[_Range] = []
        next_counts: list[int] = []
        for at, (part, count) in enumerate(zip(ranges, counts, strict=True)):
            parts = halves.get(at)
            next_ranges += parts if parts is not None else [part]
            next_counts += [next(fresh) for _ in parts] if parts is not None else [count]
        ranges, counts = next_ranges, next_counts


def _halve(text: str, start: int, end: int) -> list[_Range]:
    """Two parts of a range, cut at the blank nearest to its middle, else in the middle."""
    if end - start < 2:
        return [(start, end)]
    middle = (start + end) // 2
    blanks = [
        at
        for at in (_blank_before(text, middle, start), _blank_after(text, middle, end))
        if at is not None
    ]
    cut = min(blanks, key=lambda at: abs(at - middle)) if blanks else middle
    return [*_strip_range(text, start, cut), *_strip_range(text, cut, end)]


def _blank_before(text: str, at: int, start: int) -> int | None:
    while at > start and not text[at].isspace():
        at -= 1
    return at if at > start else None


def _blank_after(text: str, at: int, end: int) -> int | None:
    while at < end and not text[at].isspace():
        at += 1
    return at if at < end else None


def _count_range_tokens(text: str, ranges: list[_Range], count_tokens: CountTokens) -> list[int]:
    return list(count_tokens([text[start:end] for start, end in ranges])) if ranges else []


def _pack_groups(counts: list[int], max_tokens: int, overlap_tokens: int) -> list[_Range]:
    """Groups (first, last) of units: as many as fit, the last of one begun again in the next."""
    groups: list[_Range] = []
    first = 0
    while first < len(counts):
        last, total = first, 0
        while last < len(counts) and (last == first or total + counts[last] <= max_tokens):
            total += counts[last]
            last += 1
        groups.append((first, last))
        if last == len(counts):
            break
        shares = last - first > 1 and counts[last - 1] <= overlap_tokens
        fits = shares and counts[last - 1] + counts[last] <= max_tokens
        first = last - 1 if fits else last
    if len(groups) > 1:
        groups[-1] = _grow_last_group(groups, counts, max_tokens)
    return groups


def _grow_last_group(groups: list[_Range], counts: list[int], max_tokens: int) -> _Range:
    """The last group, with units of the one before where it would be tiny."""
    first, last = groups[-1]
    total = sum(counts[first:last])
    if total * _TINY_SHARE > max_tokens:
        return first, last
    while first > groups[-2][0] + 1 and total + counts[first - 1] <= max_tokens // 2:
        first -= 1
        total += counts[first]
    return first, last


def _split_long_groups(
    text: str,
    units: list[_Range],
    groups: list[_Range],
    count_tokens: CountTokens,
    max_tokens: int,
) -> list[_Range]:
    """The groups, halved where the whole has more tokens than its units added up."""
    done: list[_Range] = []
    counts = _count_range_tokens(text, [(units[f][0], units[n - 1][1]) for f, n in groups], count_tokens)
    for (first, last), count in zip(groups, counts, strict=True):
        if count <= max_tokens or last - first == 1:
            done.append((first, last))
            continue
        middle = (first + last) // 2
        halves = [(first, middle), (middle, last)]
        done += _split_long_groups(text, units, halves, count_tokens, max_tokens)
    return done
