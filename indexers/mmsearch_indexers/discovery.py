"""Walks folders and lists their files with sizes and times."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from mmsearch.errors import ConfigError
from mmsearch.media.files import make_absolute
from mmsearch.media.sidecars import FolderNames, find_sidecars

SKIPPED_FOLDERS = frozenset(
    {"node_modules", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information",
     "__pycache__", "__MACOSX", "lost+found", ".git", ".hg", ".svn", ".Trash", ".cache"}
)  # fmt: skip
"""Folders that hold no media of their owner, also where hidden ones are asked for."""
SKIPPED_FILES = frozenset({"Thumbs.db", "desktop.ini", "ehthumbs.db", "Icon\r", ".DS_Store"})


@dataclass(frozen=True, slots=True)
class DiscoveredFile:
    """A regular file; `size_bytes` and `mtime_ns` tell later if it has changed.

    `sidecars` does so for the files beside it that it takes in: their names, sizes and times.
    """

    path: str
    size_bytes: int
    mtime_ns: int
    sidecars: str | None = None


@dataclass(frozen=True, slots=True)
class FileSelection:
    """The files of the folders that a run includes.

    Globs are matched with the name, the path below the root, and the whole path. Names that begin
    with a dot are skipped unless `hidden`; a root itself never is. With `within` (folders whose
    paths have no links), no link is followed out of them.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    hidden: bool = False
    within: tuple[str, ...] = ()

    def includes_file(self, path: str, root: str) -> bool:
        """Tests if a file below `root` is included."""
        if self.include and not _matches(path, root, self.include):
            return False
        return not _matches(path, root, self.exclude)

    def enters_folder(self, path: str, root: str) -> bool:
        """Tests if a folder below `root` may hold files that are included."""
        return not _matches(path, root, self.exclude)

    def is_within_limits(self, path: str) -> bool:
        """Tests if the target of a path, links followed, lies where it may."""
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
    """Raises ConfigError for a root that does not exist."""
    for root in roots:
        if not os.path.lexists(root.expanduser()):
            raise ConfigError(f"{root} does not exist: nothing to index there")


def discover_files(
    roots: Sequence[Path], selection: FileSelection, *, outside: Path | None = None
) -> Iterator[DiscoveredFile]:
    """Yields every file below the roots, each once, in the order of their names.

    Links to files and folders are followed; a folder that was entered already (by device and inode)
    is not entered again, so that loops end. Files and folders that cannot be listed are skipped.
    `outside` is a folder never to enter: the library itself. Raises ConfigError for a root that
    does not exist, or lies where it may not.
    """
    check_roots(roots)
    entered: set[tuple[int, int]] = set()
    yielded: set[str] = set()
    forbidden = None if outside is None else os.path.realpath(outside)
    for root in roots:
        path = make_absolute(root)
        if not selection.is_within_limits(path):
            raise ConfigError(f"{root} leads out of the folders that may be indexed")
        try:
            info = os.stat(path)  # noqa: PTH116 - paths stay strings on this hot path
        except OSError as exc:
            raise ConfigError(f"{root} cannot be read: {exc.strerror}") from exc
        if stat.S_ISDIR(info.st_mode):
            yield from _walk(path, info, selection, entered, yielded, forbidden)
        elif stat.S_ISREG(info.st_mode) and path not in yielded:
            yielded.add(path)
            stamp, _ = _stamp_sidecars(path, None)
            yield DiscoveredFile(path, info.st_size, info.st_mtime_ns, stamp)


def _stamp_sidecars(path: str, names: FolderNames | None) -> tuple[str | None, list[str]]:
    """Returns the names, sizes and times of the sidecars of a file, and paths of descriptions."""
    sidecars = find_sidecars(Path(path), names)
    stamps = []
    for sidecar in sidecars.paths:
        try:
            info = sidecar.stat()
        except OSError:
            continue
        stamps.append([sidecar.name, info.st_size, info.st_mtime_ns])
    return json.dumps(stamps) if stamps else None, [str(each) for each in sidecars.descriptions]


def _walk(
    folder: str,
    info: os.stat_result,
    selection: FileSelection,
    entered: set[tuple[int, int]],
    yielded: set[str],
    forbidden: str | None,
) -> Iterator[DiscoveredFile]:
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
                children = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            continue
        below = []
        files: list[tuple[str, os.stat_result]] = []
        for entry in children:
            if entry.name.startswith(".") and not selection.hidden:
                continue
            try:
                if entry.is_symlink() and not selection.is_within_limits(entry.path):
                    continue
                is_folder = entry.is_dir()
                if is_folder and (
                    entry.name in SKIPPED_FOLDERS or not selection.enters_folder(entry.path, root)
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
                and entry.path not in yielded
                and selection.includes_file(entry.path, root)
            ):
                files.append((entry.path, info))
        for file in _take_in_sidecars(files, FolderNames(entry.name for entry in children)):
            yielded.add(file.path)
            yield file
        stack.extend(reversed(below))


def _take_in_sidecars(
    files: Sequence[tuple[str, os.stat_result]], names: FolderNames
) -> list[DiscoveredFile]:
    """Returns the files of one folder; descriptions of others among them are no documents."""
    listed: list[DiscoveredFile] = []
    descriptions: set[str] = set()
    for path, info in files:
        stamp, described_by = _stamp_sidecars(path, names)
        listed.append(DiscoveredFile(path, info.st_size, info.st_mtime_ns, stamp))
        descriptions.update(described_by)
    return [file for file in listed if file.path not in descriptions]
