"""Runs index tasks through bounded stages: hash, decode, prepare in threads, encode in one."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.errors import MediaError, UnsupportedMedia
from mmsearch.media import registry
from mmsearch.media.asset_ids import compute_asset_id
from mmsearch.media.base import Content, Described, LoadOptions
from mmsearch.media.files import make_storable
from mmsearch.media.isolation import CancelledError, Decoder
from mmsearch.segmentation import segmenter
from mmsearch.segmentation.segmenter import AssetDescription, WorkItem
from mmsearch.store.rows import EncodedAsset, EncodedSegment
from mmsearch.types import Asset, Modality
from mmsearch_indexers.batch_queue import BatchQueue
from mmsearch_indexers.plan import IndexTask

if TYPE_CHECKING:
    from mmsearch.encoders.bundle import Encoders

QUEUED_BYTES = 64 << 20
"""Prepared segments that wait for the encoder on a CPU: at most so much of pictures and sound."""
QUEUED_BYTES_ON_GPU = 512 << 20
"""On a GPU more may wait: some calls of its largest batch of pictures of 384 px."""
LEAVE_S = 0.5


@dataclass(frozen=True, slots=True)
class TaskDone:
    """A task whose asset is known now, with its content when it had to be encoded."""

    job: IndexTask
    asset_id: str
    modality: Modality
    encoded: EncodedAsset | None


@dataclass(frozen=True, slots=True)
class TaskPassed:
    """A task that is not for this run: its kind is not included."""

    job: IndexTask


@dataclass(frozen=True, slots=True)
class TaskBroken:
    """A task whose file cannot be read."""

    job: IndexTask
    error: MediaError


@dataclass(frozen=True, slots=True)
class RunCrashed:
    """The run cannot go on: the error is not one of a file."""

    error: BaseException


Outcome = TaskDone | TaskPassed | TaskBroken
_Result = Outcome | RunCrashed


@dataclass(slots=True)
class _AssetDraft:
    """An asset on its way through the encoder; used by the encoding thread alone."""

    job: IndexTask
    asset_id: str
    description: AssetDescription
    segments: list[EncodedSegment] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _DraftEnd:
    """Follows the last work item of a draft through the queue."""

    draft: _AssetDraft
    error: MediaError | None


class Pipeline:
    """Takes tasks, yields outcomes in the order in which they finish. Use as a context manager.

    `known_assets` are those that need no encoding, by id; copies within one run are encoded once.
    """

    def __init__(
        self,
        encoders: Encoders,
        options: LoadOptions,
        *,
        known_assets: dict[str, Modality],
        kinds: frozenset[Modality],
        workers: int,
    ) -> None:
        self._encoders = encoders
        self._options = options
        self._known_assets = known_assets
        self._kinds = kinds
        self._workers = workers
        self._jobs: queue.SimpleQueue[IndexTask] = queue.SimpleQueue()
        self._works: BatchQueue[tuple[_AssetDraft, WorkItem] | _DraftEnd] = BatchQueue(
            QUEUED_BYTES_ON_GPU if encoders.is_on_gpu else QUEUED_BYTES
        )
        self._results: queue.Queue[_Result] = queue.Queue(256)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._followers: dict[str, list[IndexTask]] = {}
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        # Decoders end at once; a thread deep in a network may not, and is left behind.
        deadline = time.monotonic() + LEAVE_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def run(self, jobs: Sequence[IndexTask]) -> Iterator[Outcome]:
        """Yields an outcome per task; raises errors of the whole run, such as missing weights."""
        for job in jobs:
            self._jobs.put(job)
        targets = [self._decode] * max(1, min(self._workers, len(jobs))) + [self._encode]
        for target in targets:
            # Daemons: a thread deep in a network must not hold up the end of the program.
            thread = threading.Thread(target=self._guard(target), daemon=True)
            self._threads.append(thread)
            thread.start()
        for _ in range(len(jobs)):
            result = self._results.get()
            if isinstance(result, RunCrashed):
                raise result.error
            yield result

    def _guard(self, target: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                target()
            except CancelledError:
                pass
            except BaseException as exc:
                self._stop.set()
                self._results.put(RunCrashed(exc))

        return run

    def _put(self, item: tuple[_AssetDraft, WorkItem] | _DraftEnd) -> None:
        size_bytes = 0 if isinstance(item, _DraftEnd) else item[1].size_bytes
        while not self._stop.is_set():
            if self._works.put(item, size_bytes, timeout_s=0.2):
                return
        raise CancelledError

    def _report(self, outcome: Outcome) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(queue.Full):
                self._results.put(outcome, timeout=0.2)
                return
        raise CancelledError

    def _decode(self) -> None:
        with Decoder(is_stopped=self._stop.is_set) as decoder:
            while not self._stop.is_set():
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    return
                try:
                    self._process_file(job, decoder)
                except MediaError as exc:
                    self._report(TaskBroken(job, exc))

    def _process_file(self, job: IndexTask, decoder: Decoder) -> None:
        path = Path(job.found.path)
        if make_storable(job.found.path) != job.found.path:
            raise UnsupportedMedia(
                make_storable(job.found.path), "its name is not valid UTF-8: rename the file"
            )
        registry.check_file_size(path, job.found.size_bytes, self._options.limits)
        # Nothing is decoded before the first content is asked for, and closing stops the rest.
        with contextlib.closing(decoder.load(path, self._options)) as stream:
            contents: Iterator[Content] = stream
            if self._kinds:
                first = next(stream, None)
                if not isinstance(first, Described) or first.modality not in self._kinds:
                    self._report(TaskPassed(job))
                    return
                contents = chain([first], stream)
            asset_id = compute_asset_id(path, is_stopped=self._stop.is_set)
            if self._claim_asset(job, asset_id):
                self._prepare(_AssetDraft(job, asset_id, AssetDescription()), contents)

    def _claim_asset(self, job: IndexTask, asset_id: str) -> bool:
        """Returns True if an asset must be encoded; else its task is done or follows another."""
        with self._lock:
            if asset_id in self._known_assets:
                self._report(TaskDone(job, asset_id, self._known_assets[asset_id], None))
                return False
            if asset_id in self._followers:
                self._followers[asset_id].append(job)
                return False
            self._followers[asset_id] = []
            return True

    def _prepare(self, draft: _AssetDraft, contents: Iterator[Content]) -> None:
        error: MediaError | None = None
        try:
            for work in segmenter.split_into_work_items(
                draft.asset_id, contents, self._encoders, draft.description
            ):
                self._put((draft, work))
        except MediaError as exc:
            error = exc
        self._put(_DraftEnd(draft, error))

    def _encode(self) -> None:
        while not self._stop.is_set():
            # Asked anew each time: the batch of a GPU grows while that pays.
            taken = self._works.take(self._encoders.batch, timeout_s=0.2)
            batch = [item for item in taken if not isinstance(item, _DraftEnd)]
            draft_ends = [item for item in taken if isinstance(item, _DraftEnd)]
            encoded = segmenter.encode_work_items([work for _, work in batch], self._encoders)
            for (draft, _), segment in zip(batch, encoded, strict=True):
                draft.segments.append(segment)
            for draft_end in draft_ends:
                self._finish(draft_end)

    def _finish(self, draft_end: _DraftEnd) -> None:
        draft, error = draft_end.draft, draft_end.error
        modality = draft.description.modality
        if error is None and modality is None:
            error = UnsupportedMedia(draft.job.found.path, "it has no content")
        # Reported under the lock: a copy that is looked into meanwhile must not be told of before.
        with self._lock:
            followers = self._followers.pop(draft.asset_id)
            if error is None and modality is not None:
                self._known_assets[draft.asset_id] = modality
                self._report(
                    TaskDone(draft.job, draft.asset_id, modality, _encode_items(draft, modality))
                )
                for job in followers:
                    self._report(TaskDone(job, draft.asset_id, modality, None))
            elif error is not None:
                for job in [draft.job, *followers]:
                    copy = type(error)(job.found.path, error.reason, needs=error.needs)
                    self._report(TaskBroken(job, copy))


def _encode_items(draft: _AssetDraft, modality: Modality) -> EncodedAsset:
    metadata = draft.description.metadata
    if metadata.duration_s is None and modality in (Modality.AUDIO, Modality.VIDEO):
        ends = [segment.segment.span.end_s for segment in draft.segments if segment.segment.span]
        metadata = replace(metadata, duration_s=max(ends, default=None))
    omissions = tuple(dict.fromkeys(draft.description.omissions))
    size_bytes = draft.job.found.size_bytes
    asset = Asset(draft.asset_id, modality, size_bytes, metadata, omissions=omissions)
    unique = {segment.segment.id: segment for segment in draft.segments}
    return EncodedAsset(asset, tuple(unique.values()), draft.description.thumbprint)
