"""Finds the scans and pictures on the pages of a PDF."""

from __future__ import annotations

import ctypes
import hashlib
import math
import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from mmsearch.types import Box

if TYPE_CHECKING:
    from pypdfium2 import PdfPage

WHOLE_PAGE = Box(0.0, 0.0, 1.0, 1.0)
# The dictionary of a picture is always outside of packed objects, and never encrypted.
_IMAGE_NAME = b"/Image"
_MAX_SPACE = 16
_IMAGE = re.compile(rb"/Subtype\s*/Image\b")
_MASK = re.compile(rb"/SMask\s+(\d+)\s")
# Smaller pictures are not looked for on further pages.
_MIN_PHOTO_PX = 100_000
_MAX_OBJECTS = 20_000
_MAX_DEPTH = 4
_MAX_IMAGES = 256
MAX_REGIONS = 8
"""A page with more pictures is drawn as a whole."""
# Logos, icons and ornaments: shares of the page's area and of its sides.
_MIN_AREA = 0.025
_MIN_SIDE = 0.06
_MIN_IMAGE_PX = 64
# Parts of one picture, as strips of a scan, lie so near to each other.
_SLACK = 0.004
MIN_SEGMENTS = 200
"""So many lines and curves on a page without text are a drawing, or letters as outlines."""
_MAX_DIGEST_BYTES = 64 * 1024**2
GRID = 1 << 20
"""Corners on a page are computed on a grid of so many steps."""

_Matrix: TypeAlias = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class PageRegion:
    """A part of an upright page that pictures cover.

    `digest` is equal for the same pictures.
    """

    box: Box
    digest: bytes

    @property
    def area(self) -> float:
        """The share of the page."""
        return (self.box.x1 - self.box.x0) * (self.box.y1 - self.box.y0)


@dataclass(frozen=True, slots=True)
class _PlacedImage:
    """A picture on a page; `key` is its width, height and bytes, `box` None where it is unseen."""

    item: Any
    box: Box | None
    key: tuple[int, int, int]

    @property
    def pixels(self) -> int:
        return self.key[0] * self.key[1]


@dataclass(frozen=True, slots=True)
class PageSurvey:
    """The pictures of a page, the largest first, and the number of lines and curves.

    `seen` are pictures that need not be looked for again: width, height and bytes. `image_px` is
    the number of pixels of the largest picture, however small it is shown. `is_text_hidden` is True
    if all text is invisible, as that which OCR has put under a scan, and `has_text` if there is
    any, though perhaps of letters that the file does not name.
    """

    regions: tuple[PageRegion, ...]
    seen: frozenset[tuple[int, int, int]]
    segments: int
    image_px: int
    has_text: bool
    is_text_hidden: bool

    @property
    def coverage(self) -> float:
        """The share of the page that its largest picture covers."""
        return self.regions[0].area if self.regions else 0.0


