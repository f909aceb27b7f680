"""Indexing in words: what may be added, how far a job is, what failed; no Streamlit in here."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.errors import ConfigError
from mmsearch.jobs import State
from mmsearch_ui import hit_cards

if TYPE_CHECKING:
    from mmsearch.jobs import Job
    from mmsearch.store.rows import FileRow

MAX_LISTED = 500
"""Folders that are listed at a time."""
MAX_RETRIED = 500
"""Files that are tried again one by one; of more, their folders are."""


def checked(written: str, library: Path) -> Path:
    """The folder or file that is meant; raises ConfigError that says what is wrong with it."""
    said = written.strip()
    if len(said) > 1 and said[0] == said[-1] and said[0] in "'\"":
        said = said[1:-1]  # as file managers copy a path
    if not said:
        raise ConfigError("Write the path of a folder or a file, or choose one below.")
    if "\0" in said:
        raise ConfigError("A path cannot have a NUL in it.")
    if not said.startswith(("/", "~")):
        raise ConfigError(f"{said} does not begin with / or ~: write the whole path.")
    try:
        path = Path(said).expanduser()
    except RuntimeError as exc:  # ~ of nobody
        raise ConfigError(f"{said}: there is no such home folder.") from exc
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
        is_there = is_folder or path.exists()
    except OSError as exc:
        raise ConfigError(f"{said} cannot be looked at: {exc.strerror or exc}.") from exc
    if not is_there:
        raise ConfigError(f"{said} does not exist: check how it is written.{_nearest(path)}")
    if not (is_folder or is_file):
        raise ConfigError(f"{said} is neither a folder nor a file.")
    if not os.access(path, os.R_OK | (os.X_OK if is_folder else 0)):
        raise ConfigError(f"{said} cannot be read: you lack the right to.")
    if path.resolve().is_relative_to(library.resolve()):
        raise ConfigError(f"{said} is the library itself, not what belongs into it.")
    return path


def _nearest(path: Path) -> str:
    for parent in path.parents:
        if parent.is_dir():
            return f" {parent} does." if parent != Path("/") else ""
    return ""


def below(folder: Path) -> list[str]:
    """The names of the folders in a folder that are no hidden ones; raises ConfigError."""
    try:
        with os.scandir(folder) as entries:
            found = [one.name for one in entries if one.name[0] != "." and _is_folder(one)]
    except OSError as exc:
        raise ConfigError(f"{folder} cannot be listed: {exc.strerror or exc}") from exc
    return sorted(found, key=str.lower)[:MAX_LISTED]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Shown:
    """A job as it is shown: what it is about, how far it is (0..1, None: not known), in words."""

    title: str
    share: float | None
    line: str
    counts: str


def shown(job: Job) -> Shown:
    """A job in words."""
    names = [hit_cards.shown(path) for path in job.paths[:3]]
    more = f" and {len(job.paths) - 3:,} more" if len(job.paths) > 3 else ""
    return Shown(", ".join(names) + more, _share(job), _line(job), _counts(job))


def _share(job: Job) -> float | None:
    if job.state is State.DONE:
        return 1.0
    if not job.total:
        return None
    return min(1.0, job.done / job.total)


def _line(job: Job) -> str:
    if job.state is State.QUEUED:
        return "waits for its turn"
    if job.state is State.RUNNING:
        return _progress(job)
    took = ""
    if job.started_at and job.finished_at:
        took = f" in {duration((job.finished_at - job.started_at).total_seconds())}"
    if job.state is State.DONE:
        return f"done{took}"
    if job.state is State.CANCELLED:
        return f"stopped{took}; what was finished is kept"
    return f"failed: {hit_cards.shown(job.message)}"


def _progress(job: Job) -> str:
    if job.total is None:
        return "looking for files"
    parts = [f"{job.done:,} of {job.total:,} files"]
    if job.step.startswith("building"):
        return f"{parts[0]}, {job.step}"
    if job.rate_per_s:
        parts.append(rate(job.rate_per_s))
        if job.done < job.total:
            parts.append(f"{duration((job.total - job.done) / job.rate_per_s)} left")
    return ", ".join(parts)


def _counts(job: Job) -> str:
    parts = [f"{job.counts[name]:,} {name}" for name in job.counts if job.counts[name]]
    return ", ".join(parts) if parts else ("nothing to do" if job.is_over else "")


def rate(per_s: float) -> str:
    """12.3 as 12 files/s, 0.2 as 12 files/min."""
    if per_s >= 1:
        return f"{per_s:.1f} files/s" if per_s < 10 else f"{per_s:,.0f} files/s"
    return f"{per_s * 60:.1f} files/min"


def duration(seconds: float) -> str:
    """42.3 as 42 s, 150 as 2 min 30 s, 4000 as 1 h 7 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes < 10 and rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min"


ERRORS = {
    "UnsupportedMedia": "no kind that is read",
    "DecodeError": "broken",
    "MediaTooLarge": "too large",
}


@dataclass(frozen=True, slots=True)
class Failed:
    """A file that could not be indexed, in words."""

    name: str
    folder: str
    kind: str
    reason: str


def failed(row: FileRow) -> Failed:
    """Why a file could not be indexed."""
    error = row.error or ""
    message = (row.message or "").removeprefix(f"{row.path}: ")
    return Failed(
        name=hit_cards.name_of(row.path),
        folder=hit_cards.folder_of(row.path),
        kind=ERRORS.get(error, error),
        reason=hit_cards.shown(message),
    )


def matching(rows: Iterable[FileRow], words: str) -> list[FileRow]:
    """The rows whose path or reason has all of the words."""
    wanted = words.lower().split()
    return [
        row
        for row in rows
        if all(word in f"{row.path} {row.error} {row.message}".lower() for word in wanted)
    ]


def as_csv(rows: Iterable[FileRow]) -> bytes:
    """The failures as a table, UTF-8; a cell that a spreadsheet would run is quoted."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["path", "error", "message"])
    for row in rows:
        writer.writerow(map(_harmless, (row.path, row.error or "", row.message or "")))
    return out.getvalue().encode("utf-8", "backslashreplace")


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell[:1] in "=+-@\t\r" else cell


def retried(rows: Sequence[FileRow]) -> tuple[list[str], list[str]]:
    """What is to be tried again, and the files that are gone from disk.

    The files, or where they are too many for one command their folders.
    """
    there: list[str] = []
    gone: list[str] = []
    for row in rows:
        (there if os.path.lexists(row.path) else gone).append(row.path)
    if len(there) <= MAX_RETRIED:
        return there, gone
    folders = sorted({os.path.dirname(path) for path in there})  # noqa: PTH120
    tops: list[str] = []
    for folder in folders:
        if not (tops and folder.startswith(tops[-1].rstrip(os.sep) + os.sep)):
            tops.append(folder)
    return (tops if len(tops) <= MAX_RETRIED else [os.path.commonpath(tops)]), gone
