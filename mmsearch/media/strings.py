"""Cleans strings of files: no control characters, no undecoded bytes, bounded length."""

from __future__ import annotations

import re

MAX_CHARS = 500

# C0 and C1 controls, surrogates, byte order marks, and the marks that turn a line around.
_UNWANTED = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff\u200e\u200f\u202a-\u202e\u2066-\u2069]+"
)
_SPACE = re.compile(r"\s+")


def clean(value: object, *, max_chars: int = MAX_CHARS) -> str | None:
    """Returns text or bytes of a header as one line; None if nothing is left."""
    if isinstance(value, bytes):
        value = decode_header(value)
    if not isinstance(value, str):
        return None
    # A hostile header can be megabytes of blanks: cut before the expressions run.
    line = _SPACE.sub(" ", _UNWANTED.sub(" ", value[: max_chars * 8])).strip()
    if len(line) > max_chars:
        line = line[: max_chars - 1].rstrip() + "…"
    return line or None


def decode_header(value: bytes) -> str:
    """Decodes a header field as UTF-8, else as Latin-1, which old writers use."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def split_words(text: str) -> tuple[str, ...]:
    """Splits a table that is written as prose into its words."""
    return tuple(text.split())
