"""Tells a whole Matroska file from one whose end is missing, which FFmpeg does not."""

from __future__ import annotations

from typing import BinaryIO

_EBML = b"\x1aE\xdf\xa3"
_SEGMENT = b"\x18S\x80g"
_MAX_HEADER_BYTES = 1 << 16


def is_whole(file: BinaryIO, size_bytes: int) -> bool:
    """Tests if a Matroska file of so many bytes is as long as its segment says (RFC 8794, 9559).

    A live recording says nothing, and counts as not whole.
    """
    position = file.tell()
    try:
        file.seek(0)
        head = file.read(len(_EBML) + 8)
        header_size, at = _read_size(head, len(_EBML))
        if not head.startswith(_EBML) or header_size is None or header_size > _MAX_HEADER_BYTES:
            return False
        at += header_size
        file.seek(at)
        head = file.read(len(_SEGMENT) + 8)
        segment_size, after = _read_size(head, len(_SEGMENT))
        if not head.startswith(_SEGMENT) or segment_size is None:
            return False
        return at + after + segment_size <= size_bytes
    finally:
        file.seek(position)


def _read_size(head: bytes, at: int) -> tuple[int | None, int]:
    """Returns the size that stands at a place (None if unknown), and where it ends."""
    if at >= len(head) or not head[at]:
        return None, at
    length = 9 - head[at].bit_length()
    mask = (1 << (7 * length)) - 1
    size = int.from_bytes(head[at : at + length], "big") & mask
    is_unknown = size == mask or len(head) < at + length
    return None if is_unknown else size, at + length
