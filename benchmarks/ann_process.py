"""A peer in a process of its own: its memory can be told, and its end does not end the run."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import resource
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

K = 10
THREADS_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LANCE_CPU_THREADS",
    "RAYON_NUM_THREADS", "TOKIO_WORKER_THREADS",
)  # fmt: skip


class PeerError(Exception):
    """A peer that raised, died or took too long."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Who sits where: a peer, its data, the folder of its index."""

    peer: str
    kind: str
    rows: int
    folder: Path
    threads: int


class Process:
    """Starts a peer; `ask` calls a method of `_Server` there."""

    def __init__(self, seat: Seat) -> None:
        os.environ.update(dict.fromkeys(THREADS_VARIABLES, str(seat.threads)))
        os.environ.setdefault("LANCE_LOG", "error")
        context = multiprocessing.get_context("spawn")
        self._connection, far = context.Pipe()
        self.started = time.perf_counter()
        self._process = context.Process(target=_serve, args=(far, seat), daemon=True)
        self._process.start()
        far.close()

    def ask(self, what: str, *, limit_s: float | None = None, **arguments: Any) -> Any:
        """What the method gives; raises PeerError."""
        try:
            self._connection.send((what, arguments))
            if limit_s is not None and not self._connection.poll(limit_s):
                self.close()
                raise PeerError(f"took more than {limit_s / 60:.0f} min")
            is_good, found = self._connection.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError) as exc:
            raise PeerError(f"died with {self._process.exitcode}") from exc
        if not is_good:
            raise PeerError(found)
        return found

    def close(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.join()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _serve(connection: Connection, seat: Seat) -> None:
    server: _Server | None = None
    while True:
        try:
            what, arguments = connection.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            server = server or _Server(seat)
            method: Callable[..., Any] = getattr(server, what)
            connection.send((True, method(**arguments)))
        except Exception as exc:  # whatever a peer raises is told to who asked
            connection.send((False, f"{type(exc).__name__}: {exc}"[:500]))


class _Server:
    """What can be asked of a peer, in its own process."""

    def __init__(self, seat: Seat) -> None:
        from benchmarks import ann_data, ann_peers

        self._peers = ann_peers
        self._data = ann_data.Dataset(seat.kind, seat.rows)
        self._folder = seat.folder
        self._peer = ann_peers.make(seat.peer, seat.threads)
        for module in self._peer.modules:
            importlib.import_module(module)
        self._queries = self._data.queries()
        self._kept: ann_peers.Filter | None = None
        self._at = 0
        self._is_on_gpu = seat.peer in ann_peers.GPU
        self._before = self._held()

    def build(self) -> dict[str, float]:
        """Seconds until the index is on disk, and the most memory it took above the vectors."""
        started = time.perf_counter()
        self._peer.build(self._data, self._folder)
        build_s = time.perf_counter() - started
        for path in self._folder.rglob("*"):  # so that pages can be dropped later
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return {"build_s": build_s, "peak_bytes": peak, "disk_bytes": size_bytes(self._folder)}

    def open(self, *, to_grow: bool = False) -> dict[str, float]:
        """Seconds from the file to the first answer, modules being imported."""
        started = time.perf_counter()
        self._peer.open(self._data, self._folder, to_grow=to_grow)
        low = self._peer.visits[0]
        effort = self._peers.Effort(max(low, 16 if low else 0), self._peer.refines[0])
        self._peer.search(self._queries[:1], K, effort)
        return {"open_s": time.perf_counter() - started}

    def limits(self) -> tuple[tuple[int, int], tuple[int, ...], bool, bool]:
        """Visits, refines, whether it filters, whether it grows."""
        peer = self._peer
        return peer.visits, tuple(peer.refines), peer.filters, peer.grows

    def filter(self, name: str) -> None:
        """From now on all searches are under that filter; an empty name takes it away."""
        self._kept = self._peers.Filter(name, self._data.mask(name)) if name else None

    def recall(self, visited: int, refine: int, *, queries: int) -> float:
        """Recall@10 over the first so many queries."""
        asked = self._queries[:queries]
        truth = self._data.truth(self._kept.name if self._kept else "")
        effort = self._peers.Effort(visited, refine)
        found = [
            self._peer.search(asked[begin : begin + 64], K, effort, self._kept)
            for begin in range(0, len(asked), 64)
        ]
        return truth.first(queries).recall(np.concatenate(found), K)

    def rate(self, visited: int, refine: int, *, batch: int, seconds: float) -> float:
        """Queries a second in batches, for so long; goes on where the last call ended."""
        effort = self._peers.Effort(visited, refine)
        done, started = 0, time.perf_counter()
        while True:
            batched = self._queries.take(range(self._at, self._at + batch), axis=0, mode="wrap")
            self._at = (self._at + batch) % len(self._queries)
            self._peer.search(batched, K, effort, self._kept)
            done += batch
            elapsed = time.perf_counter() - started
            if elapsed >= seconds:
                return done / elapsed

    def first(self, visited: int, refine: int, *, queries: int) -> float:
        """Median milliseconds of a query under a filter that was not asked before.

        Each is the filter that is set, moved on by some rows.
        """
        effort = self._peers.Effort(visited, refine)
        taken_s = []
        for number in range(queries):
            mask = np.roll(self._kept.mask, number + 1)
            kept = self._peers.Filter(self._kept.name, mask)
            begun = time.perf_counter()
            self._peer.search(self._queries[number : number + 1], K, effort, kept)
            taken_s.append(time.perf_counter() - begun)
        return 1000 * statistics.median(taken_s)

    def memory(self) -> dict[str, int]:
        """What the index holds now, above the process with its modules and queries."""
        now = self._held()
        return {name: max(0, now[name] - self._before[name]) for name in now}

    def _held(self) -> dict[str, int]:
        on_gpu = int(gpu_told("memory.used")) * 2**20 if self._is_on_gpu else 0
        vectors = self._data.place / "vectors.npy"
        return resident_bytes(vectors.resolve()) | {"gpu_bytes": on_gpu}

    def grow(self, visited: int, refine: int) -> dict[str, float]:
        """Add the additions and look for each: seconds to add, until the first and until all."""
        added = self._data.additions()
        effort = self._peers.Effort(visited, refine)
        started = time.perf_counter()
        self._peer.add(added)
        add_s = time.perf_counter() - started
        first = self._peer.search(added[:1], K, effort)
        first_s = time.perf_counter() - started
        found = int(self._data.rows in first)
        for begin in range(1, len(added), 64):
            part = added[begin : begin + 64]
            rows = self._peer.search(part, K, effort)
            wanted = self._data.rows + np.arange(begin, begin + len(part))
            found += int((rows == wanted[:, None]).any(axis=1).sum())
        total_s = time.perf_counter() - started
        share = found / len(added)
        return {"add_s": add_s, "first_s": first_s, "all_s": total_s, "found": share}


def resident_bytes(vectors: Path) -> dict[str, int]:
    """Resident memory by /proc: of its own, of the file of vectors, of other mapped files.

    Of mapped files the kernel maps more around each page that is read, where it has it: what it
    tells is the most that they take, and it can have it back.
    """
    found = {"own_bytes": 0, "vectors_bytes": 0, "mapped_bytes": 0}
    name = "own_bytes"
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, *rest = line.split(maxsplit=5)
        if not first.endswith(":"):  # the head of a mapping: its file comes last
            path = rest[-1] if len(rest) == 5 else ""
            is_vectors = path == str(vectors)
            name = (
                "vectors_bytes"
                if is_vectors
                else "mapped_bytes"
                if path[:1] == "/"
                else "own_bytes"
            )
        elif first == "Rss:":
            found[name] += int(rest[0]) * 1024
    return found


def gpu_told(what: str) -> str:
    """What nvidia-smi says of the first GPU; of all who use it."""
    asked = ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader,nounits", "--id=0"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


def size_bytes(folder: Path) -> int:
    """What the files of a folder take."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def forget(*paths: Path) -> None:
    """Drop files from the page cache: the next to open them reads the disk."""
    for root in paths:
        for path in [root] if root.is_file() else root.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
