"""The writing in the pictures of one asset, from first look to paragraphs with their places."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from math import ceil
from typing import TYPE_CHECKING

from mmsearch.encoders.base import PictureReader
from mmsearch.encoders.ocr.paragraphs import CountTokens, Paragraph, paragraphs
from mmsearch.runtime.resize import fitted_pixels
from mmsearch.types import Box, PictureFit, Place, Span

if TYPE_CHECKING:
    from mmsearch.types import PixelArray

GLANCE_PX = 96
"""The height of a part that is glanced at: a quarter of it is the row of letters."""
# Two readings of one slide differ by a letter here and there.
_ALIKE = 0.9
_STANDING = 64


@dataclass(frozen=True, slots=True)
class Written:
    """A paragraph and its place in the asset."""

    paragraph: Paragraph
    place: Place


class Writing:
    """Reads pictures one after the other; what stands over several frames is kept once."""

    def __init__(
        self, reader: Callable[[], PictureReader], count_tokens: CountTokens, *, max_tokens: int
    ) -> None:
        self._reader = reader
        self._count_tokens = count_tokens
        self._max_tokens = max_tokens
        self._standing = Standing()

    def feed(
        self, place: Place, pixels: PixelArray | None = None, boxes: Sequence[Box] = ()
    ) -> Iterator[Written]:
        """What is known with the next picture; of a frame that may be what stood before it.

        `pixels` are (height, width, 3) uint8 RGB, None where nothing is written; `boxes` are where
        in them it may be.
        """
        found = [] if pixels is None else self._read(pixels, boxes)
        if place.span is not None:
            yield from self._standing.feed(found, place.span)
            return
        for paragraph in found:
            yield Written(paragraph, replace(place, chars=paragraph.chars))

    def finish(self) -> Iterator[Written]:
        """What stood in the last frames."""
        return self._standing.finish()

    def _read(self, pixels: PixelArray, boxes: Sequence[Box]) -> list[Paragraph]:
        """Where nothing stands in any of the boxes, the picture is not read as a whole."""
        height, width = pixels.shape[:2]
        reader = self._reader()
        if not any(reader.glance(shrunk(cut(pixels, box))) for box in boxes):
            return []
        return paragraphs(
            reader.read(pixels),
            self._count_tokens,
            aspect=width / height,
            max_tokens=self._max_tokens,
        )


class Standing:
    """Joins what is written in consecutive frames: a slide is said once, with all of its time."""

    def __init__(self) -> None:
        self._shown: list[tuple[Paragraph, Span]] = []

    def feed(self, found: Sequence[Paragraph], span: Span) -> Iterator[Written]:
        """Take the next frame, which stood for `span`; yields what is no longer to be seen."""
        kept: list[tuple[Paragraph, Span]] = []
        fresh = list(found[:_STANDING])
        for paragraph, since in self._shown:
            again = next((one for one in fresh if are_alike(one.text, paragraph.text)), None)
            if again is None:
                yield Written(paragraph, Place(span=since, chars=paragraph.chars))
            else:
                fresh.remove(again)
                kept.append((paragraph, Span(since.start_s, max(since.end_s, span.end_s))))
        self._shown = kept + [(paragraph, span) for paragraph in fresh]

    def finish(self) -> Iterator[Written]:
        """What stood to the end."""
        shown, self._shown = self._shown, []
        for paragraph, since in shown:
            yield Written(paragraph, Place(span=since, chars=paragraph.chars))


def cut(pixels: PixelArray, box: Box) -> PixelArray:
    """The part of (height, width, 3) pixels in a box; at least one pixel."""
    height, width = pixels.shape[:2]
    left, top = min(int(box.x0 * width), width - 1), min(int(box.y0 * height), height - 1)
    right, bottom = max(left + 1, ceil(box.x1 * width)), max(top + 1, ceil(box.y1 * height))
    return pixels[top:bottom, left:right]


def shrunk(part: PixelArray) -> PixelArray:
    """A part with one row of letters in its middle, as small as it can still be read."""
    height, width = part.shape[:2]
    if height <= GLANCE_PX:
        return part
    longest_px = max(1, round(max(height, width) * GLANCE_PX / height))
    return fitted_pixels(part, PictureFit("within", longest_px, "bilinear"))


def are_alike(one: str, other: str) -> bool:
    """Whether two texts are readings of one."""
    if one == other:
        return True
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    return (
        matcher.real_quick_ratio() >= _ALIKE
        and matcher.quick_ratio() >= _ALIKE
        and matcher.ratio() >= _ALIKE
    )
