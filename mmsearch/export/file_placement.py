"""Collects files in one folder: copied, hard-linked or symlinked, never over another."""

from __future__ import annotations

import contextlib
import errno
import filecmp
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from mmsearch.errors import ConfigError

NAME_BYTES = 255
"""The longest name that common file systems hold."""
BLOCK_BYTES = 1 << 20
MAX_SAME_NAME = 100_000
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_BAD_NAME = frozenset({errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ})
"""The errors for a name that the file system cannot hold, as a colon on FAT."""
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class PlacementMethod(StrEnum):
    """The way in which a file gets into the folder."""

    COPY = "copy"
    LINK = "link"
    SYMLINK = "symlink"


@dataclass(frozen=True, slots=True)
class PlacedFile:
    """The new path of one file, or the reason that it has none."""

    source: str
    target: str | None
    reason: str = ""
    is_new: bool = True


def place_files(
    paths: Sequence[str], folder: Path, method: PlacementMethod = PlacementMethod.COPY
) -> list[PlacedFile]:
    """Puts files into a folder under their own names, in order; the folder may be new.

    A name that is taken gets a number: `a.jpg`, `a (2).jpg`. No existing file, folder or link is
    written over or through; an existing file with that name and content is left as it is. A copy
    keeps its time of change. A file that is gone, is no regular file, or has a name that the folder
    cannot hold is skipped with its reason. Raises ConfigError where the folder cannot be made or
    written to, is full, or cannot hold hard links to the files; finished files are kept, the
    unfinished copy is removed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as exc:
        raise ConfigError(
            f"{folder} cannot be made: {_describe_error(exc)}; name another folder"
        ) from exc
    put = _WAYS[method]
    return [_place_file(path, folder, put) for path in paths]


def _place_file(path: str, folder: Path, put: Callable[[str, Path], None]) -> PlacedFile:
    try:
        source = os.path.realpath(path)  # the file itself, not a link to it
        source_info = os.stat(source)  # noqa: PTH116 - a path, not yet known to be one
    except (OSError, ValueError) as exc:
        return PlacedFile(path, None, _describe_error(exc))
    if not stat.S_ISREG(source_info.st_mode):
        return PlacedFile(path, None, "is no file")
    own_name = Path(path).name
    for number in range(1, MAX_SAME_NAME):
        target = folder / number_name(own_name, number)
        if _is_same(source, source_info, target, put):
            return PlacedFile(path, str(target), is_new=False)
        try:
            put(source, target)
        except FileExistsError:
            continue
        except _FileError as exc:
            return PlacedFile(path, None, str(exc))
        except OSError as exc:
            return PlacedFile(path, None, _explain_refusal(target, exc))
        return PlacedFile(path, str(target))
    raise ConfigError(f"{folder} has too many files called {own_name}: name another folder")


def number_name(name: str, number: int) -> str:
    """Turns `a.jpg` into `a (2).jpg`, short enough for a file system; the first keeps its name."""
    if number == 1:
        return name
    stem, dot, ending = name.rpartition(".")
    if not stem:  # no ending, or a name that begins with its only dot
        stem, dot, ending = name, "", ""
    after = os.fsencode(f" ({number}){dot}{ending}")
    room = max(0, NAME_BYTES - len(after))
    return os.fsdecode(_cut_bytes(os.fsencode(stem), room) + after)


def _cut_bytes(name: bytes, room: int) -> bytes:
    """Returns at most `room` bytes, and no half of a character of UTF-8."""
    if len(name) <= room:
        return name
    while room and name[room] & 0xC0 == 0x80:
        room -= 1
    return name[:room]


class _FileError(Exception):
    """One file cannot be read or named there; others may be."""


def _is_same(
    source: str, source_info: os.stat_result, target: Path, put: Callable[[str, Path], None]
) -> bool:
    """Tests if the folder has this file already, or a finished copy of it."""
    try:
        target_info = target.lstat()
        if stat.S_ISLNK(target_info.st_mode):
            return put is _symlink and os.readlink(target) == source  # noqa: PTH115 - text as it is
        if os.path.samestat(target_info, source_info):
            return True
        return (
            put is _copy
            and stat.S_ISREG(target_info.st_mode)
            and (target_info.st_size, target_info.st_mtime_ns)
            == (source_info.st_size, source_info.st_mtime_ns)
            and filecmp.cmp(source, target, shallow=False)
        )
    except OSError:
        return False


def _copy(source: str, target: Path) -> None:
    try:
        # So as not to wait for a pipe that replaced the file meanwhile.
        reading = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        raise _FileError(_describe_error(exc)) from exc
    with open(reading, "rb") as source_stream:  # noqa: PTH123 - a descriptor
        source_info = os.fstat(reading)
        if not stat.S_ISREG(source_info.st_mode):
            raise _FileError("is no file")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        writing = os.open(target, flags, 0o600)
        try:
            with open(writing, "wb") as target_stream:  # noqa: PTH123 - a descriptor
                _copy_bytes(source_stream, target_stream)
                target_stream.flush()
                with contextlib.suppress(OSError):  # FAT knows no such thing
                    os.fchmod(writing, stat.S_IMODE(source_info.st_mode) & 0o777)
                os.utime(writing, ns=(source_info.st_atime_ns, source_info.st_mtime_ns))
        except BaseException:
            target.unlink(missing_ok=True)
            raise


def _copy_bytes(source_stream: BinaryIO, target_stream: BinaryIO) -> None:
    while True:
        try:
            block = source_stream.read(BLOCK_BYTES)
        except OSError as exc:
            raise _FileError(_describe_error(exc)) from exc
        if not block:
            return
        target_stream.write(block)


def _link(source: str, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except FileNotFoundError as exc:
        raise _FileError(_describe_error(exc)) from exc
    except OSError as exc:
        if exc.errno == errno.EXDEV:
            raise ConfigError(
                f"{source} lies on another file system than {target.parent}, and hard links cannot "
                f"lead from one to another: use --copy-to or --symlink-to"
            ) from exc
        if exc.errno in _NO_LINKS:
            raise ConfigError(
                f"{source} cannot be hard-linked into {target.parent} ({_describe_error(exc)}): "
                f"use --copy-to or --symlink-to"
            ) from exc
        raise


def _symlink(source: str, target: Path) -> None:
    os.symlink(source, target)  # noqa: PTH211 - text as it is


_WAYS: dict[PlacementMethod, Callable[[str, Path], None]] = {
    PlacementMethod.COPY: _copy,
    PlacementMethod.LINK: _link,
    PlacementMethod.SYMLINK: _symlink,
}


def _explain_refusal(target: Path, error: OSError) -> str:
    """Returns why a name is refused; raises ConfigError where no file can be written at all."""
    if error.errno in _BAD_NAME:
        return f"{target.parent} cannot hold a file of that name: {_describe_error(error)}"
    if error.errno in _NO_ROOM:
        raise ConfigError(
            f"{target.parent} has no room for {target.name} ({_describe_error(error)}): free some, "
            f"or name another folder; what was finished is kept"
        ) from error
    raise ConfigError(
        f"{target} cannot be written: {_describe_error(error)}; name another folder; what was "
        f"finished is kept"
    ) from error


def _describe_error(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