def count_images(path: Path) -> int:
    """Returns about how many pictures a PDF has, never too few, without those amid the content.

    Masks of other pictures do not count.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        count, at = 0, data.find(_IMAGE_NAME)
        while at >= 0:
            count += _IMAGE.search(data[max(0, at - _MAX_SPACE) : at + 8]) is not None
            at = data.find(_IMAGE_NAME, at + 1)
        masks = {match[1] for match in _MASK.finditer(data)} if count else set()
    return max(count - len(masks), min(count, 1))


def survey_page(page: PdfPage) -> PageSurvey:
    """Looks through the objects of a page."""
    from pypdfium2 import raw

    images: list[_PlacedImage] = []
    segments = 0
    has_text, is_hidden = False, True
    for item, kind, matrix in _iterate_objects(page):
        if kind == raw.FPDF_PAGEOBJ_IMAGE and len(images) <= _MAX_IMAGES:
            images.append(_measure_image(page, item, matrix))
        elif kind == raw.FPDF_PAGEOBJ_PATH:
            segments += max(0, raw.FPDFPath_CountSegments(item)) if segments < MIN_SEGMENTS else 0
        elif kind == raw.FPDF_PAGEOBJ_SHADING:
            segments += MIN_SEGMENTS // 4
        elif kind == raw.FPDF_PAGEOBJ_TEXT and is_hidden:
            mode = raw.FPDFTextObj_GetTextRenderMode(item)
            has_text, is_hidden = True, mode == raw.FPDF_TEXTRENDERMODE_INVISIBLE
    regions = _find_regions(images)
    keys = {
        each.key
        for each in images
        if each.pixels < _MIN_PHOTO_PX
        or each.box is None
        or any(_touch(each.box, part.box) for part in regions)
    }
    largest_px = max((each.pixels for each in images), default=0)
    return PageSurvey(
        regions, frozenset(keys), segments, largest_px, has_text, has_text and is_hidden
    )


def _iterate_objects(page: PdfPage) -> Iterator[tuple[Any, int, _Matrix | None]]:
    """Yields the objects of a page and of the forms in it, each with the matrix of its form.

    Of pieces of text, the first one that is visible and those before it.
    """
    from pypdfium2 import raw

    get_type, get_of_page, get_of_form = _load_functions()
    text_kind, form_kind = raw.FPDF_PAGEOBJ_TEXT, raw.FPDF_PAGEOBJ_FORM
    left, is_visible = _MAX_OBJECTS, False
    waiting: list[tuple[Any, _Matrix | None, int]] = [(None, None, 0)]
    while waiting:
        form, matrix, depth = waiting.pop()
        is_page = form is None
        owner = page.raw if is_page else form
        count = (raw.FPDFPage_CountObjects if is_page else raw.FPDFFormObj_CountObjects)(owner)
        get, address = (get_of_page if is_page else get_of_form), _find(owner)
        for at in range(min(count, left)):
            handle = get(address, at)
            kind = get_type(handle)
            if kind == text_kind and is_visible:
                continue
            item = ctypes.cast(handle, raw.FPDF_PAGEOBJECT)
            if kind != form_kind:
                yield item, kind, matrix
            elif depth < _MAX_DEPTH:
                waiting.append((item, _compose(_read_matrix(item), matrix), depth + 1))
            if kind == text_kind:
                mode = raw.FPDFTextObj_GetTextRenderMode(item)
                is_visible = mode != raw.FPDF_TEXTRENDERMODE_INVISIBLE
        left -= min(count, left)


@cache
def _load_functions() -> tuple[Any, Any, Any]:
    """Returns functions for the type of an object, and the objects of a page and of a form.

    They take addresses, which for the thousands of objects of a page cost a third of pointers.
    """
    from pypdfium2 import raw

    of_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
    of_page = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
    of_form = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulong)
    return (
        of_type(_find(raw.FPDFPageObj_GetType)),
        of_page(_find(raw.FPDFPage_GetObject)),
        of_form(_find(raw.FPDFFormObj_GetObject)),
    )


def _find(pointer: Any) -> int:
    """Returns the address that a pointer or a function has."""
    return ctypes.cast(pointer, ctypes.c_void_p).value or 0


def _measure_image(page: PdfPage, item: Any, matrix: _Matrix | None) -> _PlacedImage:
    from pypdfium2 import raw

    width, height = ctypes.c_uint(), ctypes.c_uint()
    raw.FPDFImageObj_GetImagePixelSize(item, width, height)
    size = raw.FPDFImageObj_GetImageDataRaw(item, None, 0)
    return _PlacedImage(item, _locate(page, item, matrix), (width.value, height.value, size))


def _read_matrix(item: Any) -> _Matrix:
    from pypdfium2 import raw

    matrix = raw.FS_MATRIX(1, 0, 0, 1, 0, 0)
    raw.FPDFPageObj_GetMatrix(item, matrix)
    return matrix.a, matrix.b, matrix.c, matrix.d, matrix.e, matrix.f


def _compose(inner: _Matrix, outer: _Matrix | None) -> _Matrix:
    if outer is None:
        return inner
    a, b = _transform(outer, inner[0], inner[1], is_vector=True)
    c, d = _transform(outer, inner[2], inner[3], is_vector=True)
    return a, b, c, d, *_transform(outer, inner[4], inner[5])


def _transform(matrix: _Matrix, x: float, y: float, is_vector: bool = False) -> tuple[float, float]:
    a, b, c, d, e, f = matrix
    return (
        a * x + c * y + (0 if is_vector else e),
        b * x + d * y + (0 if is_vector else f),
    )


def _locate(page: PdfPage, item: Any, matrix: _Matrix | None) -> Box | None:
    """Returns the visible part of an object on the upright page, if there is any."""
    from pypdfium2 import raw

    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    if not raw.FPDFPageObj_GetBounds(item, left, bottom, right, top):
        return None
    xs, ys = [], []
    for x in (left.value, right.value):
        for y in (bottom.value, top.value):
            corner = (x, y) if matrix is None else _transform(matrix, x, y)
            if not all(map(math.isfinite, corner)):
                return None
            across, down = ctypes.c_int(), ctypes.c_int()
            raw.FPDF_PageToDevice(page, 0, 0, GRID, GRID, 0, *corner, across, down)
            xs.append(min(max(across.value / GRID, 0.0), 1.0))
            ys.append(min(max(down.value / GRID, 0.0), 1.0))
    box = Box(min(xs), min(ys), max(xs), max(ys))
    return box if box.x1 > box.x0 and box.y1 > box.y0 else None


def _find_regions(images: list[_PlacedImage]) -> tuple[PageRegion, ...]:
    """Joins pictures that touch, and leaves out small ones; the largest first."""
    if len(images) > _MAX_IMAGES:
        return (PageRegion(WHOLE_PAGE, _digest([each.item for each in images])),)
    groups: list[tuple[Box, list[_PlacedImage]]] = []
    for image in images:
        box, members = image.box, [image]
        if box is None:
            continue
        touching = [group for group in groups if _touch(group[0], box)]
        # What has grown may touch what it did not touch before.
        while touching:
            for group in touching:
                groups.remove(group)
                box, members = _unite(group[0], box), group[1] + members
            touching = [group for group in groups if _touch(group[0], box)]
        groups.append((box, members))
    regions = []
    for box, members in groups:
        width, height = box.x1 - box.x0, box.y1 - box.y0
        largest = max(each.pixels for each in members)
        is_small = min(width, height) < _MIN_SIDE or width * height < _MIN_AREA
        if not is_small and (len(members) > 1 or largest >= _MIN_IMAGE_PX**2):
            regions.append(PageRegion(box, _digest([each.item for each in members])))
    return tuple(sorted(regions, key=lambda each: -each.area))


def _touch(one: Box, other: Box) -> bool:
    return (
        one.x0 - _SLACK <= other.x1
        and other.x0 - _SLACK <= one.x1
        and one.y0 - _SLACK <= other.y1
        and other.y0 - _SLACK <= one.y1
    )


def _unite(one: Box, other: Box) -> Box:
    return Box(
        min(one.x0, other.x0),
        min(one.y0, other.y0),
        max(one.x1, other.x1),
        max(one.y1, other.y1),
    )


def _digest(images: list[Any]) -> bytes:
    from pypdfium2 import raw

    digest = hashlib.blake2b(digest_size=16)
    for image in images:
        size = raw.FPDFImageObj_GetImageDataRaw(image, None, 0)
        digest.update(size.to_bytes(8, "little"))
        if 0 < size <= _MAX_DIGEST_BYTES:
            data = (ctypes.c_ubyte * size)()
            raw.FPDFImageObj_GetImageDataRaw(image, data, size)
            digest.update(data)
    return digest.digest()
