"""Detects the text encoding of a file: byte order marks, UTF-8, and a guess for the rest."""

from __future__ import annotations

import codecs
import io
import re
import sys
from collections.abc import Iterator
from typing import BinaryIO

from mmsearch.media.strings import split_words
from mmsearch.media.texts.wide_encoding import count_bad, detect_wide

SAMPLE_BYTES = 65536
_HEAD_BYTES = 8192
_GUESSED_BYTES = 16384
_BLOCK_BYTES = 1 << 18

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    # UTF-32 before UTF-16: the little-endian mark of one begins with that of the other.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Text may have tabs, newlines, form feeds, backspaces and escapes (logs with colours).
_CONTROLS = bytes(c for c in range(32) if c not in b"\t\n\r\f\b\x1b") + b"\x7f"
_CONTROL_SHARE = 0.005
_UTF8_CONTROL_SHARE = 0.02
# Logs that were rotated or preallocated begin or end with zeros, which are no part of the text.
_MIN_ZEROED_BYTES = 32
_MIN_START_BYTES = 16
# Encodings before UTF-8, the more common ones first.
_CANDIDATES = split_words(
    """
    cp1252 cp932 gb18030 euc_jp big5 cp949 cp1251 koi8_r cp1250 iso8859_2 cp1253 cp1254 cp1255
    cp1256 cp866 cp874
    """
)
_EAST_ASIAN = frozenset(("cp932", "gb18030", "euc_jp", "big5", "cp949"))
_DECLARED = re.compile(
    rb"(?:<meta[^>]{0,200}?charset|<\?xml[^>]{0,100}?encoding)\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{2,40})",
    re.I,
)
# Bytes that are not UTF-8, as the error handler "surrogateescape" hands them on.
_BAD_BYTES = re.compile("[\udc80-\udcff]+")
_GOOD = re.compile("[\x80-\ud7ff\ue000-\U0010ffff]+")
_HIGH_BYTES = re.compile(rb"[\x80-\xff]+")
# A text of an older encoding has more letters beyond ASCII than that.
_STRAY_SHARE = 0.005
# So few bad bytes say nothing about the encoding that they are of.
_MIN_GUESSED_BYTES = 24
# Characters outside the basic plane, as two surrogates of three bytes each: some databases do.
_PAIRS = re.compile(rb"(?:\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf])+")


