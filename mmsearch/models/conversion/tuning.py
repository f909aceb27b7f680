"""A short measurement: with how many threads and rows at once a network runs fastest here."""

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
MOST = BATCHES[-1]
WORTH = 1.03
"""A larger batch or an arena are taken where they give so many times the rows."""
FEWER = 1.25
"""Fewer threads than processors are taken where they give so many times the rows: a machine that is
busy with something else lets more threads look no faster."""
SECONDS = 4.0
"""About how long a measurement takes; that of a large network takes longer, for two runs of each
kind."""
SLOW_S = 1.0
"""A batch that would take longer than this is not tried: what is set up for a batch is forgotten
beside it."""
ROUNDS = 2


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was found fastest, and how many rows a second that was."""

    batch: int
    threads: int
    arena: bool
    per_s: float


def tune(
    path: Path, inputs: Mapping[str, Tensor], *, seconds: float = SECONDS, cpus: int | None = None
) -> Tuning:
    """Measure the network `path` on `inputs`, whose rows are repeated where a batch has more.

    First the number of threads, then the batch, then the arena, each with what was found best
    before it. What is compared takes turns, and its fastest run counts: others use the processors
    too, which only ever slows a run down.
    """
    counts = thread_counts(cpus or cpu_count())
    models = [OnnxModel.open(path, threads=count, batch=MOST) for count in counts]
    one_s = _timed(models[0], _rows(inputs, 1))
    some = 4 if 4 * one_s <= SLOW_S else 1
    rates = _rates([(model, some) for model in models], inputs, seconds / 4)
    at = _chosen(rates, FEWER)
    model, threads = models[at], counts[at]
    del models
    batches = [rows for rows in BATCHES if rows == 1 or rows / rates[at] <= SLOW_S]
    rates = _rates([(model, rows) for rows in batches], inputs, seconds / 2)
    at = _chosen(rates, WORTH)
    batch, per_s = batches[at], rates[at]
    if batch / per_s > SLOW_S / 2:
        return Tuning(batch=batch, threads=threads, arena=False, per_s=per_s)
    other = OnnxModel.open(path, threads=threads, batch=MOST, arena=True)
    rates = _rates([(model, batch), (other, batch)], inputs, seconds / 4)
    at = _chosen(rates, WORTH)
    return Tuning(batch=batch, threads=threads, arena=at == 1, per_s=rates[at])


def rate(path: Path, inputs: Mapping[str, Tensor], tuning: Tuning) -> float:
    """Rows a second of the network `path`, run as was found best for another."""
    model = OnnxModel.open(path, threads=tuning.threads, batch=MOST, arena=tuning.arena)
    return _rates([(model, tuning.batch)], inputs, SECONDS / 4)[0]


def thread_counts(cpus: int) -> list[int]:
    """What is tried on so many processors: all of them, half, and a quarter."""
    return [count for count in (cpus, cpus // 2, cpus // 4) if count]


def _chosen(rates: list[float], worth: float) -> int:
    """The first rate, or the next that is so many times as high as that chosen before it."""
    at = 0
    for other, found in enumerate(rates):
        if found > rates[at] * worth:
            at = other
    return at


def _rates(
    candidates: list[tuple[OnnxModel, int]], inputs: Mapping[str, Tensor], seconds: float
) -> list[float]:
    """Rows a second of networks at so many rows at once; each round runs every one of them."""
    batches = [_rows(inputs, rows) for _, rows in candidates]
    fastest = [float("inf")] * len(candidates)
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < ROUNDS or time.perf_counter() < end:
        for at, (model, _) in enumerate(candidates):
            fastest[at] = min(fastest[at], _timed(model, batches[at]))
        rounds += 1
    return [rows / took for (_, rows), took in zip(candidates, fastest, strict=True)]


def _timed(model: OnnxModel, batch: Mapping[str, Tensor]) -> float:
    start = time.perf_counter()
    model.run(batch)
    return time.perf_counter() - start


def _rows(inputs: Mapping[str, Tensor], rows: int) -> dict[str, Tensor]:
    return {name: one[np.arange(rows) % len(one)] for name, one in inputs.items()}
