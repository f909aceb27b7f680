"""Hears the sound tracks of a file side by side, and leaves out copies of one another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mmsearch.media.av.audio_resampling import SoundTrack
from mmsearch.media.strings import clean
from mmsearch.types import Omission, OmissionCause

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream

    from mmsearch.media.base import AudioBlock
    from mmsearch.types import SampleArray

MAX_SOUND_TRACKS = 8
"""More tracks are not heard: a mixing desk, not a film in many languages."""

# Blocks of a later track wait for those of an earlier one, up to so many.
_MAX_WAITING = 4
_MAX_OFFSET_S = 0.1
_PROBE_S = 2.0
_PIECE_S = 0.25
# What two encodings of one sound may differ by, in each piece: 15 dB below it, or -70 dBFS.
_MAX_RESIDUAL = 0.03
_MIN_RESIDUAL = 1e-7
# ISO 639-2: undetermined, several, none, not coded; `unk` is no code, but it is written.
_NO_LANGUAGES = frozenset({"", "und", "mul", "zxx", "mis", "unk"})


def read_language(stream: AudioStream) -> str | None:
    """Returns the language tag of a track as it is written; None if there is none.

    A file with one track may state it for the whole, as ID3 does.
    """
    sources = [stream.metadata]
    if len(stream.container.streams.audio) == 1:
        sources.append(stream.container.metadata)
    for source in sources:
        tags = {key.lower(): value for key, value in source.items()}
        tag = (clean(tags.get("language"), max_chars=20) or "").lower()
        if tag not in _NO_LANGUAGES:
            return tag
    return None


@dataclass(slots=True)
class _HeardTrack:
    """A track, its number from 1 (None if it is the only one), and its blocks."""

    sound: SoundTrack
    number: int | None
    language: str | None
    waiting: deque[AudioBlock] = field(default_factory=deque)
    recent: deque[AudioBlock] = field(default_factory=lambda: deque(maxlen=4 * _MAX_WAITING))
    ends_s: dict[int, float] = field(default_factory=dict)
    has_errors: bool = False
    is_finished: bool = False


class SoundTracks:
    """Turns the decoded frames of several tracks into blocks.

    A block that has the sound of an earlier track is left out: stereo beside mono, say. The first
    of `streams` is the default; `all_streams` are those of the file in its order.
    """

    def __init__(
        self,
        streams: Sequence[AudioStream],
        all_streams: Sequence[AudioStream],
        make_track: Callable[[], SoundTrack],
    ) -> None:
        numbers = {stream.index: number for number, stream in enumerate(all_streams, start=1)}
        self._tracks = {
            stream.index: _HeardTrack(
                make_track(),
                numbers[stream.index] if len(numbers) > 1 else None,
                read_language(stream),
            )
            for stream in streams
        }
        self._unheard = [number for index, number in numbers.items() if index not in self._tracks]

    @property
    def end_s(self) -> float:
        """End of the longest track so far."""
        return max((track.sound.end_s for track in self._tracks.values()), default=0.0)

    @property
    def is_empty(self) -> bool:
        """True if no sound has come so far."""
        return all(track.sound.is_empty for track in self._tracks.values())

    def feed(self, stream_index: int, frame: AudioFrame) -> Iterator[AudioBlock]:
        """Takes a decoded frame of a track; yields the blocks that are ready."""
        track = self._tracks[stream_index]
        for block in track.sound.feed(frame):
            yield from self._submit(track, block)

    def note_error(self, stream_index: int) -> None:
        """Notes that a packet of a track could not be decoded."""
        if stream_index in self._tracks:
            self._tracks[stream_index].has_errors = True

    def finish(self) -> Iterator[AudioBlock]:
        """Yields the remaining blocks after the last frame."""
        for track in self._tracks.values():
            for block in track.sound.finish():
                yield from self._submit(track, block)
            track.is_finished = True
            yield from self._release()

    def list_omissions(self) -> Iterator[Omission]:
        """Yields the tracks that were not heard, after the last frame."""
        for number in self._unheard:
            is_alone = not self._tracks and len(self._unheard) == 1
            yield Omission(OmissionCause.UNHEARD, _name_track(None if is_alone else number))
        for track in self._tracks.values():
            if track.sound.is_empty and track.has_errors:
                yield Omission(OmissionCause.UNHEARD, f"{_name_track(track.number)}: damaged")

    def _submit(self, track: _HeardTrack, block: AudioBlock) -> Iterator[AudioBlock]:
        track.waiting.append(replace(block, track=track.number, language=track.language))
        yield from self._release()

    def _release(self) -> Iterator[AudioBlock]:
        earlier: list[_HeardTrack] = []
        for track in self._tracks.values():
            while track.waiting:
                block = track.waiting[0]
                if len(track.waiting) <= _MAX_WAITING and not _are_heard(earlier, block):
                    break
                track.waiting.popleft()
                track.ends_s[block.sample_rate_hz] = _get_end_s(block)
                if len(self._tracks) > 1:
                    track.recent.append(block)
                if not any(_is_copy(block, other) for one in earlier for other in one.recent):
                    yield block
            earlier.append(track)


def _name_track(number: int | None) -> str:
    return "the sound" if number is None else f"sound track {number}"


def _are_heard(tracks: Sequence[_HeardTrack], block: AudioBlock) -> bool:
    """Tests if tracks have been heard up to the end of a block."""
    latest_s = _get_end_s(block) - _MAX_OFFSET_S
    return all(
        track.is_finished or track.ends_s.get(block.sample_rate_hz, 0.0) >= latest_s
        for track in tracks
    )


def _get_end_s(block: AudioBlock) -> float:
    return block.start_s + len(block.samples) / block.sample_rate_hz


def _is_copy(block: AudioBlock, other: AudioBlock) -> bool:
    """Tests if two blocks have the same sound, louder or softer, a tenth of a second apart."""
    rate_hz = block.sample_rate_hz
    if (
        rate_hz != other.sample_rate_hz
        or abs(block.start_s - other.start_s) > _MAX_OFFSET_S
        or abs(_get_end_s(block) - _get_end_s(other)) > _MAX_OFFSET_S
    ):
        return False
    return has_same_sound(block.samples, other.samples, rate_hz)


def has_same_sound(samples: SampleArray, other: SampleArray, rate_hz: int) -> bool:
    """Tests if two recordings differ by a gain, a shift of up to 0.1 s and coding alone."""
    import numpy as np

    shift = _find_shift(samples, other, rate_hz)
    one, two = samples[max(0, shift) :], other[max(0, -shift) :]
    size = max(1, int(_PIECE_S * rate_hz))
    count = min(len(one), len(two)) // size
    if not count:
        return False
    rows = [each[: count * size].reshape(count, size).astype(np.float64) for each in (one, two)]
    power = float(np.vdot(rows[1], rows[1]))
    gain = float(np.vdot(rows[0], rows[1])) / power if power else 0.0
    residuals = np.square(rows[0] - gain * rows[1]).mean(axis=1)
    powers = [np.square(row).mean(axis=1) for row in (rows[0], gain * rows[1])]
    allowed = np.maximum(_MAX_RESIDUAL * np.maximum(*powers), _MIN_RESIDUAL)
    return bool(np.all(residuals <= allowed))


def _find_shift(samples: SampleArray, other: SampleArray, rate_hz: int) -> int:
    """Returns how many samples later a sound lies in `samples` than in `other`."""
    import numpy as np

    reach, length = int(_MAX_OFFSET_S * rate_hz), int(_PROBE_S * rate_hz)
    if len(other) < length + 2 * reach or len(samples) < length + 2 * reach:
        return 0
    loudest = int(np.argmax(np.abs(other[reach : -reach - length]))) + reach
    start = max(reach, loudest - length // 2)
    probe = other[start : start + length]
    around = samples[start - reach : start + length + reach]
    size = 1 << (len(around) + len(probe)).bit_length()
    spectrum = np.fft.rfft(around, size) * np.conj(np.fft.rfft(probe, size))
    matches = np.abs(np.fft.irfft(spectrum, size)[: 2 * reach + 1])
    return int(np.argmax(matches)) - reach
