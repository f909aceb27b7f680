"""One set of vectors and its peers: built, opened, tuned and raced, each step written down."""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import ann_data
from benchmarks.ann_data import MASKS, Dataset
from benchmarks.ann_process import PeerError, Process, Seat, forget

TARGETS = (0.95, 0.98, 0.99)
RACED = ("0.95", "0.99")
STEADY = "0.98"
"""The recall that an index is held to; additions and filters are measured at its effort."""

OPENINGS = 3
FINE = 1.06
"""Efforts that differ by less than this factor are the same."""

SATURATED = 0.0005
"""Where 1.6 times the effort brings no more recall than that, more of it is not tried."""

SATURATED_FROM = 100
SLOW_S = 10.0
FEW_QUERIES = 200
FIRST_QUERIES = 100
"""Under filters that were not asked before."""


@dataclass(slots=True)
class Run:
    """What is asked for, and what is known so far about one set of vectors."""

    data: Dataset
    peers: Sequence[str]
    threads: int
    rounds: int
    slice_s: float
    until: float
    build_limit_s: float
    batches: Sequence[int] = (1, 64)
    queries: int = ann_data.QUERIES
    """From which recall is found when efforts are looked for."""

    label: str = ""
    """Of the file of results, where those of another topic must not be mixed with them."""

    known: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        name = f"{self.data.name}-threads{self.threads}{self.label}.json"
        return ann_data.folder() / "results" / name

    def load(self, *, again: bool) -> None:
        """What is known from before; `again` forgets it of these peers. Failures are tried anew."""
        if self.path.exists():
            self.known = json.loads(self.path.read_text())
        for peer in self.peers:
            self.of(peer).pop("failed", None)
            if again or not self.place(peer).exists():
                self.of(peer).clear()
        if again:
            self.race.clear()

    @property
    def race(self) -> dict[str, Any]:
        """What is known of the race among these peers."""
        found: dict[str, Any] = self.known.setdefault("races", {}).setdefault(
            " ".join(self.peers), {}
        )
        return found

    def rates(self, peer: str, target: str) -> dict[str, float]:
        """Queries a second by batch: the medians of the rounds."""
        found = self.race.get("rates", {}).get(peer, {}).get(target, {})
        return {batch: statistics.median(each) for batch, each in found.items()}

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.path.with_suffix(".part")
        aside.write_text(json.dumps(self.known, indent=1))
        aside.replace(self.path)

    def of(self, peer: str) -> dict[str, Any]:
        """What is known about a peer."""
        found: dict[str, Any] = self.known.setdefault("peers", {}).setdefault(peer, {})
        return found

    def seat(self, peer: str, folder: Path | None = None) -> Seat:
        return Seat(peer, self.data.kind, self.data.rows, folder or self.place(peer), self.threads)

    def place(self, peer: str) -> Path:
        """The folder of a peer's index."""
        return ann_data.folder() / "indexes" / self.data.name / peer.replace(":", "-")

    def left_s(self) -> float:
        return self.until - time.monotonic()

    def ready(self) -> list[str]:
        """Peers that are built and reach some recall."""
        return [peer for peer in self.peers if self.of(peer).get("points")]


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def step(run: Run, peer: str, what: str, work: Callable[[Run, str], Any]) -> None:
    """Do a part for a peer that is not done yet, and write down what it gives or why not."""
    known = run.of(peer)
    if what in known or "failed" in known:
        return
    if run.left_s() <= 0:
        say(f"{peer}: no time left for {what}")
        return
    started = time.perf_counter()
    try:
        known[what] = work(run, peer)
    except PeerError as exc:
        known["failed"] = f"{what}: {exc}"
        say(f"{peer}: {what} failed: {exc}")
    else:
        say(f"{peer}: {what} in {time.perf_counter() - started:.1f} s")
    run.save()


