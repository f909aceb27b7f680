"""Reads a stretch of a recording or a film: what is before it is passed over, not decoded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.errors import UnsupportedMedia
from mmsearch.media.audio_resampling import SoundTrack
from mmsearch.media.base import AudioBlock, Content, Described, LoadOptions, Picture
from mmsearch.media.frames import render_frame, shrink_frame, compute_square_size, get_frame_duration_s
from mmsearch.media.seeking import SeekError, SeekableSource
from mmsearch.media.shot_detection import SAMPLE_S, FrameChoice, locate_cut, is_due
from mmsearch.types import Modality, Place, Span

if TYPE_CHECKING:
    from av import AudioFrame, VideoFrame

# Decoding from the start is as quick as seeking.
_NEAR_S = 2.0
# A transport stream is entered anywhere and shows nothing before the next key frame.
_FURTHER_S = 15.0
# What a decoder of sound hears before it is right, and what tells how a shot was sampled.
_RUN_UP_S = 1.0
# Frames that no other needs are left out until so long before the one that is wanted.
_SPARSE_S = 1.0
_ROUNDING_S = 1e-3
# Of sums of stamps. A frame may last a millisecond, and the last one of a film ends a shot.
_EXACT_S = 1e-6
# A second of them, in the quickest films.
_MAX_FRAMES = 250


def load(path: Path, options: LoadOptions) -> Iterator[Content]:
    """Yield Described, then what `options.only` and `options.track` leave of a file.

    Where a file cannot be entered in its middle it is decoded from its start, with nothing handed
    over before the stretch begins. Raises as a loader does.
    """
    span = options.only or Span(0.0, 0.0)
    has_length = span.end_s > span.start_s
    with closing(SeekableSource(path, options)) as source:
        video, audio = source.video, source.audio
        if video is None and audio is None:
            raise UnsupportedMedia(path, "neither sound nor pictures that can be decoded")
        metadata = source.read_metadata()
        shown = None
        if video is not None and options.track != "sound":
            shown = _find_shot(source, span) if has_length else _find_still(source, span.start_s)
        if shown is not None:
            width, height = compute_square_size(shown.frame.width, shown.frame.height, source.aspect)
            if round(shown.frame.rotation / 90) % 2 == 1:
                width, height = height, width
            metadata = replace(metadata, width_px=width, height_px=height)
        yield Described(Modality.AUDIO if video is None else Modality.VIDEO, metadata)
        if shown is not None:
            pixels = render_frame(shown.frame, options.picture, source.aspect)
            yield Picture(pixels, Place(span=shown.span), is_frame=True)
        if audio is not None and has_length and options.track != "pictures":
            yield from _read_sound(source, span)


@dataclass(frozen=True, slots=True)
class _ShownFrame:
    """A frame, and the stretch that it stands for."""

    frame: VideoFrame
    span: Span


def _list_entry_points(start_s: float) -> Iterator[float | None]:
    """Where to enter a file for what begins at `start_s`, until one way leads there."""
    if start_s > _NEAR_S:
        yield start_s
    if start_s - _FURTHER_S > _NEAR_S:
        yield start_s - _FURTHER_S
    yield None


def _find_still(source: SeekableSource, at_s: float) -> _ShownFrame:
    """The last frame that begins by `at_s`, or the first that there is."""
    known_s = min(at_s, source.end_s)
    latest_s = min(at_s, source.options.limits.duration_s) + _ROUNDING_S
    for from_s in _list_entry_points(known_s):
        found = None
        try:
            for time_s, frame in source.decode_pictures(from_s, dense_from_s=known_s - _SPARSE_S):
                is_late = time_s > latest_s
                if not is_late or (found is None and from_s is None):
                    found = _ShownFrame(frame, Span(time_s, time_s + get_frame_duration_s(frame)))
                if is_late:
                    break
        except SeekError:
            continue
        if found is not None:
            return found
    raise source.make_empty_error()


def _find_shot(source: SeekableSource, span: Span) -> _ShownFrame | None:
    """The picture of the shot that is `span`; None where none can be seen to begin there."""
    for from_s in _list_entry_points(span.start_s - _RUN_UP_S):
        try:
            frame = _choose_frame(
                source.decode_pictures(from_s, dense_from_s=math.inf),
                span,
                floor_s=source.options.frame_floor_s,
                is_whole=from_s is None,
            )
        except SeekError:
            continue
        return None if frame is None else _ShownFrame(frame, span)
    return None


def _choose_frame(
    frames: Iterator[tuple[float, VideoFrame]], span: Span, *, floor_s: float, is_whole: bool
) -> VideoFrame | None:
    """The frame that was taken for a shot when the whole film was read.

    Films are sampled every `SAMPLE_S`, and which frames are samples depends on all before. But a
    shot begins half way between two of them: so the frames around its beginning tell which was its
    first, and there is but one pair that fits. Not found are shots whose beginning was put off,
    because the one before was shorter than allowed. `is_whole` is that the film is read from its
    start. Raises LostError where what is before the shot is not among `frames`.
    """
    before: list[float] = []
    choice = kept = None
    last_s = 0.0
    for time_s, frame in frames:
        if choice is None:
            if not before and not is_whole and time_s > span.start_s - SAMPLE_S:
                raise SeekError
            is_first = not before and is_whole and _is_same_time(time_s, span.start_s)
            if not is_first and not _can_open_shot(time_s, before, span.start_s):
                if time_s > span.start_s + SAMPLE_S + _ROUNDING_S:
                    return None
                before = [*before[-_MAX_FRAMES:], time_s]
                continue
            choice = FrameChoice(span.start_s, floor_s=floor_s)
        elif time_s >= span.end_s - _EXACT_S:
            break
        elif not is_due(time_s, last_s):
            continue
        last_s = time_s
        if choice.consider(time_s, shrink_frame(frame)):
            kept = frame
        if choice.is_settled:
            break
    return kept


def _can_open_shot(time_s: float, before: list[float], start_s: float) -> bool:
    """Whether a frame can be the sample with which the shot began that starts at `start_s`.

    Then there is a sample before it, after which it is the first that is due.
    """
    return any(
        is_due(time_s, last_s)
        and (last_s == before[-1] or not is_due(before[-1], last_s))
        and _is_same_time(locate_cut(last_s, time_s), start_s)
        for last_s in before
    )


def _is_same_time(time_s: float, other_s: float) -> bool:
    return abs(time_s - other_s) < _ROUNDING_S


def _read_sound(source: SeekableSource, span: Span) -> Iterator[AudioBlock]:
    """What is heard in a stretch."""
    if span.start_s > source.end_s + _FURTHER_S:
        return
    for from_s in _list_entry_points(span.start_s - _RUN_UP_S):
        try:
            yield from _read_blocks(source, from_s, span)
        except SeekError:  # before the first block
            continue
        return


def _read_blocks(source: SeekableSource, from_s: float | None, span: Span) -> Iterator[AudioBlock]:
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
        for block in _feed(track, frame):
            yield from _trim_block(block, shift_s, span)
        if shift_s + track.end_s >= min(span.end_s, options.limits.duration_s):
            break
    if track is None:
        if from_s is not None:
            raise SeekError
        raise source.make_empty_error()
    for block in track.finish():
        yield from _trim_block(block, shift_s, span)


def _feed(track: SoundTrack, frame: AudioFrame) -> Iterator[AudioBlock]:
    import av

    try:
        yield from track.feed(frame)
    except (av.FFmpegError, ValueError, LookupError):
        return  # a frame that cannot be resampled


def _trim_block(block: AudioBlock, shift_s: float, span: Span) -> Iterator[AudioBlock]:
    """What of a block lies in a stretch; `shift_s` is what its time lacks."""
    rate_hz, start_s = block.sample_rate_hz, block.start_s + shift_s
    first = max(0, round((span.start_s - start_s) * rate_hz))
    last = min(len(block.samples), round((span.end_s - start_s) * rate_hz))
    if first < last:
        samples = block.samples[first:last]
        yield AudioBlock(samples, start_s + first / rate_hz, rate_hz)
