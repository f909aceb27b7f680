"""Enters a recording or a film where it is asked to, and gives the frames from there on."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mmsearch.errors import DecodeError, MediaTooLarge
from mmsearch.media.base import LoadOptions, describe_pixel_excess
from mmsearch.media.container import (
    choose_tracks,
    read_container_metadata,
    open_container,
    get_origin_s,
    get_pixel_aspect,
    describe_failure,
)
from mmsearch.media.frames import get_frame_duration_s
from mmsearch.media.timeline import Timeline
from mmsearch.types import Metadata

if TYPE_CHECKING:
    from av import AudioFrame, Packet, VideoFrame
    from av.stream import Stream

# As for a whole file.
_MAX_ERRORS = 1000
_MAX_IDLE_PACKETS = 20_000
_MAX_FAILED_READS = 50
_MAX_THREADS = 4


class SeekError(Exception):
    """The file cannot be entered there, or it cannot be told where that was."""


class SeekableSource:
    """An opened file that gives frames from anywhere on; close it."""

    def __init__(self, path: Path, options: LoadOptions) -> None:
        self.options = options
        self._path = path
        self._last_error: Exception | None = None
        self._file = path.open("rb", buffering=0)
        try:
            self._open()
        except BaseException:
            self._file.close()
            raise

    def _open(self) -> None:
        self._file.seek(0)
        self._container = open_container(self._path, self._file, self.options.limits)
        self._is_fresh = True
        try:
            tracks = choose_tracks(self._path, self._container, self.options.limits)
        except BaseException:
            self._container.close()
            raise
        self.video, self.audio = tracks.video, tracks.audio
        self._tracks = tracks
        self.origin_s = get_origin_s(self._container)
        self.aspect = 1.0 if self.video is None else get_pixel_aspect(self.video)

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()
        self._file.close()

    def read_metadata(self) -> Metadata:
        """What the headers say."""
        return read_container_metadata(self._container, self._tracks, self._path.stat().st_size)

    @property
    def end_s(self) -> float:
        """Where the file ends, as far as its headers say; else infinity."""
        duration = self._container.duration
        return duration / 1_000_000 if duration is not None and duration > 0 else math.inf

    def make_empty_error(self) -> DecodeError:
        """The error of a file without a frame."""
        why = "no frames" if self._last_error is None else describe_failure(self._last_error)
        return DecodeError(self._path, f"nothing could be decoded: {why}")

    def decode_pictures(
        self, from_s: float | None, *, dense_from_s: float
    ) -> Iterator[tuple[float, VideoFrame]]:
        """Frames with their times, from a key frame before `from_s` on; None is the start.

        Before `dense_from_s` those are left out that no other needs. Raises LostError.
        """
        stream = self._seek("video", from_s)
        timeline = Timeline(self.origin_s)
        end_s = 0.0
        for one in self._decode_frames(stream, dense_from_s):
            frame = cast("VideoFrame", one)
            if frame.width * frame.height > self.options.limits.pixels:
                why = describe_pixel_excess(frame.width, frame.height, self.options.limits)
                raise MediaTooLarge(self._path, why)
            stamp_s = frame.time if frame.pts is not None else None
            if from_s is None:
                time_s = timeline.advance(stamp_s, end_s)
            elif stamp_s is None:
                raise SeekError
            else:
                time_s = max(stamp_s - self.origin_s, end_s)
            end_s = time_s + get_frame_duration_s(frame)
            yield time_s, frame

    def decode_sound(self, from_s: float | None) -> Iterator[AudioFrame]:
        """Frames of sound from `from_s` on; None is the start. Raises LostError."""
        for frame in self._decode_frames(self._seek("audio", from_s), math.inf):
            yield cast("AudioFrame", frame)

    def _seek(self, name: str, from_s: float | None) -> Stream:
        """A track, whose packets come next, and no others."""
        import av

        if from_s is None and not self._is_fresh:
            self._container.close()
            self._open()
        wanted: Stream = getattr(self, name)
        for stream in self._container.streams:
            is_other = stream.index != wanted.index
            stream.discard = av.stream.Discard.all if is_other else av.stream.Discard.default
        if self.video is not None and name == "video":
            context = self.video.codec_context
            context.skip_frame = "NONREF"
            if self._is_fresh:
                context.thread_type = av.codec.context.ThreadType.AUTO
                context.thread_count = min(_MAX_THREADS, os.cpu_count() or 1)
        self._is_fresh = False
        if from_s is not None:
            try:
                ticks = round((from_s + self.origin_s) / float(wanted.time_base or 1))
                self._container.seek(ticks, stream=wanted)
            except (av.FFmpegError, OSError, ValueError, ArithmeticError) as exc:
                raise SeekError from exc
        return wanted

    def _decode_frames(self, stream: Stream, dense_from_s: float) -> Iterator[VideoFrame | AudioFrame]:
        """What can be decoded, past damage, until there is too much of it."""
        import av

        failures = errors = idle = 0
        while failures <= _MAX_FAILED_READS:
            try:
                for packet in self._container.demux(stream):
                    self._decode_all_after(packet, dense_from_s)
                    frames: list[VideoFrame | AudioFrame] = []
                    try:
                        frames = cast("list[VideoFrame | AudioFrame]", packet.decode())
                    except (av.FFmpegError, ValueError, LookupError) as exc:
                        self._last_error = exc
                        errors += 1
                    idle = 0 if frames else idle + 1
                    if errors > _MAX_ERRORS or idle > _MAX_IDLE_PACKETS:
                        return
                    yield from frames
                return
            except (av.FFmpegError, ValueError, OSError) as exc:
                # Reading goes on behind the damage, if the format can find its feet again.
                self._last_error = exc
                failures += 1

    def _decode_all_after(self, packet: Packet[Stream], dense_from_s: float) -> None:
        if self.video is None or packet.dts is None or packet.time_base is None:
            return
        if float(packet.dts * packet.time_base) - self.origin_s >= dense_from_s:
            self.video.codec_context.skip_frame = "DEFAULT"
