"""Builds the vector and full-text indexes that the size of a library asks for."""

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
from mmsearch.index.base import RowArray, select_best
from mmsearch.index.faiss_gpu import count_gpus
from mmsearch.index.faiss_index import BuildStopped
from mmsearch.index.index_config import AUTO, EXACT, LANCE, IndexConfig
from mmsearch.index.index_files import IndexHeader, MeasuredRecall
from mmsearch.index.lance_index import UNINDEXED_ROWS, count_unindexed_rows
from mmsearch.index.vector_matrix import Matrix, widen
from mmsearch.snapshot.array_cache import LOCK, SpaceArrays
from mmsearch.snapshot.array_writers import SCAN_ROWS
from mmsearch.snapshot.snapshot import Snapshot
from mmsearch.store import fulltext
from mmsearch.store.reader import Reader
from mmsearch.store.schema import SEGMENTS, name_vectors_table
from mmsearch.store.writer import Lock

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

CPU = "cpu"
STOP_S = 10.0
ASKED_OF_LANCE = 64
MEMORY_SHARE = 0.5
"""The share of free memory for indexes, where none is configured."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IndexProgress:
    """An index is being built over a space; `share` is how much of it is done."""

    space: str
    vectors: int
    share: float


@dataclass(frozen=True, slots=True)
class IndexReady:
    """An index was built; `kind` is "exact" where none was good enough and none is used."""

    space: str
    vectors: int
    kind: str
    measured: MeasuredRecall
    seconds: float


OnMaintenance = Callable[[IndexProgress | IndexReady], object]


class IndexMaintenance:
    """Builds due indexes of an open library in a background thread."""

    def __init__(self, wish: IndexConfig) -> None:
        self._wish = wish
        self._seen: Snapshot | None = None
        self._thread: threading.Thread | None = None
        self._is_stopped = threading.Event()
        self._guard = threading.Lock()

    def start_if_due(self, snapshot: Snapshot) -> None:
        """Starts building what is due over a snapshot, once; return at once.

        Not on a storage: a search there must not need the right to write.
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
        if list_due_spaces(snapshot, self._wish) or is_fulltext_due(snapshot):
            self._is_stopped.clear()
            self._thread = threading.Thread(target=self._run, args=[snapshot], daemon=True)
            self._thread.start()

    def _run(self, snapshot: Snapshot) -> None:
        try:
            build_due_indexes(snapshot, self._wish, is_stopped=self._is_stopped.is_set)
        except LibraryLocked:
            pass  # it will be due again when the writer is done
        except Exception:  # searching goes on without it
            _log.exception("no index could be built over %s", snapshot.reader.location)

    def stop(self) -> None:
        """Stops the build; nothing of it is left."""
        self._is_stopped.set()
        with self._guard:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(STOP_S)


def list_due_spaces(snapshot: Snapshot, wish: IndexConfig) -> list[str]:
    """Lists the spaces whose index should be built or rebuilt."""
    is_remote = snapshot.reader.location.is_remote
    return [
        name
        for name, arrays in snapshot.spaces.items()
        if _is_due(snapshot.reader, name, arrays, wish, is_remote=is_remote)
    ]


def is_fulltext_due(snapshot: Snapshot) -> bool:
    """Tests if the full-text index should be built or updated."""
    return fulltext.is_update_due(snapshot.reader.open_dataset(SEGMENTS))


def _is_due(
    reader: Reader, name: str, arrays: SpaceArrays, wish: IndexConfig, *, is_remote: bool
) -> bool:
    family = planner.choose_family(wish, arrays.there, is_remote=is_remote)
    if family == EXACT or not arrays.there:
        return False
    if family == LANCE:
        outside = count_unindexed_rows(reader.open_dataset(name_vectors_table(name)))
        built_over = None if outside is None else arrays.there - outside
        return arrays.there >= UNINDEXED_ROWS and planner.is_due(
            arrays.there, built_over, outside or 0
        )
    kept = arrays.kept
    is_other = kept is not None and wish.kind not in (AUTO, kept.header.kind)
    is_damaged = kept is not None and kept.header.recipe is not None and arrays.built is None
    built_over = None if kept is None or is_other or is_damaged else kept.header.count
    return planner.is_due(arrays.there, built_over, arrays.changed)


