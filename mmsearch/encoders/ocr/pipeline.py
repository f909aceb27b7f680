"""The OCR pipeline of one asset: from a quick test of each picture to paragraphs with places."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from math import ceil
from typing import TYPE_CHECKING

from mmsearch.encoders.base import PictureReader
from mmsearch.encoders.ocr.paragraphs import CountTokens, Paragraph, join_paragraphs
from mmsearch.runtime.resize import fit_pixels
from mmsearch.types import Box, PictureFit, Place, Span

if TYPE_CHECKING:
    from mmsearch.types import PixelArray

GLANCE_PX = 96
"""The height of a part in the quick test: a quarter of it is the row of letters."""
# Two readings of one slide differ by a letter here and there.
_MIN_RATIO = 0.9
_MAX_PARAGRAPHS = 64


@dataclass(frozen=True, slots=True)
class OcrSegment:
    """A paragraph and its place in the asset."""

    paragraph: Paragraph
    place: Place


class OcrPipeline:
    """Reads pictures one after the other; a text that stays over several frames is kept once."""

    def __init__(
        self, reader: Callable[[], PictureReader], count_tokens: CountTokens, *, max_tokens: int
    ) -> None:
        self._reader = reader
        self._count_tokens = count_tokens
        self._max_tokens = max_tokens
        self._tracker = ParagraphTracker()

    def feed(
        self, place: Place, pixels: PixelArray | None = None, boxes: Sequence[Box] = ()
    ) -> Iterator[OcrSegment]:
        """Takes the next picture; yields its paragraphs, or those that end with a frame.

        `pixels` are (height, width, 3) uint8 RGB, None for a picture without text; `boxes` are the
        candidates of text detection in them.
        """
        paragraphs = [] if pixels is None else self._read(pixels, boxes)
        if place.span is not None:
            yield from self._tracker.feed(paragraphs, place.span)
            return
        for paragraph in paragraphs:
            yield OcrSegment(paragraph, replace(place, chars=paragraph.chars))

    def finish(self) -> Iterator[OcrSegment]:
        """Yields the paragraphs of the last frames."""
        return self._tracker.finish()

    def _read(self, pixels: PixelArray, boxes: Sequence[Box]) -> list[Paragraph]:
        """Reads the whole picture if the quick test succeeds in any of the boxes."""
        height, width = pixels.shape[:2]
        reader = self._reader()
        if not any(reader.glance(shrink_part(crop_box(pixels, box))) for box in boxes):
            return []
        return join_paragraphs(
            reader.read(pixels),
            self._count_tokens,
            aspect=width / height,
            max_tokens=self._max_tokens,
        )


class ParagraphTracker:
    """Joins equal paragraphs of consecutive frames: a slide is one segment with all of its time."""

    def __init__(self) -> None:
        self._visible: list[tuple[Paragraph, Span]] = []

    def feed(self, paragraphs: Sequence[Paragraph], span: Span) -> Iterator[OcrSegment]:
        """Takes the next frame, shown for `span`; yields paragraphs that are no longer visible."""
        still_visible: list[tuple[Paragraph, Span]] = []
        new = list(paragraphs[:_MAX_PARAGRAPHS])
        for paragraph, since in self._visible:
            again = next((each for each in new if are_alike(each.text, paragraph.text)), None)
            if again is None:
                yield OcrSegment(paragraph, Place(span=since, chars=paragraph.chars))
            else:
                new.remove(again)
                end_s = max(since.end_s, span.end_s)
                still_visible.append((paragraph, Span(since.start_s, end_s)))
        self._visible = still_visible + [(paragraph, span) for paragraph in new]

    def finish(self) -> Iterator[OcrSegment]:
        """Yields the paragraphs that are visible to the end."""
        visible, self._visible = self._visible, []
        for paragraph, since in visible:
            yield OcrSegment(paragraph, Place(span=since, chars=paragraph.chars))


def crop_box(pixels: PixelArray, box: Box) -> PixelArray:
    """Cuts the part in a box out of (height, width, 3) pixels; at least one pixel."""
    height, width = pixels.shape[:2]
    left, top = min(int(box.x0 * width), width - 1), min(int(box.y0 * height), height - 1)
    right, bottom = max(left + 1, ceil(box.x1 * width)), max(top + 1, ceil(box.y1 * height))
    return pixels[top:bottom, left:right]


def shrink_part(part: PixelArray) -> PixelArray:
    """Scales a part with one row of letters in its middle down to `GLANCE_PX`, still legible."""
    height, width = part.shape[:2]
    if height <= GLANCE_PX:
        return part
    longest_px = max(1, round(max(height, width) * GLANCE_PX / height))
    return fit_pixels(part, PictureFit("within", longest_px, "bilinear"))


def are_alike(left: str, right: str) -> bool:
    """Tests if two texts are readings of the same one."""
    if left == right:
        return True
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    ratios = (matcher.real_quick_ratio, matcher.quick_ratio, matcher.ratio)  # the cheapest first
    return all(ratio() >= _MIN_RATIO for ratio in ratios)
