"""Decodes one span of an audio or video file, without decoding all before it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.media.av.audio_resampling import SoundTrack
from mmsearch.media.av.frames import (
    compute_upright_size,
    get_frame_duration_s,
    get_stated_end_s,
    render_frame,
    shrink_frame,
)
from mmsearch.media.av.seeking import SeekableSource, SeekError
from mmsearch.media.av.shot_detection import (
    SAMPLE_S,
    FrameChoice,
    is_due,
    is_held,
    is_long_hold,
    locate_cut,
)
from mmsearch.media.base import AudioBlock, Content, Described, LoadOptions, Picture
from mmsearch.types import Modality, Place, Span

if TYPE_CHECKING:
    from av import VideoFrame

# Up to here, decoding from the start is as quick as seeking.
_NEAR_S = 2.0
# A transport stream is entered anywhere and gives no frame before its next key frame.
_FURTHER_S = 15.0
# Audio decoders need a run-up, and so does finding the samples of a shot.
_RUN_UP_S = 1.0
# Frames that no other frame needs are left out until so long before the requested time.
_SPARSE_S = 1.0
_ROUNDING_S = 1e-3
# Rounding of sums of stamps; a frame may last a millisecond, and the last one ends a shot.
_EXACT_S = 1e-6
# A second of frames in the quickest films.
_MAX_FRAMES = 250


def load(path: Path, options: LoadOptions) -> Iterator[Content]:
    """Yields Described, then the part of a file that `options.only` and `options.track` select.

    A file that cannot be entered in its middle is decoded from its start, without yielding
    anything before the span. Raises as a loader does.
    """
    span = options.only or Span(0.0, 0.0)
    has_length = span.end_s > span.start_s
    with closing(SeekableSource(path, options)) as source:
        video, audio = source.video, source.audio
        metadata = source.read_metadata()
        shown = None
        if video is not None and options.track != "sound":
            shown = _find_shot(source, span) if has_length else _find_still(source, span.start_s)
        if shown is not None:
            width, height = compute_upright_size(shown.frame, source.aspect)
            metadata = replace(metadata, width_px=width, height_px=height)
        yield Described(Modality.AUDIO if video is None else Modality.VIDEO, metadata)
        if shown is not None:
            pixels = render_frame(shown.frame, options.picture, source.aspect)
            yield Picture(pixels, Place(span=shown.span), is_frame=True)
        if audio is not None and has_length and options.track != "pictures":
            yield from _read_sound(source, span)


@dataclass(frozen=True, slots=True)
class _ShownFrame:
    """A frame and the span that it represents."""

    frame: VideoFrame
    span: Span


def _list_entry_points(start_s: float) -> Iterator[float | None]:
    """Yields times at which to enter a file for a span from `start_s` on, best first."""
    if start_s > _NEAR_S:
        yield start_s
    if start_s - _FURTHER_S > _NEAR_S:
        yield start_s - _FURTHER_S
    yield None


def _find_still(source: SeekableSource, at_s: float) -> _ShownFrame:
    """Returns the last frame that begins by `at_s`, or else the first frame."""
    entry_s = min(at_s, source.end_s)
    latest_s = min(at_s, source.options.limits.duration_s) + _ROUNDING_S
    for from_s in _list_entry_points(entry_s):
        still = None
        try:
            frames = source.decode_pictures(from_s, dense_from_s=entry_s - _SPARSE_S)
            for time_s, frame in frames:
                is_late = time_s > latest_s
                if not is_late or (still is None and from_s is None):
                    span = Span(time_s, time_s + get_frame_duration_s(frame))
                    still = _ShownFrame(frame, span)
                if is_late:
                    break
        except SeekError:
            continue
        if still is not None:
            return still
    raise source.make_empty_error()


def _find_shot(source: SeekableSource, span: Span) -> _ShownFrame | None:
    """Returns the picture of the shot that is `span`; None if no shot begins there."""
    floor_s = source.options.frame_floor_s
    for from_s in _list_entry_points(span.start_s - _RUN_UP_S):
        frames = source.decode_pictures(from_s, dense_from_s=math.inf)
        stated_end_s = get_stated_end_s(source.container)
        timed_frames = _add_next_times(frames, stated_end_s)
        try:
            frame = _choose_frame(timed_frames, span, floor_s=floor_s, is_whole=from_s is None)
        except SeekError:
            continue
        return None if frame is None else _ShownFrame(frame, span)
    return None


def _add_next_times(
    frames: Iterator[tuple[float, VideoFrame]], stated_end_s: float
) -> Iterator[tuple[float, VideoFrame, float]]:
    """Yields each frame with its time and the time of the next one, or the end of the film."""
    latest: tuple[float, VideoFrame] | None = None
    for time_s, frame in frames:
        if latest is not None:
            yield *latest, time_s
        latest = time_s, frame
    if latest is not None:
        at_least_s = max(get_frame_duration_s(latest[1]), 2 * SAMPLE_S)
        yield *latest, max(latest[0] + at_least_s, stated_end_s)


def _choose_frame(
    frames: Iterator[tuple[float, VideoFrame, float]],
    span: Span,
    *,
    floor_s: float,
    is_whole: bool,
) -> VideoFrame | None:
    """Returns the frame that was chosen for a shot when the whole film was indexed.

    Films are sampled every `SAMPLE_S`, and where a frame is held; the choice of samples depends on
    all frames before. But a shot begins half way between two samples, or with a held frame, so the
    frames around its beginning determine its first sample: only one pair fits. Not found are shots
    whose beginning was delayed because the shot before was too short. `is_whole` means that the
    film is read from its start. Raises SeekError if the frames before the shot are missing from
    `frames`.
    """
    before: list[float] = []
    choice = kept = None
    last_s = 0.0
    for time_s, frame, next_s in frames:
        is_sample = is_held(time_s, next_s) or is_due(time_s, last_s)
        is_long = is_long_hold(time_s, next_s)
        if choice is None:
            if not before and not is_whole and time_s > span.start_s - SAMPLE_S:
                raise SeekError
            is_first = not before and is_whole and _is_same_time(time_s, span.start_s)
            is_slide = is_long and _is_same_time(time_s, span.start_s)
            if not (is_first or is_slide or _can_open_shot(time_s, next_s, before, span.start_s)):
                if time_s > span.start_s + SAMPLE_S + _ROUNDING_S:
                    return None
                before = [*before[-_MAX_FRAMES:], time_s]
                continue
            choice = FrameChoice(span.start_s, floor_s=floor_s)
        elif time_s >= span.end_s - _EXACT_S:
            break
        elif not is_sample:
            continue
        last_s = time_s
        small = None if choice.is_settled and not is_long else shrink_frame(frame)
        if small is not None and choice.consider(time_s, small):
            kept = frame
        if small is not None and is_long and choice.settle(small):
            kept = frame
        if choice.is_settled and next_s >= span.start_s + floor_s:
            break
    return kept


def _can_open_shot(time_s: float, next_s: float, before: list[float], start_s: float) -> bool:
    """Tests if a frame can be the first sample of the shot that starts at `start_s`.

    If so, it is the first frame due after an earlier sample, or is held itself.
    """
    return any(
        (is_due(time_s, last_s) or is_held(time_s, next_s))
        and (last_s == before[-1] or not is_due(before[-1], last_s))
        and _is_same_time(locate_cut(last_s, time_s), start_s)
        for last_s in before
    )


def _is_same_time(time_s: float, other_s: float) -> bool:
    return abs(time_s - other_s) < _ROUNDING_S


def _read_sound(source: SeekableSource, span: Span) -> Iterator[AudioBlock]:
    """Yields the sound in a span."""
    if span.start_s > source.end_s + _FURTHER_S:
        return
    for from_s in _list_entry_points(span.start_s - _RUN_UP_S):
        try:
            yield from _read_blocks(source, from_s, span)
        except SeekError:  # before the first block
            continue
        return


def _read_blocks(source: SeekableSource, from_s: float | None, span: Span) -> Iterator[AudioBlock]:
    import av

    options = source.options
    track = None
    shift_s = 0.0
    for frame in source.decode_sound(from_s):
        if track is None:
            start_s = source.origin_s
            if from_s is not None:
                stamp_s = frame.time
                if stamp_s is None or stamp_s - start_s > span.start_s + _ROUNDING_S:
                    raise SeekError
                shift_s, start_s = stamp_s - start_s, stamp_s
            track = SoundTrack(
                block_s=options.audio_block_s, origin_s=start_s, rates_hz=options.sample_rates_hz
            )
        # A frame that cannot be resampled is left out.
        with suppress(av.FFmpegError, ValueError, LookupError):
            for block in track.feed(frame):
                yield from _trim_block(block, shift_s, span)
        if shift_s + track.end_s >= min(span.end_s, options.limits.duration_s):
            break
    if track is None:
        raise SeekError if from_s is not None else source.make_empty_error()
    for block in track.finish():
        yield from _trim_block(block, shift_s, span)


def _trim_block(block: AudioBlock, shift_s: float, span: Span) -> Iterator[AudioBlock]:
    """Yields the part of a block in a span; `shift_s` is added to its times."""
    rate_hz, start_s = block.sample_rate_hz, block.start_s + shift_s
    first = max(0, round((span.start_s - start_s) * rate_hz))
    last = min(len(block.samples), round((span.end_s - start_s) * rate_hz))
    if first < last:
        yield AudioBlock(block.samples[first:last], start_s + first / rate_hz, rate_hz)
