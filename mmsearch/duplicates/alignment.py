"""Aligns pairs of thumbprints, to find the part of one that the other shows.

All images are (n, side, side) float32 grey levels, compared pair by pair. A box is (top, bottom,
left, right) in fractions of a side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mmsearch.index.base import RowMask
    from mmsearch.types import FloatArray

WHOLE = np.array([0.0, 1.0, 0.0, 1.0], dtype=np.float32)
_REACH = np.float32(0.06)


def align_boxes(one: FloatArray, other: FloatArray, boxes: FloatArray, *, steps: int) -> FloatArray:
    """Returns the box in each image of `one` that its counterpart shows, (n, 4).

    Edges are fractions of a side, beyond 0..1 where the other shows more. Steps of Gauss and Newton
    on the difference of the pixels (Lucas and Kanade 1981), with the mean gradient of the two,
    which converges faster (Benhimane and Malis 2004).
    """
    side = one.shape[1]
    at = ((np.arange(side) + 0.5) / side).astype(np.float32)
    for _ in range(steps):
        seen, shown, inside = overlay(one, other, boxes)
        mean = (seen + shown) * np.float32(0.5)
        down = _compute_slopes(mean) * inside
        across = _compute_slopes(mean.transpose(0, 2, 1)).transpose(0, 2, 1) * inside
        slopes = np.stack(
            [down * (1 - at)[:, None], down * at[:, None], across * (1 - at), across * at], axis=1
        ).reshape(len(one), 4, -1)
        wrong = ((shown - seen) * inside).reshape(len(one), -1, 1)
        square = slopes @ slopes.transpose(0, 2, 1)
        trace = np.trace(square, axis1=1, axis2=2)[:, None, None]
        square += np.eye(4, dtype=np.float32) * (1e-3 * trace + 1e-6)
        moves = np.linalg.solve(square, slopes @ wrong)[..., 0]
        boxes = boxes + np.clip(moves, -_REACH, _REACH)
        boxes = np.clip(boxes, WHOLE - 0.2, WHOLE + 0.2).astype(np.float32)
    return boxes


def _compute_slopes(levels: FloatArray) -> FloatArray:
    """Returns the slope of the levels from top to bottom at every pixel."""
    side = np.float32(levels.shape[1])
    rise = np.empty_like(levels)
    np.subtract(levels[:, 2:], levels[:, :-2], out=rise[:, 1:-1])
    rise[:, 1:-1] *= side / 2
    rise[:, 0] = (levels[:, 1] - levels[:, 0]) * side
    rise[:, -1] = (levels[:, -1] - levels[:, -2]) * side
    return rise


def overlay(
    one: FloatArray, other: FloatArray, boxes: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Returns the boxes of `one`, the others, both normalized, and a mask of their overlap."""
    side = one.shape[1]
    rows, is_row = _sampling_weights(boxes[:, 0], boxes[:, 1], side)
    columns, is_column = _sampling_weights(boxes[:, 2], boxes[:, 3], side)
    inside = (is_row[:, :, None] & is_column[:, None, :]).astype(np.float32)
    seen = np.asarray(rows @ one @ columns.transpose(0, 2, 1), dtype=np.float32)
    return normalize(seen, inside), normalize(other, inside), inside


def _sampling_weights(start: FloatArray, end: FloatArray, side: int) -> tuple[FloatArray, RowMask]:
    """Returns (n, side, side) weights that resample a side from `start` to `end`, and a mask.

    Cubic (Keys 1981, a = -1/2); read linearly, a crop is blurred to half as far again from the
    picture that it is of.
    """
    share = ((np.arange(side) + 0.5) / side).astype(np.float32)
    at = (start[:, None] + (end - start)[:, None] * share) * side - 0.5
    far = np.abs(np.clip(at, 0, side - 1)[:, :, None] - np.arange(side, dtype=np.float32))
    near = (1.5 * far - 2.5) * far * far + 1
    outer = ((2.5 - 0.5 * far) * far - 4) * far + 2
    weights = np.where(far < 1, near, np.where(far < 2, outer, 0))
    weights /= weights.sum(axis=2, keepdims=True)
    return weights.astype(np.float32, copy=False), (at > -0.75) & (at < side - 0.25)


def normalize(levels: FloatArray, inside: FloatArray) -> FloatArray:
    """Returns the levels with mean 0 and variance 1 where `inside` is 1, and 0 elsewhere."""
    count = np.maximum(inside.sum(axis=(1, 2), keepdims=True), 1)
    centred = (levels - (levels * inside).sum(axis=(1, 2), keepdims=True) / count) * inside
    deviation = np.sqrt(np.square(centred).sum(axis=(1, 2), keepdims=True) / count)
    found: FloatArray = centred / np.maximum(deviation, 1e-3)
    return found


def measure_distance(seen: FloatArray, shown: FloatArray, inside: FloatArray) -> FloatArray:
    """Returns 1 - correlation of each pair."""
    total = (np.square(seen - shown) * inside).sum(axis=(1, 2))
    distance: FloatArray = total / inside.sum(axis=(1, 2)) / 2 + np.float32(1e-4)
    return distance
