"""Thumbprints: 32 x 32 grey pixels of a picture, by which altered copies of it are found.

A library stores the pixels. `mmsearch.duplicates.near_duplicates` computes a hash of 64 bits of
them (pHash; Zauner 2010) to find candidates, and compares the pixels of these: slides of one deck
differ in fewer bits than a picture and its crop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsearch.runtime.resize import plan_scaling

if TYPE_CHECKING:
    from mmsearch.types import FloatArray, PictureFit, PixelArray

SIDE_PX = 32
THUMBPRINT_BYTES = SIDE_PX * SIDE_PX
HASH_SIDE = 8
MIN_SIDE_PX = 16
MIN_CONTRAST = 4.0
"""The least standard deviation of the grey levels. The least of 126 photographs is 11, of a night
sky; averaged noise has 2 to 3."""
MIN_WAVES = 3.0
"""The least number of waves in a picture. A vertical gradient has 1.4 with any colours, 126
photographs have 10 to 39, and a slide with nothing but its header has 8."""


def compute_thumbprint(pixels: PixelArray) -> bytes | None:
    """Returns 1,024 grey levels, row by row, stretched over 0..255; None for a featureless picture.

    `pixels` is (height, width, 3) uint8 RGB. Pictures that are flat, a gradient, or below 16
    pixels have no thumbprint: they are similar without being copies.
    """
    if min(pixels.shape[:2]) < MIN_SIDE_PX:
        return None
    from PIL import Image

    # Pillow's box filter takes whole pixels only and shifts edges by up to half a pixel.
    size = (SIDE_PX, SIDE_PX)
    small = Image.fromarray(pixels).resize(size, Image.Resampling.HAMMING, reducing_gap=4.0)
    levels = np.asarray(small.convert("L"), dtype=np.float32)
    if float(levels.std()) < MIN_CONTRAST or count_waves(levels) < MIN_WAVES:
        return None
    low, high = float(levels.min()), float(levels.max())
    stretched = (levels - low) * (255.0 / (high - low))
    thumbprint: bytes = np.rint(stretched).astype(np.uint8).tobytes()
    return thumbprint


def remove_padding(
    pixels: PixelArray, fit: PictureFit, width_px: int, height_px: int
) -> PixelArray:
    """Removes the padding of `letterbox` from a fitted picture of that original size."""
    if fit.mode != "letterbox":
        return pixels
    across, down = plan_scaling(width_px, height_px, fit).size
    top, left = (fit.size_px - down) // 2, (fit.size_px - across) // 2
    return np.ascontiguousarray(pixels[top : top + down, left : left + across])


def compute_dct_basis(side: int, count: int) -> FloatArray:
    """Returns the first waves of the orthonormal DCT-II: (count, side) float32."""
    at = (np.arange(side) + 0.5) / side
    table = np.cos(np.pi * np.arange(count)[:, None] * at) * np.sqrt(2.0 / side)
    table[0] *= np.sqrt(0.5)
    return np.asarray(table, dtype=np.float32)


_WAVES = compute_dct_basis(SIDE_PX, HASH_SIDE)


def compute_spectra(levels: FloatArray) -> FloatArray:
    """Returns the slowest waves of (..., 32, 32) grey levels: (..., 8, 8) float32."""
    return np.asarray(_WAVES @ levels @ _WAVES.T, dtype=np.float32)


def count_waves(levels: FloatArray) -> float:
    """Estimates the number of waves in (32, 32) grey levels as (sum |c|)^2 / sum c^2."""
    strengths = np.abs(compute_spectra(levels)).ravel()[1:]
    energy = float(np.square(strengths).sum())
    return float(strengths.sum()) ** 2 / energy if energy > 0 else 0.0


def unpack_levels(thumbprints: NDArray[np.uint8]) -> FloatArray:
    """Returns the grey levels of (n, 1024) uint8 thumbprints: (n, 32, 32) float32."""
    levels: FloatArray = thumbprints.astype(np.float32).reshape(-1, SIDE_PX, SIDE_PX)
    return levels


def compute_hashes(levels: FloatArray) -> NDArray[np.uint64]:
    """Returns 64 bits for each of (n, 32, 32) grey levels: the signs of its slowest waves."""
    return pack_signs(compute_spectra(levels) > 0)


def pack_signs(signs: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Packs each of (..., 8, 8) signs into 64 bits."""
    flat = signs.reshape(*signs.shape[:-2], HASH_SIDE * HASH_SIDE)
    bits: NDArray[np.uint64] = np.packbits(flat, axis=-1).view(np.uint64)[..., 0]
    return bits


MIRROR = pack_signs(np.broadcast_to(np.arange(HASH_SIDE) % 2 == 1, (HASH_SIDE, HASH_SIDE)))
"""The bits in which a picture and its mirror image differ: the odd waves across."""
