"""Keeps the indexes of a library as good as its size asks for."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
import numpy as np
from numpy.typing import NDArray

from mmsearch.config import free_memory_bytes
from mmsearch.errors import LibraryLocked
from mmsearch.index import index_files, planner
from mmsearch.index.base import RowArray, best_of
from mmsearch.index.faiss_gpu import gpu_count
from mmsearch.index.faiss_index import BuildStopped
from mmsearch.index.index_config import AUTO, EXACT, LANCE, Wish
from mmsearch.index.index_files import Header, Measured
from mmsearch.index.lance_index import UNINDEXED_ROWS, unindexed_rows
from mmsearch.index.vector_matrix import Matrix, widened
from mmsearch.snapshot.snapshot import LOCK, SCAN_ROWS, Snapshot, SpaceArrays
from mmsearch.store import fulltext
from mmsearch.store.reader import Reader
from mmsearch.store.schema import SEGMENTS, vectors_table
from mmsearch.store.writer import Lock

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

CPU = "cpu"
STOP_S = 10.0
ASKED_OF_LANCE = 64
MEMORY_SHARE = 0.5
"""What indexes may take of the memory that is free, where nobody says how much."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Building:
    """An index is being built over a space; `share` is how much of it is done."""

    space: str
    vectors: int
    share: float


@dataclass(frozen=True, slots=True)
class Ready:
    """An index was built; `kind` is "exact" where none was good enough and none is used."""

    space: str
    vectors: int
    kind: str
    measured: Measured
    seconds: float


OnUpkeep = Callable[[Building | Ready], object]


class Upkeep:
    """Builds in the background of an open library what its size asks for."""

    def __init__(self, wish: Wish) -> None:
        self._wish = wish
        self._seen: Snapshot | None = None
        self._thread: threading.Thread | None = None
        self._is_stopped = threading.Event()
        self._guard = threading.Lock()

    def look_after(self, snapshot: Snapshot) -> None:
        """Begin to build what is due over a snapshot, once; returns at once.

        Not on a storage: who searches there need not have the right to write, nor take it.
        """
        if snapshot is self._seen or snapshot.reader.location.is_remote:
            return
        with self._guard:
            self._begin(snapshot)

    def _begin(self, snapshot: Snapshot) -> None:
        is_busy = self._thread is not None and self._thread.is_alive()
        if is_busy or snapshot is self._seen:
            return
        self._seen = snapshot
        if due(snapshot, self._wish) or has_words_due(snapshot):
            self._is_stopped.clear()
            self._thread = threading.Thread(target=self._run, args=[snapshot], daemon=True)
            self._thread.start()

    def _run(self, snapshot: Snapshot) -> None:
        try:
            bring_up(snapshot, self._wish, is_stopped=self._is_stopped.is_set)
        except LibraryLocked:
            pass  # it will be due again when the writer is done
        except Exception:  # searching goes on without it
            _log.exception("no index could be built over %s", snapshot.reader.location)

    def stop(self) -> None:
        """Give up what is being built; nothing of it is left."""
        self._is_stopped.set()
        with self._guard:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(STOP_S)


def due(snapshot: Snapshot, wish: Wish) -> list[str]:
    """The spaces whose index should be built, or built anew."""
    is_remote = snapshot.reader.location.is_remote
    return [
        name
        for name, arrays in snapshot.spaces.items()
        if _is_due(snapshot.reader, name, arrays, wish, is_remote=is_remote)
    ]


def has_words_due(snapshot: Snapshot) -> bool:
    """Whether the index over the words of texts should be made, or brought up."""
    return fulltext.is_due(snapshot.reader.dataset(SEGMENTS))


def _is_due(reader: Reader, name: str, arrays: SpaceArrays, wish: Wish, *, is_remote: bool) -> bool:
    family = planner.family(wish, arrays.there, is_remote=is_remote)
    if family == EXACT or not arrays.there:
        return False
    if family == LANCE:
        outside = unindexed_rows(reader.dataset(vectors_table(name)))
        built_over = None if outside is None else arrays.there - outside
        return arrays.there >= UNINDEXED_ROWS and planner.is_due(
            arrays.there, built_over, outside or 0
        )
    kept = arrays.kept
    is_other = kept is not None and wish.kind not in (AUTO, kept.header.kind)
    is_damaged = kept is not None and kept.header.recipe is not None and arrays.built is None
    built_over = None if kept is None or is_other or is_damaged else kept.header.count
    return planner.is_due(arrays.there, built_over, arrays.changed)


