"""Finds the message inside signed data (CMS, PKCS #7), which is not encrypted but wrapped."""

from __future__ import annotations

_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
_PLAIN_DATA = bytes.fromhex("06092a864886f70d010701")
_HEAD_BYTES = 64
_OCTETS, _CONSTRUCTED_OCTETS, _EXPLICIT = 0x04, 0x24, 0xA0


def find_signed_content(data: bytes) -> bytes | None:
    """Returns what was signed, b"" if it lies elsewhere; None for data of another kind.

    The content is one string of octets or several, of definite length or not (RFC 5652).
    """
    if _SIGNED_DATA not in data[:_HEAD_BYTES]:
        return None
    at = data.find(_PLAIN_DATA)
    pieces: list[bytes] = []
    at = len(data) if at < 0 else at + len(_PLAIN_DATA)
    while at + 2 <= len(data):
        tag, (start, length) = data[at], _read_length(data, at + 1)
        if tag == _OCTETS:
            pieces.append(data[start : start + length])
            at = start + length
        elif tag in (_CONSTRUCTED_OCTETS, _EXPLICIT) and not pieces:
            at = start
        else:
            break
    return b"".join(pieces)


def _read_length(data: bytes, at: int) -> tuple[int, int]:
    """Returns where the value starts and its length; 0 for an indefinite one."""
    first = data[at]
    if first < 0x80:
        return at + 1, first
    size = first & 0x7F
    return at + 1 + size, int.from_bytes(data[at + 1 : at + 1 + min(size, 8)], "big")
