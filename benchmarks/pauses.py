"""Speech with long pauses: sentences with silence, noise and notes between, in five containers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from mmsearch.types import Span

RATE_HZ = 16_000
LATE_START_S = 3723.0
CUT_OFF_S = 3.0
NOTES_HZ = (220.0, 261.6, 293.7, 329.6, 392.0, 440.0, 523.3)
NOTE_S = 0.5


@dataclass(frozen=True)
class SpokenSentence:
    """A sentence as (n,) float32 mono at 16 kHz, and its words."""

    samples: np.ndarray
    text: str


@dataclass(frozen=True)
class PausedSpeech:
    """A recording, and when each of its sentences is said."""

    samples: np.ndarray
    said: Sequence[tuple[str, Span]]


def compose(
    sentences: Sequence[SpokenSentence],
    *,
    count: int = 18,
    pauses_s: tuple[float, float] = (2.0, 40.0),
    seed: int = 0,
) -> PausedSpeech:
    """Draws sentences and pauses; the pauses are silence, noise and notes in turn.

    Raises ValueError without sentences.
    """
    if not sentences:
        raise ValueError("no sentences")
    draw = random.Random(seed)
    order: list[SpokenSentence] = []
    while len(order) < count:
        order += draw.sample(sentences, len(sentences))
    parts: list[np.ndarray] = []
    said: list[tuple[str, Span]] = []
    size = 0
    for number, sentence in enumerate(order[:count]):
        fill = (make_silence, make_noise, make_notes)[number % 3]
        pause = fill(round(draw.uniform(*pauses_s) * RATE_HZ), draw)
        start = size + len(pause)
        size = start + len(sentence.samples)
        parts += [pause, sentence.samples]
        said.append((sentence.text, Span(start / RATE_HZ, size / RATE_HZ)))
    return PausedSpeech(np.concatenate(parts), said)


def make_silence(size: int, _draw: random.Random) -> np.ndarray:
    return np.zeros(size, dtype=np.float32)


def make_noise(size: int, draw: random.Random) -> np.ndarray:
    rng = np.random.default_rng(draw.getrandbits(32))
    return rng.normal(0.0, 0.01, size).astype(np.float32)


def make_notes(size: int, draw: random.Random) -> np.ndarray:
    """A melody of plucked notes with two overtones."""
    times = np.arange(round(NOTE_S * RATE_HZ)) / RATE_HZ
    notes = [np.zeros(0)]
    for _ in range(size // len(times) + 1):
        pitch = draw.choice(NOTES_HZ)
        tones = sum(np.sin(2 * np.pi * pitch * k * times) / k for k in (1, 2, 3))
        notes.append(0.1 * tones * np.exp(-3 * times))
    return np.concatenate(notes)[:size].astype(np.float32)


def write_wav(path: Path, samples: np.ndarray) -> None:
    with av.open(str(path), "w") as container:
        write_sound(container, "pcm_s16le", samples)


def write_mp3_without_xing(path: Path, samples: np.ndarray) -> None:
    with av.open(str(path), "w", options={"write_xing": "0"}) as container:
        write_sound(container, "libmp3lame", samples)


def write_m4a_with_edit_list(path: Path, samples: np.ndarray) -> None:
    """The first three seconds are cut off by the list alone."""
    rng = np.random.default_rng(7)
    before = rng.normal(0.0, 0.1, round(CUT_OFF_S * RATE_HZ)).astype(np.float32)
    options = {"use_editlist": "1", "avoid_negative_ts": "disabled"}
    with av.open(str(path), "w", options=options) as container:
        write_sound(container, "aac", np.concatenate([before, samples]), start_s=-CUT_OFF_S)


def write_late_mkv(path: Path, samples: np.ndarray) -> None:
    with av.open(str(path), "w") as container:
        write_sound(container, "flac", samples, start_s=LATE_START_S)


def write_mp4_of_variable_rate(path: Path, samples: np.ndarray) -> None:
    """A frame after 0.04 to 12 seconds, as of a screen that is recorded."""
    draw = random.Random(3)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=1000)
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        sound = container.add_stream("aac", rate=RATE_HZ, layout="mono")
        time_s, number = 0.0, 0
        while time_s < len(samples) / RATE_HZ:
            pixels = np.full((96, 160, 3), 40 + 30 * (number % 6), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            frame.pts, frame.time_base = round(time_s * 1000), Fraction(1, 1000)
            container.mux(video.encode(frame))
            time_s, number = time_s + draw.choice([0.04, 0.1, 1.0, 12.0]), number + 1
        container.mux(video.encode())
        encode_sound(container, sound, samples)


def write_sound(container: Any, codec: str, samples: np.ndarray, *, start_s: float = 0.0) -> None:
    stream = container.add_stream(codec, rate=RATE_HZ, layout="mono")
    encode_sound(container, stream, samples, start_s=start_s)


def encode_sound(container: Any, stream: Any, samples: np.ndarray, *, start_s: float = 0.0) -> None:
    for frame in _make_frames(samples, start_s):
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def _make_frames(samples: np.ndarray, start_s: float) -> Iterator[av.AudioFrame]:
    for at in range(0, len(samples), 1024):
        piece = np.ascontiguousarray(samples[None, at : at + 1024])
        frame = av.AudioFrame.from_ndarray(piece, "fltp", "mono")
        frame.sample_rate, frame.time_base = RATE_HZ, Fraction(1, RATE_HZ)
        frame.pts = at + round(start_s * RATE_HZ)
        yield frame


CONTAINERS: Mapping[str, Callable[[Path, np.ndarray], None]] = {
    "sound.wav": write_wav,
    "without-xing.mp3": write_mp3_without_xing,
    "edit-list.m4a": write_m4a_with_edit_list,
    "late.mkv": write_late_mkv,
    "variable-rate.mp4": write_mp4_of_variable_rate,
}


def measure_start_errors(said: Sequence[tuple[str, Span]], heard: Sequence[Span]) -> list[float]:
    """Returns the seconds from the start of each sentence to the nearest start that was heard."""
    return [
        min((abs(span.start_s - truth.start_s) for span in heard), default=float("inf"))
        for _, truth in said
    ]
