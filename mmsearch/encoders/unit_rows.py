"""Rows of unit length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mmsearch.types import FloatArray


def normalize_rows(rows: FloatArray) -> FloatArray:
    """Scales (n, dim) rows to unit length, as float32; a row of zeros stays."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(norms, 1e-12), dtype=np.float32)
