"""Reads the names in a compound file (OLE), the container of old Office files and of Outlook."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_HEADER_BYTES = 512
_ENTRY_BYTES = 128
_NAME_BYTES = 64
# Sector numbers of the allocation table that the header holds; larger tables go on elsewhere.
_HEADER_TABLE_SECTORS = 109
_MAX_DIRECTORY_SECTORS = 256
_SECTOR_SHIFTS = (9, 12)


def read_entry_names(path: Path) -> frozenset[str]:
    """Returns the names of the streams and storages of a compound file, of at most 1 MB of them.

    Of a damaged file, the names before the fault. Raises OSError.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
        shift = _read_number(header, 30, 2)
        if not header.startswith(MAGIC) or shift not in _SECTOR_SHIFTS:
            return frozenset()
        sector, names, seen = _read_number(header, 48), set[str](), set[int]()
        while sector not in seen and len(seen) < _MAX_DIRECTORY_SECTORS:
            seen.add(sector)
            entries = _read_sector(file, sector, 1 << shift)
            names.update(_decode_names(entries))
            sector = _find_next(file, header, sector, 1 << shift)
        return frozenset(names)


def _read_number(data: bytes, at: int, size: int = 4) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _read_sector(file: IO[bytes], sector: int, size: int) -> bytes:
    # The header takes up one sector, whatever their size.
    start = (sector + 1) * size
    if start >= os.fstat(file.fileno()).st_size:
        return b""
    file.seek(start)
    return file.read(size)


def _find_next(file: IO[bytes], header: bytes, sector: int, size: int) -> int:
    """Returns the sector that follows in a chain, by the allocation table."""
    table, index = divmod(sector, size // 4)
    if table >= _HEADER_TABLE_SECTORS:
        return sector
    numbers = _read_sector(file, _read_number(header, 76 + table * 4), size)
    return _read_number(numbers, index * 4) if len(numbers) == size else sector


def _decode_names(entries: bytes) -> list[str]:
    names = []
    for at in range(0, len(entries) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
        # The length counts the closing zero, which is two bytes.
        length = min(max(0, _read_number(entries, at + _NAME_BYTES, 2) - 2), _NAME_BYTES)
        names.append(entries[at : at + length].decode("utf-16-le", "replace"))
    return [name for name in names if name]
