"""Draws pages of a PDF, and parts of them, upright as pictures."""

from __future__ import annotations

import ctypes
import math
import time
from typing import TYPE_CHECKING

from mmsearch.media.base import LoadOptions, Picture
from mmsearch.media.documents.pdf_page_pictures import GRID, WHOLE_PAGE
from mmsearch.media.pictures.text_detection import prepare_ocr_picture
from mmsearch.runtime.resize import fit_pixels
from mmsearch.types import Box, Place

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage, PdfTextPage

    from mmsearch.types import PixelArray

# Drawn larger than asked for, since a good filter shrinks them.
_OVERSAMPLING = 1.5
_MAX_PX = 3200
_FLAT_LEVELS = 12


class DrawingTimeout(Exception):
    """Drawing a page takes too long."""


def count_letters(page: PdfPage, words: PdfTextPage, box: Box) -> int:
    """Returns how many letters and digits of the text `words` lie in a part of the page."""
    from pypdfium2 import raw

    xs, ys = [], []
    for x, y in ((box.x0, box.y0), (box.x1, box.y1)):
        across, down = ctypes.c_double(), ctypes.c_double()
        at = round(x * GRID), round(y * GRID)
        raw.FPDF_DeviceToPage(page, 0, 0, GRID, GRID, 0, *at, across, down)
        xs.append(across.value)
        ys.append(down.value)
    text = words.get_text_bounded(min(xs), min(ys), max(xs), max(ys))
    return sum(map(str.isalnum, text))


def draw_page(
    document: PdfDocument, page: PdfPage, options: LoadOptions, *, number: int
) -> Picture:
    """Draws page `number` as a picture, even if it is empty; raises as `draw_picture` does."""
    pixels = _draw_fitting(document, page, WHOLE_PAGE, options, options.legible_px)
    return _make_picture(pixels, options, number, with_ocr=True)


def draw_picture(
    document: PdfDocument,
    page: PdfPage,
    box: Box,
    options: LoadOptions,
    *,
    number: int,
    with_ocr: bool = True,
) -> Picture | None:
    """Draws a part of page `number` as a picture; None if nothing is to be seen in it.

    Raises DrawingTimeout after a third of `limits.stall_s`, and MemoryError.
    """
    pixels = _draw_fitting(document, page, box, options, options.legible_px if with_ocr else 0)
    if int(pixels.max()) - int(pixels.min()) <= _FLAT_LEVELS:
        return None
    return _make_picture(pixels, options, number, with_ocr=with_ocr)


def _make_picture(
    pixels: PixelArray, options: LoadOptions, number: int, *, with_ocr: bool
) -> Picture:
    fitted = fit_pixels(pixels, options.picture)
    if not with_ocr:
        return Picture(fitted, Place(page=number))
    legible = prepare_ocr_picture(lambda fit: fit_pixels(pixels, fit), options)
    return Picture(fitted, Place(page=number), ocr_picture=legible)


def _draw_fitting(
    document: PdfDocument, page: PdfPage, box: Box, options: LoadOptions, least_px: int
) -> PixelArray:
    """Draws a part of a page as large as the fit asks for, and with `least_px` at least."""
    longest_px = max(math.ceil(_compute_longest(page, box, options) * _OVERSAMPLING), least_px)
    return _draw(document, page, box, min(longest_px, _MAX_PX), options.limits.stall_s / 3)


def _compute_longest(page: PdfPage, box: Box, options: LoadOptions) -> float:
    """Returns the longer side, in pixels, of a picture that fills the fit."""
    width, height = _measure(page, box)
    fit = options.picture
    if fit.mode in ("within", "letterbox"):
        return fit.size_px
    return fit.size_px * max(width, height) / min(width, height)


def _measure(page: PdfPage, box: Box) -> tuple[float, float]:
    """Returns width and height of a part of the upright page in points, within reason."""
    sides = page.get_width() * (box.x1 - box.x0), page.get_height() * (box.y1 - box.y0)
    width, height = (side if 0.01 < side < 1e7 else 1.0 for side in sides)
    return width, height


def _draw(
    document: PdfDocument, page: PdfPage, box: Box, longest_px: int, limit_s: float
) -> PixelArray:
    """Draws a part of a page as (height, width, 3) uint8 RGB on white."""
    import numpy as np
    import pypdfium2
    from pypdfium2 import raw

    sides = _measure(page, box)
    width, height = (max(1, round(side * longest_px / max(sides))) for side in sides)
    full = round(width / (box.x1 - box.x0)), round(height / (box.y1 - box.y0))
    bitmap = pypdfium2.PdfBitmap.new_native(width, height, raw.FPDFBitmap_BGRx, rev_byteorder=True)
    bitmap.fill_rect((255, 255, 255, 255), 0, 0, width, height)
    flags = raw.FPDF_REVERSE_BYTE_ORDER | (raw.FPDF_ANNOT if box == WHOLE_PAGE else 0)
    frame = (-round(box.x0 * full[0]), -round(box.y0 * full[1]), *full, 0, flags)
    deadline = time.monotonic() + limit_s
    clock = raw.IFSDK_PAUSE(version=1)
    clock.NeedToPauseNow = type(clock.NeedToPauseNow)(lambda _: time.monotonic() > deadline)
    status = raw.FPDF_RenderPageBitmap_Start(bitmap, page, *frame, clock)
    raw.FPDF_RenderPage_Close(page)
    if status == raw.FPDF_RENDER_TOBECONTINUED:
        raise DrawingTimeout
    if document.formenv is not None and box == WHOLE_PAGE:
        raw.FPDF_FFLDraw(document.formenv, bitmap, page, *frame)
    return np.ascontiguousarray(bitmap.to_numpy()[:, :, :3])
