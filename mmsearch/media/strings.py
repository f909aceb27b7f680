"""Cleans strings of files: no control characters, no undecoded bytes, bounded length."""

from __future__ import annotations

import re
import unicodedata

MAX_CHARS = 500

# C0 and C1 controls, surrogates and what is no character.
_UNWANTED = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]+")
# Letters and signs that joiners have a meaning between: Arabic, Indic and others, and emoji.
_JOINED = "\u0590-\u1aff\u2190-\u2bff\ua800-\uabff\ufb1d-\ufeff\U00010800-\U0001ffff"
# Scripts without blanks, which part words by spaces of no width.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\ua9e0-\ua9ff\uaa60-\uaadf"
_BIDI = "\u061c\u200e\u200f\u202a-\u202e"
_INVISIBLE = re.compile(
    # A word that is hyphenated at the end of a line goes on in the next.
    "\u00ad(?:[ \t]*\n[ \t]*(?=[^\\W\\d_]))?"
    f"|[\u034f\u180e\u2060-\u206f\ufeff{_BIDI}]"
    f"|(?<![{_UNSPACED}])\u200b|(?<![{_JOINED}])[\u200c\u200d]"
)
_INVISIBLE_MARKS = (
    "\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067"
    "\u2068\u2069\ufeff"
)
_SPACE = re.compile(r"\s+")


def clean(value: object, *, max_chars: int = MAX_CHARS) -> str | None:
    """Returns text or bytes of a header as one line; None if nothing is left."""
    if isinstance(value, bytes):
        value = decode_header(value)
    if not isinstance(value, str):
        return None
    # A hostile header can be megabytes of blanks: cut before the expressions run.
    value = compose(remove_invisible(value[: max_chars * 8]))
    line = _SPACE.sub(" ", _UNWANTED.sub(" ", value)).strip()
    if len(line) > max_chars:
        line = line[: max_chars - 1].rstrip() + "…"
    return line or None


def remove_invisible(text: str) -> str:
    """Removes soft hyphens, byte order marks and signs of no width that part words.

    Those that a script needs stay: joiners in Persian, Hindi and emoji, word breaks in Thai.
    """
    if text.isascii() or not any(mark in text for mark in _INVISIBLE_MARKS):
        return text
    return _INVISIBLE.sub("", text)


def compose(text: str) -> str:
    """Returns text with composed letters (NFC)."""
    try:
        text.encode("latin-1")  # much faster than the test for composed letters
    except UnicodeEncodeError:
        return unicodedata.normalize("NFC", text)
    return text


def decode_header(value: bytes) -> str:
    """Decodes a header field as UTF-8, else as Latin-1, which old writers use."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def split_words(text: str) -> tuple[str, ...]:
    """Splits a table that is written as prose into its words."""
    return tuple(text.split())
