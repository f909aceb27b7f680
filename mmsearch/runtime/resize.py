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
"""How many times its final size a picture keeps when it is shrunk in two steps.

There the result is within 2 grey levels of that of one step on camera photographs of 2.5 to 48
megapixels, but for a value in some 100,000, and so for means of whole blocks as for JPEG decoded at
a half, a quarter or an eighth; at 4 it is within 3, at 3 within 6. At 6, photographs of 4032x3024
would not be decoded at a half for 256 pixels. `python -m benchmarks.picture_fit` has the table.
Worse are colours that a JPEG with subsampled chroma clips, by up to 12 levels in one channel (0.4 %
of the values of photographs that are sharp to the last pixel), and drawings and text with lines of
one pixel, by up to 17.
"""
JPEG_SCALES = (8, 4, 2)
# What `within` has always done: Pillow calls 3 indistinguishable for most pictures.
_WITHIN_GAP = 3.0
# Pixels of the result that a filter reaches to each side, with one to spare (Lanczos has 3).
_REACH = 4
_ALPHA = {"LA": "La", "RGBA": "RGBa"}

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Scaling:
    """What to scale to what: `box` of the source (left, top, right, bottom) to `size`.

    `size` is (width, height) in pixels; a box may begin and end within a pixel.
    """

    size: tuple[int, int]
    box: Box

    @property
    def factors(self) -> tuple[float, float]:
        """Pixels of the source for one of the result, across and down."""
        left, top, right, bottom = self.box
        return (right - left) / self.size[0], (bottom - top) / self.size[1]


def fitted(width: int, height: int, longest_px: int) -> tuple[int, int]:
    """(width, height) shrunk so that the longer is at most `longest_px`; never grown, never 0."""
    longest = max(width, height)
    if longest <= longest_px:
        return width, height
    scale = longest_px / longest
    return max(1, round(width * scale)), max(1, round(height * scale))


def scaling(width: int, height: int, fit: PictureFit) -> Scaling:
    """How a picture of that size is fitted.

    The roundings are those of `open_clip.transform.image_transform(is_train=False)`. What
    `shortest` cuts off is never computed: a picture of 1 x 100000 costs no more than its middle.
    """
    px = fit.size_px
    whole = (0.0, 0.0, float(width), float(height))
    match fit.mode:
        case "within":
            return Scaling(fitted(width, height, px), whole)
        case "squash":
            return Scaling((px, px), whole)
        case "letterbox":
            ratio = max(width, height) / px
            return Scaling((max(1, round(width / ratio)), max(1, round(height / ratio))), whole)
        case "shortest":
            long_px = int(px * max(width, height) / min(width, height))
            full = (px, long_px) if width <= height else (long_px, px)
            left, right = _middle(full[0], width, px)
            top, bottom = _middle(full[1], height, px)
            return Scaling((px, px), (left, top, right, bottom))


def _middle(full_px: int, source_px: int, px: int) -> tuple[float, float]:
    """Where in the source the middle `px` of `full_px` pixels come from."""
    # Rounded half to even, as torchvision does it.
    start = round((full_px - px) / 2)
    scale = source_px / full_px
    return start * scale, min((start + px) * scale, float(source_px))


def jpeg_scale(width: int, height: int, fit: PictureFit) -> int:
    """1, 2, 4 or 8: how much smaller a JPEG of that size may be decoded.

    Only where whole blocks fill it: pixels of broken blocks weigh too much at the border.
    """
    across, down = scaling(width, height, fit).factors
    for scale in JPEG_SCALES:
        if width % scale == height % scale == 0 and min(across, down) >= scale * MARGIN:
            return scale
    return 1


def scaled(image: Image.Image, how: Scaling, fit: PictureFit) -> Image.Image:
    """The box of an 8-bit image, or one of floats, at the new size."""
    from PIL import Image

    whole = (0.0, 0.0, float(image.width), float(image.height))
    if image.size == how.size and how.box == whole:
        return image
    filter_ = Image.Resampling[fit.resampling.upper()]
    if fit.mode == "within":
        return image.resize(how.size, filter_, reducing_gap=_WITHIN_GAP)
    if image.mode in _ALPHA:
        # Colours of transparent pixels must not bleed into their neighbours.
        flat = image.convert(_ALPHA[image.mode])
        return scaled(flat, how, fit).convert(image.mode)
    image, how = cut(image, how)
    if min(how.factors) >= MARGIN:
        return _in_order(*_reduced(image, how), filter_)
    if how.box == (0.0, 0.0, float(image.width), float(image.height)):
        return image.resize(how.size, filter_)
    return _in_order(image, how, filter_)


