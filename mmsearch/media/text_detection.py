"""A cheap look at a picture: where strokes stand in rows as letters do, or that nowhere they do."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mmsearch.media.base import OcrPicture, LoadOptions
from mmsearch.types import Box, PictureFit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mmsearch.types import PixelArray

DETECTION_FIT = PictureFit("within", 640, "bilinear")
"""How large a picture is looked at; smaller ones are looked at as they are."""
LEVELS = 3
"""At this size, at the half and at the quarter of it: letters of 5 to 190 px are seen."""
MIN_SIDE_PX = 24
"""Pictures with a shorter side are icons: nothing in them is read."""
MIN_ROW_MARKS = 4
"""So many letters in a row are lettering."""
MAX_BOXES = 6
_STROKE_PX = 13
_CONTRAST = 55
_HEIGHTS_PX = (5, 48)
# A mark wider than this for its height is no letter, and no short word that has run together.
_MAX_WIDTH_RATIO = 6.0
# Letters of one row: as high, begun or ended on one line, with no more between them than that.
_HEIGHT_RATIO = 1.7
_ALIGNED = 0.2
_GAP = 0.8
_MAX_MARKS = 600
_MARGIN = 1.5
_FLAT = 2
_PLAIN = 0.6


def prepare_ocr_picture(view: Callable[[PictureFit], PixelArray], options: LoadOptions) -> OcrPicture | None:
    """The picture as large as it is to be read, `options.legible_px` at most.

    `view` gives the picture, upright, as a fit says. None where no writing stands.
    """
    look = view(DETECTION_FIT)
    boxes = detect_text(look)
    if not boxes and not is_plain(look):
        return None
    large = view(PictureFit("within", options.legible_px, "lanczos"))
    if not boxes and large.shape != look.shape:
        boxes = detect_text(large)
    return OcrPicture(large, boxes) if boxes else None


def is_plain(pixels: PixelArray) -> bool:
    """Whether most of a picture has no texture: a screenshot, a page, a slide; or sky.

    Its letters may be too small for the look: those of 12 px of a screen of 1920 x 1080 are.
    """
    cv2 = _import_opencv()
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return bool((cv2.absdiff(grey[:, 1:], grey[:, :-1]) <= _FLAT).mean() >= _PLAIN)


def detect_text(pixels: PixelArray) -> tuple[Box, ...]:
    """Where in (height, width, 3) uint8 RGB writing may stand, the likeliest first; () for nowhere.

    Light and dark strokes are found by top-hat transforms, and are writing where `ROW` of them
    stand side by side, equally high and on one line. At most `MOST_BOXES`, each with a margin.
    """
    cv2 = _import_opencv()
    height, width = pixels.shape[:2]
    level, scale = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), 1
    found: list[tuple[int, Box]] = []
    for _ in range(LEVELS):
        if min(level.shape) < MIN_SIDE_PX:
            break
        for strokes in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
            for count, (left, top, right, bottom) in _find_rows(_find_marks(level, strokes)):
                grown = _MARGIN * (bottom - top)
                box = Box(
                    max(0.0, (left - grown) * scale / width),
                    max(0.0, (top - grown) * scale / height),
                    min(1.0, (right + grown) * scale / width),
                    min(1.0, (bottom + grown) * scale / height),
                )
                found.append((count, box))
        half = (level.shape[1] // 2, level.shape[0] // 2)
        level, scale = cv2.resize(level, half, interpolation=cv2.INTER_AREA), scale * 2
    kept: list[Box] = []
    for _, box in sorted(found, key=lambda one: -one[0]):
        if len(kept) < MAX_BOXES and not any(_is_center_inside(box, other) for other in kept):
            kept.append(box)
    return tuple(kept)


def _is_center_inside(box: Box, other: Box) -> bool:
    """Whether the middle of a box lies in another."""
    across, down = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    return other.x0 <= across <= other.x1 and other.y0 <= down <= other.y1


@lru_cache(maxsize=1)
def _import_opencv() -> Any:
    """OpenCV with one thread: decoder processes are the parallelism."""
    import cv2

    cv2.setNumThreads(1)
    return cv2


def _find_marks(grey: PixelArray, strokes: int) -> NDArray[np.float32]:
    """What may be letters, by their left edges: (n, 4) of left, top, right, bottom."""
    import numpy as np

    cv2 = _import_opencv()
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (_STROKE_PX, _STROKE_PX))
    _, marked = cv2.threshold(
        cv2.morphologyEx(grey, strokes, kernel), _CONTRAST, 1, cv2.THRESH_BINARY
    )
    # Half the time of the algorithm that OpenCV 5 takes by itself.
    _, _, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(
        marked, 8, cv2.CV_32S, cv2.CCL_GRANA
    )
    left, top, width, height, area = stats[1:].T
    low, high = _HEIGHTS_PX
    is_mark = (height >= low) & (height <= high) & (width <= _MAX_WIDTH_RATIO * height)
    is_mark &= (area >= 0.15 * width * height) & (area <= 0.9 * width * height + 4)
    kept = np.flatnonzero(is_mark)
    if len(kept) > _MAX_MARKS:
        kept = kept[np.argsort(-area[kept], kind="stable")[:_MAX_MARKS]]
    kept = kept[np.argsort(left[kept], kind="stable")]
    boxes = np.stack([left, top, left + width, top + height], axis=1)[kept]
    return np.asarray(boxes, dtype=np.float32)


def _find_rows(marks: NDArray[np.float32]) -> list[tuple[int, list[float]]]:
    """Rows of at least `ROW` marks: how many marks, and the box around them, of each."""
    import numpy as np

    if len(marks) < MIN_ROW_MARKS:
        return []
    left, top, right, bottom = marks.T
    height = bottom - top
    lower, higher = (pick(height[:, None], height[None]) for pick in (np.minimum, np.maximum))
    gap = left[None] - right[:, None]
    slack = np.maximum(_ALIGNED * higher, 1.01)
    is_next = (gap > -0.15 * higher) & (gap < _GAP * higher) & (left[None] > left[:, None])
    is_next &= higher <= _HEIGHT_RATIO * lower + 1
    is_next &= (np.abs(top[:, None] - top[None]) <= slack) | (
        np.abs(bottom[:, None] - bottom[None]) <= slack
    )
    counts = np.ones(len(marks), dtype=np.int64)
    boxes = marks.copy()
    is_inside = np.zeros(len(marks), dtype=np.bool_)
    for at in range(len(marks) - 2, -1, -1):
        following = np.flatnonzero(is_next[at])
        if len(following):
            best = following[np.argmax(counts[following])]
            counts[at] = counts[best] + 1
            is_inside[best] = True
            boxes[at, 1] = min(boxes[at, 1], boxes[best, 1])
            boxes[at, 2:] = np.maximum(boxes[at, 2:], boxes[best, 2:])
    return [
        (int(counts[at]), boxes[at].tolist()) for at in np.flatnonzero((counts >= MIN_ROW_MARKS) & ~is_inside)
    ]
