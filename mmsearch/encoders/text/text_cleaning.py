"""Cleans texts as they were cleaned in the training of open_clip's text towers."""

from __future__ import annotations

import html
import re
import string
import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType

from mmsearch.formatting import replace_surrogates

_PLAIN = re.compile(r"[\t\n\r\x20-\x25\x27-\x7e]*")
"""ASCII without `&` and control characters, which needs no repair."""
_SINGLE_QUOTES = re.compile("[\u02bc\u2018-\u201b]")
_DOUBLE_QUOTES = re.compile("[\u201c-\u201f]")
_LINE_BREAKS = re.compile("\r\n|[\r\u2028\u2029\u0085]")
_TERMINAL = re.compile("\033\\[(?:\\d|;)*[a-zA-Z]")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufff9-\ufffc\ufeff]")
_WIDE = re.compile("[\u3000\uff01-\uffef]")
_LIGATURES = re.compile("[\u0132\u0133\u0149\u01c4-\u01cc\u01f1-\u01f3\ufb00-\ufb04\ufb06]")
_OLD_LIGATURE = "\ufb05"
"""Long s and t; compatible with `st`, but ftfy keeps its long s."""
_C1 = re.compile("[\x80-\x9f]")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def repair_text(text: str) -> str:
    """Repairs entities, curly quotes, odd widths and control characters.

    Uses ftfy, as open_clip does, if it is installed. Otherwise it makes the repairs that need no
    guessing, and leaves text that was decoded with a wrong character set as it is.
    """
    if not _PLAIN.fullmatch(text):
        try:
            import ftfy
        except ImportError:
            text = fix_text(text)
        else:
            text = ftfy.fix_text(text)
    return html.unescape(html.unescape(text)).strip()


def fix_text(text: str) -> str:
    """Repairs a text of the right character set as `ftfy.fix_text` does."""
    while True:
        before = text
        if "<" not in text:
            text = html.unescape(text)
        text = _C1.sub(_decode_windows_1252, text)
        text = _LIGATURES.sub(_normalize_match, text).replace(_OLD_LIGATURE, "\u017ft")
        text = _WIDE.sub(_normalize_match, text)
        text = _SINGLE_QUOTES.sub("'", _DOUBLE_QUOTES.sub('"', text))
        text = _LINE_BREAKS.sub("\n", text)
        text = _CONTROLS.sub("", _TERMINAL.sub("", text))
        text = unicodedata.normalize("NFC", text)
        if text == before:
            return text


def _normalize_match(match: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", match.group())


def _decode_windows_1252(match: re.Match[str]) -> str:
    raw = match.group().encode("latin-1")
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:  # five bytes are undefined
        return match.group()


def _collapse_whitespace(text: str) -> str:
    return " ".join(text.split())


def _lower(text: str) -> str:
    return _collapse_whitespace(text).lower()


def _canonicalize(text: str) -> str:
    """Returns lower case without punctuation (big_vision, `canonicalize_text`)."""
    return _collapse_whitespace(text.replace("_", " ").translate(_NO_PUNCTUATION).lower())


CLEANERS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {"lower": _lower, "whitespace": _collapse_whitespace, "canonicalize": _canonicalize}
)
"""Cleaning functions by their names in open_clip."""


def clean_text(text: str, cleaner: str) -> str:
    """Repairs a text and cleans it with one of `CLEANERS`."""
    return CLEANERS[cleaner](repair_text(replace_surrogates(text)))