def _in_order(image: Image.Image, how: Scaling, filter_: Image.Resampling) -> Image.Image:
    """Scaled across and then down, as Pillow does it for a whole picture that keeps its shape.

    Of a part, Pillow 13 may do it the other way round where that is cheaper; rounded in between,
    that differs by up to 9 levels.
    """
    left, top, right, bottom = how.box
    rows = (left, 0.0, right, float(image.height))
    narrowed = image.resize((how.size[0], image.height), filter_, rows)
    return narrowed.resize(how.size, filter_, (0.0, top, float(how.size[0]), bottom))


def _reduced(image: Image.Image, how: Scaling) -> tuple[Image.Image, Scaling]:
    """The means of whole blocks of the image, as large as the margin allows."""
    left, top, right, bottom = how.box
    x0, x1, across = _blocks(image.width, left, right, how.size[0])
    y0, y1, down = _blocks(image.height, top, bottom, how.size[1])
    # Not one side alone: that could turn the order in which Pillow would have gone.
    if across == 1 or down == 1:
        return image, how
    image = image.reduce((across, down), box=(x0, y0, x1, y1))
    box = (
        max(0.0, (left - x0) / across),
        max(0.0, (top - y0) / down),
        min((right - x0) / across, float(image.width)),
        min((bottom - y0) / down, float(image.height)),
    )
    return image, Scaling(how.size, box)


def cut(image: Image.Image, how: Scaling) -> tuple[Image.Image, Scaling]:
    """The image without the rows that have no say in the result, and without such columns.

    Columns only where they are the half of it or more: then Pillow's box, which is in single
    precision, would be too coarse as well.
    """
    left, top, right, bottom = how.box
    x0, x1 = _reached(image.width, left, right, how.size[0])
    y0, y1 = _reached(image.height, top, bottom, how.size[1])
    if (x1 - x0) * 2 > image.width:
        x0, x1 = 0, image.width
    if (x0, y0, x1, y1) == (0, 0, *image.size):
        return image, how
    inside = (left - x0, top - y0, right - x0, bottom - y0)
    return image.crop((x0, y0, x1, y1)), Scaling(how.size, inside)


def _reached(source_px: int, start: float, end: float, px: int) -> tuple[int, int]:
    """The pixels (from, to) of one side that any filter reaches for `px` pixels of the result."""
    reach = _REACH * max((end - start) / px, 1.0)
    return max(0, math.floor(start - reach)), min(source_px, math.ceil(end + reach))


def _blocks(source_px: int, start: float, end: float, px: int) -> tuple[int, int, int]:
    """The pixels (from, to) of one side that matter, and how many become one in a first step.

    They are whole blocks; a side whose length no factor divides is left as it is.
    """
    low, high = _reached(source_px, start, end, px)
    for factor in range(int((end - start) / px / MARGIN), 1, -1):
        rest = (high - low) % factor
        if rest == 0 or high < source_px:
            return low, high - rest, factor
        if low > 0:
            return low + rest, high, factor
    return low, high, 1


def padded(pixels: PixelArray, fit: PictureFit) -> PixelArray:
    """(size_px, size_px, 3) uint8: a letterboxed picture in the middle of `fill`; others as is."""
    import numpy as np

    height, width = pixels.shape[:2]
    if fit.mode != "letterbox" or (height, width) == (fit.size_px, fit.size_px):
        return pixels
    canvas = np.full((fit.size_px, fit.size_px, 3), fit.fill, dtype=np.uint8)
    top, left = (fit.size_px - height) // 2, (fit.size_px - width) // 2
    canvas[top : top + height, left : left + width] = pixels
    return canvas


def fitted_pixels(pixels: PixelArray, fit: PictureFit) -> PixelArray:
    """(height, width, 3) uint8 RGB of any size, fitted; one of the right size passes untouched."""
    import numpy as np
    from PIL import Image

    height, width = pixels.shape[:2]
    how = scaling(width, height, fit)
    if how.size == (width, height):
        # `shortest` of a square, too: its box is the whole.
        return padded(pixels, fit)
    image = scaled(Image.fromarray(pixels), how, fit)
    return padded(np.asarray(image, dtype=np.uint8), fit)
