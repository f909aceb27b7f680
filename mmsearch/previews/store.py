"""Previews on the disk: as many as may be, the least recently used go first."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.config import cache_dir

if TYPE_CHECKING:
    from mmsearch.store.location import Location

LIMIT_BYTES = 256 << 20
"""Some fifteen thousand thumbnails of 320 pixels."""
NAME = "previews"
SUFFIX = ".preview"
_PART = ".part"
_MAGIC = b"mmsearch preview\n"
_DIGEST_BYTES = 16
# After tidying, so that not every new preview tidies again.
_TIDY_TO = 0.8
# Other processes fill the same folder: it is counted again when this one has added so much.
_COUNT_AFTER = 0.1
_MAX_FILE_BYTES = 8 << 20
_TOUCH_S = 3600.0
_ABANDONED_S = 3600.0


def folder_of(location: Location) -> Path:
    """Where the previews of a library are kept: in its folder, else in the user's cache.

    Beside the index, which is cleared away by itself: previews outlast it.
    """
    if location.is_remote:
        return cache_dir() / NAME / location.cache_folder.name
    if os.access(location.folder, os.W_OK):
        return location.folder / NAME
    return cache_dir() / NAME / hashlib.blake2b(location.uri.encode(), digest_size=8).hexdigest()


class Store:
    """Small files by their keys, whole or not there, in a folder that only its owner can enter.

    A file that is torn, or another's, is not taken: a digest over key, type and data says whether
    it is the one that was written. Where the folder cannot be made or is somebody else's, nothing
    is kept. The time of a file is when it was last used, give or take an hour.
    """

    def __init__(self, folder: Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._folder = folder
        self._limit_bytes = max(0, limit_bytes)
        self._lock = threading.Lock()
        self._counted_bytes: int | None = None
        self._added_bytes = 0

    def get(self, key: str) -> tuple[str, bytes] | None:
        """The media type and the data that were kept; None where there are none."""
        path = self._path(key)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, "rb") as stream:  # noqa: PTH123 - a descriptor
                info = os.fstat(descriptor)
                if not stat.S_ISREG(info.st_mode) or info.st_size > _MAX_FILE_BYTES:
                    return None
                content = stream.read(_MAX_FILE_BYTES)
        except OSError:
            return None
        found = _unpacked(key, content)
        if found is not None and time.time() - info.st_mtime > _TOUCH_S:
            with contextlib.suppress(OSError):
                os.utime(path)
        return found

    def put(self, key: str, media_type: str, data: bytes) -> None:
        """Keep a preview, and let go of others where there are too many.

        That a disk is full or a folder closed is no reason not to show what was made.
        """
        content = _packed(key, media_type, data)
        if len(content) > min(self._limit_bytes, _MAX_FILE_BYTES):
            return
        with contextlib.suppress(OSError):
            if self._is_ready():
                self._write(key, content)
                self._account(len(content))

    def size_bytes(self) -> int:
        """What is kept, in bytes."""
        return sum(size for _, size, _ in self._files())

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}{SUFFIX}"

    def _is_ready(self) -> bool:
        """Whether the folder is there, and this user's alone."""
        with contextlib.suppress(FileExistsError):
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            self._folder.mkdir(mode=0o700)
        info = self._folder.lstat()
        return stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid()

    def _write(self, key: str, content: bytes) -> None:
        # For its owner alone, as mkstemp makes it. Not synced: what a power cut tears is known by
        # its digest and made anew.
        handle, name = tempfile.mkstemp(dir=self._folder, suffix=_PART)
        part = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            part.replace(self._path(key))
        finally:
            part.unlink(missing_ok=True)

    def _account(self, size_bytes: int) -> None:
        with self._lock:
            self._added_bytes += size_bytes
            is_due = self._added_bytes > self._limit_bytes * _COUNT_AFTER
            known = self._counted_bytes
            if known is None or is_due or known + self._added_bytes > self._limit_bytes:
                self._counted_bytes = self._tidied()
                self._added_bytes = 0

    def _tidied(self) -> int:
        """Remove what was not used for longest, until there is room; returns what is left."""
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        if total <= self._limit_bytes:
            return total
        for _, size, path in files:
            if total <= self._limit_bytes * _TIDY_TO:
                break
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            total -= size
        return total

    def _files(self) -> list[tuple[float, int, Path]]:
        """When each file was used, its size, and where it is; abandoned parts are removed."""
        found = []
        with contextlib.suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                try:
                    info = entry.stat(follow_symlinks=False)
                except OSError:  # another process tidies too
                    continue
                path = Path(entry.path)
                if entry.name.endswith(_PART) and time.time() - info.st_mtime > _ABANDONED_S:
                    path.unlink(missing_ok=True)
                elif entry.name.endswith((SUFFIX, _PART)):
                    found.append((info.st_mtime, info.st_size, path))
        return found


def _packed(key: str, media_type: str, data: bytes) -> bytes:
    body = media_type.encode() + b"\n" + data
    return _MAGIC + _digest(key, body) + body


def _unpacked(key: str, content: bytes) -> tuple[str, bytes] | None:
    head = len(_MAGIC) + _DIGEST_BYTES
    body = content[head:]
    if content[:head] != _MAGIC + _digest(key, body):
        return None
    media_type, _, data = body.partition(b"\n")
    return media_type.decode("ascii", "replace"), data


def _digest(key: str, body: bytes) -> bytes:
    return hashlib.blake2b(body, key=key.encode()[:64], digest_size=_DIGEST_BYTES).digest()
