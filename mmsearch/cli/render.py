"""Draws hits, progress, status and reports; results go to stdout, all else to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import typer

from mmsearch.formatting import format_clock, format_size

if TYPE_CHECKING:
    from mmsearch_indexers.events import Event, Finished
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from mmsearch.library.doctor import Finding
    from mmsearch.library.stats import IndexStatus, PartialFile, Status
    from mmsearch.store.rows import FileRow
    from mmsearch.types import Hit, Moment, Provenance

SHOWN_FAILURES = 5
SHOWN_DUPLICATES = 3


def make_printable(text: str) -> str:
    """Removes control characters: a file name must not drive the terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def shorten_path(path: str) -> str:
    """Returns a path relative to the working folder where it lies below it."""
    try:
        relative = os.path.relpath(path)
    except (ValueError, OSError):
        return make_printable(path)
    return make_printable(path if relative.startswith("..") else relative)


def format_json(query: str, preset: str, took_ms: float, hits: Sequence[Hit]) -> str:
    """Formats the object of `search --json` as one line."""
    # Not at the top: a search without --json does not wait for it.
    from mmsearch.serialization.answers import build_search
    from mmsearch.serialization.json_format import write_json

    return write_json(build_search(query, preset, took_ms, hits))


def print_paths(hits: Sequence[Hit], *, end: str) -> None:
    """Prints one path each, as it is on disk, byte for byte."""
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
    """Prints hits for people: score, place, path and reason, or the lines of `reasons`.

    Without `has_scores` the hits are there for passing the filters: no part of one is better.
    """
    for hit in hits:
        score, place = "   –", ""
        if has_scores:
            score = typer.style(f"{hit.score:4.2f}", bold=True, fg=_choose_colour(hit.score))
            place = format_place(hit.moments[0])
        name = typer.style(shorten_path(hit.path), bold=True)
        typer.echo(f"{hit.rank:>3}  {score}  {hit.kind.value:<5}  {name}{place}")
        if hit.why and reasons is None:
            typer.echo(typer.style(f"{'':18}{make_printable(hit.why)}", dim=True))
        if hit.also_at:
            copies = ", ".join(shorten_path(path) for path in hit.also_at)
            typer.echo(typer.style(f"{'':18}also at {copies}", dim=True))
        if hit.duplicates:
            near = ", ".join(shorten_path(path) for path in hit.duplicates[:SHOWN_DUPLICATES])
            more = len(hit.duplicates) - SHOWN_DUPLICATES
            rest = f" and {more} more" if more > 0 else ""
            count = f"{len(hit.duplicates)} near-duplicate{'s' if len(hit.duplicates) > 1 else ''}"
            typer.echo(typer.style(f"{'':18}{count}: {near}{rest}", dim=True))
        for line in reasons(hit) if reasons is not None else ():
            typer.echo(line)


def _choose_colour(score: float) -> str:
    return "green" if score >= 0.6 else "yellow" if score >= 0.35 else "red"


def format_place(moment: Moment) -> str:
    """Formats two spaces and `1:05–1:09, page 2`, as far as it applies."""
    place = moment.segment.place
    span = moment.span or place.span
    parts = []
    if span is not None:
        parts.append(f"{format_clock(span.start_s)}–{format_clock(span.end_s)}")
    if place.page is not None:
        parts.append(f"page {place.page}")
    return "  " + ", ".join(parts) if parts else ""


class IndexDisplay:
    """The progress bar of `index`, on standard error and only on a terminal."""

    def __init__(self, *, is_shown: bool) -> None:
        self._is_shown = is_shown and sys.stderr.isatty()
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self.failures: list[tuple[str, str]] = []
        self.partial: list[tuple[str, str]] = []

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

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, event: Event) -> None:
        """Shows an event of the run."""
        from mmsearch_indexers.events import Failed, Indexed, Progress, Updated

        from mmsearch.snapshot.maintenance import IndexProgress

        if isinstance(event, Failed):
            self.failures.append((event.path, f"{event.error}: {event.message}"))
        elif isinstance(event, Indexed | Updated) and event.partial:
            self.partial.append((event.path, f"read in part: {'; '.join(event.partial)}"))
        elif self._bar is None or self._task is None:
            return
        elif isinstance(event, IndexProgress):
            self._bar.update(
                self._task,
                description=f"building the index of {event.space}",
                completed=int(event.share * event.vectors),
                total=event.vectors,
                rate="",
            )
        elif isinstance(event, Progress):
            elapsed = self._bar.tasks[0].elapsed or 0.0
            rate = f"{event.done / elapsed:.1f} files/s" if elapsed > 0.5 else ""
            self._bar.update(
                self._task,
                description="indexing",
                completed=event.done,
                total=event.total,
                rate=rate,
            )


