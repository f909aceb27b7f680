"""Compares two sets of vectors of the same inputs, with the limits for converted networks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

FP32_COSINE = 0.9999
"""The least cosine of any fp32 vector to that of torch."""
INT8_COSINE = 0.995
"""The least mean cosine of int8 vectors to fp32 vectors."""
INT8_OVERLAP = 0.97
"""The least mean share of an fp32 vector's ten neighbours that int8 finds too."""
ALONE_COSINE = 0.999
"""The least cosine of a vector in a batch to that of the same input alone."""
NEIGHBOURS = 10


@dataclass(frozen=True, slots=True)
class Agreement:
    """The agreement of two sets of vectors.

    `cosine_min` and `cosine_mean` are cosines between the rows, `centred_mean` after subtracting
    the mean row of the reference, `overlap` the share of common neighbours, `alone_min` the least
    cosine between a row and the same input computed alone (1.0 if that was not measured).
    """

    cosine_min: float
    cosine_mean: float
    centred_mean: float
    overlap: float
    alone_min: float = 1.0

    @property
    def is_exact(self) -> bool:
        """True if close enough for a float32 copy of a network."""
        return self.cosine_min >= FP32_COSINE

    @property
    def is_close(self) -> bool:
        """True if close enough for an int8 network to replace the float32 one."""
        return (
            self.cosine_mean >= INT8_COSINE
            and self.overlap >= INT8_OVERLAP
            and self.alone_min >= ALONE_COSINE
        )

    def to_json(self) -> dict[str, float]:
        """Returns the figures for a model card, to five digits."""
        return {name: round(value, 5) for name, value in asdict(self).items()}


def compute_cosines(left: FloatArray, right: FloatArray) -> FloatArray:
    """Returns (n,) cosines between the rows of two (n, dim) arrays."""
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    values: FloatArray = np.einsum("nd,nd->n", left, right) / np.maximum(norms, 1e-12)
    return values


def compare_vectors(
    reference: FloatArray, vectors: FloatArray, *, alone: FloatArray | None = None
) -> Agreement:
    """Compares (n, dim) `vectors` with the `reference` of the same n inputs.

    Neighbours are by cosine after subtracting the mean row of the reference from both sides: rows
    of one network share a large part, with random weights nearly all, which hides the difference
    between two pictures. `alone`, (m, dim) with m <= n, has the first m rows computed one by one.
    """
    if len(reference) != len(vectors):
        raise ValueError(f"{len(reference)} rows cannot be compared with {len(vectors)}")
    centre = reference.mean(axis=0)
    direct = compute_cosines(reference, vectors)
    centred = compute_cosines(reference - centre, vectors - centre)
    lone = 1.0 if alone is None else float(compute_cosines(vectors[: len(alone)], alone).min())
    return Agreement(
        cosine_min=float(direct.min()),
        cosine_mean=float(direct.mean()),
        centred_mean=float(centred.mean()) if len(reference) > 1 else 1.0,
        overlap=_compute_overlap(reference - centre, vectors - centre),
        alone_min=lone,
    )


def _compute_overlap(left: FloatArray, right: FloatArray) -> float:
    near = min(NEIGHBOURS, len(left) - 1)
    if near < 1:
        return 1.0
    pairs = zip(_find_neighbours(left, near), _find_neighbours(right, near), strict=True)
    return float(np.mean([len(set(a) & set(b)) / near for a, b in pairs]))


def _find_neighbours(rows: FloatArray, near: int) -> list[list[int]]:
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    likeness = unit @ unit.T
    np.fill_diagonal(likeness, -np.inf)
    best: list[list[int]] = np.argsort(-likeness, axis=1, kind="stable")[:, :near].tolist()
    return best