def build(run: Run, peer: str) -> dict[str, float]:
    folder = run.place(peer)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with Process(run.seat(peer)) as process:
        limit_s = min(run.build_limit_s, run.left_s())
        found: dict[str, float] = process.ask("build", limit_s=limit_s)
    return found


def opening(run: Run, peer: str) -> dict[str, float]:
    """Median seconds of fresh processes; and once with nothing of the index in the page cache."""

    def once() -> tuple[float, float]:
        with Process(run.seat(peer)) as process:
            found = process.ask("open", limit_s=300)
            return found["open_s"], time.perf_counter() - process.started

    once()
    times = [once() for _ in range(OPENINGS)]
    forget(run.place(peer), run.data.place / "vectors.npy")
    cold_s, _ = once()
    return {
        "open_s": statistics.median(one for one, _ in times),
        "process_s": statistics.median(whole for _, whole in times),
        "cold_s": cold_s,
    }


def tune(run: Run, peer: str) -> dict[str, Any]:
    """For each recall and batch the effort that is fastest: [visited, refine, recall]."""
    with Process(run.seat(peer)) as process:
        process.ask("open")
        visits, refines, _, _ = process.ask("limits")
        reached = [_ladder(process, visits, refine, run.queries) for refine in refines]
        points: dict[str, dict[str, list[float]]] = {}
        for target in TARGETS:
            chosen = [ladder[target] for ladder in reached if target in ladder]
            for batch in run.batches if chosen else ():
                rates = [
                    process.ask(
                        "rate", visited=one[0], refine=one[1], batch=batch, seconds=run.slice_s
                    )
                    for one in chosen
                ]
                best = chosen[max(range(len(rates)), key=rates.__getitem__)]
                points.setdefault(str(target), {})[str(batch)] = list(best)
        run.of(peer)["memory"] = process.ask("memory")
    return points


def _ladder(
    process: Process, visits: tuple[int, int], refine: int, queries: int
) -> dict[float, tuple[int, int, float]]:
    """The least effort for each recall that can be reached with this much refining."""
    known: dict[int, float] = {}

    def recall(visited: int) -> float:
        nonlocal queries
        if visited not in known:
            started = time.perf_counter()
            known[visited] = process.ask("recall", visited=visited, refine=refine, queries=queries)
            if time.perf_counter() - started > SLOW_S:
                queries = FEW_QUERIES
        return known[visited]

    found: dict[float, tuple[int, int, float]] = {}
    low, high = visits
    for target in TARGETS:
        good, before = None, -1.0
        for visited in _rising(low, high):
            if recall(visited) >= target:
                good = visited
                break
            if visited > SATURATED_FROM and recall(visited) - before < SATURATED:
                break  # what it keeps of a vector tells no more
            before = recall(visited)
        if good is None:
            break
        bad = max((v for v in known if known[v] < target and v < good), default=None)
        while bad is not None and good > FINE * bad and good - bad > 1:
            middle = round((good * bad) ** 0.5)
            middle = min(max(middle, bad + 1), good - 1)
            good, bad = (middle, bad) if recall(middle) >= target else (good, middle)
        found[target] = (good, refine, known[good])
        low = good
    return found


def _rising(low: int, high: int) -> Iterator[int]:
    yield low
    while low < high:
        low = min(high, max(low + 1, round(low * 1.6)))
        yield low


