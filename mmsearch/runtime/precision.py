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
from mmsearch.runtime.atomic_files import write_whole
from mmsearch.runtime.onnx import OnnxModel
from mmsearch.runtime.processor import processor_name, saturates_int8

if TYPE_CHECKING:
    from mmsearch.models.model_card import StoredModel

AUTO = "auto"
SLOWER = 0.95
"""An int8 network is not taken where it computes fewer than so many times the rows of fp32."""
ROUNDS = 3


def choose_precision(stored: StoredModel, tower: str, wanted: str = AUTO) -> str:
    """The precision to run a tower in: what is wanted, or with `auto` what runs best here.

    The choice of the card was measured where the model was converted. On another processor both
    networks are timed once, about a second, and the result is kept in the cache folder. int8
    networks of earlier versions, whose products may saturate, are not taken where they would;
    raises ModelError where such a one is wanted by name.
    """
    card = stored.card
    best = card.towers[tower]
    precision = best.precision if wanted == AUTO else wanted
    if precision == "int8" and not best.recipe and saturates_int8():
        if wanted != AUTO:
            raise ModelError(
                f"the int8 networks of {card.name} were made by an earlier version and are inexact "
                f"on this processor: mmsearch models pull {card.name} --again, or --precision fp32"
            )
        return "fp32"
    if wanted != AUTO or best.processor in ("", processor_name()):
        return precision
    return _measured(stored, tower)


def _measured(stored: StoredModel, tower: str) -> str:
    """The faster precision by what was measured on this processor before, or is now."""
    digest = hashlib.sha256(processor_name().encode()).hexdigest()[:12]
    kept = cache_dir() / "speeds" / f"{stored.card.weights_sha256[:12]}-{tower}-{digest}.json"
    try:
        rates = {name: float(json.loads(kept.read_text())[name]) for name in ("fp32", "int8")}
    except (OSError, ValueError, KeyError, TypeError):  # never measured, or torn
        try:
            paths = {name: stored.file(tower, name) for name in ("fp32", "int8")}
        except WeightsMissing:  # int8 was not near enough to be kept
            return stored.card.towers[tower].precision
        rates = _rates(paths, stored, tower)
        with suppress(OSError):  # a cache that cannot be written to: measured again next time
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_whole(kept, json.dumps(rates | {"processor": processor_name()}))
    return "int8" if rates["int8"] >= SLOWER * rates["fp32"] else "fp32"


def _rates(paths: dict[str, Path], stored: StoredModel, tower: str) -> dict[str, float]:
    """Rows a second of each network, the fastest of rounds in which they take turns."""
    best = stored.card.towers[tower]
    threads = min(best.threads, cpu_count())
    models = {
        name: OnnxModel.open(path, threads=threads, batch=best.batch, arena=best.arena)
        for name, path in paths.items()
    }
    fastest = dict.fromkeys(models, float("inf"))
    for _ in range(ROUNDS):
        for name, model in models.items():
            inputs = model.example(best.batch)
            start = time.perf_counter()
            model.run(inputs)
            fastest[name] = min(fastest[name], time.perf_counter() - start)
    return {name: best.batch / took for name, took in fastest.items()}
