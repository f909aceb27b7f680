"""Picks one picture for each shot of a video, and converts only that."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.errors import MediaTooLarge
from mmsearch.media.base import LoadOptions, Picture, too_many_pixels
from mmsearch.media.pixels import stored_scaling
from mmsearch.media.shot_detection import SMALL_SIZE, ShotDetector
from mmsearch.media.text_detection import legible
from mmsearch.media.timeline import Timeline
from mmsearch.runtime.resize import MARGIN, Scaling, fitted, padded, scaled
from mmsearch.types import Place, Span

if TYPE_CHECKING:
    from av import VideoFrame

    from mmsearch.types import PictureFit, PixelArray

_DEFAULT_STEP_S = 0.04
# Quarter turns counterclockwise, as EXIF says them.
_ORIENTATIONS = (1, 8, 3, 6)


class PictureTrack:
    """Collects decoded frames and hands over a picture for each shot."""

    def __init__(
        self, path: Path, options: LoadOptions, *, origin_s: float, aspect: float = 1.0
    ) -> None:
        self._path = path
        self._options = options
        self._aspect = aspect
        self._timeline = Timeline(origin_s)
        self._detector = ShotDetector(
            floor_s=options.frame_floor_s, ceiling_s=options.frame_ceiling_s
        )
        self._candidate: VideoFrame | None = None
        self.end_s = 0.0

    @property
    def is_empty(self) -> bool:
        """Whether no frame has come so far."""
        return self._candidate is None

    def feed(self, frame: VideoFrame) -> Iterator[Picture]:
        """Take one decoded frame; yields the picture of the shot that it ends."""
        if frame.width * frame.height > self._options.limits.pixels:
            reason = too_many_pixels(frame.width, frame.height, self._options.limits)
            raise MediaTooLarge(self._path, reason)
        stamp_s = frame.time if frame.pts is not None else None
        time_s = self._timeline.at(stamp_s, self.end_s)
        self.end_s = time_s + step_s(frame)
        if not self._detector.wants(time_s):
            return
        verdict = self._detector.feed(time_s, small_of(frame))
        if verdict.ended is not None:
            yield from self._shown(verdict.ended)
        if verdict.keep:
            self._candidate = frame

    def finish(self) -> Iterator[Picture]:
        """Yield the picture of the last shot, once no more frames come."""
        span = self._detector.finish(self.end_s)
        if span is not None:
            yield from self._shown(span)

    def _shown(self, span: Span) -> Iterator[Picture]:
        if self._candidate is not None:
            view = partial(picture_of, self._candidate, aspect=self._aspect)
            part = legible(view, self._options) if self._options.legible_px else None
            pixels = view(self._options.picture)
            yield Picture(pixels, Place(span=span), is_frame=True, legible=part)


def small_of(frame: VideoFrame) -> PixelArray:
    """(36, 64, 3) uint8 RGB: the sample by which shots are told apart."""
    import numpy as np

    shrunk = frame.reformat(*SMALL_SIZE, "rgb24", interpolation="AREA")
    return np.asarray(shrunk.to_ndarray(), dtype=np.uint8)


def picture_of(frame: VideoFrame, fit: PictureFit, aspect: float) -> PixelArray:
    """(height, width, 3) uint8 RGB, upright, fitted; `aspect` is that of a pixel."""
    import numpy as np

    # FFmpeg gives the angle counterclockwise, and so turns NumPy.
    turns = round(frame.rotation / 90) % 4
    size = squared(frame.width, frame.height, aspect)
    if fit.mode == "within":
        pixels = _converted(frame, fitted(*size, fit.size_px))
    else:
        pixels = _scaled(frame, fit, stored_scaling(*size, fit, _ORIENTATIONS[turns]), size)
    return padded(np.ascontiguousarray(np.rot90(pixels, turns), dtype=np.uint8), fit)


def _scaled(
    frame: VideoFrame, fit: PictureFit, how: Scaling, squared_px: tuple[int, int]
) -> PixelArray:
    """The frame scaled as a photograph is; `how` is for pixels made square."""
    import numpy as np
    from PIL import Image

    step = max(1, int(min(how.factors) / MARGIN))
    pixels = _converted(frame, (max(1, frame.width // step), max(1, frame.height // step)))
    image = Image.fromarray(pixels)
    across, down = image.width / squared_px[0], image.height / squared_px[1]
    left, top, right, bottom = how.box
    box = (left * across, top * down, right * across, bottom * down)
    return np.asarray(scaled(image, Scaling(how.size, box), fit), dtype=np.uint8)


def _converted(frame: VideoFrame, size: tuple[int, int]) -> PixelArray:
    """(height, width, 3) uint8 RGB; `size` is (width, height)."""
    import numpy as np

    if size == (frame.width, frame.height):
        converted = frame.reformat(format="rgb24")
    else:
        converted = frame.reformat(*size, "rgb24", interpolation="AREA")
    return np.asarray(converted.to_ndarray(), dtype=np.uint8)


def squared(width: int, height: int, aspect: float) -> tuple[int, int]:
    """The size with square pixels: the side that the aspect makes shorter is shrunk, none grows."""
    if aspect > 1:
        return width, max(1, round(height / aspect))
    return max(1, round(width * aspect)), height


def step_s(frame: VideoFrame) -> float:
    """How long a frame is shown."""
    if frame.duration and frame.time_base:
        stated_s = float(frame.duration * frame.time_base)
        if 0 < stated_s <= 60:
            return stated_s
    return _DEFAULT_STEP_S
