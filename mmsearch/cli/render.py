"""Draws hits, progress, status and reports; results go to stdout, all else to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

import typer

from mmsearch import serialization

if TYPE_CHECKING:
    from mmsearch_indexers.events import Event, Finished
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from mmsearch.library.doctor import Finding
    from mmsearch.library.stats import IndexStatus, Status
    from mmsearch.store.rows import FileRow
    from mmsearch.types import Hit, Moment, Provenance

SHOWN_FAILURES = 5
SHOWN_DUPLICATES = 3


def clock(seconds: float) -> str:
    """12.3 as 0:12, 3723 as 1:02:03."""
    whole = int(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def printable(text: str) -> str:
    """Without control characters: a file name must not be able to drive the terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def shown_path(path: str) -> str:
    """Relative to the working folder where it lies below it."""
    try:
        relative = os.path.relpath(path)
    except (ValueError, OSError):
        return printable(path)
    return printable(path if relative.startswith("..") else relative)


def size(size_bytes: float) -> str:
    """1234567 as 1.2 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def print_json(query: str, preset: str, took_ms: float, hits: Sequence[Hit]) -> None:
    """Print the object of `search --json`."""
    typer.echo(serialization.json_text(query, preset, took_ms, hits))


def print_paths(hits: Sequence[Hit], *, end: str) -> None:
    """A path each, as it is on disk, byte for byte."""
    sys.stdout.flush()
    for hit in hits:
        sys.stdout.buffer.write(os.fsencode(hit.path) + end.encode())
    sys.stdout.buffer.flush()


def print_hits(
    hits: Sequence[Hit],
    *,
    reasons: Callable[[Hit], Iterable[str]] | None = None,
    has_scores: bool = True,
) -> None:
    """For people: score, place, path, and why, in the lines of `reasons` where they are given.

    Without `has_scores` the hits are there for passing the filters: no part of one is better.
    """
    for hit in hits:
        score, place = "   –", ""
        if has_scores:
            score = typer.style(f"{hit.score:4.2f}", bold=True, fg=_colour(hit.score))
            place = shown_place(hit.moments[0])
        name = typer.style(shown_path(hit.path), bold=True)
        typer.echo(f"{hit.rank:>3}  {score}  {hit.kind.value:<5}  {name}{place}")
        if hit.why and reasons is None:
            typer.echo(typer.style(f"{'':18}{printable(hit.why)}", dim=True))
        if hit.also_at:
            copies = ", ".join(shown_path(path) for path in hit.also_at)
            typer.echo(typer.style(f"{'':18}also at {copies}", dim=True))
        if hit.duplicates:
            near = ", ".join(shown_path(path) for path in hit.duplicates[:SHOWN_DUPLICATES])
            more = len(hit.duplicates) - SHOWN_DUPLICATES
            rest = f" and {more} more" if more > 0 else ""
            count = f"{len(hit.duplicates)} near-duplicate{'s' if len(hit.duplicates) > 1 else ''}"
            typer.echo(typer.style(f"{'':18}{count}: {near}{rest}", dim=True))
        for line in reasons(hit) if reasons is not None else ():
            typer.echo(line)


def _colour(score: float) -> str:
    return "green" if score >= 0.6 else "yellow" if score >= 0.35 else "red"


def shown_place(moment: Moment) -> str:
    """Two spaces and `1:05–1:09, page 2`, as far as it applies."""
    place = moment.segment.place
    span = moment.span or place.span
    parts = []
    if span is not None:
        parts.append(f"{clock(span.start_s)}–{clock(span.end_s)}")
    if place.page is not None:
        parts.append(f"page {place.page}")
    return "  " + ", ".join(parts) if parts else ""


class IndexDisplay:
    """The progress bar of `index`; it sits on standard error, and only on a terminal."""

    def __init__(self, *, is_shown: bool) -> None:
        self._is_shown = is_shown and sys.stderr.isatty()
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self.failures: list[tuple[str, str]] = []

    def __enter__(self) -> IndexDisplay:
        if self._is_shown:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
            )

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("listing files", total=None, rate="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, event: Event) -> None:
        """Take note of an event of the run."""
        from mmsearch_indexers.events import Failed, Progress

        from mmsearch.snapshot.maintenance import Building

        if isinstance(event, Failed):
            self.failures.append((event.path, f"{event.error}: {event.message}"))
        elif isinstance(event, Building) and self._bar is not None and self._task is not None:
            self._bar.update(
                self._task,
                description=f"building the index of {event.space}",
                completed=int(event.share * event.vectors),
                total=event.vectors,
                rate="",
            )
        elif isinstance(event, Progress) and self._bar is not None and self._task is not None:
            task = self._bar.tasks[0]
            elapsed = task.elapsed or 0.0
            rate = f"{event.done / elapsed:.1f} files/s" if elapsed > 0.5 else ""
            self._bar.update(
                self._task,
                description="indexing",
                completed=event.done,
                total=event.total,
                rate=rate,
            )


def print_summary(report: Finished, failures: Sequence[tuple[str, str]]) -> None:
    """What a run did, on standard error."""
    counts = [
        (report.indexed, "indexed"),
        (report.updated, "updated"),
        (report.moved, "moved"),
        (report.removed, "removed"),
        (report.skipped, "unchanged"),
        (report.failed, "failed"),
    ]
    said = ", ".join(f"{count:,} {word}" for count, word in counts if count) or "nothing to do"
    typer.echo(f"{said} in {report.seconds:.1f} s", err=True)
    for path, reason in failures[:SHOWN_FAILURES]:
        typer.secho(f"  {shown_path(path)}  {printable(reason)}", err=True, dim=True)
    if len(failures) > SHOWN_FAILURES:
        more = len(failures) - SHOWN_FAILURES
        typer.secho(f"  and {more} more: mmsearch status --failed", err=True, dim=True)


def print_advice(status: Status) -> None:
    """A line on standard error where a package that is not installed would make search faster."""
    for index in status.indexes:
        if index.advice:
            typer.echo(f"{index.vectors:,} vectors of {index.space}: {index.advice}", err=True)


def print_failures(rows: Sequence[FileRow]) -> None:
    """The files that could not be indexed, one a line."""
    for row in rows:
        typer.echo(f"{printable(row.path)}\t{row.error}\t{printable(row.message or '')}")


def print_status(status: Status) -> None:
    """What is in a library, for people."""

    def counted(counts: dict[str, int]) -> str:
        return ", ".join(f"{n:,} {kind}" for kind, n in counts.items() if n) or "none"

    rows = [
        ("library", status.library),
        ("preset", f"{status.preset}, speech {status.speech_model}"),
        *_speech_rows(status.speech),
        ("files", f"{status.files:,}"),
        ("assets", counted(status.assets)),
        ("segments", counted(status.segments)),
        ("size", size(status.size_bytes)),
    ]
    if status.first_indexed_at is not None and status.last_indexed_at is not None:
        first, last = (
            f"{time.astimezone():%Y-%m-%d %H:%M}"
            for time in (status.first_indexed_at, status.last_indexed_at)
        )
        rows.append(("embedded", first if first == last else f"from {first} to {last}"))
    for space, index in zip(status.spaces, status.indexes, strict=True):
        rows.append(
            (
                f"space {space.name}",
                f"{index.vectors:,} vectors of {space.dim} dimensions; {_index_told(index)}",
            )
        )
        rows.append(("", _told(space.provenance)))
    if status.failed:
        rows.append(("failed", f"{status.failed:,} files: mmsearch status --failed"))
    for name, value in rows:
        typer.echo(f"{typer.style(f'{name:<12}', bold=True)} {printable(value)}")


def _index_told(index: IndexStatus) -> str:
    told = f"index {index.kind}, recall@10 {index.recall_at_10:.3g}"
    if index.latency_ms is not None:
        told += f", {index.latency_ms:.2g} ms, {size(index.size_bytes)}"
    if index.tail:
        told += f"; {index.tail:,} came since"
    if index.advice:
        told += f"; {index.advice}"
    return told


def _speech_rows(speech: Provenance | None) -> list[tuple[str, str]]:
    return [] if speech is None else [("", _told(speech))]


def _told(made_by: Provenance) -> str:
    revision = f", {made_by.revision[:12]}" if made_by.revision else ""
    return f"{made_by.model}{revision}, sha256 {made_by.weights_sha256[:12]}"


def print_findings(findings: Sequence[Finding]) -> None:
    """What the doctor found."""
    for finding in findings:
        mark = typer.style("ok  ", fg="green") if finding.is_well else typer.style("BAD ", fg="red")
        typer.echo(f"{mark} {finding.subject}: {printable(finding.detail)}")
        if finding.advice:
            typer.echo(f"     {finding.advice}")