def bring_up(
    snapshot: Snapshot,
    wish: Wish,
    *,
    on_event: OnUpkeep = lambda _event: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> bool:
    """Build what is due; returns whether anything was built.

    Searching goes on meanwhile, with what was there before. Where another process is building,
    or where the library cannot be written to, nothing is done.
    """
    parent = snapshot.reader.location.cache_folder
    names = due(snapshot, wish)
    with_words = has_words_due(snapshot)
    if not (names or with_words):
        return False
    with _alone(parent) as is_alone:
        if is_alone and with_words:
            # An index of Lance is a version of its table. Who is writing now brings it up after.
            with contextlib.suppress(LibraryLocked), Lock(snapshot.reader.location):
                fulltext.bring_up(snapshot.reader.newest(SEGMENTS))
        for name in names if is_alone else ():
            _build(snapshot, name, wish, parent, on_event, is_stopped)
    return is_alone


@contextlib.contextmanager
def _alone(parent: Path) -> Iterator[bool]:
    """Whether no other process builds here, as long as this is held."""
    lock = filelock.FileLock(parent / LOCK)
    try:
        lock.acquire(timeout=0)
    except (filelock.Timeout, OSError):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _build(
    snapshot: Snapshot,
    name: str,
    wish: Wish,
    parent: Path,
    on_event: OnUpkeep,
    is_stopped: Callable[[], bool],
) -> None:
    arrays = snapshot.spaces[name]
    on_event(Building(name, arrays.there, 0.0))
    is_remote = snapshot.reader.location.is_remote
    try:
        if planner.family(wish, arrays.there, is_remote=is_remote) == LANCE:
            header = _build_lance(snapshot, name, arrays, wish)
            rows, write = np.empty(0, dtype=np.int32), None
        else:
            header, rows, write = _build_faiss(snapshot, name, wish, on_event, is_stopped)
    except BuildStopped:
        return
    folder = index_files.save(parent, header, arrays.keys.whole(), rows, write)
    index_files.drop(parent, name, but=folder)
    on_event(Ready(name, arrays.there, header.kind, header.measured, header.seconds))


def _build_faiss(
    snapshot: Snapshot,
    name: str,
    wish: Wish,
    on_event: OnUpkeep,
    is_stopped: Callable[[], bool],
) -> tuple[Header, NDArray[np.int32], Callable[[Path], None] | None]:
    arrays = snapshot.spaces[name]
    matrix = arrays.matrix
    if not isinstance(matrix, Matrix):
        raise TypeError(f"the vectors of {name} are not here")
    memory = _memory(snapshot, matrix, wish)
    made = planner.make(
        matrix,
        arrays.is_there,
        planner.plan(
            wish,
            arrays.there,
            matrix.dim,
            memory,
            has_gpu=wish.device != CPU and gpu_count() > 0,
        ),
        wish.recall,
        on_progress=lambda share: on_event(Building(name, arrays.there, share)),
        is_stopped=is_stopped,
    )
    header = Header(
        space=name,
        kind=EXACT if made.recipe is None else str(made.recipe.kind),
        count=arrays.keys.count,
        dim=matrix.dim,
        store_version=snapshot.reader.versions[vectors_table(name)],
        measured=made.measured,
        seconds=made.seconds,
        recipe=made.recipe,
    )
    return header, made.rows.astype(np.int32), None if made.index is None else made.index.save


def _build_lance(snapshot: Snapshot, name: str, arrays: SpaceArrays, wish: Wish) -> Header:
    reader = snapshot.reader
    there = (
        np.arange(arrays.keys.count) if arrays.is_there is None else np.flatnonzero(arrays.is_there)
    )
    order = np.random.default_rng(0).permutation(len(there))
    asked = arrays.matrix.take(np.sort(there[order[:ASKED_OF_LANCE]]))
    addresses = arrays.addresses()
    with Lock(reader.location):  # an index of Lance is a version of its table
        dataset, effort, measured, seconds = planner.make_lance(
            reader.dataset(vectors_table(name)),
            addresses,
            asked,
            _truly_nearest(reader, vectors_table(name), addresses, asked),
            wish.recall,
        )
    return Header(
        space=name,
        kind=LANCE,
        count=arrays.keys.count,
        dim=arrays.matrix.dim,
        store_version=dataset.version,
        measured=measured,
        seconds=seconds,
        effort=(effort.probes, effort.refine),
    )


def _truly_nearest(
    reader: Reader, table: str, addresses: NDArray[np.uint64], queries: FloatArray
) -> RowArray:
    """(q, 11) rows nearest to each vector, itself among them; the table is read once."""
    order = np.argsort(addresses)
    best = best_of(*_nothing(len(queries)), planner.AT + 1)
    for part in reader.fragments(table):
        for batch in reader.scan(part, "vector", batch_size=SCAN_ROWS):
            vectors = np.asarray(batch.column("vector").flatten()).reshape(-1, queries.shape[1])
            at = np.searchsorted(addresses, np.asarray(batch.column("_rowaddr")), sorter=order)
            similarities = queries @ widened(vectors).T
            rows = np.broadcast_to(order[at], similarities.shape)
            best = best_of(
                np.concatenate([best.rows, rows], axis=1),
                np.concatenate([best.similarities, similarities], axis=1),
                planner.AT + 1,
            )
    return best.rows


def _nothing(queries: int) -> tuple[RowArray, FloatArray]:
    return np.empty((queries, 0), dtype=np.int64), np.empty((queries, 0), dtype=np.float32)


def _memory(snapshot: Snapshot, matrix: Matrix, wish: Wish) -> int:
    """What the index of one space may take: its share of what all may, by the vectors it has."""
    total = wish.memory_bytes or int(MEMORY_SHARE * free_memory_bytes())
    every = [one.matrix.count * one.matrix.dim for one in snapshot.spaces.values()]
    return int(total * matrix.count * matrix.dim / max(sum(every), 1))
