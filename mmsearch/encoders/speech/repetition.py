"""Loops: what a speech model says again and again when it has lost the thread."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import chain

MOST_OF_A_WORD = 5
MOST_IN_ONE_BREATH = 2
MOST_OF_A_PHRASE = 2
"""How often in a row people say a thing as Whisper writes it. "No, no, no." is said, with commas;
"you you you" is not, but "had had" is. A chorus is sung twice. What goes beyond is a loop, and of
it one copy is kept: where it was honest after all, no word that one can search for is lost."""

LONGEST_LOOP = 24
"""In words. The compression gate has what is longer: three copies of it compress 2.4 times."""

# Scripts that put no space between words: Thai, Lao, Burmese, Khmer, kana and Han.
_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_PIECE = re.compile(rf"\s*(?:[{_SPACELESS}][^\w\s]*|[^\s{_SPACELESS}]+)")
_IS_SPACELESS = re.compile(rf"\s*[{_SPACELESS}]")
_CHARACTERS_OF_A_WORD = 2
"""Four characters of such a script are taken for two words: a phrase."""

Repeated = Callable[[list[int], int], int]


def pieces(text: str) -> list[str]:
    """The words of a text with the space before each, or characters of a script without spaces.

    Joined, they are the text without the space at its end.
    """
    return _PIECE.findall(text)


def without_loops(said: Sequence[str]) -> list[int]:
    """Which pieces of one utterance to keep, in order: of each loop the first copy."""

    def most(indices: list[int], length: int) -> int:
        return _most([said[index] for index in indices], length)

    return _without([spoken(piece) for piece in said], most, longest=LONGEST_LOOP)


def without_echoes(texts: Sequence[str]) -> list[int]:
    """Which of some utterances in a row to keep, in order: of each loop the first copy."""

    def most(indices: list[int], length: int) -> int:
        parts = [pieces(texts[index]) for index in indices]
        return _most(list(chain(*parts)), sum(len(part) for part in parts[:length]))

    return _without([spoken(text) for text in texts], most, longest=3)


def spoken(text: str) -> str:
    """What is heard of a text: its letters and digits, in lower case; its signs if it has none."""
    return "".join(filter(str.isalnum, text.casefold())) or text.strip()


def _most(said: list[str], length: int) -> int:
    """How often the first `length` of these pieces may be said in a row; they hold all copies."""
    size = sum(
        1 / _CHARACTERS_OF_A_WORD if _IS_SPACELESS.match(piece) else 1 for piece in said[:length]
    )
    if size >= 2:
        return MOST_OF_A_PHRASE
    is_one_breath = all(
        piece[-1:].isalnum() and not _IS_SPACELESS.match(piece) for piece in said[:-length]
    )
    return MOST_IN_ONE_BREATH if is_one_breath else MOST_OF_A_WORD


def _without(keys: Sequence[str], most: Repeated, *, longest: int) -> list[int]:
    """The indices that stay when no loop is left, the shortest loops taken out first."""
    kept = list(range(len(keys)))
    length = 1
    while length <= min(longest, len(kept) // 3):
        left = _once(kept, keys, most, length)
        length = length + 1 if len(left) == len(kept) else 1
        kept = left
    return kept


def _once(kept: list[int], keys: Sequence[str], most: Repeated, length: int) -> list[int]:
    left: list[int] = []
    at = 0
    while at < len(kept):
        unit = [keys[index] for index in kept[at : at + length]]
        end = at + length
        while [keys[index] for index in kept[end : end + length]] == unit:
            end += length
        copies = (end - at) // length
        if copies > 2 and copies > most(kept[at:end], length):
            left += kept[at : at + length]
            at = end
        else:
            left.append(kept[at])
            at += 1
    return left
