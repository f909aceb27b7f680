"""The folders that the files of a library lie in, one level at a time."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmsearch.store.schema import FILES

if TYPE_CHECKING:
    from mmsearch.snapshot.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder; `files` are those in it and below it, `failed` could not be indexed."""

    path: str
    files: int
    failed: int
    size_bytes: int
    has_folders: bool


def folders(snapshot: Snapshot, below: str | None = None) -> list[Folder]:
    """The folders in a folder that have files somewhere below, in the order of their names.

    None for the uppermost: the one that holds all files. A folder that holds but one folder and no
    file stands for that one.
    """
    found = snapshot.kept("survey.folders", lambda: _summed(snapshot))
    names = [_collapsed(found, one) for one in found.children.get(below or "", ())]
    return [
        Folder(
            path=name,
            files=found.files[name],
            failed=found.failed[name],
            size_bytes=found.size_bytes[name],
            has_folders=bool(found.children.get(name)),
        )
        for name in sorted(names)
    ]


@dataclass(frozen=True, slots=True)
class _Tree:
    """All folders with what is in and below each; the parent of the uppermost is ''."""

    children: dict[str, list[str]]
    direct: Counter[str]
    files: Counter[str]
    failed: Counter[str]
    size_bytes: Counter[str]


def _summed(snapshot: Snapshot) -> _Tree:
    tree = _Tree({}, Counter(), Counter(), Counter(), Counter())
    table = snapshot.reader.column(FILES, "path", "size_bytes", "error")
    for batch in table.to_batches(max_chunksize=65_536):
        for path, size_bytes, error in zip(
            *(column.to_pylist() for column in batch.columns), strict=True
        ):
            folder = path.rpartition(os.sep)[0] or os.sep
            tree.direct[folder] += 1
            tree.files[folder] += 1
            tree.size_bytes[folder] += size_bytes
            tree.failed[folder] += error is not None
    known: set[str] = set()
    for folder in tree.direct:
        above = folder
        while above and above not in known:
            known.add(above)
            tree.children.setdefault(_parent(above), []).append(above)
            above = _parent(above)
    # From the deepest up, so that each is whole before it is added to the one above.
    for folder in sorted(known, key=_depth, reverse=True):
        if above := _parent(folder):
            tree.files[above] += tree.files[folder]
            tree.failed[above] += tree.failed[folder]
            tree.size_bytes[above] += tree.size_bytes[folder]
    return tree


def _parent(folder: str) -> str:
    return "" if folder == os.sep else folder.rpartition(os.sep)[0] or os.sep


def _depth(folder: str) -> int:
    return 0 if folder == os.sep else folder.count(os.sep)


def _collapsed(tree: _Tree, folder: str) -> str:
    while not tree.direct[folder] and len(below := tree.children.get(folder, [])) == 1:
        folder = below[0]
    return folder
