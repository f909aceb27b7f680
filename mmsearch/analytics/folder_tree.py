"""The folders of a library, one level at a time."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmsearch.store.schema import FILES

if TYPE_CHECKING:
    from mmsearch.snapshot.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class FolderCount:
    """A folder; `files` are those in it and below it, `failed` could not be indexed."""

    path: str
    files: int
    failed: int
    size_bytes: int
    has_folders: bool


def list_folders(snapshot: Snapshot, below: str | None = None) -> list[FolderCount]:
    """Returns the folders in a folder that have files somewhere below, by name.

    Without `below` it returns the uppermost folders. A folder that holds a single folder and no
    file is replaced by that folder.
    """
    tree = snapshot.memoize("survey.folders", lambda: _sum_counts(snapshot))
    names = [_collapse_chains(tree, child) for child in tree.children.get(below or "", ())]
    return [
        FolderCount(
            path=name,
            files=tree.files[name],
            failed=tree.failed[name],
            size_bytes=tree.size_bytes[name],
            has_folders=bool(tree.children.get(name)),
        )
        for name in sorted(names)
    ]


@dataclass(frozen=True, slots=True)
class _Tree:
    """All folders with the counts in and below each; the parent of the topmost is ''."""

    children: dict[str, list[str]]
    direct: Counter[str]
    files: Counter[str]
    failed: Counter[str]
    size_bytes: Counter[str]


def _sum_counts(snapshot: Snapshot) -> _Tree:
    tree = _Tree({}, Counter(), Counter(), Counter(), Counter())
    table = snapshot.reader.read_columns(FILES, "path", "size_bytes", "error")
    for batch in table.to_batches(max_chunksize=65_536):
        for path, size_bytes, error in zip(
            *(column.to_pylist() for column in batch.columns), strict=True
        ):
            folder = path.rpartition(os.sep)[0] or os.sep
            tree.direct[folder] += 1
            tree.files[folder] += 1
            tree.size_bytes[folder] += size_bytes
            tree.failed[folder] += error is not None
    folders: set[str] = set()
    for folder in tree.direct:
        parent = folder
        while parent and parent not in folders:
            folders.add(parent)
            tree.children.setdefault(_parent_of(parent), []).append(parent)
            parent = _parent_of(parent)
    # From the deepest up, so that each total is complete before it is added to the parent's.
    for folder in sorted(folders, key=lambda path: path.rstrip(os.sep).count(os.sep), reverse=True):
        if parent := _parent_of(folder):
            for totals in (tree.files, tree.failed, tree.size_bytes):
                totals[parent] += totals[folder]
    return tree


def _parent_of(folder: str) -> str:
    return "" if folder == os.sep else folder.rpartition(os.sep)[0] or os.sep


def _collapse_chains(tree: _Tree, folder: str) -> str:
    while not tree.direct[folder] and len(below := tree.children.get(folder, [])) == 1:
        folder = below[0]
    return folder
