"""Splits RTF into control words, groups and text, as a stream, and names its code pages."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_TOKEN = re.compile(
    rb"\\(?P<word>[A-Za-z]{1,32})(?P<number>-?\d{1,10})? ?"
    rb"|\\'(?P<hex>[0-9A-Fa-f]{2})|\\(?P<symbol>\r\n|.)|(?P<brace>[{}])|(?P<text>[^\\{}\r\n]+)"
    rb"|[\r\n]+|\\",
    re.DOTALL,
)
# The longest control word with its number fits into it.
_LOOKAHEAD_BYTES = 64
# Character sets of fonts as Windows numbers them.
_CHARSETS = {
    2: "cp1252",
    77: "mac_roman",
    78: "cp932",
    128: "cp932",
    129: "cp949",
    130: "johab",
    134: "gb18030",
    136: "cp950",
    161: "cp1253",
    162: "cp1254",
    163: "cp1258",
    177: "cp1255",
    178: "cp1256",
    186: "cp1257",
    204: "cp1251",
    222: "cp874",
    238: "cp1250",
    254: "cp437",
    255: "cp850",
}
_CODE_PAGES = {10000: "mac_roman", 10007: "mac_cyrillic", 65001: "utf-8", 936: "gb18030"}
_DOUBLE_BYTE = frozenset({"cp932", "gb18030", "cp949", "cp950"})


class RtfToken(NamedTuple):
    """A token: "word" with a number, "hex", "symbol", "brace" or "text" with its bytes."""

    kind: str
    data: bytes
    number: int | None


def split_tokens(blocks: Iterable[bytes]) -> Iterator[RtfToken]:
    r"""Yields the tokens of RTF; binary data behind ``\bin`` is left out."""
    rest = b""
    skipped = 0
    for block in _mark_last(blocks):
        data = rest + block if block is not None else rest
        end = len(data) if block is None else len(data) - _LOOKAHEAD_BYTES
        at = min(skipped, len(data))
        skipped -= at
        while at < end and (match := _TOKEN.match(data, at)):
            at = match.end()
            kind = match.lastgroup
            if kind in ("word", "number"):
                number = int(match["number"]) if match["number"] else None
                if match["word"] == b"bin" and number is not None and number > 0:
                    skipped = number
                    at += min(skipped, len(data) - at)
                    skipped -= at - match.end()
                else:
                    yield RtfToken("word", match["word"], number)
            elif kind is not None:
                yield RtfToken(kind, match[kind], None)
        rest = data[at:]


def _mark_last(blocks: Iterable[bytes]) -> Iterator[bytes | None]:
    yield from blocks
    yield None


def find_codec(code_page: int) -> str:
    """Returns the codec of a Windows code page, cp1252 if it is unknown."""
    name = _CODE_PAGES.get(code_page, f"cp{code_page}")
    try:
        codecs.lookup(name)
    except LookupError:
        return "cp1252"
    return name


def find_font_codec(charset: int, default: str) -> str:
    """Returns the codec of the character set of a font, in a document with the codec `default`.

    Character set 0 is Western, but programs that know none write it for the code page of the
    document, too.
    """
    if charset == 0:
        return "cp1252" if default in _DOUBLE_BYTE else default
    return _CHARSETS.get(charset, default)