def print_summary(
    report: Finished, failures: Sequence[tuple[str, str]], partial: Sequence[tuple[str, str]]
) -> None:
    """Prints the counts of a run on standard error, with failures and files read in part."""
    counts = [
        (report.indexed, "indexed"),
        (report.updated, "updated"),
        (report.moved, "moved"),
        (report.removed, "removed"),
        (report.skipped, "unchanged"),
        (report.failed, "failed"),
        (report.partial, "read in part"),
    ]
    summary = ", ".join(f"{count:,} {word}" for count, word in counts if count) or "nothing to do"
    typer.echo(f"{summary} in {report.seconds:.1f} s", err=True)
    for option, lines in (("--failed", failures), ("--partial", partial)):
        for path, reason in lines[:SHOWN_FAILURES]:
            typer.secho(f"  {shorten_path(path)}  {make_printable(reason)}", err=True, dim=True)
        if len(lines) > SHOWN_FAILURES:
            more = len(lines) - SHOWN_FAILURES
            typer.secho(f"  and {more} more: mmsearch status {option}", err=True, dim=True)


def print_advice(status: Status) -> None:
    """Prints a line on standard error where a missing package would make search faster."""
    for index in status.indexes:
        if index.advice:
            typer.echo(f"{index.vectors:,} vectors of {index.space}: {index.advice}", err=True)


def print_failures(rows: Sequence[FileRow]) -> None:
    """Prints the files that could not be indexed, one a line."""
    for row in rows:
        typer.echo(f"{make_printable(row.path)}\t{row.error}\t{make_printable(row.message or '')}")


def print_partial_files(files: Sequence[PartialFile]) -> None:
    """Prints what was not read of each file, a line each."""
    for file in files:
        for omission in file.omissions:
            detail = make_printable(omission.detail)
            typer.echo(f"{make_printable(file.path)}\t{omission.cause}\t{detail}")


def print_status(status: Status) -> None:
    """Prints the state of a library, for people."""

    def format_counts(counts: dict[str, int]) -> str:
        return ", ".join(f"{n:,} {kind}" for kind, n in counts.items() if n) or "none"

    rows = [
        ("library", status.library),
        ("preset", f"{status.preset}, speech {status.speech_model}"),
        *([] if status.speech is None else [("", _describe(status.speech))]),
        ("files", f"{status.files:,}"),
        ("assets", format_counts(status.assets)),
        ("segments", format_counts(status.segments)),
        ("size", format_size(status.size_bytes)),
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
                f"{index.vectors:,} vectors of {space.dim} dimensions; {_describe_index(index)}",
            )
        )
        rows.append(("", _describe(space.provenance)))
    if status.failed:
        rows.append(("failed", f"{status.failed:,} files: mmsearch status --failed"))
    if status.partial:
        rows.append(("in part", f"{status.partial:,} files: mmsearch status --partial"))
    for name, value in rows:
        typer.echo(f"{typer.style(f'{name:<12}', bold=True)} {make_printable(value)}")


def _describe_index(index: IndexStatus) -> str:
    description = f"index {index.kind}, recall@10 {index.recall_at_10:.3g}"
    if index.latency_ms is not None:
        description += f", {index.latency_ms:.2g} ms, {format_size(index.size_bytes)}"
    if index.tail:
        description += f"; {index.tail:,} came since"
    if index.advice:
        description += f"; {index.advice}"
    return description


def _describe(provenance: Provenance) -> str:
    revision = f", {provenance.revision[:12]}" if provenance.revision else ""
    return f"{provenance.model}{revision}, sha256 {provenance.weights_sha256[:12]}"


def print_findings(findings: Sequence[Finding]) -> None:
    """Prints the findings of the doctor."""
    for finding in findings:
        mark = typer.style("ok  ", fg="green") if finding.is_well else typer.style("BAD ", fg="red")
        typer.echo(f"{mark} {finding.subject}: {make_printable(finding.detail)}")
        if finding.advice:
            typer.echo(f"     {finding.advice}")
