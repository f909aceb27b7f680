"""Reads the properties of Outlook items from a compound file (MS-OXMSG)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mmsearch.media.mail.headers import decode_charset

if TYPE_CHECKING:
    from olefile import OleFileIO

_PROPERTIES, _NAMED = "__properties_version1.0", "__nameid_version1.0"
_STREAM = "__substg1.0_"
_UNICODE, _EIGHT_BIT, _BINARY = "001F", "001E", "0102"
# The entries follow a header whose length depends on the kind of the item.
_ENTRY = struct.Struct("<HHIQ")
_TOP_HEADER_BYTES, _ITEM_HEADER_BYTES, _PART_HEADER_BYTES = 32, 24, 8
_NAMED_ENTRIES = f"{_STREAM}00030102"
_FIRST_NAMED = 0x8000
_MAX_NAMED = 20_000
_CODE_PAGE = 0x3FFD
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_CODE_PAGES = {
    936: "gb18030",
    1200: "utf-16-le",
    20127: "ascii",
    20866: "koi8-r",
    21866: "koi8-u",
    50220: "iso-2022-jp",
    50221: "iso-2022-jp",
    50222: "iso-2022-jp",
    51932: "euc-jp",
    51949: "euc-kr",
    52936: "gb18030",
    54936: "gb18030",
    65000: "utf-7",
    65001: "utf-8",
}
_READ_ERRORS = (OSError, ValueError, IndexError, struct.error, RecursionError, AttributeError)


def list_entries(file: OleFileIO) -> dict[tuple[str, ...], dict[str, None]]:
    """Returns the names of the streams and storages in each storage, sorted."""
    entries: dict[tuple[str, ...], dict[str, None]] = {}
    for path in sorted(file.listdir(streams=True, storages=True)):
        entries.setdefault(tuple(path[:-1]), {})[path[-1]] = None
    return entries


class OutlookItem:
    """A message, recipient or attachment in a compound file, below the storage `prefix`.

    `entries` are those of `list_entries`.
    Properties are named by their number, as MS-OXPROPS lists them. One that cannot be read counts
    as absent, and is counted in `broken_count`.
    """

    def __init__(
        self,
        file: OleFileIO,
        prefix: tuple[str, ...],
        entries: Mapping[tuple[str, ...], Mapping[str, None]],
    ) -> None:
        self._file, self.prefix, self._entries = file, prefix, entries
        self.broken_count = 0
        self._fixed: dict[int, int] = self._read_fixed()

    def list_parts(self, start: str) -> Iterator[OutlookItem]:
        """Yields the items in storages whose names begin with `start`: recipients, attachments."""
        for name in self._entries.get(self.prefix, ()):
            if name.startswith(start):
                yield OutlookItem(self._file, (*self.prefix, name), self._entries)

    def get_embedded(self, number: int) -> OutlookItem | None:
        """Returns the message that is kept in a property, as in an attachment; or None."""
        prefix = (*self.prefix, f"{_STREAM}{number:04X}000D")
        return OutlookItem(self._file, prefix, self._entries) if prefix in self._entries else None

    def get_text(self, number: int) -> str:
        """Returns a text, of Unicode or of the item's code page; "" without one."""
        data = self._read_stream(f"{_STREAM}{number:04X}{_UNICODE}")
        if data is not None:
            return data.decode("utf-16-le", "replace").rstrip("\0")
        data = self._read_stream(f"{_STREAM}{number:04X}{_EIGHT_BIT}")
        return decode_charset(data, self.get_charset(_CODE_PAGE)).rstrip("\0") if data else ""

    def get_bytes(self, number: int) -> bytes:
        """Returns the bytes of a property, b"" without one."""
        return self._read_stream(f"{_STREAM}{number:04X}{_BINARY}") or b""

    def get_number(self, number: int) -> int:
        """Returns an integer, 0 without one."""
        return self._fixed.get(number, 0) & 0xFFFFFFFF

    def get_time(self, number: int) -> datetime | None:
        """Returns an instant, aware; None without one."""
        ticks = self._fixed.get(number, 0)
        try:
            return _EPOCH + timedelta(microseconds=ticks // 10) if ticks else None
        except OverflowError:
            return None

    def get_charset(self, number: int) -> str:
        """Returns the name of the character set whose code page is a property; "" without one."""
        page = self.get_number(number)
        if 28_591 <= page <= 28_605:
            return f"iso-8859-{page - 28_590}"
        return _CODE_PAGES.get(page, f"cp{page}" if page else "")

    def find_named(self, local_id: int) -> int:
        """Returns the number that this file gives to a named property; 0 without it."""
        entries = self._read_stream(_NAMED_ENTRIES, (_NAMED,)) or b""
        for at in range(0, min(len(entries), _MAX_NAMED * 8) - 7, 8):
            name, kind = struct.unpack_from("<II", entries, at)
            if name == local_id and not kind & 1:
                return _FIRST_NAMED + int(kind >> 16)
        return 0

    def _read_stream(self, name: str, prefix: tuple[str, ...] | None = None) -> bytes | None:
        prefix = self.prefix if prefix is None else prefix
        if name not in self._entries.get(prefix, ()):
            return None
        path = (*prefix, name)
        try:
            with self._file.openstream(list(path)) as stream:
                return bytes(stream.read())
        except _READ_ERRORS:
            self.broken_count += 1
            return None

    def _read_fixed(self) -> dict[int, int]:
        """Returns the values of fixed length by their numbers."""
        data = self._read_stream(_PROPERTIES) or b""
        if not self.prefix:
            start = _TOP_HEADER_BYTES
        else:
            is_embedded = self.prefix[-1].startswith(_STREAM)
            start = _ITEM_HEADER_BYTES if is_embedded else _PART_HEADER_BYTES
        end = len(data) - _ENTRY.size + 1
        entries = (_ENTRY.unpack_from(data, at) for at in range(start, end, _ENTRY.size))
        return {int(number): int(value) for _, number, _, value in entries}
