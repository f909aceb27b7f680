"""Decodes audio and video files with FFmpeg, in one pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mmsearch.formatting import format_clock
from mmsearch.media.av import clip_reader
from mmsearch.media.av.audio_resampling import SoundTrack
from mmsearch.media.av.container import get_stated_length_s
from mmsearch.media.av.cues import load_cues
from mmsearch.media.av.frames import PictureTrack, compute_upright_size, get_stated_end_s
from mmsearch.media.av.seeking import MAX_ERRORS, MAX_IDLE_PACKETS, SeekableSource
from mmsearch.media.av.sound_tracks import MAX_SOUND_TRACKS, SoundTracks
from mmsearch.media.base import Content, Described, LoadOptions
from mmsearch.media.pictures.picture_sidecars import add_facts_beside
from mmsearch.types import Modality, Omission, OmissionCause

if TYPE_CHECKING:
    from av import Packet
    from av.audio.frame import AudioFrame
    from av.stream import Stream
    from av.video.frame import VideoFrame


class AvLoader:
    """Every self-contained format that FFmpeg decodes."""

    name = "av"

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yields Described, all cues, then blocks of sound and pictures of shots as they come.

        Described comes again at the end if the headers state a wrong duration. With
        `options.only`, `mmsearch.media.av.clip_reader` does the work.
        """
        if options.only is not None:
            yield from clip_reader.load(path, options)
            return
        with closing(SeekableSource(path, options)) as source:
            modality = Modality.AUDIO if source.video is None else Modality.VIDEO
            metadata = add_facts_beside(path, source.read_metadata())
            run = _DecodingPass(source)
            contents = run.decode_contents()
            # Only a frame states its rotation: contents before it are held back.
            early_contents: list[Content] = []
            for content in contents:
                if content is not None:
                    early_contents.append(content)
                if run.size_px is not None or len(early_contents) > 1:
                    break
            if run.size_px is not None:
                metadata = replace(metadata, width_px=run.size_px[0], height_px=run.size_px[1])
            yield Described(modality, metadata)
            yield from load_cues(path, source.container, options.limits)
            yield from early_contents
            yield from (content for content in contents if content is not None)
            yield from run.list_omissions()
            duration_s = _correct_duration_s(metadata.duration_s, run)
            if duration_s != metadata.duration_s:
                yield Described(modality, replace(metadata, duration_s=duration_s))


def _correct_duration_s(stated_s: float | None, run: _DecodingPass) -> float | None:
    """Returns the stated duration, or the decoded one where the two differ and it is no fact."""
    if stated_s is not None and (run.is_cut_short or abs(stated_s - run.end_s) <= run.tolerance_s):
        return stated_s
    is_true = stated_s is not None and stated_s > run.end_s and run.stated_length_s and run.is_whole
    return stated_s if is_true else round(run.end_s, 3)


class _DecodingPass:
    """One pass over the packets of a file that decodes both tracks as they come."""

    def __init__(self, source: SeekableSource) -> None:
        self._source = source
        options, start_s = source.options, source.origin_s
        self.stated_length_s = get_stated_length_s(source.container)
        self._pictures = PictureTrack(
            source.path,
            options,
            origin_s=start_s,
            aspect=source.aspect,
            stated_end_s=get_stated_end_s(source.container),
        )
        self._sounds = source.sounds[:MAX_SOUND_TRACKS]
        self._sound = SoundTracks(
            self._sounds,
            source.container.streams.audio,
            partial(
                SoundTrack,
                block_s=options.audio_block_s,
                origin_s=start_s,
                rates_hz=options.sample_rates_hz,
                stated_end_s=self.stated_length_s,
            ),
        )
        self._errors = 0
        self._packet_counts = Counter[int]()
        self.size_px: tuple[int, int] | None = None
        self.is_cut_short = False
        self.is_given_up = False
        self.is_whole = False

    @property
    def end_s(self) -> float:
        """End of the longer track, as far as it is decoded."""
        return max(self._pictures.end_s, self._sound.end_s)

    @property
    def tolerance_s(self) -> float:
        """The difference between a stated and a decoded length that is no fault."""
        return max(1.0, 0.05 * self.end_s)

    def decode_contents(self) -> Iterator[Content | None]:
        """Yields contents, and None after each packet; raises DecodeError if there are none."""
        source = self._source
        idle = 0
        for packet in source.read_packets(source.video, *self._sounds):
            self._packet_counts[packet.stream.index] += packet.size > 0
            previous_end_s = self.end_s
            yield from self._decode(packet)
            yield None
            idle = 0 if self.end_s > previous_end_s else idle + 1
            if self._errors > MAX_ERRORS or idle > MAX_IDLE_PACKETS:
                self.is_given_up = True
                break
            if self.end_s > source.options.limits.duration_s:
                self.is_cut_short = True
                break
        yield from self._sound.finish()
        yield from self._pictures.finish()
        is_at_end = not (self.is_given_up or self.is_cut_short)
        self.is_whole = is_at_end and source.has_all_packets(self._packet_counts)
        if self._pictures.is_empty and self._sound.is_empty:
            raise source.make_empty_error() from source.last_error

    def list_omissions(self) -> Iterator[Omission]:
        """Yields what was not decoded, after all contents."""
        yield from self._sound.list_omissions()
        after = f"after {format_clock(self.end_s)}"
        is_short = not self.is_whole and self.stated_length_s > self.end_s + self.tolerance_s
        if self.is_given_up or (is_short and not self.is_cut_short):
            yield Omission(OmissionCause.DAMAGED, after)
        if self.is_cut_short:
            limit_s = self._source.options.limits.duration_s
            yield Omission(OmissionCause.LIMIT, after, "duration_s", limit_s)

    def _decode(self, packet: Packet[Stream]) -> Iterator[Content]:
        import av

        try:
            for frame in packet.decode():
                if packet.stream is self._source.video:
                    picture_frame = cast("VideoFrame", frame)
                    if self.size_px is None:
                        self.size_px = compute_upright_size(picture_frame, self._source.aspect)
                    yield from self._pictures.feed(picture_frame)
                else:
                    yield from self._sound.feed(packet.stream.index, cast("AudioFrame", frame))
                self._errors = 0
        except (av.FFmpegError, ValueError, LookupError) as exc:
            self._source.last_error = exc
            self._errors += 1
            self._sound.note_error(packet.stream.index)
