"""Finds the JPEG pictures that lie in a camera RAW file, without decoding them."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

_START = b"\xff\xd8\xff"
_MAX_STARTS = 512
_MAX_SEGMENTS = 200
_MAX_DIRECTORIES = 64
_MAX_ENTRIES = 1_000
_MAX_VALUES = 64
# Baseline, extended and progressive frames; a lossless one (0xC3) holds the data of a sensor.
_PICTURE_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Tags of TIFF 6, TIFF/EP and DNG, and of Panasonic (0x2E).
_WIDTH, _HEIGHT, _COMPRESSION, _PHOTOMETRIC, _STRIPS, _STRIP_BYTES = 256, 257, 259, 262, 273, 279
_SUB_DIRECTORIES, _JPEG_OFFSET, _JPEG_BYTES, _PANASONIC_JPEG = 330, 513, 514, 0x2E
_DNG_VERSION = 50706
_JPEG_COMPRESSIONS = (6, 7, 99)
_SENSOR_PHOTOMETRICS = (32803, 34892)
_BYTE_ORDERS: dict[str, Literal["little", "big"]] = {"<": "little", ">": "big"}
_TYPE_CODES = {1: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I"}


@dataclass(frozen=True, slots=True)
class EmbeddedJpeg:
    """A JPEG within a file: where it begins, and its size in pixels."""

    offset: int
    width_px: int
    height_px: int

    @property
    def pixels(self) -> int:
        """The number of its pixels."""
        return self.width_px * self.height_px


@dataclass(frozen=True, slots=True)
class RawLayout:
    """The pictures and the sensor size in the directories of a RAW that is built on TIFF.

    `sensor_size` is the largest width and height of sensor data, as stored; None if there is none.
    """

    offsets: tuple[int, ...] = ()
    sensor_size: tuple[int, int] | None = None
    is_dng: bool = False


@dataclass(slots=True)
class _Directory:
    values: dict[int, tuple[int, ...]] = field(default_factory=dict)
    offsets: dict[int, int] = field(default_factory=dict)
    next_offset: int = 0

    def first(self, tag: int) -> int:
        return next(iter(self.values.get(tag, ())), 0)


def read_layout(file: BinaryIO) -> RawLayout:
    """Returns the places of JPEG data and the size of the sensor data in the directories."""
    file.seek(0)
    head = file.read(8)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        return RawLayout()
    waiting, seen = [struct.unpack_from(f"{order}I", head, 4)[0]], set[int]()
    offsets: list[int] = []
    sensors: list[tuple[int, int]] = []
    is_dng = False
    while waiting and len(seen) < _MAX_DIRECTORIES:
        at = waiting.pop()
        if at in seen or at < 8:
            continue
        seen.add(at)
        directory = _read_directory(file, at, order)
        waiting += [directory.next_offset, *directory.values.get(_SUB_DIRECTORIES, ())]
        is_dng = is_dng or _DNG_VERSION in directory.values
        offsets += _list_jpeg_offsets(directory)
        if directory.first(_PHOTOMETRIC) in _SENSOR_PHOTOMETRICS:
            sensors.append((directory.first(_WIDTH), directory.first(_HEIGHT)))
    largest = max(sensors, key=lambda size: size[0] * size[1], default=None)
    return RawLayout(tuple(offsets), largest, is_dng)


def _list_jpeg_offsets(directory: _Directory) -> Iterator[int]:
    if directory.first(_JPEG_OFFSET):
        yield directory.first(_JPEG_OFFSET)
    if directory.first(_COMPRESSION) in _JPEG_COMPRESSIONS:
        yield from directory.values.get(_STRIPS, ())[:1]
    if _PANASONIC_JPEG in directory.offsets:
        yield directory.offsets[_PANASONIC_JPEG]


def _read_directory(file: BinaryIO, at: int, order: str) -> _Directory:
    directory = _Directory()
    file.seek(at)
    count_bytes = file.read(2)
    if len(count_bytes) < 2:
        return directory
    count = min(struct.unpack(f"{order}H", count_bytes)[0], _MAX_ENTRIES)
    entries = file.read(count * 12 + 4)
    for start in range(0, min(count * 12, len(entries) - 11), 12):
        tag, kind, values = struct.unpack_from(f"{order}HHI", entries, start)
        code = _TYPE_CODES.get(kind)
        if code is None:
            continue
        number = min(values, _MAX_VALUES)
        size = number * struct.calcsize(f"{order}{code}")
        data = entries[start + 8 : start + 12]
        if values * struct.calcsize(f"{order}{code}") > 4:
            directory.offsets[tag] = struct.unpack(f"{order}I", data)[0]
            file.seek(directory.offsets[tag])
            data = file.read(size)
        if len(data) >= size:
            directory.values[tag] = struct.unpack_from(f"{order}{number}{code}", data)
    if len(entries) >= count * 12 + 4:
        directory.next_offset = struct.unpack_from(f"{order}I", entries, count * 12)[0]
    return directory


def read_tag_bytes(file: BinaryIO, number: int, max_bytes: int) -> bytes:
    """Returns the bytes of a tag of the first directory of a TIFF as they lie in the file."""
    file.seek(0)
    head = file.read(8)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        return b""
    file.seek(struct.unpack_from(f"{order}I", head, 4)[0])
    count = min(int.from_bytes(file.read(2), _BYTE_ORDERS[order]), _MAX_ENTRIES)
    entries = file.read(count * 12)
    for start in range(0, len(entries) - 11, 12):
        tag, kind, values = struct.unpack_from(f"{order}HHI", entries, start)
        if tag == number:
            size = min(values * struct.calcsize(_TYPE_CODES.get(kind, "B")), max_bytes)
            if size <= 4:
                return entries[start + 8 : start + 8 + size]
            file.seek(struct.unpack_from(f"{order}I", entries, start + 8)[0])
            return file.read(size)
    return b""


def find_jpegs(file: BinaryIO, offsets: tuple[int, ...] = ()) -> list[EmbeddedJpeg]:
    """Returns the pictures that begin at `offsets`, or without any, wherever one may begin."""
    try:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):  # an empty file
        return []
    with data:
        starts = offsets or tuple(_scan_starts(data))
        found = (_measure(data, start) for start in dict.fromkeys(starts))
        return [jpeg for jpeg in found if jpeg is not None]


def _scan_starts(data: mmap.mmap) -> Iterator[int]:
    at = -1
    for _ in range(_MAX_STARTS):
        at = data.find(_START, at + 1)
        if at < 0:
            return
        yield at


def _measure(data: mmap.mmap, start: int) -> EmbeddedJpeg | None:
    """Reads the segments of a JPEG up to its frame header; None if it holds no picture."""
    if data[start : start + 3] != _START:
        return None
    at = start + 2
    for _ in range(_MAX_SEGMENTS):
        marker, size = data[at : at + 2], int.from_bytes(data[at + 2 : at + 4], "big")
        if len(marker) < 2 or marker[0] != 0xFF or size < 2:
            return None
        if marker[1] in _FRAMES:
            precision, height, width, components = struct.unpack(">BHHB", data[at + 4 : at + 10])
            is_picture = marker[1] in _PICTURE_FRAMES and precision == 8 and components in (1, 3)
            is_sized = width > 0 and height > 0
            return EmbeddedJpeg(start, width, height) if is_picture and is_sized else None
        at += 2 + size
    return None
