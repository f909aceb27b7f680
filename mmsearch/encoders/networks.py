"""The networks of a stored model, opened as its card says they run best."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmsearch.config import cpu_count
from mmsearch.runtime.device import resolve
from mmsearch.runtime.onnx import OnnxModel
from mmsearch.runtime.precision import choose_precision

if TYPE_CHECKING:
    from mmsearch.encoders.base import Context
    from mmsearch.models.model_card import StoredModel
    from mmsearch.runtime.network import Network


def open_tower(stored: StoredModel, tower: str, context: Context) -> Network:
    """A tower where the context wants it: on a GPU, or on the CPU.

    On the CPU it has the precision and the threads that the context wants. Where it wants none, the
    precision is that which `choose_precision` takes, and threads are those of the card: they were
    found best when the model was converted, be it on a machine with more processors. Raises
    WeightsMissing where there is no network of that precision, ModelError where it cannot be loaded
    or is inexact on this processor.
    """
    device = resolve(context.device).device
    if device.kind != "cpu" and context.open_on_gpu is not None:
        return context.open_on_gpu(stored, tower, device)
    best = stored.card.towers[tower]
    return OnnxModel.open(
        stored.file(tower, choose_precision(stored, tower, context.precision)),
        threads=context.threads or min(best.threads, cpu_count()),
        batch=best.batch,
        # Of pictures and sounds there are many: 1.1 times the images a second in fp32.
        arena=best.arena or tower != "text",
    )
