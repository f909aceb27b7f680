"""Detects the text encoding of a file: byte order marks, UTF-8, and a guess for the rest."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from mmsearch.media.strings import split_words

SAMPLE_BYTES = 65536
_BLOCK_BYTES = 1 << 18

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # UTF-32 before UTF-16: the little-endian mark of one begins with that of the other.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Text may have tabs, newlines, form feeds, backspaces and escapes (logs with colours).
_CONTROLS = bytes(c for c in range(32) if c not in b"\t\n\r\f\b\x1b") + b"\x7f"
_CONTROL_SHARE = 0.005
# Encodings before UTF-8, the more common ones first.
_CANDIDATES = split_words(
    """
    cp1252 cp932 gb18030 euc_jp big5 cp949 cp1251 koi8_r cp1250 iso8859_2 cp1253 cp1254 cp1255
    cp1256
    """
)
_META = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{2,40})", re.I)


def decode_if_text(head: bytes) -> str | None:
    """Decodes `head`, which may end inside a character; None if it is no text."""
    name = _detect_mark(head)
    if name is not None:
        text = codecs.getincrementaldecoder(name)(errors="replace").decode(head)
        bad = sum(not (c.isprintable() or c.isspace()) for c in text) + text.count("\ufffd")
        return text if bad <= max(1, len(text) // 50) else None
    if b"\0" in head:
        return None
    controls = len(head) - len(head.translate(None, _CONTROLS))
    utf8_text = _decode(head, "utf-8")
    if utf8_text is not None:
        return utf8_text if controls <= max(1, len(head) * 0.02) else None
    # Random bytes have one control character in nine; eight-bit text has none.
    is_text = controls <= len(head) * _CONTROL_SHARE and _has_letters(head)
    return head.decode("latin-1") if is_text else None


def _has_letters(head: bytes) -> bool:
    """Tests if bytes mix with ASCII as Latin texts do, or form East Asian characters."""
    is_mixed = sum(byte >= 0x80 for byte in head) < len(head) * 0.9
    return is_mixed or any(
        _decode(head, name) is not None for name in ("cp932", "gb18030", "euc_jp", "cp949")
    )


def _decode(head: bytes, name: str) -> str | None:
    """Decodes bytes that may end inside a character; None if they do not fit the encoding."""
    try:
        return codecs.getincrementaldecoder(name)().decode(head)
    except UnicodeDecodeError:
        return None


def _detect_mark(head: bytes) -> str | None:
    """Returns the encoding of a byte order mark, or of UTF-16 without one."""
    marked = (name for mark, name in _MARKS if head.startswith(mark))
    return next(marked, None) or _detect_unmarked_utf16(head)


def detect_encoding(sample: bytes, *, is_markup: bool = False) -> str:
    """Returns the encoding of a text that begins with `sample`; never fails."""
    name = _detect_mark(sample)
    if name is not None:
        return name
    if _decode(sample, "utf-8") is not None:
        return "utf-8"
    if is_markup and (match := _META.search(sample[:4096])):
        name = match[1].decode("ascii")
        if _is_text_codec(name):
            return name
    return _guess_encoding(sample[:16384])


def _guess_encoding(sample: bytes) -> str:
    from charset_normalizer import from_bytes

    matches = list(from_bytes(sample, cp_isolation=list(_CANDIDATES)))
    if not matches:
        return _CANDIDATES[0]
    best = matches[0]
    equal = [
        match.encoding
        for match in matches
        if match.chaos <= best.chaos and match.coherence >= best.coherence
    ]
    return min(equal, key=_CANDIDATES.index)


def read_text(file: BinaryIO, *, is_markup: bool = False) -> Iterator[str]:
    """Yields the text of a file in blocks, with Unix newlines and no NULs; never fails on content.

    A line that does not fit the encoding is read as Windows-1252: a stray byte far into a log
    costs some wrong letters only.
    """
    sample = file.read(SAMPLE_BYTES)
    name = detect_encoding(sample, is_markup=is_markup)
    decoder = codecs.getincrementaldecoder(name)()
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    block = sample
    while True:
        final = not block
        pending = decoder.getstate()[0]
        try:
            text = decoder.decode(block, final)
        except UnicodeError:
            decoder.reset()
            text = _decode_damaged(pending + block, name)
        text = newlines.decode(text, final)
        if text:
            yield text.replace("\0", " ")
        if final:
            return
        block = file.read(_BLOCK_BYTES)


def _decode_damaged(block: bytes, name: str) -> str:
    if name not in ("utf-8", "utf-8-sig"):
        return block.decode(name, "replace")
    lines = []
    for line in block.split(b"\n"):
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            lines.append(line.decode("cp1252", "replace"))
    return "\n".join(lines)


def _is_text_codec(name: str) -> bool:
    try:
        return isinstance("".encode(name), bytes) and isinstance(b"".decode(name), str)
    except (LookupError, UnicodeError, ValueError, TypeError):
        return False


def _detect_unmarked_utf16(head: bytes) -> str | None:
    """Detects UTF-16 by its zeros: nearly every other byte is zero, and no byte between."""
    sample = head[: len(head) // 2 * 2][:4096]
    if len(sample) < 8:
        return None
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    if odd > half * 0.7 and even == 0:
        return "utf-16-le"
    if even > half * 0.7 and odd == 0:
        return "utf-16-be"
    return None
