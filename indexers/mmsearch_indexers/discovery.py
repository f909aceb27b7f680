"""Walks folders: which files are there, how large, how new."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from mmsearch.errors import ConfigError
from mmsearch.media.files import absolute

SKIPPED_FOLDERS = frozenset(
    {"node_modules", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information",
     "__pycache__", "__MACOSX", "lost+found", ".git", ".hg", ".svn", ".Trash", ".cache"}
)  # fmt: skip
"""Folders that hold no media of their owner, also where hidden ones are asked for."""
SKIPPED_FILES = frozenset({"Thumbs.db", "desktop.ini", "ehthumbs.db", "Icon\r", ".DS_Store"})


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file; `size_bytes` and `mtime_ns` tell later whether it has changed."""

    path: str
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Selection:
    """Which files of the folders are meant.

    Globs are held against the name, the path below the root, and the whole path.

    Names that begin with a dot are passed over unless `hidden`; a root itself is always meant.
    Where there are folders `within`, without links in their paths, no link is followed out of them.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    hidden: bool = False
    within: tuple[str, ...] = ()

    def takes(self, path: str, root: str) -> bool:
        """Whether a file below `root` is meant."""
        if self.include and not _matches(path, root, self.include):
            return False
        return not _matches(path, root, self.exclude)

    def enters(self, path: str, root: str) -> bool:
        """Whether a folder below `root` may hold files that are meant."""
        return not _matches(path, root, self.exclude)

    def reaches(self, path: str) -> bool:
        """Whether what lies at a path, links followed, lies where it may."""
        if not self.within:
            return True
        real = Path(os.path.realpath(path))
        return any(real.is_relative_to(folder) for folder in self.within)


def _matches(path: str, root: str, globs: Sequence[str]) -> bool:
    if not globs:
        return False
    name = os.path.basename(path)  # noqa: PTH119 - on the hot path of every file
    below = path[len(root) :].lstrip(os.sep)
    return any(fnmatch(form, glob) for glob in globs for form in (name, below, path))


def check_roots(roots: Sequence[Path]) -> None:
    """Raise ConfigError for a root that does not exist."""
    for root in roots:
        if not os.path.lexists(root.expanduser()):
            raise ConfigError(f"{root} does not exist: nothing to index there")


def discover(
    roots: Sequence[Path], selection: Selection, *, outside: Path | None = None
) -> Iterator[Found]:
    """Every file below the roots, each once, in the order of their names.

    Links to files and folders are followed; a folder that was entered already (by device and inode)
    is not entered again, so that loops end. What cannot be listed is passed over: it is not there.
    `outside` is a folder never to enter: the library itself. Raises ConfigError for a root that
    does not exist, or lies where it may not.
    """
    check_roots(roots)
    entered: set[tuple[int, int]] = set()
    given: set[str] = set()
    forbidden = None if outside is None else os.path.realpath(outside)
    for root in roots:
        path = absolute(root)
        if not selection.reaches(path):
            raise ConfigError(f"{root} leads out of the folders that may be indexed")
        try:
            info = os.stat(path)  # noqa: PTH116 - paths stay strings on this hot path
        except OSError as exc:
            raise ConfigError(f"{root} cannot be read: {exc.strerror}") from exc
        if stat.S_ISDIR(info.st_mode):
            yield from _walk(path, info, selection, entered, given, forbidden)
        elif stat.S_ISREG(info.st_mode) and path not in given:
            given.add(path)
            yield Found(path, info.st_size, info.st_mtime_ns)


def _walk(
    folder: str,
    info: os.stat_result,
    selection: Selection,
    entered: set[tuple[int, int]],
    given: set[str],
    forbidden: str | None,
) -> Iterator[Found]:
    root = folder
    # An explicit stack: a tree deeper than Python's recursion limit is a tree all the same.
    stack = [(folder, info)]
    while stack:
        folder, info = stack.pop()
        key = (info.st_dev, info.st_ino)
        if key in entered or (forbidden is not None and os.path.realpath(folder) == forbidden):
            continue
        entered.add(key)
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            continue
        below = []
        for entry in listed:
            if entry.name.startswith(".") and not selection.hidden:
                continue
            try:
                if entry.is_symlink() and not selection.reaches(entry.path):
                    continue
                is_folder = entry.is_dir()
                if is_folder and (
                    entry.name in SKIPPED_FOLDERS or not selection.enters(entry.path, root)
                ):
                    continue
                info = entry.stat()
            except OSError:  # a dangling link, or gone since it was listed
                continue
            if is_folder:
                below.append((entry.path, info))
            elif (
                stat.S_ISREG(info.st_mode)
                and entry.name not in SKIPPED_FILES
                and entry.path not in given
                and selection.takes(entry.path, root)
            ):
                given.add(entry.path)
                yield Found(entry.path, info.st_size, info.st_mtime_ns)
        stack.extend(reversed(below))
