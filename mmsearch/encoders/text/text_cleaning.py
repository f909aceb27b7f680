"""Cleans texts the way the text towers of open_clip had them cleaned in training."""

from __future__ import annotations

import html
import re
import string
import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType

_PLAIN = re.compile(r"[\t\n\r\x20-\x25\x27-\x7e]*")
"""ASCII without `&` and control characters: nothing in it needs mending."""
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


def valid(text: str) -> str:
    """Without lone surrogates, which a command line or a broken file can hold."""
    return text.encode("utf-8", "replace").decode()


def mended(text: str) -> str:
    """Undo what went wrong on a text's way: entities, curly quotes, odd widths, control characters.

    open_clip has ftfy do it. So it is here where ftfy is installed; else what needs no guessing is
    done alike, and text that was decoded with a wrong character set stays as it is.
    """
    if not _PLAIN.fullmatch(text):
        text = _fixed(text)
    return html.unescape(html.unescape(text)).strip()


def _fixed(text: str) -> str:
    try:
        import ftfy
    except ImportError:
        return without_ftfy(text)
    fixed: str = ftfy.fix_text(text)
    return fixed


def without_ftfy(text: str) -> str:
    """What `ftfy.fix_text` does to a text whose character set was right."""
    while True:
        before = text
        if "<" not in text:
            text = html.unescape(text)
        text = _C1.sub(_windows_1252, text)
        text = _LIGATURES.sub(_compatible, text).replace(_OLD_LIGATURE, "\u017ft")
        text = _WIDE.sub(_compatible, text)
        text = _SINGLE_QUOTES.sub("'", _DOUBLE_QUOTES.sub('"', text))
        text = _LINE_BREAKS.sub("\n", text)
        text = _CONTROLS.sub("", _TERMINAL.sub("", text))
        text = unicodedata.normalize("NFC", text)
        if text == before:
            return text


def _compatible(match: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", match.group())


def _windows_1252(match: re.Match[str]) -> str:
    raw = match.group().encode("latin-1")
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:  # five bytes stand for nothing there
        return match.group()


def _lower(text: str) -> str:
    return " ".join(text.split()).lower()


def _whitespace(text: str) -> str:
    return " ".join(text.split())


def _canonicalize(text: str) -> str:
    """Lower case without punctuation (big_vision, `canonicalize_text`)."""
    text = text.replace("_", " ").translate(_NO_PUNCTUATION).lower()
    return " ".join(text.split())


CLEANERS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {"lower": _lower, "whitespace": _whitespace, "canonicalize": _canonicalize}
)
"""By the names that open_clip has for them."""


def cleaned(text: str, how: str) -> str:
    """Mended, and cleaned in one of the ways of `CLEANERS`."""
    return CLEANERS[how](mended(valid(text)))
