"""Runs jobs through bounded stages: hash, decode and prepare in many threads, encode in one."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from mmsearch import segmenter
from mmsearch.errors import MediaError, UnsupportedMedia
from mmsearch.media import registry
from mmsearch.media.base import Content, Described, LoadOptions
from mmsearch.media.files import content_hash, storable
from mmsearch.media.isolation import Decoder, Stopped
from mmsearch.segmenter import Description, Work
from mmsearch.store.rows import EncodedAsset, EncodedSegment
from mmsearch.types import Asset, Modality
from mmsearch_indexers.batch_queue import Waiting
from mmsearch_indexers.plan import Job

if TYPE_CHECKING:
    from mmsearch.encoders.bundle import Encoders

_T = TypeVar("_T")

QUEUED_BYTES = 64 << 20
"""Prepared segments that wait for the encoder on a CPU: at most so much of pictures and sound."""
QUEUED_BYTES_ON_GPU = 512 << 20
"""On a GPU more may wait: some calls of its largest batch of pictures of 384 px."""
LEAVE_S = 0.5


@dataclass(frozen=True, slots=True)
class Done:
    """A job whose asset is known now: with its content when it had to be encoded."""

    job: Job
    asset_id: str
    modality: Modality
    encoded: EncodedAsset | None


@dataclass(frozen=True, slots=True)
class Passed:
    """A job that is not for this run: its kind was not asked for."""

    job: Job


@dataclass(frozen=True, slots=True)
class Broken:
    """A job whose file cannot be read."""

    job: Job
    error: MediaError


@dataclass(frozen=True, slots=True)
class Crashed:
    """The run cannot go on: the error is not one of a file."""

    error: BaseException


Outcome = Done | Passed | Broken
_Result = Outcome | Crashed


@dataclass(slots=True)
class _Draft:
    """An asset on its way through the encoder; touched by the encoding thread alone."""

    job: Job
    asset_id: str
    description: Description
    segments: list[EncodedSegment] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Closed:
    """Follows the last work of a draft through the queue."""

    draft: _Draft
    error: MediaError | None


class Pipeline:
    """Takes jobs, gives outcomes in the order in which they are done. Use as a context manager.

    `known` are the assets that need no encoding, by id; copies within one run are encoded once.
    """

    def __init__(
        self,
        encoders: Encoders,
        options: LoadOptions,
        *,
        known: dict[str, Modality],
        kinds: frozenset[Modality],
        workers: int,
    ) -> None:
        self._encoders = encoders
        self._options = options
        self._known = known
        self._kinds = kinds
        self._workers = workers
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._works: Waiting[tuple[_Draft, Work] | _Closed] = Waiting(
            QUEUED_BYTES_ON_GPU if encoders.is_on_gpu else QUEUED_BYTES
        )
        self._results: queue.Queue[_Result] = queue.Queue(256)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._followers: dict[str, list[Job]] = {}
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        # Decoders end at once; a thread deep in a network may not, and is left behind.
        deadline = time.monotonic() + LEAVE_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """One outcome a job; raises what broke the run as a whole (missing weights, say)."""
        for job in jobs:
            self._jobs.put(job)
        targets = [self._decode] * max(1, min(self._workers, len(jobs))) + [self._encode]
        for target in targets:
            # Daemons: a thread deep in a network must not hold up the end of the program.
            thread = threading.Thread(target=self._guarded(target), daemon=True)
            self._threads.append(thread)
            thread.start()
        for _ in range(len(jobs)):
            result = self._results.get()
            if isinstance(result, Crashed):
                raise result.error
            yield result

    def _guarded(self, target: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                target()
            except Stopped:
                pass
            except BaseException as exc:
                self._stop.set()
                self._results.put(Crashed(exc))

        return run

    def _put(self, one: tuple[_Draft, Work] | _Closed) -> None:
        size_bytes = 0 if isinstance(one, _Closed) else one[1].size_bytes
        while not self._stop.is_set():
            if self._works.put(one, size_bytes, timeout_s=0.2):
                return
        raise Stopped

    def _report(self, outcome: Outcome) -> None:
        _hand_over(self._results, outcome, self._stop)

    def _decode(self) -> None:
        with Decoder(is_stopped=self._stop.is_set) as decoder:
            while not self._stop.is_set():
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    return
                try:
                    self._look_into(job, decoder)
                except MediaError as exc:
                    self._report(Broken(job, exc))

    def _look_into(self, job: Job, decoder: Decoder) -> None:
        path = Path(job.found.path)
        if storable(job.found.path) != job.found.path:
            raise UnsupportedMedia(
                storable(job.found.path), "its name is not valid UTF-8: rename the file"
            )
        registry.check_file_size(path, job.found.size_bytes, self._options.limits)
        # Nothing is decoded before the first content is asked for, and closing stops the rest.
        with contextlib.closing(decoder.load(path, self._options)) as stream:
            contents: Iterator[Content] = stream
            if self._kinds:
                first = next(stream, None)
                if not isinstance(first, Described) or first.modality not in self._kinds:
                    self._report(Passed(job))
                    return
                contents = chain([first], stream)
            asset_id = content_hash(path, is_stopped=self._stop.is_set)
            if self._is_new(job, asset_id):
                self._prepare(_Draft(job, asset_id, Description()), contents)

    def _is_new(self, job: Job, asset_id: str) -> bool:
        """Whether an asset is to be encoded; else the job is done, or follows the one that is."""
        with self._lock:
            if asset_id in self._known:
                self._report(Done(job, asset_id, self._known[asset_id], None))
                return False
            if asset_id in self._followers:
                self._followers[asset_id].append(job)
                return False
            self._followers[asset_id] = []
            return True

    def _prepare(self, draft: _Draft, contents: Iterator[Content]) -> None:
        error: MediaError | None = None
        try:
            for work in segmenter.works(
                draft.asset_id, contents, self._encoders, draft.description
            ):
                self._put((draft, work))
        except MediaError as exc:
            error = exc
        self._put(_Closed(draft, error))

    def _encode(self) -> None:
        while not self._stop.is_set():
            # Asked anew each time: the batch of a GPU grows while that pays.
            taken = self._works.take(self._encoders.batch, timeout_s=0.2)
            batch = [one for one in taken if not isinstance(one, _Closed)]
            closed = [one for one in taken if isinstance(one, _Closed)]
            encoded = segmenter.encode([work for _, work in batch], self._encoders)
            for (draft, _), segment in zip(batch, encoded, strict=True):
                draft.segments.append(segment)
            for one in closed:
                self._finish(one)

    def _finish(self, closed: _Closed) -> None:
        draft, error = closed.draft, closed.error
        modality = draft.description.modality
        if error is None and modality is None:
            error = UnsupportedMedia(draft.job.found.path, "it has no content")
        # Reported under the lock: a copy that is looked into meanwhile must not be told of before.
        with self._lock:
            followers = self._followers.pop(draft.asset_id)
            if error is None and modality is not None:
                self._known[draft.asset_id] = modality
                self._report(Done(draft.job, draft.asset_id, modality, _encoded(draft, modality)))
                for job in followers:
                    self._report(Done(job, draft.asset_id, modality, None))
            elif error is not None:
                for job in [draft.job, *followers]:
                    self._report(Broken(job, type(error)(job.found.path, error.reason)))


def _hand_over(target: queue.Queue[_T], one: _T, stop: threading.Event) -> None:
    """Put into a bounded queue, giving up when the run is stopped."""
    while not stop.is_set():
        with contextlib.suppress(queue.Full):
            target.put(one, timeout=0.2)
            return
    raise Stopped


def _encoded(draft: _Draft, modality: Modality) -> EncodedAsset:
    metadata = draft.description.metadata
    if metadata.duration_s is None and modality in (Modality.AUDIO, Modality.VIDEO):
        ends = [one.segment.span.end_s for one in draft.segments if one.segment.span]
        metadata = replace(metadata, duration_s=max(ends, default=None))
    asset = Asset(draft.asset_id, modality, draft.job.found.size_bytes, metadata)
    unique = {one.segment.id: one for one in draft.segments}
    return EncodedAsset(asset, tuple(unique.values()), draft.description.look)
