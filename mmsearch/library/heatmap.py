"""A heat map over an image, and its painting."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from mmsearch.types import Box, FloatArray, PixelArray

GRID = 48
"""Values along the longer side of a map."""
REACH = 1 / 4
"""The standard deviation with which a box counts around its middle, as a fraction of its side."""
PRIOR = 1 / 4
"""What the mean of all boxes counts everywhere, as a share of what they count at a median place.

Without it the hottest place is drawn to the edge: in pictures composed of four photographs it lies
0.25 of their side from the middle of the right one (median), with it 0.09, and is as often right.
"""
FULL_HEAT = 1.5
"""How far the hottest place must stand above the median one to be at 1, in the units of heat.

These are logits of the score. With `mini` half of all captions of photographs stand out by 1.4 in
their own, by 4.0 where three other photographs lie beside it (`python -m benchmarks.heatmaps`).
"""
COOL = 0.2
"""Up to here nothing is painted."""
MAX_ALPHA = 0.55
COLOURS = (
    (80, 0, 143), (127, 2, 147), (175, 3, 137), (217, 31, 113), (250, 65, 78),
    (254, 124, 66), (255, 169, 80), (255, 207, 104), (255, 244, 101),
)  # fmt: skip
"""From cool to hot, as sRGB: equal steps of lightness in OKLab (Ottosson 2020) from 0.36 to 0.95,
the hue turning from violet (300 degrees) through red to yellow (105)."""
_TINY = 1e-30


@dataclass(frozen=True, slots=True, eq=False)
class HeatMap:
    """The degree to which each place of an image matches a query, against the rest of it.

    `values` is (rows, columns) float32 in 0..1, `size` the (width, height) of the picture in
    pixels. `picture` is (height, width, 3) uint8 RGB as it was looked at; None where the map was
    made of what the library has.
    """

    values: FloatArray
    size: tuple[int, int]
    picture: PixelArray | None = None

    @property
    def hottest(self) -> tuple[float, float]:
        """The hottest place as fractions of width and height, origin at the top left."""
        rows, columns = self.values.shape
        row, column = divmod(int(np.argmax(self.values)), columns)
        return (column + 0.5) / columns, (row + 0.5) / rows

    def overlay(self, pixels: PixelArray | None = None) -> bytes:
        """Paints the map as PNG over (height, width, 3) uint8 RGB, by default over `picture`.

        Raises ValueError where there is neither.
        """
        from PIL import Image

        base = self.picture if pixels is None else pixels
        if base is None:
            raise ValueError("this map was made without its picture: give the pixels")
        image = Image.fromarray(base).convert("RGBA")
        image.alpha_composite(self._paint(image.size))
        return _encode_png(image.convert("RGB"))

    def layer(self) -> bytes:
        """Paints the map alone as PNG, a pixel a value, clear where it is cool."""
        rows, columns = self.values.shape
        return _encode_png(self._paint((columns, rows)))

    def _paint(self, size: tuple[int, int]) -> Image.Image:
        from PIL import Image

        smooth = Image.fromarray(self.values).resize(size, Image.Resampling.BICUBIC)
        heat = np.clip(np.asarray(smooth), 0.0, 1.0)
        steps = np.linspace(0.0, 1.0, len(COLOURS))
        painted = np.empty((*heat.shape, 4), dtype=np.uint8)
        for channel, levels in enumerate(np.array(COLOURS, dtype=np.float64).T):
            painted[..., channel] = np.interp(heat, steps, levels).round()
        warmth = np.clip((heat - COOL) / (1 - COOL), 0.0, 1.0)
        painted[..., 3] = (255 * MAX_ALPHA * np.sqrt(warmth)).round()
        return Image.fromarray(painted)


def spread_heat(heat: FloatArray, boxes: Sequence[Box], size: tuple[int, int]) -> FloatArray:
    """Spreads the heat of (n,) boxes over a map of an image of `size` (width, height).

    Each place is the mean of the boxes, which count the more the nearer their middles are (kernel
    regression: Nadaraya 1964, Watson 1964). The median place is at 0, and the hottest at 1 if it
    stands out by `FULL_HEAT`. Returns (rows, columns) float32.
    """
    width, height = size
    longest = max(width, height)
    rows, columns = (max(1, round(GRID * side / longest)) for side in (height, width))
    across = _gaussian_weights([(box.x0, box.x1) for box in boxes], columns)
    down = _gaussian_weights([(box.y0, box.y1) for box in boxes], rows)
    covered = down.T @ across
    if not len(boxes):
        return np.zeros(covered.shape, dtype=np.float32)
    above = (down * (heat - heat.mean())[:, None]).T @ across
    # Where few boxes reach, at the edges of the picture, the mean of all counts too.
    mean = above / (covered + PRIOR * np.median(covered) + _TINY)
    mean -= np.median(mean)
    values = np.clip(mean / max(float(mean.max()), FULL_HEAT), 0.0, 1.0)
    return np.asarray(values, dtype=np.float32)


def _gaussian_weights(spans: Sequence[tuple[float, float]], count: int) -> NDArray[np.float64]:
    """Returns (n, count) Gaussian weights around the middle of each span."""
    edges = np.array(spans, dtype=np.float64).reshape(-1, 2)
    # No span is so narrow that it falls between two places.
    widths = np.maximum(np.diff(edges), 1.0 / count)
    places = (np.arange(count) + 0.5) / count
    distance = (places - edges.mean(axis=1, keepdims=True)) / (REACH * widths)
    weights: NDArray[np.float64] = np.exp(-(distance**2) / 2)
    return weights


def _encode_png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()
