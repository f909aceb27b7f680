"""Brings a library up to date with folders, on this machine."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.config import cpu_count
from mmsearch.media.base import Limits, LoadOptions
from mmsearch.media.files import is_gone, make_absolute, make_storable
from mmsearch.runtime.concurrency import run_in_thread, run_uninterrupted
from mmsearch.segmentation.segmenter import make_load_options
from mmsearch.store.location import Location
from mmsearch.store.reader import Reader
from mmsearch.store.rows import EncodedAsset, FileRow
from mmsearch.store.schema import ASSETS
from mmsearch.store.writer import DIRTY, Lock, Writer
from mmsearch.types import Modality
from mmsearch_indexers.discovery import FileSelection, discover_files
from mmsearch_indexers.events import (
    Event,
    Failed,
    Finished,
    Indexed,
    Moved,
    Progress,
    Removed,
    Skipped,
    Updated,
)
from mmsearch_indexers.pipeline import Outcome, Pipeline, TaskBroken, TaskDone, TaskPassed
from mmsearch_indexers.plan import IndexPlan, plan_run
from mmsearch_indexers.rereading import (
    describe_omissions,
    list_due_assets,
    make_refused_asset,
)

if TYPE_CHECKING:
    from mmsearch.encoders.bundle import Encoders

FLUSH_FILES = 256
FLUSH_SEGMENTS = 2_000
FLUSH_S = 10.0
"""What is finished is written at the latest after so many files, segments or seconds."""


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """The options of a run."""

    selection: FileSelection = FileSelection()
    kinds: frozenset[Modality] = frozenset()
    options: LoadOptions = LoadOptions()
    workers: int | None = None
    prune: bool = False
    retry_failed: bool = False


@dataclass(frozen=True, slots=True)
class _FileOutcome:
    """The row of a file, the asset that is written before it, and the path it was moved from."""

    row: FileRow
    encoded: EncodedAsset | None
    gone: str | None


class _OutcomeBatch:
    """Outcomes that are finished and not yet written."""

    def __init__(
        self, writer: Future[Writer], known_paths: set[str], known_assets: set[str]
    ) -> None:
        self._opening = writer
        self._known_paths = known_paths
        self._known_assets = known_assets
        self._outcomes: list[_FileOutcome] = []
        self._is_torn = False
        self._since_s = time.monotonic()

    def add(self, outcome: _FileOutcome) -> None:
        self._outcomes.append(outcome)

    def is_due(self) -> bool:
        segments = sum(len(file.encoded.segments) for file in self._outcomes if file.encoded)
        return (
            len(self._outcomes) >= FLUSH_FILES
            or segments >= FLUSH_SEGMENTS
            or time.monotonic() - self._since_s >= FLUSH_S
        )

    def write(self) -> None:
        """Assets first, then the files that lead to them: a kill in between loses no file.

        After an error, the next call writes what this one did not, and nothing twice.
        """
        writer = self._opening.result()
        was_torn, self._is_torn = self._is_torn, bool(self._outcomes)
        assets = [outcome.encoded for outcome in self._outcomes if outcome.encoded is not None]
        new = [each for each in assets if each.asset.id not in self._known_assets]
        if new:
            (writer.complete_assets if was_torn else writer.add_assets)(new)
        if len(new) < len(assets):
            writer.replace_assets([each for each in assets if each.asset.id in self._known_assets])
        rows = [outcome.row for outcome in self._outcomes]
        known_paths = self._known_paths | {row.path for row in rows if was_torn}
        writer.add_files([row for row in rows if row.path not in known_paths])
        writer.replace_files([row for row in rows if row.path in known_paths])
        self._known_paths |= {row.path for row in rows}
        old_paths = [outcome.gone for outcome in self._outcomes if outcome.gone is not None]
        if old_paths:
            writer.remove_files(old_paths)
        self._outcomes, self._is_torn = [], False
        self._since_s = time.monotonic()


def index_paths(
    library: Location, roots: Sequence[Path], encoders: Encoders, wishes: IndexOptions
) -> Generator[Event]:
    """Indexes folders and files; yields events, `Finished` last.

    Closing the iterator early, or an error from outside, keeps all that was finished. Raises
    ConfigError for a root that is not there, LibraryLocked when another process is writing.
    """
    started = time.monotonic()
    counts: Counter[str] = Counter()
    with Lock(library):
        reader = Reader.open(library)
        files = discover_files(
            roots, wishes.selection, outside=None if library.is_remote else library.folder
        )
        known_files = reader.read_files()
        due_assets = list_due_assets(reader, wishes.options.limits, encoders)
        todo = plan_run(
            files,
            known_files,
            [make_absolute(root) for root in roots],
            retry_failed=wishes.retry_failed,
            due_assets=due_assets,
        )
        for row in todo.unchanged:
            counts["failed" if row.error else "skipped"] += 1
            yield Failed(row.path, row.error, row.message or "") if row.error else Skipped(row.path)
        if todo.jobs or (wishes.prune and any(is_gone(row.path) for row in todo.missing)):
            run = _run_pipeline(reader, known_files, todo, due_assets, encoders, wishes)
            with contextlib.closing(run) as events:
                for event in events:
                    counts[type(event).__name__.lower()] += 1
                    counts["partial"] += isinstance(event, Indexed | Updated) and bool(
                        event.partial
                    )
                    yield event
        elif library.exists(DIRTY):  # an earlier run was stopped: clear away what it left
            Writer.open(library).close()
    yield Finished(
        indexed=counts["indexed"],
        updated=counts["updated"],
        moved=counts["moved"],
        skipped=counts["skipped"],
        removed=counts["removed"],
        failed=counts["failed"],
        partial=counts["partial"],
        seconds=time.monotonic() - started,
    )


def _run_pipeline(
    reader: Reader,
    known_files: Sequence[FileRow],
    todo: IndexPlan,
    due_assets: set[str],
    encoders: Encoders,
    wishes: IndexOptions,
) -> Generator[Event]:
    jobs = todo.jobs
    missing = [row for row in todo.missing if is_gone(row.path)]
    # An asset whose old path is gone can turn up elsewhere: then it was moved.
    orphans: dict[str, list[FileRow]] = {}
    for row in missing:
        if row.asset_id is not None:
            orphans.setdefault(row.asset_id, []).append(row)
    paths_of: dict[str, list[str]] = {}
    for row in known_files:
        if row.asset_id is not None:
            paths_of.setdefault(row.asset_id, []).append(row.path)
    # Opening it takes a second, most of it for importing lancedb: decoding has begun by then.
    was_stopped = reader.location.exists(DIRTY)
    opening = run_in_thread(lambda: Writer.open(reader.location))
    if was_stopped:
        opening.result()  # it clears away what a killed run left, before anything is looked up
    has_abandoned = False  # an asset that no path leads to any more
    is_complete = False
    known_assets = _read_known_assets(Reader.open(reader.location))
    batch = _OutcomeBatch(opening, {row.path for row in known_files}, set(known_assets))
    pipeline = Pipeline(
        encoders,
        make_load_options(encoders, wishes.options),
        known_assets={key: known_assets[key] for key in known_assets.keys() - due_assets},
        kinds=wishes.kinds,
        workers=wishes.workers or cpu_count(),
    )
    moved: set[str] = set()
    pruned: list[str] = []
    try:
        with pipeline:
            for done, outcome in enumerate(pipeline.run(jobs), start=1):
                event, file_row, encoded = _settle_outcome(outcome, wishes.options.limits)
                old_path = None
                if isinstance(event, Indexed) and isinstance(outcome, TaskDone):
                    old_path = _find_old_path(outcome, orphans, paths_of, moved)
                    if old_path is not None:
                        moved.add(old_path)
                        event = Moved(event.path, old_path)
                if file_row is not None:
                    batch.add(_FileOutcome(file_row, encoded, old_path))
                known_row = outcome.job.known
                if (
                    known_row is not None
                    and known_row.asset_id is not None
                    and file_row is not None
                ):
                    has_abandoned |= known_row.asset_id != file_row.asset_id
                if event is not None:
                    yield event
                yield Progress(done, len(jobs))
                if batch.is_due():
                    run_uninterrupted(batch.write)
        if wishes.prune:
            pruned = [row.path for row in missing if row.path not in moved]
            has_abandoned |= bool(pruned)
        is_complete = True
    finally:

        def finish() -> None:
            batch.write()
            writer = opening.result()
            if is_complete and pruned:
                writer.remove_files(pruned)
            if is_complete and has_abandoned:
                writer.sweep()
            writer.close(tidy=is_complete, is_unfinished=has_abandoned and not is_complete)

        run_uninterrupted(finish)
    for path in pruned:
        yield Removed(path)


def _read_known_assets(reader: Reader) -> dict[str, Modality]:
    ids, modalities = reader.read_columns(ASSETS, "asset_id", "modality").columns
    pairs = zip(ids.to_pylist(), modalities.to_pylist(), strict=True)
    return {asset_id: Modality(modality) for asset_id, modality in pairs}


def _find_old_path(
    outcome: TaskDone,
    orphans: dict[str, list[FileRow]],
    paths_of: dict[str, list[str]],
    moved: set[str],
) -> str | None:
    for row in orphans.get(outcome.asset_id, ()):
        if row.path not in moved:
            return row.path
    # Moved out of the folders of this run: its old path is not below any root.
    for path in paths_of.get(outcome.asset_id, ()):
        if path not in moved and path != outcome.job.found.path and is_gone(path):
            return path
    return None


def _settle_outcome(
    outcome: Outcome, limits: Limits
) -> tuple[Event | None, FileRow | None, EncodedAsset | None]:
    """Returns the event of an outcome, the row of its file, and the asset to be written."""
    if isinstance(outcome, TaskPassed):
        return None, None, None
    file, known_row = outcome.job.found, outcome.job.known
    path = make_storable(file.path)
    if isinstance(outcome, TaskBroken):
        name, reason = type(outcome.error).__name__, outcome.error.reason
        refused = make_refused_asset(file, outcome.error, limits)
        times = file.size_bytes, file.mtime_ns
        row = FileRow(path, refused.asset.id, *times, name, reason, file.sidecars)
        return Failed(path, name, reason), row, refused
    row = FileRow(path, outcome.asset_id, file.size_bytes, file.mtime_ns, sidecars=file.sidecars)
    encoded = outcome.encoded
    if known_row is not None and known_row.asset_id == outcome.asset_id and encoded is None:
        return Skipped(path), row, None  # touched: only its time has changed
    kind = outcome.modality.value
    count = len(encoded.segments) if encoded else 0
    partial = describe_omissions(encoded.asset.omissions) if encoded else ()
    is_known = known_row is not None and known_row.error is None
    event = (Updated if is_known else Indexed)(path, kind, count, partial)
    return event, row, encoded
