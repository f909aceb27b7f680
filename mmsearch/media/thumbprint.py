"""How a picture looks at 32 x 32 grey pixels: enough to know it again when it was altered a little.

What is stored is a picture and no hash of one. A hash of 64 bits (pHash; Zauner 2010) is made of it
when pictures are compared, and finds who could be the same; whether they are is looked up in the
pixels, which a hash cannot tell: slides of one deck differ in fewer bits than a picture and its
crop. `mmsearch.duplicates.near_duplicates` compares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsearch.runtime.resize import scaling

if TYPE_CHECKING:
    from mmsearch.types import FloatArray, PictureFit, PixelArray

SIDE_PX = 32
THUMBPRINT_BYTES = SIDE_PX * SIDE_PX
HASH_SIDE = 8
MIN_SIDE_PX = 16
MIN_CONTRAST = 4.0
"""Standard deviation of the grey levels below which there is nothing to compare. The least among
126 photographs is 11, of a night sky; noise that was averaged away has 2 to 3."""
MIN_WAVES = 3.0
"""How many waves a picture must be made of. A gradient from top to bottom has 1.4 whatever its
colours are, 126 photographs have 10 to 39, and a slide with nothing but its header has 8."""


def compute_thumbprint(pixels: PixelArray) -> bytes | None:
    """1,024 grey levels, row by row, stretched over 0..255; None for what has no look of its own.

    `pixels` is (height, width, 3) uint8 RGB. Nothing has none that is flat, no more than a
    gradient, or below 16 pixels: such pictures are alike without being the same.
    """
    if min(pixels.shape[:2]) < MIN_SIDE_PX:
        return None
    from PIL import Image

    whole = Image.fromarray(pixels)
    # Pillow's box takes whole pixels only: it moves edges by up to half a pixel, to one side.
    small = whole.resize((SIDE_PX, SIDE_PX), Image.Resampling.HAMMING, reducing_gap=4.0)
    levels = np.asarray(small.convert("L"), dtype=np.float32)
    if float(levels.std()) < MIN_CONTRAST or count_waves(levels) < MIN_WAVES:
        return None
    low, high = float(levels.min()), float(levels.max())
    stretched = (levels - low) * (255.0 / (high - low))
    look: bytes = np.rint(stretched).astype(np.uint8).tobytes()
    return look


def remove_padding(pixels: PixelArray, fit: PictureFit, width_px: int, height_px: int) -> PixelArray:
    """A picture of that size that was fitted, without what `letterbox` put around it."""
    if fit.mode != "letterbox":
        return pixels
    across, down = scaling(width_px, height_px, fit).size
    top, left = (fit.size_px - down) // 2, (fit.size_px - across) // 2
    return np.ascontiguousarray(pixels[top : top + down, left : left + across])


def compute_dct_basis(side: int, count: int) -> FloatArray:
    """(count, side) float32: the first waves of the orthonormal DCT-II."""
    at = (np.arange(side) + 0.5) / side
    table = np.cos(np.pi * np.arange(count)[:, None] * at) * np.sqrt(2.0 / side)
    table[0] *= np.sqrt(0.5)
    return np.asarray(table, dtype=np.float32)


_WAVES = compute_dct_basis(SIDE_PX, HASH_SIDE)


def compute_spectra(levels: FloatArray) -> FloatArray:
    """(..., 8, 8) float32: the slowest waves of (..., 32, 32) grey levels, down and across."""
    return np.asarray(_WAVES @ levels @ _WAVES.T, dtype=np.float32)


def count_waves(levels: FloatArray) -> float:
    """About how many waves (32, 32) grey levels are made of, by (sum |c|)^2 / sum c^2."""
    strengths = np.abs(compute_spectra(levels)).ravel()[1:]
    energy = float(np.square(strengths).sum())
    return float(strengths.sum()) ** 2 / energy if energy > 0 else 0.0


def unpack_levels(thumbprints: NDArray[np.uint8]) -> FloatArray:
    """(n, 32, 32) float32 of (n, 1024) uint8."""
    levels: FloatArray = thumbprints.astype(np.float32).reshape(-1, SIDE_PX, SIDE_PX)
    return levels


def compute_hashes(levels: FloatArray) -> NDArray[np.uint64]:
    """64 bits for each of (n, 32, 32): the signs of its slowest waves."""
    return pack_signs(compute_spectra(levels) > 0)


def pack_signs(signs: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """64 bits for each of (..., 8, 8) signs."""
    flat = signs.reshape(*signs.shape[:-2], HASH_SIDE * HASH_SIDE)
    bits: NDArray[np.uint64] = np.packbits(flat, axis=-1).view(np.uint64)[..., 0]
    return bits


MIRROR = pack_signs(np.broadcast_to(np.arange(HASH_SIDE) % 2 == 1, (HASH_SIDE, HASH_SIDE)))
"""The bits in which a picture and its mirror differ: waves with an odd number of half periods
across."""