def decode_if_text(head: bytes) -> str | None:
    """Decodes `head`, which may end inside a character; None if it is no text."""
    name = _detect_mark(head)
    if name == "utf-8":
        head = head.removeprefix(codecs.BOM_UTF8)
    elif name is not None:
        text = codecs.getincrementaldecoder(name)("replace").decode(head)
        return text if count_bad(text) <= max(1, len(text) // 50) else None
    if _is_narrow(head):
        valid = _decode(head, "utf-8")
        if valid is not None:
            return valid
        text = _decode_escaped(head)
        return text if _is_utf8(text) else head.decode("latin-1")
    wide = detect_wide(head)
    return head.decode(wide, "replace") if wide is not None else None


def _is_narrow(head: bytes) -> bool:
    """Tests if bytes are UTF-8, perhaps damaged, or text of an older encoding."""
    body = head
    if b"\0" in head:
        body = head.strip(b"\0")
        start = body[:_MIN_START_BYTES]
        if len(body) < _MIN_ZEROED_BYTES or start.translate(None, _CONTROLS) != start:
            return False
    controls = len(body) - len(body.translate(None, _CONTROLS))
    if _decode(body, "utf-8") is not None:
        spare = 0 if b"\0" in body else 1
        return controls <= max(spare, len(body) * _UTF8_CONTROL_SHARE)
    # Random bytes have one control character in nine; eight-bit text has none.
    if controls > len(body) * _CONTROL_SHARE:
        return False
    return _is_utf8(_decode_escaped(body)) or _has_letters(body)


def _has_letters(head: bytes) -> bool:
    """Tests if bytes mix with ASCII as Latin texts do, or form East Asian characters."""
    is_mixed = sum(byte >= 0x80 for byte in head) < len(head) * 0.9
    return is_mixed or any(
        _decode(head, name) is not None for name in ("cp932", "gb18030", "euc_jp", "cp949", "cp874")
    )


def _decode(head: bytes, name: str) -> str | None:
    """Decodes bytes that may end inside a character; None if they do not fit the encoding."""
    try:
        return codecs.getincrementaldecoder(name)().decode(head)
    except UnicodeDecodeError:
        return None


def _decode_escaped(head: bytes) -> str:
    """Decodes bytes that may end inside a character as UTF-8, bad ones as lone surrogates."""
    return codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(head)


def _is_utf8(text: str) -> bool:
    """Tests if text of `_decode_escaped` has as many continuation bytes as bad ones.

    In other encodings, few neighbours make up a character of UTF-8.
    """
    good = "".join(_GOOD.findall(text))
    return len(good.encode()) - len(good) >= _count_bad_bytes(text)


def _count_bad_bytes(text: str) -> int:
    return sum(map(len, _BAD_BYTES.findall(text)))


def _detect_mark(head: bytes) -> str | None:
    """Returns the encoding of a byte order mark."""
    return next((name for mark, name in _MARKS if head.startswith(mark)), None)


def detect_encoding(sample: bytes, *, is_markup: bool = False) -> str:
    """Returns the encoding of a text that begins with `sample`; never fails."""
    name = _detect_mark(sample)
    if name is not None:
        return name
    head = sample[:_HEAD_BYTES]
    wide = None if _is_narrow(head) else detect_wide(head)
    if wide is not None:
        return wide
    if _decode(sample, "utf-8") is not None:
        return "utf-8"
    text = _decode_escaped(sample)
    if _is_utf8(text):
        return "utf-8"
    if is_markup and (match := _DECLARED.search(sample[:4096])):
        name = match[1].decode("ascii")
        if _is_text_codec(name):
            return codecs.lookup(name).name
    if _count_bad_bytes(text) <= len(text) * _STRAY_SHARE:
        return "utf-8"
    lines = (line for line in text.split("\n") if line.isascii() or _BAD_BYTES.search(line))
    return _guess_encoding(_encode_escaped("\n".join(lines)))


def _guess_encoding(sample: bytes) -> str:
    from charset_normalizer import from_bytes

    # A last line that is cut could end inside a character, which would rule its encoding out.
    if len(sample) > _GUESSED_BYTES:
        sample = sample[:_GUESSED_BYTES].rpartition(b"\n")[0] or sample[:_GUESSED_BYTES]
    # Single letters beyond ASCII are Latin: East Asian ones take two bytes.
    runs = [len(run) for run in _HIGH_BYTES.findall(sample)]
    longest, share = max(runs, default=0), sum(runs) / max(1, len(sample))
    is_latin = (longest == 1 and share < 0.2) or (longest == 2 and share < 0.05)
    names = [name for name in _CANDIDATES if not (is_latin and name in _EAST_ASIAN)]
    matches = list(from_bytes(sample, cp_isolation=names))
    if not matches:
        return _CANDIDATES[0]
    best = matches[0]
    equal = [
        match.encoding
        for match in matches
        if match.chaos <= best.chaos and match.coherence >= best.coherence
    ]
    return min(equal, key=_CANDIDATES.index)


def read_text(
    file: BinaryIO, *, is_markup: bool = False, max_bytes: int = sys.maxsize
) -> Iterator[str]:
    """Yields the text of a file in blocks, with Unix newlines and no NULs; never fails on content.

    Bytes that are not UTF-8 in a text that else is are read as Windows-1252, or as the encoding
    that many of them fit: a stray byte costs one wrong letter only. Reads `max_bytes` at most.
    """
    sample = file.read(min(SAMPLE_BYTES, max_bytes))
    left = max_bytes - len(sample)
    name = detect_encoding(sample, is_markup=is_markup)
    if name == "utf-8" or _has_utf8_lines(sample, name):
        decoder: codecs.IncrementalDecoder | _Utf8Decoder = _Utf8Decoder(
            None if name == "utf-8" else name
        )
    else:
        decoder = codecs.getincrementaldecoder(name)("replace")
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    block = sample.removeprefix(codecs.BOM_UTF8) if name == "utf-8" else sample
    is_final = False
    while not is_final:
        is_final = not block
        text = newlines.decode(decoder.decode(block, is_final), is_final)
        if text:
            yield text.replace("\0", " ")
        block = file.read(min(_BLOCK_BYTES, left))
        left -= len(block)


class _Utf8Decoder:
    """Decodes UTF-8 block by block, with bytes and lines of another encoding in between."""

    def __init__(self, other: str | None) -> None:
        self._strict = codecs.getincrementaldecoder("utf-8")()
        self._escaping = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._other = other

    def decode(self, block: bytes, is_final: bool) -> str:
        """Decodes the next block; an empty last one yields what is left."""
        state = self._strict.getstate()
        try:
            return self._strict.decode(block, is_final)
        except UnicodeDecodeError:
            self._escaping.setstate(state)
            text = self._escaping.decode(block, is_final)
            self._strict.setstate(self._escaping.getstate())
            return self._mend(text)

    def _mend(self, text: str) -> str:
        lines = text.split("\n")
        bad = [at for at, line in enumerate(lines) if _BAD_BYTES.search(line)]
        # Lines that are wholly of another encoding tell it.
        foreign = frozenset(at for at in bad if not _is_utf8(lines[at]))
        if self._other is None:
            sample = b"\n".join(_encode_escaped(lines[at]) for at in sorted(foreign))
            if sum(byte >= 0x80 for byte in sample) >= _MIN_GUESSED_BYTES:
                self._other = _guess_encoding(sample)
        for at in bad:
            if at in foreign and self._other is not None:
                lines[at] = _encode_escaped(lines[at]).decode(self._other, "replace")
            else:
                lines[at] = _BAD_BYTES.sub(_mend_bytes, lines[at])
        return "\n".join(lines)


def _encode_escaped(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _mend_bytes(match: re.Match[str]) -> str:
    raw = _encode_escaped(match[0])
    if _PAIRS.fullmatch(raw):
        return (
            raw.decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass").decode("utf-16")
        )
    return raw.decode("cp1252", "replace")


def _has_utf8_lines(sample: bytes, name: str) -> bool:
    """Tests if a text of an eight-bit encoding has lines that are UTF-8."""
    if name in _EAST_ASIAN or name.startswith("utf"):
        return False
    lines = _decode_escaped(sample).split("\n")
    return any(
        len("".join(_GOOD.findall(line))) >= 2 and not _BAD_BYTES.search(line) for line in lines
    )


def _is_text_codec(name: str) -> bool:
    try:
        return isinstance("".encode(name), bytes) and isinstance(b"".decode(name), str)
    except (LookupError, UnicodeError, ValueError, TypeError):
        return False
