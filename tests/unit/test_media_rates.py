"""Sound comes at every rate that is asked for, side by side, and the same as if asked alone."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsearch.media.av.audio_resampling import SoundTrack
from mmsearch.media.base import AudioBlock, LoadOptions
from mmsearch.media.isolation import Decoder
from mmsearch.media.registry import load
from tests.unit.test_media_av import tone, write_sound

WHISPER, CLAP = 16_000, 48_000


def blocks(path: Path, rates_hz: tuple[int, ...], block_s: float = 2.0) -> list[AudioBlock]:
    options = LoadOptions(sample_rates_hz=rates_hz, audio_block_s=block_s)
    return [content for content in load(path, options) if isinstance(content, AudioBlock)]


def at(found: list[AudioBlock], rate_hz: int) -> list[AudioBlock]:
    return [block for block in found if block.sample_rate_hz == rate_hz]


def joined(found: list[AudioBlock]) -> np.ndarray:
    return np.concatenate([block.samples for block in found])


@pytest.mark.parametrize(
    ("name", "codec", "rate", "channels"),
    [
        ("a.wav", "pcm_s16le", 8_000, 1),
        ("a.wav", "pcm_s16le", 48_000, 2),
        ("a.flac", "flac", 44_100, 2),
        ("a.mp3", "libmp3lame", 44_100, 2),
        ("a.opus", "libopus", 48_000, 1),
    ],
)
def test_each_rate_is_the_same_whatever_else_is_asked(
    tmp_path: Path, name: str, codec: str, rate: int, channels: int
) -> None:
    path = write_sound(tmp_path / name, codec, 7.3, rate, channels)
    both = blocks(path, (WHISPER, CLAP))

    for asked in (WHISPER, CLAP):
        alone = blocks(path, (asked,))
        found = at(both, asked)
        assert [block.start_s for block in found] == [block.start_s for block in alone]
        assert np.array_equal(joined(found), joined(alone))
    assert len(joined(at(both, CLAP))) == pytest.approx(3 * len(joined(at(both, WHISPER))), abs=100)


def test_no_rate_runs_ahead_of_another(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.flac", "flac", 9.0, 44_100, 2)
    ends = {WHISPER: 0.0, CLAP: 0.0}
    for block in blocks(path, (WHISPER, CLAP), 1.0):
        ends[block.sample_rate_hz] += len(block.samples) / block.sample_rate_hz
        assert abs(ends[WHISPER] - ends[CLAP]) <= 1.001


def test_forty_eight_kilohertz_keep_what_sixteen_cannot(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    times = np.arange(48_000 * 2) / 48_000
    high = (0.5 * np.sin(2 * np.pi * 12_000 * times)).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_f32le", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(high[None], "flt", "mono")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    found = blocks(path, (WHISPER, CLAP))

    assert np.abs(joined(at(found, WHISPER))[1000:-1000]).max() < 0.02
    assert np.abs(joined(at(found, CLAP)) - high).max() < 0.001


def test_both_rates_cross_the_pipe(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.flac", "flac", 5.0, 44_100, 1)
    options = LoadOptions(sample_rates_hz=(WHISPER, CLAP), audio_block_s=2.0)
    here = [content for content in load(path, options) if isinstance(content, AudioBlock)]
    with Decoder() as decoder:
        there = [c for c in decoder.load(path, options) if isinstance(c, AudioBlock)]

    assert [(b.start_s, b.sample_rate_hz) for b in there] == [
        (b.start_s, b.sample_rate_hz) for b in here
    ]
    assert all(np.array_equal(a.samples, b.samples) for a, b in zip(here, there, strict=True))


@pytest.mark.parametrize("rates_hz", [(999,), (16_000, 192_001), (0,), (-1,), ()])
def test_impossible_rates_are_refused(rates_hz: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="1000 to 192000 Hz"):
        LoadOptions(sample_rates_hz=rates_hz)


@pytest.mark.parametrize("rate_hz", [1_000, 22_050, 192_000])
def test_any_rate_between_can_be_had(tmp_path: Path, rate_hz: int) -> None:
    path = write_sound(tmp_path / "a.wav", "pcm_s16le", 3.0, 16_000, 1)
    assert len(joined(blocks(path, (rate_hz,)))) == pytest.approx(3 * rate_hz, rel=0.01)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.floats(0.0, 3.0), st.floats(0.02, 1.5), st.sampled_from([8_000, 22_050, 44_100])
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([0.25, 0.7, 2.0]),
)
def test_blocks_have_no_gap_and_the_rates_agree(
    stretches: list[tuple[float, float, int]], block_s: float
) -> None:
    """Recordings of several rates one after the other, with gaps between them."""
    track = SoundTrack(block_s=block_s, origin_s=0.0, rates_hz=(WHISPER, CLAP))
    found: list[AudioBlock] = []
    start_s = 0.0
    for gap_s, length_s, rate_hz in stretches:
        start_s += gap_s
        for frame in tone(length_s, rate_hz, 1, start_s=start_s):
            found += track.feed(frame)
        start_s += length_s
    found += track.finish()

    ends = {}
    for rate_hz in (WHISPER, CLAP):
        mine = at(found, rate_hz)
        for block, following in pairwise(mine):
            assert len(block.samples) == round(block_s * rate_hz)
            end_s = block.start_s + len(block.samples) / rate_hz
            assert following.start_s == pytest.approx(end_s, abs=1e-6)
        ends[rate_hz] = mine[-1].start_s + len(mine[-1].samples) / rate_hz
    # Each new stretch may be cut or filled up to where its stamp says, by what is no gap yet.
    assert ends[WHISPER] == pytest.approx(ends[CLAP], abs=0.01 + 0.1 * (len(stretches) - 1))


def test_hours_of_nothing_are_held_by_no_one_and_take_no_block() -> None:
    """A recording that was joined from two, an hour apart: a block of each rate, then the next."""
    import tracemalloc

    track = SoundTrack(block_s=30.0, origin_s=0.0, rates_hz=(WHISPER, CLAP))
    found: list[AudioBlock] = []
    frames: list[Any] = [*tone(1.0, WHISPER, 1), *tone(1.0, WHISPER, 1, start_s=3_500.0)]
    tracemalloc.start()
    for frame in frames:
        found += track.feed(frame)
    found += track.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    for rate_hz in (WHISPER, CLAP):
        assert [block.start_s for block in at(found, rate_hz)] == [0.0, 3_500.0]
        assert [len(block.samples) for block in at(found, rate_hz)] == [rate_hz, rate_hz]
    assert track.end_s == pytest.approx(3_501.0)
    assert peak < 16 * 1024**2
