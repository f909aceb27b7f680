"""Files put together in one folder: copied, hard-linked or linked by name, never over another."""

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
"""What a file system says of a name that it cannot hold: a colon on FAT, or too many bytes."""
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class Way(StrEnum):
    """How a file gets into the folder."""

    COPY = "copy"
    LINK = "link"
    SYMLINK = "symlink"


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of one file: where it is now, or why it is not there."""

    source: str
    target: str | None
    reason: str = ""
    is_new: bool = True


def place(paths: Sequence[str], folder: Path, way: Way = Way.COPY) -> list[Placed]:
    """Put files into a folder under their own names, in the order given; the folder may be new.

    A name that is taken gets a number: `a.jpg`, `a (2).jpg`. Nothing that is there is written over
    or written through, be it a file, a folder or a link; what is there already with that name and
    that content is left as it is. A copy keeps its time of change. A file that is gone, is no
    file, or has a name that the folder cannot hold is passed over with its reason. Raises
    ConfigError where the folder cannot be made or written to, is full, or cannot hold hard links
    to the files; what was finished is kept, the unfinished copy removed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{folder} cannot be made: {_said(exc)}; name another folder") from exc
    one = _WAYS[way]
    return [_placed(path, folder, one) for path in paths]


def _placed(path: str, folder: Path, put: Callable[[str, Path], None]) -> Placed:
    try:
        source = os.path.realpath(path)  # of a path with links in it, the file itself
        found = os.stat(source)  # noqa: PTH116 - a path, not yet known to be one
    except (OSError, ValueError) as exc:
        return Placed(path, None, _said(exc))
    if not stat.S_ISREG(found.st_mode):
        return Placed(path, None, "is no file")
    own_name = Path(path).name
    for number in range(1, MAX_SAME_NAME):
        target = folder / numbered(own_name, number)
        if _is_same(source, found, target, put):
            return Placed(path, str(target), is_new=False)
        try:
            put(source, target)
        except FileExistsError:
            continue
        except _FileError as exc:
            return Placed(path, None, str(exc))
        return Placed(path, str(target))
    raise ConfigError(f"{folder} has too many files called {own_name}: name another folder")


def numbered(name: str, number: int) -> str:
    """`a.jpg` as `a (2).jpg`, short enough for a file system; the first keeps its name."""
    if number == 1:
        return name
    stem, dot, ending = name.rpartition(".")
    if not stem:  # no ending, or a name that begins with its only dot
        stem, dot, ending = name, "", ""
    after = os.fsencode(f" ({number}){dot}{ending}")
    room = max(0, NAME_BYTES - len(after))
    return os.fsdecode(_cut(os.fsencode(stem), room) + after)


def _cut(name: bytes, room: int) -> bytes:
    """At most `room` bytes, and no half of a character of UTF-8."""
    if len(name) <= room:
        return name
    while room and name[room] & 0xC0 == 0x80:
        room -= 1
    return name[:room]


class _FileError(Exception):
    """It is this file that cannot be read or named there; another may be."""


def _is_same(
    source: str, found: os.stat_result, target: Path, put: Callable[[str, Path], None]
) -> bool:
    """Whether it is there already: this file, or a finished copy of it."""
    try:
        there = target.lstat()
        if stat.S_ISLNK(there.st_mode):
            return put is _symlink and os.readlink(target) == source  # noqa: PTH115 - text as it is
        if os.path.samestat(there, found):
            return True
        return (
            put is _copy
            and stat.S_ISREG(there.st_mode)
            and (there.st_size, there.st_mtime_ns) == (found.st_size, found.st_mtime_ns)
            and filecmp.cmp(source, target, shallow=False)
        )
    except OSError:
        return False


def _copy(source: str, target: Path) -> None:
    try:
        # Not to wait for a pipe that was put in place of the file just now.
        reading = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        raise _FileError(_said(exc)) from exc
    with open(reading, "rb") as taken:  # noqa: PTH123 - a descriptor
        found = os.fstat(reading)
        if not stat.S_ISREG(found.st_mode):
            raise _FileError("is no file")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            writing = os.open(target, flags, 0o600)
        except FileExistsError:
            raise
        except OSError as exc:
            raise _refused(target, exc) from exc
        try:
            with open(writing, "wb") as given:  # noqa: PTH123 - a descriptor
                _pour(taken, given)
                given.flush()
                with contextlib.suppress(OSError):  # FAT knows no such thing
                    os.fchmod(writing, stat.S_IMODE(found.st_mode) & 0o777)
                os.utime(writing, ns=(found.st_atime_ns, found.st_mtime_ns))
        except BaseException as exc:
            target.unlink(missing_ok=True)
            if isinstance(exc, OSError):
                raise _refused(target, exc) from exc
            raise


def _pour(taken: BinaryIO, given: BinaryIO) -> None:
    while True:
        try:
            block = taken.read(BLOCK_BYTES)
        except OSError as exc:
            raise _FileError(_said(exc)) from exc
        if not block:
            return
        given.write(block)


def _link(source: str, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except FileNotFoundError as exc:
        raise _FileError(_said(exc)) from exc
    except OSError as exc:
        if exc.errno == errno.EXDEV:
            raise ConfigError(
                f"{source} lies on another file system than {target.parent}, and hard links cannot "
                f"lead from one to another: use --copy-to or --symlink-to"
            ) from exc
        if exc.errno in _NO_LINKS:
            raise ConfigError(
                f"{source} cannot be hard-linked into {target.parent} ({_said(exc)}): use "
                f"--copy-to or --symlink-to"
            ) from exc
        raise _refused(target, exc) from exc


def _symlink(source: str, target: Path) -> None:
    try:
        os.symlink(source, target)  # noqa: PTH211 - text as it is
    except FileExistsError:
        raise
    except OSError as exc:
        raise _refused(target, exc) from exc


_WAYS: dict[Way, Callable[[str, Path], None]] = {
    Way.COPY: _copy,
    Way.LINK: _link,
    Way.SYMLINK: _symlink,
}


def _refused(target: Path, error: OSError) -> ConfigError | _FileError:
    if error.errno in _BAD_NAME:
        return _FileError(f"{target.parent} cannot hold a file of that name: {_said(error)}")
    if error.errno in _NO_ROOM:
        return ConfigError(
            f"{target.parent} has no room for {target.name} ({_said(error)}): free some, or name "
            f"another folder; what was finished is kept"
        )
    return ConfigError(
        f"{target} cannot be written: {_said(error)}; name another folder; what was finished is "
        f"kept"
    )


def _said(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
