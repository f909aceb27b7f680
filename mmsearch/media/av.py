"""Reads sound and video with FFmpeg, in one pass."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mmsearch.errors import DecodeError, UnsupportedMedia
from mmsearch.media import clip_reader
from mmsearch.media.audio_resampling import SoundTrack
from mmsearch.media.base import Content, Described, LoadOptions
from mmsearch.media.container import (
    Tracks,
    choose_tracks,
    read_container_metadata,
    open_container,
    get_origin_s,
    get_pixel_aspect,
    describe_failure,
)
from mmsearch.media.cues import load_cues
from mmsearch.media.frames import PictureTrack, compute_square_size
from mmsearch.types import Modality

if TYPE_CHECKING:
    from av import Packet
    from av.audio.frame import AudioFrame
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.frame import VideoFrame

logger = logging.getLogger(__name__)

# A recording that begins between two key frames gives some hundred errors before its first frame.
_MAX_ERRORS = 1000
# Packets that may pass without one frame: scrambled programmes, demuxers that run in place.
_MAX_IDLE_PACKETS = 20_000
# More threads hold more frames in memory than they save time.
_MAX_THREADS = 4
_MAX_FAILED_READS = 50


class AvLoader:
    """Whatever FFmpeg decodes and that stands in one file."""

    name = "av"

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yield Described, all cues, then blocks of sound and pictures of shots as they come.

        Described comes again at the end where the headers were wrong about the duration. Where
        `options.only` asks for a stretch, see `mmsearch.media.clip_reader`.
        """
        if options.only is not None:
            yield from clip_reader.load(path, options)
            return
        with (
            path.open("rb", buffering=0) as file,
            open_container(path, file, options.limits) as container,
        ):
            tracks = choose_tracks(path, container, options.limits)
            if tracks.video is None and tracks.audio is None:
                raise UnsupportedMedia(path, "neither sound nor pictures that can be decoded")
            modality = Modality.VIDEO if tracks.video is not None else Modality.AUDIO
            metadata = read_container_metadata(container, tracks, path.stat().st_size)
            run = _DecodingPass(path, container, tracks, options)
            contents = run.decode_contents()
            # Only a frame tells how it is turned: the little that comes before it is held back.
            held: list[Content] = []
            for content in contents:
                if content is not None:
                    held.append(content)
                if run.size_px is not None or len(held) > 1:
                    break
            if run.size_px is not None:
                metadata = replace(metadata, width_px=run.size_px[0], height_px=run.size_px[1])
            yield Described(modality, metadata)
            yield from load_cues(path, container, options.limits)
            yield from held
            for content in contents:
                if content is not None:
                    yield content
            duration_s = _correct_duration_s(metadata.duration_s, run)
            if duration_s != metadata.duration_s:
                yield Described(modality, replace(metadata, duration_s=duration_s))


def _correct_duration_s(stated_s: float | None, run: _DecodingPass) -> float | None:
    if run.is_cut_short:
        return stated_s
    if stated_s is None or abs(stated_s - run.end_s) > max(1.0, 0.05 * run.end_s):
        return round(run.end_s, 3)
    return stated_s


class _DecodingPass:
    """One pass over the packets of a file, which decodes both tracks as they come."""

    def __init__(
        self, path: Path, container: InputContainer, tracks: Tracks, options: LoadOptions
    ) -> None:
        self._path = path
        self._container = container
        self._limits = options.limits
        self._video, self._audio = tracks.video, tracks.audio
        start_s = get_origin_s(container)
        self._aspect = get_pixel_aspect(tracks.video) if tracks.video is not None else 1.0
        self._pictures = PictureTrack(path, options, origin_s=start_s, aspect=self._aspect)
        self._sound = SoundTrack(
            block_s=options.audio_block_s, origin_s=start_s, rates_hz=options.sample_rates_hz
        )
        self._errors = 0
        self._last_error: Exception | None = None
        self.size_px: tuple[int, int] | None = None
        self.is_cut_short = False

    @property
    def end_s(self) -> float:
        """Where the longer track ends, of what was decoded so far."""
        return max(self._pictures.end_s, self._sound.end_s)

    def decode_contents(self) -> Iterator[Content | None]:
        """Yield what is decoded, and None after each packet; raises DecodeError for nothing."""
        streams: list[Stream] = [s for s in (self._video, self._audio) if s is not None]
        self._prepare(streams)
        idle = 0
        for packet in self._read_packets(streams):
            before = self.end_s
            yield from self._decode(packet)
            yield None
            idle = 0 if self.end_s > before else idle + 1
            if self._errors > _MAX_ERRORS or idle > _MAX_IDLE_PACKETS:
                logger.debug("%s: given up after %.1f s", self._path, self.end_s)
                break
            if self.end_s > self._limits.duration_s:
                self.is_cut_short = True
                logger.debug("%s: stopped at the limit of its duration", self._path)
                break
        yield from self._sound.finish()
        yield from self._pictures.finish()
        if self._pictures.is_empty and self._sound.is_empty:
            why = describe_failure(self._last_error) if self._last_error is not None else "no frames"
            raise DecodeError(self._path, f"nothing could be decoded: {why}") from self._last_error

    def _prepare(self, streams: list[Stream]) -> None:
        import av

        for stream in self._container.streams:
            if stream not in streams:
                stream.discard = av.stream.Discard.all
        if self._video is not None:
            context = self._video.codec_context
            # Frames that no other needs are half of most films: leaving them out halves the time.
            context.skip_frame = "NONREF"
            context.thread_type = av.codec.context.ThreadType.AUTO
            context.thread_count = min(_MAX_THREADS, os.cpu_count() or 1)

    def _read_packets(self, streams: list[Stream]) -> Iterator[Packet[Stream]]:
        import av

        failures = 0
        while failures <= _MAX_FAILED_READS:
            try:
                yield from self._container.demux(streams)
                return
            except (av.FFmpegError, ValueError, OSError) as exc:
                # Reading goes on behind the damage, if the format can find its feet again.
                self._last_error = exc
                failures += 1
        logger.debug("%s: reading stopped at %.1f s: %s", self._path, self.end_s, self._last_error)

    def _decode(self, packet: Packet[Stream]) -> Iterator[Content]:
        import av

        try:
            for frame in packet.decode():
                if packet.stream is self._video:
                    yield from self._feed_pictures(cast("VideoFrame", frame))
                else:
                    yield from self._sound.feed(cast("AudioFrame", frame))
                self._errors = 0
        except (av.FFmpegError, ValueError, LookupError) as exc:
            self._last_error = exc
            self._errors += 1

    def _feed_pictures(self, frame: VideoFrame) -> Iterator[Content]:
        if self.size_px is None:
            width, height = compute_square_size(frame.width, frame.height, self._aspect)
            is_sideways = round(frame.rotation / 90) % 2 == 1
            self.size_px = (height, width) if is_sideways else (width, height)
        yield from self._pictures.feed(frame)
