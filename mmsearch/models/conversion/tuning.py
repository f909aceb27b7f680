"""Measures the threads and the batch with which a network is fastest on this machine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.config import cpu_count
from mmsearch.runtime.onnx import OnnxModel

if TYPE_CHECKING:
    from mmsearch.runtime.network import Tensor

BATCHES = (1, 4, 8, 16, 32)
MAX_BATCH = BATCHES[-1]
MIN_SPEEDUP = 1.03
"""A larger batch or an arena is chosen if it gives so many times the rows."""
MIN_THREADS_SPEEDUP = 1.25
"""Fewer threads than processors are chosen if they give so many times the rows: on a busy machine
more threads look no faster."""
SECONDS = 4.0
"""The time of a measurement; two runs of each kind of a large network take longer."""
MAX_BATCH_S = 1.0
"""Batches that would take longer are not tried: the overhead of a batch is small beside it."""
ROUNDS = 2


@dataclass(frozen=True, slots=True)
class Tuning:
    """The fastest settings, with their rows a second."""

    batch: int
    threads: int
    arena: bool
    per_s: float


def tune(
    path: Path, inputs: Mapping[str, Tensor], *, seconds: float = SECONDS, cpus: int | None = None
) -> Tuning:
    """Measures the network `path` on `inputs`, whose rows are repeated for larger batches.

    First the number of threads, then the batch, then the arena, each with the best of those before
    it. Candidates take turns, and the fastest run of each counts: other programs only ever slow a
    run down.
    """
    counts = list_thread_counts(cpus or cpu_count())
    models = [OnnxModel.open(path, threads=count, batch=MAX_BATCH) for count in counts]
    one_s = _time_run(models[0], _repeat_rows(inputs, 1))
    some = 4 if 4 * one_s <= MAX_BATCH_S else 1
    rates = _measure_rates([(model, some) for model in models], inputs, seconds / 4)
    at = _choose_rate(rates, MIN_THREADS_SPEEDUP)
    model, threads = models[at], counts[at]
    del models
    batches = [rows for rows in BATCHES if rows == 1 or rows / rates[at] <= MAX_BATCH_S]
    rates = _measure_rates([(model, rows) for rows in batches], inputs, seconds / 2)
    at = _choose_rate(rates, MIN_SPEEDUP)
    batch, per_s = batches[at], rates[at]
    if batch / per_s > MAX_BATCH_S / 2:
        return Tuning(batch=batch, threads=threads, arena=False, per_s=per_s)
    other = OnnxModel.open(path, threads=threads, batch=MAX_BATCH, arena=True)
    rates = _measure_rates([(model, batch), (other, batch)], inputs, seconds / 4)
    at = _choose_rate(rates, MIN_SPEEDUP)
    return Tuning(batch=batch, threads=threads, arena=at == 1, per_s=rates[at])


def measure_rate(path: Path, inputs: Mapping[str, Tensor], tuning: Tuning) -> float:
    """Measures the rows a second of the network `path` with the tuning of another."""
    model = OnnxModel.open(path, threads=tuning.threads, batch=MAX_BATCH, arena=tuning.arena)
    return _measure_rates([(model, tuning.batch)], inputs, SECONDS / 4)[0]


def list_thread_counts(cpus: int) -> list[int]:
    """Returns the numbers of threads to try: all processors, half, and a quarter."""
    return [count for count in (cpus, cpus // 2, cpus // 4) if count]


def _choose_rate(rates: list[float], worth: float) -> int:
    """Returns the index of the last rate that is so many times that chosen before it, else 0."""
    at = 0
    for other, rate in enumerate(rates):
        if rate > rates[at] * worth:
            at = other
    return at


def _measure_rates(
    candidates: list[tuple[OnnxModel, int]], inputs: Mapping[str, Tensor], seconds: float
) -> list[float]:
    """Measures the rows a second of networks and batches; each round runs all of them."""
    batches = [_repeat_rows(inputs, rows) for _, rows in candidates]
    fastest = [float("inf")] * len(candidates)
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < ROUNDS or time.perf_counter() < end:
        for at, (model, _) in enumerate(candidates):
            fastest[at] = min(fastest[at], _time_run(model, batches[at]))
        rounds += 1
    return [rows / best_s for (_, rows), best_s in zip(candidates, fastest, strict=True)]


def _time_run(model: OnnxModel, batch: Mapping[str, Tensor]) -> float:
    start = time.perf_counter()
    model.run(batch)
    return time.perf_counter() - start


def _repeat_rows(inputs: Mapping[str, Tensor], rows: int) -> dict[str, Tensor]:
    return {name: t[np.arange(rows) % len(t)] for name, t in inputs.items()}
