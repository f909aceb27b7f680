"""Compares what is on disk with what the library knows; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from mmsearch.media.files import storable
from mmsearch.store.rows import FileRow
from mmsearch_indexers.discovery import Found


@dataclass(frozen=True, slots=True)
class Job:
    """A file that must be looked into; `known` is its row, where it has one."""

    found: Found
    known: FileRow | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run has to do.

    `jobs` are new and changed files, `unchanged` paths stay as they are, `missing` are rows below
    the roots whose file was not found there.
    """

    jobs: tuple[Job, ...]
    unchanged: tuple[FileRow, ...]
    missing: tuple[FileRow, ...]


def plan(
    found: Iterable[Found],
    known: Sequence[FileRow],
    roots: Sequence[str],
    *,
    retry_failed: bool = False,
) -> Plan:
    """Decide by size and modification time, as rsync does; content is compared later, by hash."""
    rows = {row.path: row for row in known}
    seen: set[str] = set()
    jobs: list[Job] = []
    unchanged: list[FileRow] = []
    for file in found:
        path = storable(file.path)
        seen.add(path)
        row = rows.get(path)
        if (
            row is None
            or (row.size_bytes, row.mtime_ns) != (file.size_bytes, file.mtime_ns)
            or (retry_failed and row.error is not None)
        ):
            jobs.append(Job(file, row))
        else:
            unchanged.append(row)
    folders = [PurePath(root) for root in roots]
    missing = [
        row
        for row in known
        if row.path not in seen and any(PurePath(row.path).is_relative_to(f) for f in folders)
    ]
    return Plan(tuple(jobs), tuple(unchanged), tuple(missing))
