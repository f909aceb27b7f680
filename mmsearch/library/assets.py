"""Assets and segments by their ids, and the files that hold them, opened with care."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from mmsearch.errors import MediaError, MediaGone
from mmsearch.media.asset_ids import combine_asset_id
from mmsearch.media.files import hash_stream
from mmsearch.media.sidecars import find_sidecars
from mmsearch.snapshot.keys import compute_key

if TYPE_CHECKING:
    from mmsearch.snapshot.snapshot import Snapshot
    from mmsearch.store.rows import FileRow
    from mmsearch.types import Asset, Segment

HASHED_BYTES = 1 << 30
"""Largest file whose content is compared where its time is not the one that was indexed."""


@dataclass(frozen=True, slots=True)
class LocatedAsset:
    """An asset and the paths of its files, sorted."""

    asset: Asset
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OpenFile:
    """An opened file of an asset, checked to be the one that was indexed; the caller closes it.

    Read `stream`, never `path`: another file can lie there by now.
    """

    stream: BinaryIO
    path: str
    size_bytes: int
    mtime_ns: int


def find_asset(snapshot: Snapshot, asset_id: str) -> LocatedAsset | None:
    """Finds an asset by its id; None where the library has none, or no file of it."""
    row = snapshot.asset_row(asset_id)
    if row is None:
        return None
    (asset,) = snapshot.reader.read_assets([row])
    if asset.id != asset_id:  # keys are the first half of ids
        return None
    return LocatedAsset(asset, tuple(snapshot.paths([row])[0]))


def list_segments(snapshot: Snapshot, asset_id: str) -> list[Segment]:
    """Lists all segments of an asset in the order of page, time and place in the text."""
    row = snapshot.asset_row(asset_id)
    if row is None:
        return []
    segments = snapshot.reader.read_segments(snapshot.segments_of(row).tolist())
    return sorted((part for part in segments if part.asset_id == asset_id), key=_sort_key)


def _sort_key(segment: Segment) -> tuple[int, float, float, int, str]:
    place = segment.place
    start_s, end_s = (0.0, 0.0) if place.span is None else (place.span.start_s, place.span.end_s)
    return (place.page or 0, start_s, end_s, (place.chars or (0, 0))[0], segment.kind)


def find_segment(snapshot: Snapshot, segment_id: str) -> Segment | None:
    """Finds a segment by its id; None where the library has none."""
    (row,) = snapshot.segments.find(np.array([compute_key(segment_id)], dtype=np.uint64)).tolist()
    if row < 0:
        return None
    (segment,) = snapshot.reader.read_segments([row])
    return segment if segment.id == segment_id else None


def open_file(snapshot: Snapshot, asset_id: str) -> OpenFile:
    """Opens a file of an asset that is still as it was indexed.

    The file is checked after it was opened, so that no other is read that takes its place
    meanwhile: a regular file of the recorded size, and of the recorded time or the same content.
    Raises MediaGone where there is none.
    """
    row = snapshot.asset_row(asset_id)
    if row is None:
        raise MediaGone(asset_id, "the library has no such asset")
    reason = "its file is gone: bring it back, or take it out with `mmsearch prune`"
    for file in sorted(snapshot.files_of(row), key=attrgetter("path")):
        if file.asset_id != asset_id:
            continue
        try:
            return _open_file(file)
        except FileNotFoundError:
            continue
        except OSError as exc:
            reason = f"its file cannot be read: {exc.strerror or exc}"
        except _OtherFileError:
            reason = "its file has changed since it was indexed: index it again"
    raise MediaGone(asset_id, reason)


class _OtherFileError(Exception):
    """Another file than the indexed one is at its path now."""


def _open_file(file: FileRow) -> OpenFile:
    # O_NONBLOCK: a pipe that was put in place of the file would be waited for.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    stream = open(os.open(file.path, flags), "rb")  # noqa: PTH123, SIM115 - a descriptor
    try:
        info = os.fstat(stream.fileno())
        _check(stream, info, file)
    except BaseException:
        stream.close()
        raise
    return OpenFile(stream, file.path, info.st_size, info.st_mtime_ns)


def _check(stream: BinaryIO, info: os.stat_result, file: FileRow) -> None:
    if not stat.S_ISREG(info.st_mode) or info.st_size != file.size_bytes:
        raise _OtherFileError
    if info.st_mtime_ns != file.mtime_ns and not _has_content(stream, info.st_size, file):
        raise _OtherFileError


def _has_content(stream: BinaryIO, size_bytes: int, file: FileRow) -> bool:
    if size_bytes > HASHED_BYTES:
        return False
    content = hash_stream(stream)
    stream.seek(0)
    path = Path(file.path)
    sidecars = find_sidecars(path).paths if file.sidecars else ()
    try:
        return combine_asset_id(path, content, sidecars) == file.asset_id
    except MediaError:  # a sidecar that cannot be read
        return False
