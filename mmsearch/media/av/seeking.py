"""Decodes the frames of an audio or video file from a given time on."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mmsearch.errors import DecodeError, MediaTooLarge
from mmsearch.media.av.container import (
    choose_tracks,
    describe_failure,
    get_origin_s,
    get_pixel_aspect,
    open_container,
    read_container_metadata,
    select_streams,
)
from mmsearch.media.av.frames import get_frame_duration_s
from mmsearch.media.av.matroska import is_whole
from mmsearch.media.av.packet_skipping import skip_packets
from mmsearch.media.av.timeline import Timeline
from mmsearch.media.base import LoadOptions, describe_pixel_excess
from mmsearch.types import Metadata

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream, Packet, VideoFrame
    from av.stream import Stream


logger = logging.getLogger(__name__)

# A recording that begins between two key frames gives some hundred errors before its first frame.
MAX_ERRORS = 1000
# Packets that may pass without one frame: scrambled programmes, demuxers that run in place.
MAX_IDLE_PACKETS = 20_000
_MAX_FAILED_READS = 50


class SeekError(Exception):
    """The file cannot be decoded from that time, or the time reached is unknown."""


class SeekableSource:
    """An opened audio or video file that is decoded from any time on.

    Raises UnsupportedMedia for a file without tracks that can be decoded.
    """

    def __init__(self, path: Path, options: LoadOptions) -> None:
        self.options = options
        self.path = path
        self.last_error: Exception | None = None
        self._file = path.open("rb", buffering=0)
        try:
            self._open()
        except BaseException:
            self._file.close()
            raise

    def _open(self) -> None:
        self._file.seek(0)
        self.container = open_container(self.path, self._file, self.options.limits)
        self._is_fresh = True
        try:
            self._tracks = choose_tracks(self.path, self.container, self.options.limits)
        except BaseException:
            self.container.close()
            raise
        self.video, self.audio = self._tracks.video, self._choose_sound()
        self.sounds = self._tracks.sounds
        self.origin_s = get_origin_s(self.container)
        self.aspect = get_pixel_aspect(self.video)

    def _choose_sound(self) -> AudioStream | None:
        """Returns the sound track that the options select, else the default one."""
        number, streams = self.options.sound_track, self.container.streams.audio
        stream = streams[number - 1] if number and number <= len(streams) else None
        return stream if stream in self._tracks.sounds else self._tracks.audio

    def close(self) -> None:
        """Closes the file."""
        self.container.close()
        self._file.close()

    def read_metadata(self) -> Metadata:
        """Returns the metadata of the headers."""
        return read_container_metadata(self.container, self._tracks, self.path.stat().st_size)

    @property
    def end_s(self) -> float:
        """End of the file in seconds by its headers; infinity if they do not state it."""
        duration = self.container.duration
        return duration / 1_000_000 if duration is not None and duration > 0 else math.inf

    def has_all_packets(self, counts: Mapping[int, int]) -> bool:
        """Tests if so many packets of each stream are all that the headers announce."""
        if "matroska" in self.container.format.name:
            return is_whole(self._file, self.path.stat().st_size)
        return all(self.container.streams[index].frames <= n for index, n in counts.items())

    def make_empty_error(self) -> DecodeError:
        """Returns the error of a file without frames."""
        reason = f"nothing could be decoded: {describe_failure(self.last_error)}"
        return DecodeError(self.path, reason)

    def decode_pictures(
        self, from_s: float | None, *, dense_from_s: float
    ) -> Iterator[tuple[float, VideoFrame]]:
        """Yields frames with their times, from a key frame before `from_s` on; None is the start.

        Before `dense_from_s`, frames that no other frame needs are left out. Raises SeekError.
        """
        stream = self._seek("video", from_s)
        timeline = Timeline(self.origin_s)
        time_s = end_s = 0.0
        for decoded_frame in self._decode_frames(stream, dense_from_s):
            frame = cast("VideoFrame", decoded_frame)
            if frame.width * frame.height > self.options.limits.pixels:
                reason = describe_pixel_excess(frame.width, frame.height, self.options.limits)
                raise MediaTooLarge(self.path, reason)
            stamp_s = frame.time if frame.pts is not None else None
            if from_s is None:
                time_s = timeline.advance(stamp_s, end_s, earliest_s=time_s)
            elif stamp_s is None:
                raise SeekError
            else:
                time_s = max(stamp_s - self.origin_s, time_s)
            end_s = time_s + get_frame_duration_s(frame)
            yield time_s, frame

    def decode_sound(self, from_s: float | None) -> Iterator[AudioFrame]:
        """Yields frames of sound from `from_s` on; None is the start. Raises SeekError."""
        for frame in self._decode_frames(self._seek("audio", from_s), math.inf):
            yield cast("AudioFrame", frame)

    def _seek(self, name: str, from_s: float | None) -> Stream:
        """Moves to a time and returns the stream of that name; its packets alone come next."""
        import av

        if from_s is None and not self._is_fresh:
            self.container.close()
            self._open()
        self._is_fresh = False
        stream: Stream = getattr(self, name)
        select_streams(self.container, [stream])
        if from_s is not None:
            try:
                ticks = round((from_s + self.origin_s) / float(stream.time_base or 1))
                self.container.seek(ticks, stream=stream)
            except (av.FFmpegError, OSError, ValueError, ArithmeticError) as exc:
                raise SeekError from exc
        return stream

    def _decode_frames(
        self, stream: Stream, dense_from_s: float
    ) -> Iterator[VideoFrame | AudioFrame]:
        """Yields decoded frames, past damage, until there is too much of it."""
        import av

        errors = idle = 0
        for packet in self.read_packets(stream):
            self._decode_all_after(packet, dense_from_s)
            frames: list[VideoFrame | AudioFrame] = []
            try:
                frames = cast("list[VideoFrame | AudioFrame]", packet.decode())
            except (av.FFmpegError, ValueError, LookupError) as exc:
                self.last_error = exc
                errors += 1
            idle = 0 if frames else idle + 1
            if errors > MAX_ERRORS or idle > MAX_IDLE_PACKETS:
                return
            yield from frames

    def read_packets(self, *streams: Stream | None) -> Iterator[Packet[Stream]]:
        """Yields the packets of `streams`, and goes on behind damage if the format can."""
        selected = [stream for stream in streams if stream is not None]
        select_streams(self.container, selected)
        video = self.video if self.video in selected else None
        yield from skip_packets(self._demux(selected), video)

    def _demux(self, selected: list[Stream]) -> Iterator[Packet[Stream]]:
        import av

        for _ in range(_MAX_FAILED_READS + 1):
            try:
                yield from self.container.demux(*selected)
                return
            except (av.FFmpegError, ValueError, OSError) as exc:
                self.last_error = exc
        logger.debug("%s: reading stopped: %s", self.path, self.last_error)

    def _decode_all_after(self, packet: Packet[Stream], dense_from_s: float) -> None:
        if self.video is None or packet.dts is None or packet.time_base is None:
            return
        if float(packet.dts * packet.time_base) - self.origin_s >= dense_from_s:
            self.video.codec_context.skip_frame = "DEFAULT"