class Table:
    """Peers that are open at once, as many as memory holds."""

    MARGIN = 0.3
    """Of the memory that is there this share stays free."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._open: dict[str, Process] = {}

    def process(self, peer: str) -> Process:
        """The peer, opened; others are closed for it where memory is short."""
        if peer in self._open:
            return self._open[peer]
        memory = self._run.of(peer).get("memory", {"own_bytes": 0})
        while self._open and free_bytes() * (1 - self.MARGIN) < memory["own_bytes"]:
            self._open.pop(next(iter(self._open))).close()
        process = Process(self._run.seat(peer))
        try:
            process.ask("open")
        except PeerError:
            process.close()
            raise
        self._open[peer] = process
        return process

    def close(self) -> None:
        for process in self._open.values():
            process.close()
        self._open.clear()


def free_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024
    return 0


def race(run: Run, targets: Sequence[str] = RACED) -> None:
    """All peers in turns at their points: the median queries a second of the rounds."""
    points = {
        peer: {target: run.of(peer)["points"].get(target, {}) for target in targets}
        for peer in run.ready()
    }
    if run.race.get("points") == points and run.race.get("rounds", 0) >= run.rounds:
        return
    rates: dict[str, dict[str, dict[str, list[float]]]] = {}
    table = Table(run)
    try:
        for number in range(run.rounds + 1):
            for peer, by_target in points.items():
                try:
                    process = table.process(peer)
                except PeerError as exc:
                    say(f"{peer} takes no part: {exc}")
                    continue
                for target, by_batch in by_target.items():
                    for batch, (visited, refine, _) in by_batch.items():
                        rate = process.ask(
                            "rate", visited=visited, refine=refine, batch=int(batch),
                            seconds=run.slice_s,
                        )  # fmt: skip
                        if number:  # the first is for pages to be read
                            mine = rates.setdefault(peer, {}).setdefault(target, {})
                            mine.setdefault(batch, []).append(rate)
            if number:
                run.race.update(points=points, rounds=number, rates=rates)
                run.save()
            say(f"round {number} of {run.rounds}")
            if run.left_s() <= 0 and number:
                break
    finally:
        table.close()


def growing(run: Run, peer: str) -> dict[str, float] | None:
    """A thousand more; on a copy, by links, of what is on disk."""
    point = run.of(peer)["points"].get(STEADY)
    if point is None:
        return None
    copy = run.place(peer).with_name(f"{peer.replace(':', '-')}-grown")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(run.place(peer), copy, copy_function=lambda a, b: Path(b).hardlink_to(a))
    visited, refine, _ = point["64"]
    try:
        with Process(run.seat(peer, copy)) as process:
            *_, grows = process.ask("limits")
            if not grows:
                return None
            process.ask("open", to_grow=True)
            found: dict[str, float] = process.ask(
                "grow", visited=visited, refine=refine, limit_s=600
            )
            return found
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def filtering(run: Run, peer: str) -> dict[str, list[float]] | None:
    """Under each filter: recall, and the median milliseconds of single queries in turns.

    Of ours also those of the first query under a filter; 0 elsewhere.
    """
    point = run.of(peer)["points"].get(STEADY)
    with Process(run.seat(peer)) as process:
        _, _, filters, _ = process.ask("limits")
        if point is None or not filters:
            return None
        visited, refine, _ = point["1"]
        process.ask("open")
        recalls: dict[str, float] = {}
        times: dict[str, list[float]] = {}
        for name in ("", *MASKS):
            process.ask("filter", name=name)
            recalls[name] = process.ask(
                "recall", visited=visited, refine=refine, queries=FEW_QUERIES
            )
        for _ in range(run.rounds):
            for name in ("", *MASKS):
                process.ask("filter", name=name)
                rate = process.ask(
                    "rate", visited=visited, refine=refine, batch=1, seconds=run.slice_s
                )
                times.setdefault(name, []).append(1000 / rate)
        first: dict[str, float] = {}
        for name in MASKS if peer.startswith("ours") else ():  # others keep nothing of a filter
            process.ask("filter", name=name)
            first[name] = process.ask(
                "first", visited=visited, refine=refine, queries=FIRST_QUERIES
            )
    return {
        name: [recalls[name], statistics.median(times[name]), first.get(name, 0.0)]
        for name in times
    }


def prepare(run: Run) -> None:
    """Build, open and tune all, one at a time."""
    run.data.vectors()
    run.data.truth()
    for peer in run.peers:
        step(run, peer, "built", build)
        if "built" in run.of(peer):
            step(run, peer, "opened", opening)
            step(run, peer, "points", tune)
