"""One tower of a model: exported, quantised, compared, measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsearch.errors import ModelError
from mmsearch.models.conversion import quantization
from mmsearch.models.conversion.onnx_export import to_onnx
from mmsearch.models.conversion.parity import FP32_COSINE, Agreement, compare
from mmsearch.models.conversion.tuning import Tuning, rate, tune
from mmsearch.runtime.onnx import OnnxModel
from mmsearch.runtime.precision import SLOWER
from mmsearch.runtime.processor import processor_name

if TYPE_CHECKING:
    import torch

    from mmsearch.runtime.network import Tensor
    from mmsearch.types import FloatArray

REFERENCES = 16
"""How many probes torch computes; it takes about as long as the rest of a tower together."""
ALONE = 8

OnProgress = Callable[[str, float], None]
"""Told what is being done, and how much of the whole is done (0..1)."""


def part(on_progress: OnProgress, start: float, end: float) -> OnProgress:
    """The listener for a step that is from `start` to `end` of the whole."""
    return lambda what, share: on_progress(what, start + (end - start) * share)


@dataclass(frozen=True, slots=True)
class TowerSource:
    """A tower as torch has it, and what it is tried on.

    `module` takes `example` by its names (two rows or more; the second dimension of inputs named in
    `dynamic` is free) and gives (n, dim) unit rows. `probes` are the same inputs for 64 different
    things or more, `reference` what the model as published makes of the first of them, computed by
    torch. `is_table` says that the tower looks things up in a large table, and had better be int8
    for the memory alone.
    """

    name: str
    module: torch.nn.Module
    example: Mapping[str, torch.Tensor]
    probes: Mapping[str, Tensor]
    reference: FloatArray
    dynamic: Sequence[str] = ()
    is_table: bool = False


def convert_tower(source: TowerSource, folder: Path, on_progress: OnProgress) -> dict[str, Any]:
    """Write `<name>.fp32.onnx`, and `<name>.int8.onnx` where it is good enough, into `folder`.

    Returns the tower's part of the card: which of the two to run, how, and what was measured. Of a
    tower with a large table there are two int8 networks to try, the fast one and the exact one.
    Raises ModelError where the network does not compute what torch does.
    """
    name = source.name
    exact = folder / f"{name}.fp32.onnx"
    on_progress(f"exporting the {name} tower", 0.0)
    to_onnx(source.module, source.example, "vectors", exact, dynamic=source.dynamic)
    on_progress(f"comparing the {name} tower with torch", 0.4)
    vectors = _vectors(exact, source.probes)
    parity = compare(source.reference, vectors[: len(source.reference)])
    if not parity.is_exact:
        raise ModelError(
            f"the exported {name} tower differs from torch (cosine {parity.cosine_min:.6f}, "
            f"{FP32_COSINE} is needed): report it with the model's name and the versions of torch "
            f"and onnxruntime; another version of torch may do"
        )
    on_progress(f"quantising the {name} tower", 0.6)
    small = folder / f"{name}.int8.onnx"
    agreement = _quantised(exact, small, source.probes, vectors)
    if agreement is not None and not agreement.is_close and source.is_table:
        agreement = _quantised(exact, small, source.probes, vectors, kernel="blocks")
    on_progress(f"measuring the {name} tower", 0.8)
    if agreement is None or not agreement.is_close:
        for path in (small, small.with_name(f"{small.name}.data")):
            path.unlink(missing_ok=True)
    tuning, precision, rates = _fastest(exact, small, source)
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
        "processor": "" if source.is_table else processor_name(),
        "recipe": quantization.RECIPE,
    }


def _fastest(exact: Path, small: Path, source: TowerSource) -> tuple[Tuning, str, dict[str, float]]:
    """How to run the better of the two networks, which that is, and their rows a second."""
    if not small.exists():
        tuning = tune(exact, source.probes)
        return tuning, "fp32", {"fp32": tuning.per_s}
    tuning = tune(small, source.probes)
    rates = {"fp32": rate(exact, source.probes, tuning), "int8": tuning.per_s}
    if source.is_table or rates["int8"] >= SLOWER * rates["fp32"]:
        return tuning, "int8", rates
    tuning = tune(exact, source.probes)
    return tuning, "fp32", rates | {"fp32": tuning.per_s}


def _quantised(
    exact: Path,
    small: Path,
    probes: Mapping[str, Tensor],
    vectors: FloatArray,
    *,
    kernel: quantization.Kernel = "rows",
) -> Agreement | None:
    """Write the int8 network and compare it; None where nothing in it could be quantised."""
    if not quantization.to_int8(exact, small, kernel=kernel):
        return None
    alone = {name: one[:ALONE] for name, one in probes.items()}
    return compare(vectors, _vectors(small, probes), alone=_vectors(small, alone, batch=1))


def _vectors(path: Path, inputs: Mapping[str, Tensor], *, batch: int = 8) -> FloatArray:
    vectors: FloatArray = OnnxModel.open(path, batch=batch).run(inputs)[0]
    return vectors
