"""Cuts passages into chunks that fit a text encoder, at the ends of sentences."""

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
_CountRanges: TypeAlias = Callable[[list[_Range]], list[int]]

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
_MAX_WORD_CHARS = 40
# A last chunk shorter than 1/8 of the limit says too little by itself.
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
    """Cuts each passage into chunks of at most `max_tokens`, in order.

    `count_tokens` returns the number of tokens of each text in a batch. Neighbours share their
    border sentence if it has at most `overlap_tokens`. Only a single character can be longer than
    `max_tokens`.
    """
    if max_tokens < 1 or overlap_tokens < 0:
        raise ValueError("max_tokens must be at least 1, overlap_tokens at least 0")
    for passage in passages:
        text = passage.text

        def count_ranges(ranges: list[_Range], text: str = text) -> list[int]:
            return count_tokens([text[start:end] for start, end in ranges]) if ranges else []

        sentences = list(split_sentences(text))
        units, counts = _halve_long_ranges(text, sentences, count_ranges, max_tokens)
        groups = _pack_groups(counts, max_tokens, overlap_tokens)
        covered = 0
        for first, last in _split_long_groups(units, groups, count_ranges, max_tokens):
            # Halves of two neighbours that overlap can lie within each other.
            if last <= covered:
                continue
            covered = last
            start, end = units[first][0], units[last - 1][1]
            chars = (passage.start_char + start, passage.start_char + end)
            yield Chunk(text[start:end], Place(page=passage.page, chars=chars))


def split_sentences(text: str) -> Iterator[_Range]:
    """Yields (start, end) of each sentence or line, stripped of white space."""
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
        is_mid_sentence = before.islower() or before in (",", "-", "–")
        return not (is_mid_sentence and text[end : end + 1].islower())
    if mark in "。！？｡":
        return True
    if text[end : end + 8].lstrip()[:1].islower():
        return False
    word = _LAST_WORD.search(text, max(0, start - _MAX_WORD_CHARS), start)
    if text[start:end] != "." or word is None:
        return True
    name = word[1]
    is_initial = len(name) == 1 and name.isalpha() and name.isupper() and name.isascii()
    is_at_line_start = word.start() == 0 or text[word.start() - 1] == "\n"
    is_list_number = name.isdecimal() and len(name) <= 2 and is_at_line_start
    return not (is_initial or is_list_number or name.lower() in _ABBREVIATIONS)


def _strip_range(text: str, start: int, end: int) -> Iterator[_Range]:
    part = text[start:end]
    blanks = len(part) - len(part.lstrip())
    if blanks < len(part):
        yield start + blanks, start + len(part.rstrip())


def _halve_long_ranges(
    text: str, ranges: list[_Range], count_ranges: _CountRanges, max_tokens: int
) -> tuple[list[_Range], list[int]]:
    """Halves ranges that are too long until they fit; returns all ranges and their tokens."""
    counts = count_ranges(ranges)
    while True:
        halves: dict[int, list[_Range]] = {}
        for at, count in enumerate(counts):
            if count > max_tokens and len(parts := _halve(text, *ranges[at])) > 1:
                halves[at] = parts
        if not halves:
            return ranges, counts
        half_counts = iter(count_ranges([part for parts in halves.values() for part in parts]))
        next_ranges: list[_Range] = []
        next_counts: list[int] = []
        for at, (part, count) in enumerate(zip(ranges, counts, strict=True)):
            next_ranges += halves.get(at, [part])
            next_counts += [next(half_counts) for _ in halves[at]] if at in halves else [count]
        ranges, counts = next_ranges, next_counts


def _halve(text: str, start: int, end: int) -> list[_Range]:
    """Cuts a range at the blank nearest to its middle, else in the middle."""
    if end - start < 2:
        return [(start, end)]
    middle = (start + end) // 2
    before = next((at for at in range(middle, start, -1) if text[at].isspace()), None)
    after = next((at for at in range(middle, end) if text[at].isspace()), None)
    blanks = [at for at in (before, after) if at is not None]
    cut = min(blanks, key=lambda at: abs(at - middle), default=middle)
    return [*_strip_range(text, start, cut), *_strip_range(text, cut, end)]


def _pack_groups(counts: list[int], max_tokens: int, overlap_tokens: int) -> list[_Range]:
    """Groups units, (first, last): as many as fit; a short last unit also begins the next group."""
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
        is_short = last - first > 1 and counts[last - 1] <= overlap_tokens
        is_shared = is_short and counts[last - 1] + counts[last] <= max_tokens
        first = last - 1 if is_shared else last
    if len(groups) > 1:
        groups[-1] = _grow_last_group(groups, counts, max_tokens)
    return groups


def _grow_last_group(groups: list[_Range], counts: list[int], max_tokens: int) -> _Range:
    """Returns the last group, with units of the one before if it is tiny."""
    first, last = groups[-1]
    total = sum(counts[first:last])
    if total * _TINY_SHARE > max_tokens:
        return first, last
    while first > groups[-2][0] + 1 and total + counts[first - 1] <= max_tokens // 2:
        first -= 1
        total += counts[first]
    return first, last


def _split_long_groups(
    units: list[_Range], groups: list[_Range], count_ranges: _CountRanges, max_tokens: int
) -> list[_Range]:
    """Halves groups whose joined text has more tokens than the sum of its units."""
    fitting: list[_Range] = []
    counts = count_ranges([(units[first][0], units[last - 1][1]) for first, last in groups])
    for (first, last), count in zip(groups, counts, strict=True):
        if count <= max_tokens or last - first == 1:
            fitting.append((first, last))
            continue
        middle = (first + last) // 2
        halves = [(first, middle), (middle, last)]
        fitting += _split_long_groups(units, halves, count_ranges, max_tokens)
    return fitting
