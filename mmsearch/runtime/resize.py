"""Scales pictures to what an encoder takes, with the arithmetic of Pillow and open_clip."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmsearch.types import PictureFit

if TYPE_CHECKING:
    from PIL import Image

    from mmsearch.types import PixelArray

MARGIN = 5.9
"""The multiple of its final size at which a picture is left by the first of two steps.

There the result is within 2 grey levels of that of one step on camera photographs of 2.5 to 48
megapixels, but for a value in some 100,000, and so for means of whole blocks as for JPEG decoded at
a half, a quarter or an eighth; at 4 it is within 3, at 3 within 6. At 6, photographs of 4032x3024
would not be decoded at a half for 256 pixels. `python -m benchmarks.picture_fit` has the table.
Worse are colours that a JPEG with subsampled chroma clips, by up to 12 levels in one channel (0.4 %
of the values of photographs that are sharp to the last pixel), and drawings and text with lines of
one pixel, by up to 17.
"""
JPEG_SCALES = (8, 4, 2)
# Pillow calls 3 indistinguishable for most pictures.
_WITHIN_GAP = 3.0
# Pixels of the result that a filter reaches to each side, with one to spare (Lanczos has 3).
_REACH = 4
_ALPHA = {"LA": "La", "RGBA": "RGBa"}

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Scaling:
    """A scaling of `box` of the source (left, top, right, bottom) to `size`.

    `size` is (width, height) in pixels; a box may begin and end within a pixel.
    """

    size: tuple[int, int]
    box: Box

    @property
    def factors(self) -> tuple[float, float]:
        """Pixels of the source for one of the result, across and down."""
        left, top, right, bottom = self.box
        return (right - left) / self.size[0], (bottom - top) / self.size[1]


def fit_size(width: int, height: int, longest_px: int) -> tuple[int, int]:
    """Shrinks (width, height) until the longer is at most `longest_px`; never grows, never 0."""
    longest = max(width, height)
    if longest <= longest_px:
        return width, height
    scale = longest_px / longest
    return max(1, round(width * scale)), max(1, round(height * scale))


def plan_scaling(width: int, height: int, fit: PictureFit) -> Scaling:
    """Plans the scaling of a picture of that size.

    It rounds like `open_clip.transform.image_transform(is_train=False)`. Pixels that `shortest`
    cuts off are never computed: a picture of 1 x 100000 costs no more than its middle.
    """
    px = fit.size_px
    whole = (0.0, 0.0, float(width), float(height))
    match fit.mode:
        case "within":
            return Scaling(fit_size(width, height, px), whole)
        case "squash":
            return Scaling((px, px), whole)
        case "letterbox":
            ratio = max(width, height) / px
            return Scaling((max(1, round(width / ratio)), max(1, round(height / ratio))), whole)
        case "shortest":
            long_px = int(px * max(width, height) / min(width, height))
            full = (px, long_px) if width <= height else (long_px, px)
            left, right = _locate_centre(full[0], width, px)
            top, bottom = _locate_centre(full[1], height, px)
            return Scaling((px, px), (left, top, right, bottom))


def _locate_centre(full_px: int, source_px: int, px: int) -> tuple[float, float]:
    """Returns the span of the source from which the middle `px` of `full_px` pixels come."""
    # Rounded half to even, as torchvision does it.
    start = round((full_px - px) / 2)
    scale = source_px / full_px
    return start * scale, min((start + px) * scale, float(source_px))


def choose_jpeg_scale(width: int, height: int, fit: PictureFit) -> int:
    """Returns 1, 2, 4 or 8, the divisor of the size at which such a JPEG may be decoded.

    1 unless whole blocks fill it: pixels of broken blocks weigh too much at the border.
    """
    across, down = plan_scaling(width, height, fit).factors
    for scale in JPEG_SCALES:
        if width % scale == height % scale == 0 and min(across, down) >= scale * MARGIN:
            return scale
    return 1


def scale_image(image: Image.Image, scaling: Scaling, fit: PictureFit) -> Image.Image:
    """Scales the box of an image of 8 bits or floats."""
    from PIL import Image

    whole = (0.0, 0.0, float(image.width), float(image.height))
    if image.size == scaling.size and scaling.box == whole:
        return image
    filter_ = Image.Resampling[fit.resampling.upper()]
    if fit.mode == "within":
        return image.resize(scaling.size, filter_, reducing_gap=_WITHIN_GAP)
    if image.mode in _ALPHA:
        # Colours of transparent pixels must not bleed into their neighbours.
        flat = image.convert(_ALPHA[image.mode])
        return scale_image(flat, scaling, fit).convert(image.mode)
    image, scaling = crop_to_reach(image, scaling)
    if min(scaling.factors) >= MARGIN:
        return _scale_across_first(*_reduce_blocks(image, scaling), filter_)
    if scaling.box == (0.0, 0.0, float(image.width), float(image.height)):
        return image.resize(scaling.size, filter_)
    return _scale_across_first(image, scaling, filter_)


def _scale_across_first(
    image: Image.Image, scaling: Scaling, filter_: Image.Resampling
) -> Image.Image:
    """Scales across and then down, as Pillow does for a whole picture that keeps its shape.

    For a part, Pillow 13 may reverse the order if that is cheaper; rounded in between,
    that differs by up to 9 levels.
    """
    left, top, right, bottom = scaling.box
    rows = (left, 0.0, right, float(image.height))
    narrowed = image.resize((scaling.size[0], image.height), filter_, rows)
    return narrowed.resize(scaling.size, filter_, (0.0, top, float(scaling.size[0]), bottom))


def _reduce_blocks(image: Image.Image, scaling: Scaling) -> tuple[Image.Image, Scaling]:
    """Returns the means of whole blocks of the image, as large as the margin allows."""
    left, top, right, bottom = scaling.box
    x0, x1, across = _find_blocks(image.width, left, right, scaling.size[0])
    y0, y1, down = _find_blocks(image.height, top, bottom, scaling.size[1])
    # Not one side alone: that could turn the order in which Pillow would have gone.
    if across == 1 or down == 1:
        return image, scaling
    image = image.reduce((across, down), box=(x0, y0, x1, y1))
    box = (
        max(0.0, (left - x0) / across),
        max(0.0, (top - y0) / down),
        min((right - x0) / across, float(image.width)),
        min((bottom - y0) / down, float(image.height)),
    )
    return image, Scaling(scaling.size, box)


def crop_to_reach(image: Image.Image, scaling: Scaling) -> tuple[Image.Image, Scaling]:
    """Crops rows and columns that do not affect the result.

    Columns only if they are half of it or more: then Pillow's box, which is in single precision,
    would be too coarse as well.
    """
    left, top, right, bottom = scaling.box
    x0, x1 = _find_reach(image.width, left, right, scaling.size[0])
    y0, y1 = _find_reach(image.height, top, bottom, scaling.size[1])
    if (x1 - x0) * 2 > image.width:
        x0, x1 = 0, image.width
    if (x0, y0, x1, y1) == (0, 0, *image.size):
        return image, scaling
    inside = (left - x0, top - y0, right - x0, bottom - y0)
    return image.crop((x0, y0, x1, y1)), Scaling(scaling.size, inside)


def _find_reach(source_px: int, start: float, end: float, px: int) -> tuple[int, int]:
    """Returns the pixels (from, to) of a side that a filter reaches for `px` of the result."""
    reach = _REACH * max((end - start) / px, 1.0)
    return max(0, math.floor(start - reach)), min(source_px, math.ceil(end + reach))


def _find_blocks(source_px: int, start: float, end: float, px: int) -> tuple[int, int, int]:
    """Returns the pixels (from, to) of one side that matter, and the side of a block in step one.

    The pixels are whole blocks; a side whose length no factor divides is left as it is.
    """
    low, high = _find_reach(source_px, start, end, px)
    for factor in range(int((end - start) / px / MARGIN), 1, -1):
        rest = (high - low) % factor
        if rest == 0 or high < source_px:
            return low, high - rest, factor
        if low > 0:
            return low + rest, high, factor
    return low, high, 1


def pad_pixels(pixels: PixelArray, fit: PictureFit) -> PixelArray:
    """Centres a letterboxed picture on `fill`, (size_px, size_px, 3) uint8; others stay as is."""
    import numpy as np

    height, width = pixels.shape[:2]
    if fit.mode != "letterbox" or (height, width) == (fit.size_px, fit.size_px):
        return pixels
    canvas = np.full((fit.size_px, fit.size_px, 3), fit.fill, dtype=np.uint8)
    top, left = (fit.size_px - height) // 2, (fit.size_px - width) // 2
    canvas[top : top + height, left : left + width] = pixels
    return canvas


def fit_pixels(pixels: PixelArray, fit: PictureFit) -> PixelArray:
    """Fits (height, width, 3) uint8 RGB of any size; one of the right size passes untouched."""
    import numpy as np
    from PIL import Image

    height, width = pixels.shape[:2]
    scaling = plan_scaling(width, height, fit)
    if scaling.size == (width, height):
        # `shortest` of a square, too: its box is the whole.
        return pad_pixels(pixels, fit)
    image = scale_image(Image.fromarray(pixels), scaling, fit)
    return pad_pixels(np.asarray(image, dtype=np.uint8), fit)
