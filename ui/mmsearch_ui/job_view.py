"""Describes jobs in words: paths to index, progress, failures; without Streamlit."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.errors import ConfigError
from mmsearch.jobs import JobState
from mmsearch_ui.hit_cards import format_folder, format_name, make_displayable

if TYPE_CHECKING:
    from mmsearch.jobs import Job
    from mmsearch.jobs.job import JobFailure
    from mmsearch.library.stats import PartialFile
    from mmsearch.store.rows import FileRow

MAX_LISTED = 500
"""Folders in a listing."""
MAX_RETRIED = 500
"""Files of a retry; for more, their folders are indexed again."""


def check_path(text: str, library: Path) -> Path:
    """Returns a path that can be indexed; raises ConfigError with the reason if it cannot."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]  # as file managers copy a path
    if not text:
        raise ConfigError("Write the path of a folder or a file, or choose one below.")
    if "\0" in text:
        raise ConfigError("A path cannot have a NUL in it.")
    if not text.startswith(("/", "~")):
        raise ConfigError(f"{text} does not begin with / or ~: write the whole path.")
    try:
        path = Path(text).expanduser()
    except RuntimeError as exc:  # ~ of nobody
        raise ConfigError(f"{text}: there is no such home folder.") from exc
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
        is_there = is_folder or path.exists()
    except OSError as exc:
        raise ConfigError(f"{text} cannot be looked at: {exc.strerror or exc}.") from exc
    if not is_there:
        raise ConfigError(f"{text} does not exist: check how it is written.{_nearest_folder(path)}")
    if not (is_folder or is_file):
        raise ConfigError(f"{text} is neither a folder nor a file.")
    if not os.access(path, os.R_OK | (os.X_OK if is_folder else 0)):
        raise ConfigError(f"{text} cannot be read: you lack the right to.")
    if path.resolve().is_relative_to(library.resolve()):
        raise ConfigError(f"{text} is the library itself, not what belongs into it.")
    return path


def _nearest_folder(path: Path) -> str:
    for parent in path.parents:
        if parent.is_dir():
            return f" {parent} does." if parent != Path("/") else ""
    return ""


def list_folders(folder: Path) -> list[str]:
    """Lists the names of the visible folders in a folder; raises ConfigError."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name[0] != "." and _is_folder(entry)]
    except OSError as exc:
        raise ConfigError(f"{folder} cannot be listed: {exc.strerror or exc}") from exc
    return sorted(names, key=str.lower)[:MAX_LISTED]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class JobView:
    """A job in words: its title, its progress (0..1, None: unknown) and its lines."""

    title: str
    share: float | None
    line: str
    counts: str


def describe_job(job: Job) -> JobView:
    """Describes a job."""
    names = [make_displayable(path) for path in job.paths[:3]]
    more = f" and {len(job.paths) - 3:,} more" if len(job.paths) > 3 else ""
    share = min(1.0, job.done / job.total) if job.total else None
    return JobView(
        title=", ".join(names) + more,
        share=1.0 if job.state is JobState.DONE else share,
        line=_status_line(job),
        counts=_format_counts(job),
    )


def _status_line(job: Job) -> str:
    if job.state is JobState.QUEUED:
        return "waits for its turn"
    if job.state is JobState.RUNNING:
        return _progress_line(job)
    duration = ""
    if job.started_at and job.finished_at:
        duration = f" in {format_duration((job.finished_at - job.started_at).total_seconds())}"
    if job.state is JobState.DONE:
        return f"done{duration}"
    if job.state is JobState.CANCELLED:
        return f"stopped{duration}; what was finished is kept"
    return f"failed: {make_displayable(job.message)}"


def _progress_line(job: Job) -> str:
    if job.total is None:
        return "looking for files"
    parts = [f"{job.done:,} of {job.total:,} files"]
    if job.step.startswith("building"):
        return f"{parts[0]}, {job.step}"
    if job.rate_per_s:
        parts.append(format_rate(job.rate_per_s))
        if job.done < job.total:
            parts.append(f"{format_duration((job.total - job.done) / job.rate_per_s)} left")
    return ", ".join(parts)


def _format_counts(job: Job) -> str:
    parts = [f"{job.counts[name]:,} {name}" for name in job.counts if job.counts[name]]
    return ", ".join(parts) if parts else ("nothing to do" if job.is_over else "")


def format_rate(per_s: float) -> str:
    """Formats 12.3 as 12 files/s, and 0.2 as 12 files/min."""
    if per_s >= 1:
        return f"{per_s:.1f} files/s" if per_s < 10 else f"{per_s:,.0f} files/s"
    return f"{per_s * 60:.1f} files/min"


def format_duration(seconds: float) -> str:
    """Formats 42.3 as 42 s, 150 as 2 min 30 s, 4000 as 1 h 7 min."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    if not minutes:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes < 10 and rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min"


ERRORS = {
    "UnsupportedMedia": "no kind that is read",
    "DecodeError": "broken",
    "MediaTooLarge": "too large",
}


def describe_failure(row: FileRow | JobFailure) -> dict[str, str]:
    """Describes a file that could not be indexed, as a row of a table."""
    error = row.error or ""
    return {
        "file": format_name(row.path),
        "what": ERRORS.get(error, error),
        "reason": make_displayable((row.message or "").removeprefix(f"{row.path}: ")),
        "folder": format_folder(row.path),
    }


def describe_partial_file(file: PartialFile) -> dict[str, str]:
    """Describes a file of which a part was not read, as a row of a table."""
    return {
        "file": format_name(file.path),
        "not read": make_displayable("; ".join(each.detail for each in file.omissions)),
        "folder": format_folder(file.path),
    }


def filter_failures(rows: Iterable[FileRow], words: str) -> list[FileRow]:
    """Returns the rows whose path or reason contains all words."""
    lowered = words.lower().split()
    return [
        row
        for row in rows
        if all(word in f"{row.path} {row.error} {row.message}".lower() for word in lowered)
    ]


def failures_to_csv(rows: Iterable[FileRow]) -> bytes:
    """Writes the failures as CSV in UTF-8; quotes cells that a spreadsheet would run."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["path", "error", "message"])
    for row in rows:
        writer.writerow(map(_guard_cell, (row.path, row.error or "", row.message or "")))
    return table.getvalue().encode("utf-8", "backslashreplace")


def _guard_cell(cell: str) -> str:
    return f"'{cell}" if cell[:1] in "=+-@\t\r" else cell


def plan_retry(rows: Sequence[FileRow]) -> tuple[list[str], list[str]]:
    """Returns the files to try again, or the folders of many, and the files that are gone."""
    present: list[str] = []
    gone: list[str] = []
    for row in rows:
        (present if os.path.lexists(row.path) else gone).append(row.path)
    if len(present) <= MAX_RETRIED:
        return present, gone
    folders = sorted({os.path.dirname(path) for path in present})  # noqa: PTH120
    tops: list[str] = []
    for folder in folders:
        if not (tops and folder.startswith(tops[-1].rstrip(os.sep) + os.sep)):
            tops.append(folder)
    return (tops if len(tops) <= MAX_RETRIED else [os.path.commonpath(tops)]), gone
