"""Converts one tower of a model: exports, quantizes, compares and times it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsearch.errors import ModelError
from mmsearch.models.conversion import quantization
from mmsearch.models.conversion.onnx_export import export_onnx
from mmsearch.models.conversion.parity import FP32_COSINE, Agreement, compare_vectors
from mmsearch.models.conversion.tuning import Tuning, measure_rate, tune
from mmsearch.runtime.onnx import OnnxModel
from mmsearch.runtime.precision import MIN_INT8_SPEED
from mmsearch.runtime.processor import read_processor_name

if TYPE_CHECKING:
    import torch

    from mmsearch.runtime.network import Tensor
    from mmsearch.types import FloatArray

REFERENCE_COUNT = 16
"""Probes that torch computes, in about the time of the rest of the conversion."""
ALONE_COUNT = 8

OnProgress = Callable[[str, float], None]
"""Called with the current step and the share of the conversion that is done (0..1)."""


def scale_progress(on_progress: OnProgress, start: float, end: float) -> OnProgress:
    """Returns the callback for a step that goes from `start` to `end` of the conversion."""
    return lambda what, share: on_progress(what, start + (end - start) * share)


@dataclass(frozen=True, slots=True)
class TowerSource:
    """A torch module of a tower with inputs and vectors to check its conversion.

    `module` takes `example` by its names (two rows or more; the second dimension of inputs named in
    `dynamic` is free) and gives (n, dim) unit rows. `probes` are the same inputs for 64 different
    things or more, `reference` the vectors of the first of them by the published model in torch.
    `is_table` marks a tower with a large lookup table, which is int8 for the memory alone.
    """

    name: str
    module: torch.nn.Module
    example: Mapping[str, torch.Tensor]
    probes: Mapping[str, Tensor]
    reference: FloatArray
    dynamic: Sequence[str] = ()
    is_table: bool = False


def make_text_source(
    module: torch.nn.Module,
    probes: Mapping[str, Tensor],
    compute_reference: Callable[[Mapping[str, torch.Tensor]], FloatArray],
) -> TowerSource:
    """Prepares a text tower whose rows of tokens have any length."""
    import torch

    first = {name: torch.from_numpy(rows[:REFERENCE_COUNT].copy()) for name, rows in probes.items()}
    with torch.inference_mode():
        reference = compute_reference(first)
    return TowerSource(
        name="text",
        module=module,
        example={name: rows[:2] for name, rows in first.items()},
        probes=probes,
        reference=reference,
        dynamic=tuple(first),
        is_table=True,
    )


def convert_tower(source: TowerSource, folder: Path, on_progress: OnProgress) -> dict[str, Any]:
    """Writes `<name>.fp32.onnx`, and `<name>.int8.onnx` if it is close enough, into `folder`.

    Returns the tower's part of the card: precision, settings and measurements. For a tower with a
    large table the slower, more exact int8 kernel is tried if the fast one is not close enough.
    Raises ModelError if the network differs from torch.
    """
    name = source.name
    exact = folder / f"{name}.fp32.onnx"
    on_progress(f"exporting the {name} tower", 0.0)
    export_onnx(source.module, source.example, "vectors", exact, dynamic=source.dynamic)
    on_progress(f"comparing the {name} tower with torch", 0.4)
    vectors = _compute_vectors(exact, source.probes)
    parity = compare_vectors(source.reference, vectors[: len(source.reference)])
    if not parity.is_exact:
        raise ModelError(
            f"the exported {name} tower differs from torch (cosine {parity.cosine_min:.6f}, "
            f"{FP32_COSINE} is needed): report it with the model's name and the versions of torch "
            f"and onnxruntime; another version of torch may do"
        )
    on_progress(f"quantising the {name} tower", 0.6)
    small = folder / f"{name}.int8.onnx"
    agreement = _quantize_tower(exact, small, source.probes, vectors)
    if agreement is not None and not agreement.is_close and source.is_table:
        agreement = _quantize_tower(exact, small, source.probes, vectors, kernel="blocks")
    on_progress(f"measuring the {name} tower", 0.8)
    if agreement is None or not agreement.is_close:
        for path in (small, small.with_name(f"{small.name}.data")):
            path.unlink(missing_ok=True)
    tuning, precision, rates = _choose_network(exact, small, source)
    measured = {"fp32_cosine_min": parity.cosine_min}
    if agreement is not None:
        measured |= {
            "int8_cosine_mean": agreement.cosine_mean,
            "int8_centred_mean": agreement.centred_mean,
            "int8_top10_overlap": agreement.overlap,
            "int8_alone_min": agreement.alone_min,
        }
    measured |= {f"{name}_per_s": per_s for name, per_s in rates.items()}
    return {
        "precision": precision,
        "batch": tuning.batch,
        "threads": tuning.threads,
        "arena": tuning.arena,
        "measured": {key: round(value, 6) for key, value in measured.items()},
        "processor": "" if source.is_table else read_processor_name(),
        "recipe": quantization.RECIPE,
    }


def _choose_network(
    exact: Path, small: Path, source: TowerSource
) -> tuple[Tuning, str, dict[str, float]]:
    """Chooses a network; returns its tuning, its precision, and the rows a second of both."""
    if not small.exists():
        tuning = tune(exact, source.probes)
        return tuning, "fp32", {"fp32": tuning.per_s}
    tuning = tune(small, source.probes)
    rates = {"fp32": measure_rate(exact, source.probes, tuning), "int8": tuning.per_s}
    if source.is_table or rates["int8"] >= MIN_INT8_SPEED * rates["fp32"]:
        return tuning, "int8", rates
    tuning = tune(exact, source.probes)
    return tuning, "fp32", rates | {"fp32": tuning.per_s}


def _quantize_tower(
    exact: Path,
    small: Path,
    probes: Mapping[str, Tensor],
    vectors: FloatArray,
    *,
    kernel: quantization.Kernel = "rows",
) -> Agreement | None:
    """Writes the int8 network and compares it; None if nothing in it can be quantized."""
    if not quantization.quantize_network(exact, small, kernel=kernel):
        return None
    alone = {name: rows[:ALONE_COUNT] for name, rows in probes.items()}
    return compare_vectors(
        vectors, _compute_vectors(small, probes), alone=_compute_vectors(small, alone, batch=1)
    )


def _compute_vectors(path: Path, inputs: Mapping[str, Tensor], *, batch: int = 8) -> FloatArray:
    vectors: FloatArray = OnnxModel.open(path, batch=batch).run(inputs)[0]
    return vectors
