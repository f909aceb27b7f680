"""Detects UTF-16 and UTF-32 without a byte order mark, by the characters that they give."""

from __future__ import annotations

import re
from collections import Counter

_NAMES = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_MIN_CHARS = 4
# Controls, private use and what cannot be decoded: a few of them in a long text are damage.
_BAD = re.compile("[\0-\x08\x0e-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\uffff]")
_BAD_SHARE = 0.01
# Han, kana, Hangul, their punctuation, and the pairs of surrogates.
_EAST_ASIAN = re.compile(
    "[\u3000-\u33ff\u4e00-\u9fff\uac00-\ud7a3\uff00-\uffef\U00010000-\U0010ffff]"
)
_ALPHABETIC = re.compile("[\t\n\f\r -~\xa0-\u2bff\ua500-\uabff\ufb00-\ufdff\ufe00-\ufeff]")
_KNOWN_SHARE = 0.97
# Marks that texts of every script have, and that arrays of numbers rarely have.
_MARKS = re.compile("[\t\n\r \xa0\u0964\u104b\u1361\u17d4\u3000-\u3002\u3041-\u30ff\uff01-\uff1f]")
_MARK_SHARE = 0.01
# A text is in one script, or two: its letters lie in few blocks of 256 characters.
_BLOCKS = 4
_BLOCK_SHARE = 0.95


def detect_wide(sample: bytes) -> str | None:
    """Returns "utf-16-le" or a like name if `sample` is such a text, else None."""
    scores = {name: _count_marks(_decode(sample, name)) for name in _NAMES}
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] else None


def count_bad(text: str) -> int:
    """Returns the number of control characters, unassigned ones, and marks of decoding errors."""
    return len(_BAD.findall(text))


def _decode(sample: bytes, name: str) -> str:
    width = 2 if "16" in name else 4
    text = sample[: len(sample) // width * width].decode(name, "replace")
    return text.removesuffix("\ufffd")  # half of a pair at the end of the sample


def _count_marks(text: str) -> int:
    """Returns the number of spaces, newlines and kana, or 0 if this is no text."""
    count = len(text)
    if count < _MIN_CHARS or count_bad(text) > count * _BAD_SHARE:
        return 0
    alphabetic = _ALPHABETIC.findall(text)
    east_asian = len(_EAST_ASIAN.findall(text))
    if len(alphabetic) + east_asian < count * _KNOWN_SHARE:
        return 0
    blocks = Counter(ord(char) >> 8 for char in alphabetic)
    common = sum(number for _, number in blocks.most_common(_BLOCKS))
    if common < len(alphabetic) * _BLOCK_SHARE:
        return 0
    # A single word has no spaces: letters of ASCII tell enough.
    marks = len(_MARKS.findall(text))
    if marks == 0 and count < 1 / _MARK_SHARE:
        return sum(char.isascii() for char in alphabetic)
    return marks if marks >= count * _MARK_SHARE else 0
