"""Chooses between the int8 and the fp32 network of a tower on the processor that runs it."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.config import cache_dir, cpu_count
from mmsearch.errors import ModelError, WeightsMissing
from mmsearch.runtime.atomic_files import write_atomically
from mmsearch.runtime.onnx import OnnxModel
from mmsearch.runtime.processor import read_processor_name, saturates_int8

if TYPE_CHECKING:
    from mmsearch.models.model_card import StoredModel

AUTO = "auto"
MIN_INT8_SPEED = 0.95
"""An int8 network is chosen if it computes at least so many times the rows of fp32."""
ROUNDS = 3


def choose_precision(stored: StoredModel, tower: str, requested: str = AUTO) -> str:
    """Chooses the precision of a tower: the requested one, or with `auto` the fastest here.

    The choice of the card was measured where the model was converted. On another processor both
    networks are timed once, about a second, and the result is kept in the cache folder. int8
    networks of earlier versions are not chosen where their products saturate; raises ModelError if
    such a one is requested.
    """
    card = stored.card
    best = card.towers[tower]
    precision = best.precision if requested == AUTO else requested
    if precision == "int8" and not best.recipe and saturates_int8():
        if requested != AUTO:
            raise ModelError(
                f"the int8 networks of {card.name} were made by an earlier version and are inexact "
                f"on this processor: mmsearch models pull {card.name} --again, or --precision fp32"
            )
        return "fp32"
    if requested != AUTO or best.processor in ("", read_processor_name()):
        return precision
    return _choose_by_timing(stored, tower)


def _choose_by_timing(stored: StoredModel, tower: str) -> str:
    """Chooses the faster precision by a cached timing on this processor, or by a new one."""
    digest = hashlib.sha256(read_processor_name().encode()).hexdigest()[:12]
    path = cache_dir() / "speeds" / f"{stored.card.weights_sha256[:12]}-{tower}-{digest}.json"
    try:
        stored_rates = json.loads(path.read_text())
        rates = {name: float(stored_rates[name]) for name in ("fp32", "int8")}
    except (OSError, ValueError, KeyError, TypeError):  # never measured, or torn
        try:
            paths = {name: stored.get_network_path(tower, name) for name in ("fp32", "int8")}
        except WeightsMissing:  # int8 was not near enough to be kept
            return stored.card.towers[tower].precision
        rates = _time_networks(paths, stored, tower)
        with suppress(OSError):  # a cache that cannot be written to: measured again next time
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(rates | {"processor": read_processor_name()}))
    return "int8" if rates["int8"] >= MIN_INT8_SPEED * rates["fp32"] else "fp32"


def _time_networks(paths: dict[str, Path], stored: StoredModel, tower: str) -> dict[str, float]:
    """Returns the rows a second of each network, the fastest of rounds in turn."""
    best = stored.card.towers[tower]
    threads = min(best.threads, cpu_count())
    models = {
        name: OnnxModel.open(path, threads=threads, batch=best.batch, arena=best.arena)
        for name, path in paths.items()
    }
    fastest = dict.fromkeys(models, float("inf"))
    for _ in range(ROUNDS):
        for name, model in models.items():
            inputs = model.make_example(best.batch)
            start = time.perf_counter()
            model.run(inputs)
            fastest[name] = min(fastest[name], time.perf_counter() - start)
    return {name: best.batch / seconds for name, seconds in fastest.items()}
