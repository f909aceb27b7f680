"""Chooses one frame of each shot of a video and renders only that frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.errors import MediaTooLarge
from mmsearch.media.av.container import get_length_s
from mmsearch.media.av.shot_detection import (
    SAMPLE_S,
    SMALL_SIZE,
    ShotDetector,
    ShotUpdate,
    is_held,
    is_long_hold,
)
from mmsearch.media.av.timeline import Timeline
from mmsearch.media.base import LoadOptions, Picture, describe_pixel_excess
from mmsearch.media.pictures.pixels import compute_stored_scaling
from mmsearch.media.pictures.text_detection import prepare_ocr_picture
from mmsearch.runtime.resize import MARGIN, Scaling, fit_size, pad_pixels, scale_image
from mmsearch.types import Place, Span

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer

    from mmsearch.types import PictureFit, PixelArray

_DEFAULT_STEP_S = 0.04
_MAX_LENGTH_S = 7 * 24 * 3600.0
# The EXIF orientations of 0 to 3 counterclockwise quarter turns.
_ORIENTATIONS = (1, 8, 3, 6)


@dataclass(frozen=True, slots=True)
class _TimedFrame:
    """A frame that waits for the time of the next one."""

    frame: VideoFrame
    time_s: float
    is_sampled: bool


class PictureTrack:
    """Turns decoded frames into a picture for each shot.

    `stated_end_s` is the end of the file by its headers, 0 if unknown: the last frame may be shown
    until then.
    """

    def __init__(
        self,
        path: Path,
        options: LoadOptions,
        *,
        origin_s: float,
        aspect: float = 1.0,
        stated_end_s: float = 0.0,
    ) -> None:
        self._path = path
        self._options = options
        self._aspect = aspect
        self._timeline = Timeline(origin_s)
        self._detector = ShotDetector(
            floor_s=options.frame_floor_s, ceiling_s=options.frame_ceiling_s
        )
        self._candidate: VideoFrame | None = None
        self._latest: _TimedFrame | None = None
        self._stated_end_s = stated_end_s
        self.end_s = 0.0

    @property
    def is_empty(self) -> bool:
        """True if no frame has come so far."""
        return self._candidate is None

    def feed(self, frame: VideoFrame) -> Iterator[Picture]:
        """Takes a decoded frame; yields the picture of the shot that it ends."""
        if frame.width * frame.height > self._options.limits.pixels:
            reason = describe_pixel_excess(frame.width, frame.height, self._options.limits)
            raise MediaTooLarge(self._path, reason)
        stamp_s = frame.time if frame.pts is not None else None
        latest_s = self._latest.time_s if self._latest is not None else 0.0
        time_s = self._timeline.advance(stamp_s, self.end_s, earliest_s=latest_s)
        yield from self._judge_latest(time_s)
        self.end_s = time_s + get_frame_duration_s(frame)
        is_sampled = self._detector.needs_sample(time_s)
        self._latest = _TimedFrame(frame, time_s, is_sampled)
        if is_sampled:
            yield from self._follow(self._detector.feed(time_s, shrink_frame(frame)), frame)

    def finish(self) -> Iterator[Picture]:
        """Yields the picture of the last shot after the last frame."""
        if self._latest is not None:
            end_s = max(self.end_s, self._stated_end_s)
            # Many files do not state how long their last frame is shown.
            yield from self._judge_latest(max(end_s, self._latest.time_s + 2 * SAMPLE_S))
            if is_long_hold(self._latest.time_s, end_s):
                self.end_s = end_s
        span = self._detector.finish(self.end_s)
        if span is not None:
            yield from self._emit_picture(span)

    def _judge_latest(self, next_s: float) -> Iterator[Picture]:
        """Looks at the latest frame again if it is shown until `next_s`, beyond a sample."""
        latest = self._latest
        if latest is None or not is_held(latest.time_s, next_s):
            return
        if not latest.is_sampled:
            update = self._detector.feed(latest.time_s, shrink_frame(latest.frame))
            yield from self._follow(update, latest.frame)
        if is_long_hold(latest.time_s, next_s):
            yield from self._follow(self._detector.hold(), latest.frame)

    def _follow(self, update: ShotUpdate, frame: VideoFrame) -> Iterator[Picture]:
        if update.ended_shot is not None:
            yield from self._emit_picture(update.ended_shot)
        if update.is_best:
            self._candidate = frame

    def _emit_picture(self, span: Span) -> Iterator[Picture]:
        if self._candidate is not None:
            view = partial(render_frame, self._candidate, aspect=self._aspect)
            ocr_picture = prepare_ocr_picture(view, self._options)
            pixels = view(self._options.picture)
            yield Picture(pixels, Place(span=span), is_frame=True, ocr_picture=ocr_picture)


def shrink_frame(frame: VideoFrame) -> PixelArray:
    """Returns the sample for shot detection, (36, 64, 3) uint8 RGB."""
    import numpy as np

    sample = frame.reformat(*SMALL_SIZE, "rgb24", interpolation="AREA")
    return np.asarray(sample.to_ndarray(), dtype=np.uint8)


def render_frame(frame: VideoFrame, fit: PictureFit, aspect: float) -> PixelArray:
    """Returns (height, width, 3) uint8 RGB, upright and fitted; `aspect` is that of a pixel."""
    import numpy as np

    # Both FFmpeg and NumPy count angles counterclockwise.
    turns = round(frame.rotation / 90) % 4
    size = compute_square_size(frame.width, frame.height, aspect)
    if fit.mode == "within":
        pixels = _convert_frame(frame, fit_size(*size, fit.size_px))
    else:
        scaling = compute_stored_scaling(*size, fit, _ORIENTATIONS[turns])
        pixels = _scale_frame(frame, fit, scaling, size)
    return pad_pixels(np.ascontiguousarray(np.rot90(pixels, turns), dtype=np.uint8), fit)


def _scale_frame(
    frame: VideoFrame, fit: PictureFit, scaling: Scaling, square_size: tuple[int, int]
) -> PixelArray:
    """Scales the frame as a photograph; `scaling` is for the size with square pixels."""
    import numpy as np
    from PIL import Image

    step = max(1, int(min(scaling.factors) / MARGIN))
    pixels = _convert_frame(frame, (max(1, frame.width // step), max(1, frame.height // step)))
    image = Image.fromarray(pixels)
    across, down = image.width / square_size[0], image.height / square_size[1]
    left, top, right, bottom = scaling.box
    box = (left * across, top * down, right * across, bottom * down)
    return np.asarray(scale_image(image, Scaling(scaling.size, box), fit), dtype=np.uint8)


def _convert_frame(frame: VideoFrame, size: tuple[int, int]) -> PixelArray:
    """Returns (height, width, 3) uint8 RGB; `size` is (width, height)."""
    import numpy as np

    if size == (frame.width, frame.height):
        rgb = frame.reformat(format="rgb24")
    else:
        rgb = frame.reformat(*size, "rgb24", interpolation="AREA")
    return np.asarray(rgb.to_ndarray(), dtype=np.uint8)


def compute_square_size(width: int, height: int, aspect: float) -> tuple[int, int]:
    """Returns the size with square pixels: one side shrinks, none grows."""
    if aspect > 1:
        return width, max(1, round(height / aspect))
    return max(1, round(width * aspect)), height


def compute_upright_size(frame: VideoFrame, aspect: float) -> tuple[int, int]:
    """Returns (width, height) of the upright frame with square pixels."""
    width, height = compute_square_size(frame.width, frame.height, aspect)
    return (height, width) if round(frame.rotation / 90) % 2 == 1 else (width, height)


def get_stated_end_s(container: InputContainer) -> float:
    """Returns the length of a file by its headers, in seconds; 0 if not stated."""
    length_s = get_length_s(container)
    return length_s if 0 < length_s <= _MAX_LENGTH_S else 0.0


def get_frame_duration_s(frame: VideoFrame) -> float:
    """Returns the display time of a frame in seconds; 0.04 if not stated."""
    if frame.duration and frame.time_base:
        stated_s = float(frame.duration * frame.time_base)
        if 0 < stated_s <= 60:
            return stated_s
    return _DEFAULT_STEP_S
