"""Finds base64 and hexadecimal data within texts: the bytes of pictures, which are no words."""

from __future__ import annotations

import re
from collections.abc import Iterator

MIN_ENCODED_CHARS = 200
# Lines of wrapped base64 have at least that many characters, and all the same number but the last.
_MIN_RUN_CHARS = 60
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-"
_TABLE = bytes(ord("x") if byte in _ALPHABET else ord(" ") for byte in range(256))
_NEEDLE = b"x" * _MIN_RUN_CHARS
_RUN = re.compile(rf"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/=_-]{{{_MIN_RUN_CHARS},}}+")
_GAP = re.compile(r"""[\s>|#*"'+,;\\]{1,40}""")
_LAST_LINE = re.compile(r"""[\s>|#*"'+,;\\]{1,40}([A-Za-z0-9+/_-]{1,1000}(={0,2}))(?![\w+/-])""")
_PREFIX = re.compile(r"(?:data:[\w.+/;=-]{1,80},|base64,)\Z")
_HEX = re.compile(r"[0-9A-Fa-f]+")
_DIGIT = re.compile(r"\d")
_CHANGE = re.compile(r"(?<=[a-z])[^a-z]|(?<=[A-Z])[^A-Z]|(?<=[0-9])[^0-9]")
# Two of three neighbours in base64 are of different classes, three of ten in CamelCase.
_CHANGE_SHARE = 0.5
_DIGIT_SHARE = 0.04
_HEX_DIGIT_SHARES = (0.3, 0.9)
# Pictures of few colours have long stretches of one letter.
_MIN_LONG_CHARS = 2000


def drop_encoded_data(text: str) -> str:
    """Returns `text` with a blank for each base64 or hexadecimal run of at least 200 characters.

    Names, addresses, keys and sums are shorter; words, paths and sequences of genes look otherwise.
    """
    if _NEEDLE not in text.encode("ascii", "replace").translate(_TABLE):
        return text
    parts: list[str] = []
    done = 0
    for start, end in _find_encoded(text):
        prefix = _PREFIX.search(text, max(done, start - 90), start)
        parts.append(text[done : prefix.start() if prefix else start])
        done = end
    return " ".join((*parts, text[done:])) if parts else text


def _find_encoded(text: str) -> Iterator[tuple[int, int]]:
    # Line breaks are two characters within strings of source code and JSON.
    text = text.replace("\\n", "\n\n")
    runs = [(match.start(), match.end()) for match in _RUN.finditer(text)]
    groups: list[list[tuple[int, int]]] = []
    for run in runs:
        if groups and _follows(text, groups[-1], run):
            groups[-1].append(run)
        else:
            groups.append([run])
    for group in groups:
        start, end = group[0][0], group[-1][1]
        joined = "".join(text[first:last] for first, last in group)
        if len(joined) < MIN_ENCODED_CHARS or not _is_encoded(joined):
            continue
        if len(group) == 1:
            yield start, end
        elif not _HEX.fullmatch(joined):  # lines of hexadecimal digits are lists of sums
            last = _LAST_LINE.match(text, end)
            is_last = last is not None and (last[2] or _is_last_line(last[1]))
            yield start, last.end() if last is not None and is_last else end


def _is_last_line(line: str) -> bool:
    return len(line) >= 8 and len(line) % 4 == 0 and _count_changes(line) >= _CHANGE_SHARE


def _follows(text: str, group: list[tuple[int, int]], run: tuple[int, int]) -> bool:
    """Tests if a run is the next line of wrapped data: no longer than the lines before it."""
    (start, end), (next_start, next_end) = group[-1], run
    is_same = all(last - first == group[0][1] - group[0][0] for first, last in group[-2:])
    is_next = is_same and next_end - next_start <= end - start
    return is_next and (end - start) % 4 == 0 and _GAP.fullmatch(text, end, next_start) is not None


def _is_encoded(run: str) -> bool:
    """Tests if a run has the letters of hexadecimal or base64 data, and no words."""
    digits = len(_DIGIT.findall(run)) / len(run)
    if _HEX.fullmatch(run):
        return _HEX_DIGIT_SHARES[0] < digits < _HEX_DIGIT_SHARES[1]
    if digits == 0 or run.islower() or run.isupper():
        return False
    is_random = digits >= _DIGIT_SHARE and _count_changes(run) >= _CHANGE_SHARE
    return is_random or len(run) >= _MIN_LONG_CHARS


def _count_changes(line: str) -> float:
    """Returns the share of characters that are of another class than the one before."""
    return len(_CHANGE.findall(line)) / len(line)
