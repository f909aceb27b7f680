"""Opens the networks of a stored model with the best settings of its card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmsearch.config import cpu_count
from mmsearch.runtime.device import resolve_device
from mmsearch.runtime.onnx import OnnxModel
from mmsearch.runtime.precision import choose_precision

if TYPE_CHECKING:
    from mmsearch.encoders.base import Context
    from mmsearch.models.model_card import StoredModel
    from mmsearch.runtime.network import Network


def open_tower(stored: StoredModel, tower: str, context: Context) -> Network:
    """Opens a tower on the device of the context.

    On the CPU it has the precision and the threads of the context, else those of `choose_precision`
    and of the card, which were the best when the model was converted, perhaps on a machine with
    more processors. Raises WeightsMissing for a precision without a network, ModelError if it
    cannot be loaded or is inexact on this processor.
    """
    device = resolve_device(context.device).device
    if device.kind != "cpu" and context.open_on_gpu is not None:
        return context.open_on_gpu(stored, tower, device)
    settings = stored.card.towers[tower]
    return OnnxModel.open(
        stored.get_network_path(tower, choose_precision(stored, tower, context.precision)),
        threads=context.threads or min(settings.threads, cpu_count()),
        batch=settings.batch,
        # Of pictures and sounds there are many: 1.1 times the images a second in fp32.
        arena=settings.arena or tower != "text",
    )