def build_due_indexes(
    snapshot: Snapshot,
    wish: IndexConfig,
    *,
    on_event: OnMaintenance = lambda _event: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> bool:
    """Builds what is due; return True if anything was built.

    Searches go on meanwhile with the indexes before. Where another process is building, or the
    library cannot be written, nothing is done.
    """
    parent = snapshot.reader.location.cache_folder
    names = list_due_spaces(snapshot, wish)
    with_words = is_fulltext_due(snapshot)
    if not (names or with_words):
        return False
    with _hold_build_lock(parent) as is_alone:
        if is_alone and with_words:
            # An index of Lance is a version of its table. Who is writing now brings it up after.
            with contextlib.suppress(LibraryLocked), Lock(snapshot.reader.location):
                fulltext.update_index(snapshot.reader.open_newest(SEGMENTS))
        for name in names if is_alone else ():
            _build(snapshot, name, wish, parent, on_event, is_stopped)
    return is_alone


@contextlib.contextmanager
def _hold_build_lock(parent: Path) -> Iterator[bool]:
    """Holds the build lock; yields False where another process has it."""
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
    wish: IndexConfig,
    parent: Path,
    on_event: OnMaintenance,
    is_stopped: Callable[[], bool],
) -> None:
    arrays = snapshot.spaces[name]
    on_event(IndexProgress(name, arrays.there, 0.0))
    is_remote = snapshot.reader.location.is_remote
    try:
        if planner.choose_family(wish, arrays.there, is_remote=is_remote) == LANCE:
            header = _build_lance(snapshot, name, arrays, wish)
            rows, write = np.empty(0, dtype=np.int32), None
        else:
            header, rows, write = _build_faiss(snapshot, name, wish, on_event, is_stopped)
    except BuildStopped:
        return
    folder = index_files.save(parent, header, arrays.keys.to_array(), rows, write)
    index_files.drop(parent, name, but=folder)
    on_event(IndexReady(name, arrays.there, header.kind, header.measured, header.seconds))


def _build_faiss(
    snapshot: Snapshot,
    name: str,
    wish: IndexConfig,
    on_event: OnMaintenance,
    is_stopped: Callable[[], bool],
) -> tuple[IndexHeader, NDArray[np.int32], Callable[[Path], None] | None]:
    arrays = snapshot.spaces[name]
    matrix = arrays.matrix
    if not isinstance(matrix, Matrix):
        raise TypeError(f"the vectors of {name} are not here")
    memory = _memory_budget(snapshot, matrix, wish)
    made = planner.build_best(
        matrix,
        arrays.is_there,
        planner.plan_recipes(
            wish,
            arrays.there,
            matrix.dim,
            memory,
            has_gpu=wish.device != CPU and count_gpus() > 0,
        ),
        wish.recall,
        on_progress=lambda share: on_event(IndexProgress(name, arrays.there, share)),
        is_stopped=is_stopped,
    )
    header = IndexHeader(
        space=name,
        kind=EXACT if made.recipe is None else str(made.recipe.kind),
        count=arrays.keys.count,
        dim=matrix.dim,
        store_version=snapshot.reader.versions[name_vectors_table(name)],
        measured=made.measured,
        seconds=made.seconds,
        recipe=made.recipe,
    )
    return header, made.rows.astype(np.int32), None if made.index is None else made.index.save


def _build_lance(
    snapshot: Snapshot, name: str, arrays: SpaceArrays, wish: IndexConfig
) -> IndexHeader:
    reader = snapshot.reader
    there = (
        np.arange(arrays.keys.count) if arrays.is_there is None else np.flatnonzero(arrays.is_there)
    )
    order = np.random.default_rng(0).permutation(len(there))
    asked = arrays.matrix.take(np.sort(there[order[:ASKED_OF_LANCE]]))
    addresses = arrays.addresses()
    with Lock(reader.location):  # an index of Lance is a version of its table
        dataset, effort, measured, seconds = planner.build_lance(
            reader.open_dataset(name_vectors_table(name)),
            addresses,
            asked,
            _find_true_neighbours(reader, name_vectors_table(name), addresses, asked),
            wish.recall,
        )
    return IndexHeader(
        space=name,
        kind=LANCE,
        count=arrays.keys.count,
        dim=arrays.matrix.dim,
        store_version=dataset.version,
        measured=measured,
        seconds=seconds,
        effort=(effort.probes, effort.refine),
    )


def _find_true_neighbours(
    reader: Reader, table: str, addresses: NDArray[np.uint64], queries: FloatArray
) -> RowArray:
    """Returns the (q, 11) true neighbours of each vector, itself among them, in one scan."""
    order = np.argsort(addresses)
    best = select_best(*_empty_neighbours(len(queries)), planner.RECALL_AT + 1)
    for part in reader.list_fragments(table):
        for batch in reader.scan_fragment(part, "vector", batch_size=SCAN_ROWS):
            vectors = np.asarray(batch.column("vector").flatten()).reshape(-1, queries.shape[1])
            at = np.searchsorted(addresses, np.asarray(batch.column("_rowaddr")), sorter=order)
            similarities = queries @ widen(vectors).T
            rows = np.broadcast_to(order[at], similarities.shape)
            best = select_best(
                np.concatenate([best.rows, rows], axis=1),
                np.concatenate([best.similarities, similarities], axis=1),
                planner.RECALL_AT + 1,
            )
    return best.rows


def _empty_neighbours(queries: int) -> tuple[RowArray, FloatArray]:
    return np.empty((queries, 0), dtype=np.int64), np.empty((queries, 0), dtype=np.float32)


def _memory_budget(snapshot: Snapshot, matrix: Matrix, wish: IndexConfig) -> int:
    """Returns the bytes for the index of one space: its share of the budget by number of values."""
    total = wish.memory_bytes or int(MEMORY_SHARE * free_memory_bytes())
    every = [one.matrix.count * one.matrix.dim for one in snapshot.spaces.values()]
    return int(total * matrix.count * matrix.dim / max(sum(every), 1))
