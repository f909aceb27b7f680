"""Assets and segments by their ids, and the files that hold them, opened with care."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from mmsearch.errors import MediaGone
from mmsearch.media.files import HASH_BYTES
from mmsearch.snapshot.snapshot import key_of

if TYPE_CHECKING:
    from mmsearch.snapshot.snapshot import Snapshot
    from mmsearch.store.rows import FileRow
    from mmsearch.types import Asset, Segment

HASHED_BYTES = 1 << 30
"""A file whose time is another than when it was indexed is read whole to know it again, up to so
many bytes."""


@dataclass(frozen=True, slots=True)
class Shelved:
    """An asset and where it lies, in the order of the paths."""

    asset: Asset
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file of an asset that is the one that was indexed; whoever asked for it closes `stream`.

    Read it, never its path: what lies there can be another file by then.
    """

    stream: BinaryIO
    path: str
    size_bytes: int
    mtime_ns: int


def asset(snapshot: Snapshot, asset_id: str) -> Shelved | None:
    """The asset of that id; None where the library has none, or no file leads to it."""
    row = snapshot.asset_row(asset_id)
    if row is None:
        return None
    (found,) = snapshot.reader.assets([row])
    if found.id != asset_id:  # keys are the first half of ids
        return None
    return Shelved(found, tuple(snapshot.paths([row])[0]))


def segments(snapshot: Snapshot, asset_id: str) -> list[Segment]:
    """All segments of an asset, in the order of time, page and place in the text."""
    row = snapshot.asset_row(asset_id)
    if row is None:
        return []
    found = snapshot.reader.segments(snapshot.segments_of(row).tolist())
    return sorted((one for one in found if one.asset_id == asset_id), key=_order)


def _order(segment: Segment) -> tuple[int, float, float, int, str]:
    place = segment.place
    start_s, end_s = (0.0, 0.0) if place.span is None else (place.span.start_s, place.span.end_s)
    return (place.page or 0, start_s, end_s, (place.chars or (0, 0))[0], segment.kind)


def segment(snapshot: Snapshot, segment_id: str) -> Segment | None:
    """The segment of that id; None where the library has none."""
    (row,) = snapshot.segments.of(np.array([key_of(segment_id)], dtype=np.uint64)).tolist()
    if row < 0:
        return None
    (found,) = snapshot.reader.segments([row])
    return found if found.id == segment_id else None


def open_file(snapshot: Snapshot, asset_id: str) -> OpenFile:
    """A file of an asset, opened to be read, of those that are still as they were indexed.

    It is checked after it was opened, so that nothing put in its place meanwhile is ever read: a
    regular file of the size and the time that were noted, or of the content itself. Raises
    MediaGone where there is none such.
    """
    row = snapshot.asset_row(asset_id)
    if row is None:
        raise MediaGone(asset_id, "the library has no such asset")
    reason = "its file is gone: bring it back, or take it out with `mmsearch prune`"
    for noted in sorted(snapshot.files_of(row), key=lambda one: one.path):
        if noted.asset_id != asset_id:
            continue
        try:
            return _opened(noted, asset_id)
        except FileNotFoundError:
            continue
        except OSError as exc:
            reason = f"its file cannot be read: {exc.strerror or exc}"
        except _OtherFileError:
            reason = "its file has changed since it was indexed: index it again"
    raise MediaGone(asset_id, reason)


class _OtherFileError(Exception):
    """What lies there now is not what was indexed."""


def _opened(noted: FileRow, asset_id: str) -> OpenFile:
    # Not to wait for a pipe that was put in place of the file.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    stream = open(os.open(noted.path, flags), "rb")  # noqa: PTH123, SIM115 - a descriptor
    try:
        info = os.fstat(stream.fileno())
        _check(stream, info, noted, asset_id)
    except BaseException:
        stream.close()
        raise
    return OpenFile(stream, noted.path, info.st_size, info.st_mtime_ns)


def _check(stream: BinaryIO, info: os.stat_result, noted: FileRow, asset_id: str) -> None:
    if not stat.S_ISREG(info.st_mode) or info.st_size != noted.size_bytes:
        raise _OtherFileError
    if info.st_mtime_ns != noted.mtime_ns and not _has_content(stream, info.st_size, asset_id):
        raise _OtherFileError


def _has_content(stream: BinaryIO, size_bytes: int, asset_id: str) -> bool:
    if size_bytes > HASHED_BYTES:
        return False
    digest = hashlib.blake2b(digest_size=16)
    while block := stream.read(HASH_BYTES):
        digest.update(block)
    stream.seek(0)
    return digest.hexdigest() == asset_id
