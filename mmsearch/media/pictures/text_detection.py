"""A quick test for text in a picture: finds rows of letter-like strokes."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mmsearch.media.base import LoadOptions, OcrPicture
from mmsearch.types import Box, PictureFit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mmsearch.types import PixelArray

DETECTION_FIT = PictureFit("within", 640, "bilinear")
"""The size at which pictures are tested; smaller ones are not enlarged."""
LEVELS = 3
"""Full, half and quarter size are tested: letters of 5 to 190 px are detected."""
MIN_SIDE_PX = 24
"""Pictures with a shorter side are icons and hold no text."""
MIN_ROW_MARKS = 4
"""So many letters in a row are text."""
MAX_BOXES = 6
_STROKE_PX = 13
_CONTRAST = 55
_HEIGHTS_PX = (5, 48)
# A mark wider than this, relative to its height, is no letter and no short joined word.
_MAX_WIDTH_RATIO = 6.0
# Letters of one row: similar height, tops or bottoms on one line, small gaps.
_HEIGHT_RATIO = 1.7
_ALIGNED = 0.2
_GAP = 0.8
_MAX_MARKS = 600
_MARGIN = 1.5
_FLAT = 2
_PLAIN = 0.6


def prepare_ocr_picture(
    view: Callable[[PictureFit], PixelArray], options: LoadOptions
) -> OcrPicture | None:
    """Renders a picture for OCR with at most `options.legible_px` on its longer side.

    `view` renders the picture upright with a fit. Returns None without text, and if the option
    is 0.
    """
    if not options.legible_px:
        return None
    small = view(DETECTION_FIT)
    boxes = detect_text(small)
    if not boxes and not is_plain(small):
        return None
    large = view(PictureFit("within", options.legible_px, "lanczos"))
    if not boxes and large.shape != small.shape:
        boxes = detect_text(large)
    return OcrPicture(large, boxes) if boxes else None


def is_plain(pixels: PixelArray) -> bool:
    """Tests if most of a picture has no texture, as of a screenshot, page, slide or sky.

    Its letters may be too small at `DETECTION_FIT`, as 12 px letters of a 1920 x 1080 screen are.
    """
    cv2 = _import_opencv()
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return bool((cv2.absdiff(grey[:, 1:], grey[:, :-1]) <= _FLAT).mean() >= _PLAIN)


def detect_text(pixels: PixelArray) -> tuple[Box, ...]:
    """Returns boxes of possible text in (height, width, 3) uint8 RGB, likeliest first.

    Top-hat transforms find light and dark strokes; `MIN_ROW_MARKS` of equal height side by side
    on one line are text. At most `MAX_BOXES` boxes, each with a margin.
    """
    cv2 = _import_opencv()
    height, width = pixels.shape[:2]
    level, scale = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), 1
    candidates: list[tuple[int, Box]] = []
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
                candidates.append((count, box))
        half = (level.shape[1] // 2, level.shape[0] // 2)
        level, scale = cv2.resize(level, half, interpolation=cv2.INTER_AREA), scale * 2
    kept: list[Box] = []
    for _, box in sorted(candidates, key=lambda candidate: -candidate[0]):
        if len(kept) < MAX_BOXES and not any(_is_center_inside(box, other) for other in kept):
            kept.append(box)
    return tuple(kept)


def _is_center_inside(box: Box, other: Box) -> bool:
    """Tests if the middle of a box lies in another."""
    across, down = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    return other.x0 <= across <= other.x1 and other.y0 <= down <= other.y1


@lru_cache(maxsize=1)
def _import_opencv() -> Any:
    """Imports OpenCV with one thread: decoder processes are the parallelism."""
    import cv2

    cv2.setNumThreads(1)
    return cv2


def _find_marks(grey: PixelArray, strokes: int) -> NDArray[np.float32]:
    """Finds possible letters: (n, 4) of left, top, right, bottom, sorted by left edge."""
    import numpy as np

    cv2 = _import_opencv()
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (_STROKE_PX, _STROKE_PX))
    hats = cv2.morphologyEx(grey, strokes, kernel)
    _, marked = cv2.threshold(hats, _CONTRAST, 1, cv2.THRESH_BINARY)
    # Takes half the time of the default algorithm of OpenCV 5.
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
    """Returns the number of marks and the bounding box of each row of marks."""
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
    is_top_aligned = np.abs(top[:, None] - top[None]) <= slack
    is_next &= is_top_aligned | (np.abs(bottom[:, None] - bottom[None]) <= slack)
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
    rows = np.flatnonzero((counts >= MIN_ROW_MARKS) & ~is_inside)
    return [(int(counts[at]), boxes[at].tolist()) for at in rows]
