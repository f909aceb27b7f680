"""Reads the text of mails in compressed Rich Text Format, as Outlook stores them."""

from __future__ import annotations

from contextlib import suppress

from mmsearch.media.documents.document_archive import READ_ERRORS
from mmsearch.media.documents.rtf_reader import RtfReader

_HEADER_BYTES = 16
_COMPRESSED, _PLAIN = b"LZFu", b"MELA"
_WINDOW_BYTES = 4096
# The window begins with phrases of every document (MS-OXRTFCP, 2.1.2.1).
_PHRASES = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript "
    rb"\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0"
    b"\r\n"
    rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
_MAX_BYTES = 4 * 1024**2
_MAX_TOKENS = 2_000_000


def read_compressed_rtf(data: bytes) -> str:
    """Returns the text of compressed RTF, of at most 4 MB of it; what comes before a fault."""
    return read_rtf(decompress_rtf(data))


def read_rtf(source: bytes) -> str:
    """Returns the text of RTF; what comes before a fault."""
    lines: list[str] = []
    with suppress(*READ_ERRORS):
        for line in RtfReader(max_tokens=_MAX_TOKENS, max_pictures=0).read([source]):
            lines.append(line)  # noqa: PERF402 - the lines before a fault are kept
    return "".join(lines)


def decompress_rtf(data: bytes) -> bytes:
    """Unpacks compressed RTF; of damaged data, what comes before the fault."""
    kind, packed = data[8:12], data[_HEADER_BYTES:]
    if kind == _PLAIN:
        return packed[:_MAX_BYTES]
    if kind != _COMPRESSED:
        return b""
    window = bytearray(_PHRASES.ljust(_WINDOW_BYTES, b"\0"))
    write_at, unpacked, at = len(_PHRASES), bytearray(), 0
    while at < len(packed) and len(unpacked) < _MAX_BYTES:
        flags = packed[at]
        at += 1
        for bit in range(8):
            if not flags >> bit & 1:
                piece = packed[at : at + 1]
                at += 1
            else:
                reference = int.from_bytes(packed[at : at + 2], "big")
                at += 2
                offset, length = reference >> 4, (reference & 15) + 2
                if offset == write_at or at > len(packed):
                    return bytes(unpacked)
                piece = _copy_phrase(window, offset, write_at, length)
            for byte in piece:
                window[write_at] = byte
                write_at = (write_at + 1) % _WINDOW_BYTES
            unpacked += piece
    return bytes(unpacked)


def _copy_phrase(window: bytearray, offset: int, write_at: int, length: int) -> bytes:
    """Returns a phrase of the window, which may run into the bytes that it makes itself."""
    known = (write_at - offset) % _WINDOW_BYTES
    return bytes(window[(offset + at % known) % _WINDOW_BYTES] for at in range(length))
