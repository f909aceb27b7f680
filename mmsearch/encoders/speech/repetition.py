"""Removes loops: phrases that a speech model repeats when it loses track of the sound."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import chain

MAX_COPIES_OF_A_WORD = 5
MAX_COPIES_IN_ONE_BREATH = 2
MAX_COPIES_OF_A_PHRASE = 2
"""How often in a row people say a thing as Whisper writes it. "No, no, no." is said, with commas;
"you you you" is not, but "had had" is. A chorus is sung twice. More copies are a loop, and one is
kept: if it was honest after all, no word that one can search for is lost."""

LONGEST_LOOP = 24
"""In words. The compression gate has what is longer: three copies of it compress 2.4 times."""

# Scripts that put no space between words: Thai, Lao, Burmese, Khmer, kana and Han.
_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_PIECE = re.compile(rf"\s*(?:[{_SPACELESS}][^\w\s]*|[^\s{_SPACELESS}]+)")
_IS_SPACELESS = re.compile(rf"\s*[{_SPACELESS}]")
_CHARACTERS_OF_A_WORD = 2
"""Four characters of such a script are taken for two words: a phrase."""

CountAllowedCopies = Callable[[list[int], int], int]


def split_into_pieces(text: str) -> list[str]:
    """Splits a text into words with the space before each, or characters of a spaceless script.

    Joined, they are the text without the space at its end.
    """
    return _PIECE.findall(text)


def select_without_loops(pieces: Sequence[str]) -> list[int]:
    """Returns the indices of the pieces of an utterance to keep: of each loop the first copy."""

    def count(indices: list[int], length: int) -> int:
        return _count_allowed_copies([pieces[index] for index in indices], length)

    return _remove_loops([normalize_speech(piece) for piece in pieces], count, longest=LONGEST_LOOP)


def select_without_echoes(texts: Sequence[str]) -> list[int]:
    """Returns the indices of consecutive utterances to keep: of each loop the first copy."""

    def count(indices: list[int], length: int) -> int:
        parts = [split_into_pieces(texts[index]) for index in indices]
        return _count_allowed_copies(list(chain(*parts)), sum(map(len, parts[:length])))

    return _remove_loops([normalize_speech(text) for text in texts], count, longest=3)


def normalize_speech(text: str) -> str:
    """Reduces a text to its letters and digits in lower case, or to its signs if it has none."""
    return "".join(filter(str.isalnum, text.casefold())) or text.strip()


def _count_allowed_copies(pieces: list[str], length: int) -> int:
    """Returns how often the first `length` pieces may be said in a row; `pieces` has all copies."""
    size = sum(
        1 / _CHARACTERS_OF_A_WORD if _IS_SPACELESS.match(piece) else 1 for piece in pieces[:length]
    )
    if size >= 2:
        return MAX_COPIES_OF_A_PHRASE
    is_one_breath = all(
        piece[-1:].isalnum() and not _IS_SPACELESS.match(piece) for piece in pieces[:-length]
    )
    return MAX_COPIES_IN_ONE_BREATH if is_one_breath else MAX_COPIES_OF_A_WORD


def _remove_loops(
    keys: Sequence[str], count_allowed: CountAllowedCopies, *, longest: int
) -> list[int]:
    """Returns the indices that stay when no loop is left, the shortest loops removed first."""
    indices = list(range(len(keys)))
    length = 1
    while length <= min(longest, len(indices) // 3):
        remaining = _collapse_loops(indices, keys, count_allowed, length)
        length = length + 1 if len(remaining) == len(indices) else 1
        indices = remaining
    return indices


def _collapse_loops(
    indices: list[int], keys: Sequence[str], count_allowed: CountAllowedCopies, length: int
) -> list[int]:
    remaining: list[int] = []
    at = 0
    while at < len(indices):
        unit = [keys[index] for index in indices[at : at + length]]
        end = at + length
        while [keys[index] for index in indices[end : end + length]] == unit:
            end += length
        copies = (end - at) // length
        if copies > 2 and copies > count_allowed(indices[at:end], length):
            remaining += indices[at : at + length]
            at = end
        else:
            remaining.append(indices[at])
            at += 1
    return remaining
