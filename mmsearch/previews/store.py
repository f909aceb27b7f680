"""Keeps previews on disk, bounded in size; the least recently used go first."""

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
"""The default limit: some fifteen thousand thumbnails of 320 pixels."""
NAME = "previews"
SUFFIX = ".preview"
_PART = ".part"
_MAGIC = b"mmsearch preview\n"
_DIGEST_BYTES = 16
# The share of the limit that tidying leaves, so that not every new preview tidies again.
_TIDY_TO = 0.8
# The share of the limit to add before the folder is measured again: other processes fill it too.
_COUNT_AFTER = 0.1
_MAX_FILE_BYTES = 8 << 20
_TOUCH_S = 3600.0
_ABANDONED_S = 3600.0


def previews_folder(location: Location) -> Path:
    """Returns the folder for the previews of a library: in its folder, else in the user's cache.

    It is beside the index, so that previews outlast a removal of the index.
    """
    if location.is_remote:
        return cache_dir() / NAME / location.cache_folder.name
    if os.access(location.folder, os.W_OK):
        return location.folder / NAME
    return cache_dir() / NAME / hashlib.blake2b(location.uri.encode(), digest_size=8).hexdigest()


class PreviewStore:
    """Small files by their keys, complete or absent, in a folder that only its owner can enter.

    A torn or foreign file is ignored, by a digest over key, type and data. Where the folder cannot
    be made or belongs to another user, nothing is kept. The modification time of a file is that of
    its last use, to an hour.
    """

    def __init__(self, folder: Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._folder = folder
        self._limit_bytes = max(0, limit_bytes)
        self._lock = threading.Lock()
        self._counted_bytes: int | None = None
        self._added_bytes = 0

    def get(self, key: str) -> tuple[str, bytes] | None:
        """Returns the media type and the data of a key; None where it is not kept."""
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
        preview = _unpack(key, content)
        if preview is not None and time.time() - info.st_mtime > _TOUCH_S:
            with contextlib.suppress(OSError):
                os.utime(path)
        return preview

    def put(self, key: str, media_type: str, data: bytes) -> None:
        """Keeps a preview, and drops others where there are too many.

        Errors of the file system are ignored, since the preview can be shown all the same.
        """
        content = _pack(key, media_type, data)
        if len(content) > min(self._limit_bytes, _MAX_FILE_BYTES):
            return
        with contextlib.suppress(OSError):
            if self._is_ready():
                self._write(key, content)
                self._account(len(content))

    def size_bytes(self) -> int:
        """The size of all kept previews."""
        return sum(size for _, size, _ in self._list_files())

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}{SUFFIX}"

    def _is_ready(self) -> bool:
        """Tests if the folder exists and belongs to this user alone."""
        with contextlib.suppress(FileExistsError):
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            self._folder.mkdir(mode=0o700)
        info = self._folder.lstat()
        return stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid()

    def _write(self, key: str, content: bytes) -> None:
        # mkstemp gives access to its owner alone. Not synced: the digest reveals a torn file.
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
            counted = self._counted_bytes
            if counted is None or is_due or counted + self._added_bytes > self._limit_bytes:
                self._counted_bytes = self._remove_oldest()
                self._added_bytes = 0

    def _remove_oldest(self) -> int:
        """Removes the least recently used until there is room; returns the size of the rest."""
        files = sorted(self._list_files())
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

    def _list_files(self) -> list[tuple[float, int, Path]]:
        """Lists time of use, size and path of each file; removes abandoned parts."""
        files = []
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
                    files.append((info.st_mtime, info.st_size, path))
        return files


def _pack(key: str, media_type: str, data: bytes) -> bytes:
    body = media_type.encode() + b"\n" + data
    return _MAGIC + _compute_digest(key, body) + body


def _unpack(key: str, content: bytes) -> tuple[str, bytes] | None:
    head = len(_MAGIC) + _DIGEST_BYTES
    body = content[head:]
    if content[:head] != _MAGIC + _compute_digest(key, body):
        return None
    media_type, _, data = body.partition(b"\n")
    return media_type.decode("ascii", "replace"), data


def _compute_digest(key: str, body: bytes) -> bytes:
    return hashlib.blake2b(body, key=key.encode()[:64], digest_size=_DIGEST_BYTES).digest()
