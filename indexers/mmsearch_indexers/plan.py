"""Compares the files on disk with those of the library; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from mmsearch.media.files import make_storable
from mmsearch.store.rows import FileRow
from mmsearch_indexers.discovery import DiscoveredFile


@dataclass(frozen=True, slots=True)
class IndexTask:
    """A file that must be read; `known` is its row, where it has one."""

    found: DiscoveredFile
    known: FileRow | None


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """The work of a run.

    `jobs` are new and changed files, `unchanged` paths stay as they are, `missing` are rows below
    the roots whose file was not found there.
    """

    jobs: tuple[IndexTask, ...]
    unchanged: tuple[FileRow, ...]
    missing: tuple[FileRow, ...]


def plan_run(
    files: Iterable[DiscoveredFile],
    known_rows: Sequence[FileRow],
    roots: Sequence[str],
    *,
    retry_failed: bool = False,
    due_assets: Collection[str] = (),
) -> IndexPlan:
    """Plans by size and modification time, as rsync does; content is compared later, by hash.

    `due_assets` are those of which this run can read more than an earlier one.
    """
    rows = {row.path: row for row in known_rows}
    seen_paths: set[str] = set()
    jobs: list[IndexTask] = []
    unchanged: list[FileRow] = []
    for file in files:
        path = make_storable(file.path)
        seen_paths.add(path)
        row = rows.get(path)
        if (
            row is None
            or (row.size_bytes, row.mtime_ns, row.sidecars)
            != (file.size_bytes, file.mtime_ns, file.sidecars)
            or row.asset_id in due_assets
            or (retry_failed and row.error is not None)
        ):
            jobs.append(IndexTask(file, row))
        else:
            unchanged.append(row)
    folders = [PurePath(root) for root in roots]
    missing = [
        row
        for row in known_rows
        if row.path not in seen_paths and any(PurePath(row.path).is_relative_to(f) for f in folders)
    ]
    return IndexPlan(tuple(jobs), tuple(unchanged), tuple(missing))
