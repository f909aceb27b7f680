"""Picks one picture for each shot of a video, and converts only that."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.errors import MediaTooLarge
from mmsearch.media.base import LoadOptions, Picture, describe_pixel_excess
from mmsearch.media.pixels import compute_stored_scaling
from mmsearch.media.shot_detection import SMALL_SIZE, ShotDetector
from mmsearch.media.text_detection import prepare_ocr_picture
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
            reason = describe_pixel_excess(frame.width, frame.height, self._options.limits)
            raise MediaTooLarge(self._path, reason)
        stamp_s = frame.time if frame.pts is not None else None
        time_s = self._timeline.advance(stamp_s, self.end_s)
        self.end_s = time_s + get_frame_duration_s(frame)
        if not self._detector.needs_sample(time_s):
            return
        verdict = self._detector.feed(time_s, shrink_frame(frame))
        if verdict.ended_shot is not None:
            yield from self._emit_picture(verdict.ended_shot)
        if verdict.is_best:
            self._candidate = frame

    def finish(self) -> Iterator[Picture]:
        """Yield the picture of the last shot, once no more frames come."""
        span = self._detector.finish(self.end_s)
        if span is not None:
            yield from self._emit_picture(span)

    def _emit_picture(self, span: Span) -> Iterator[Picture]:
        if self._candidate is not None:
            view = partial(render_frame, self._candidate, aspect=self._aspect)
            part = prepare_ocr_picture(view, self._options) if self._options.legible_px else None
            pixels = view(self._options.picture)
            yield Picture(pixels, Place(span=span), is_frame=True, ocr_picture=part)


def shrink_frame(frame: VideoFrame) -> PixelArray:
    """(36, 64, 3) uint8 RGB: the sample by which shots are told apart."""
    import numpy as np

    shrunk = frame.reformat(*SMALL_SIZE, "rgb24", interpolation="AREA")
    return np.asarray(shrunk.to_ndarray(), dtype=np.uint8)


def render_frame(frame: VideoFrame, fit: PictureFit, aspect: float) -> PixelArray:
    """(height, width, 3) uint8 RGB, upright, fitted; `aspect` is that of a pixel."""
    import numpy as np

    # FFmpeg gives the angle counterclockwise, and so turns NumPy.
    turns = round(frame.rotation / 90) % 4
    size = compute_square_size(frame.width, frame.height, aspect)
    if fit.mode == "within":
        pixels = _convert_frame(frame, fitted(*size, fit.size_px))
    else:
        pixels = _scale_frame(frame, fit, compute_stored_scaling(*size, fit, _ORIENTATIONS[turns]), size)
    return padded(np.ascontiguousarray(np.rot90(pixels, turns), dtype=np.uint8), fit)


def _scale_frame(
    frame: VideoFrame, fit: PictureFit, how: Scaling, squared_px: tuple[int, int]
) -> PixelArray:
    """The frame scaled as a photograph is; `how` is for pixels made square."""
    import numpy as np
    from PIL import Image

    step = max(1, int(min(how.factors) / MARGIN))
    pixels = _convert_frame(frame, (max(1, frame.width // step), max(1, frame.height // step)))
    image = Image.fromarray(pixels)
    across, down = image.width / squared_px[0], image.height / squared_px[1]
    left, top, right, bottom = how.box
    box = (left * across, top * down, right * across, bottom * down)
    return np.asarray(scaled(image, Scaling(how.size, box), fit), dtype=np.uint8)


def _convert_frame(frame: VideoFrame, size: tuple[int, int]) -> PixelArray:
    """(height, width, 3) uint8 RGB; `size` is (width, height)."""
    import numpy as np

    if size == (frame.width, frame.height):
        converted = frame.reformat(format="rgb24")
    else:
        converted = frame.reformat(*size, "rgb24", interpolation="AREA")
    return np.asarray(converted.to_ndarray(), dtype=np.uint8)


def compute_square_size(width: int, height: int, aspect: float) -> tuple[int, int]:
    """The size with square pixels: the side that the aspect makes shorter is shrunk, none grows."""
    if aspect > 1:
        return width, max(1, round(height / aspect))
    return max(1, round(width * aspect)), height


def get_frame_duration_s(frame: VideoFrame) -> float:
    """How long a frame is shown."""
    if frame.duration and frame.time_base:
        stated_s = float(frame.duration * frame.time_base)
        if 0 < stated_s <= 60:
            return stated_s
    return _DEFAULT_STEP_S
