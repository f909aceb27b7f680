"""The spectrogram of CLAP is the one that transformers computes, for any window."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from mmsearch.encoders.audio.mel import FLOOR, MelFrontEnd, MelSettings, make_mel_filters
from mmsearch.errors import ModelError
from mmsearch.models.conversion.sample_sounds import make_sounds

RATE_HZ = 48_000
FLOOR_DB = 10 * np.log10(FLOOR)


def extractor_config(**changes: object) -> dict[str, object]:
    """As laion/clap-htsat-unfused has it, with changes."""
    return {
        "feature_extractor_type": "ClapFeatureExtractor",
        "feature_size": 64,
        "fft_window_size": 1024,
        "frequency_max": 14_000,
        "frequency_min": 50,
        "hop_length": 480,
        "max_length_s": 10,
        "padding": "repeatpad",
        "sampling_rate": RATE_HZ,
        "truncation": "rand_trunc",
        **changes,
    }


def decoded(path: Path) -> np.ndarray:
    """(n,) float32 mono at 48 kHz."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("fltp", "mono", RATE_HZ)
        frames = [
            part.to_ndarray()[0]
            for frame in container.decode(audio=0)
            for part in resampler.resample(frame)
        ]
    return np.concatenate(frames)


def made() -> Iterator[np.ndarray]:
    """Windows that are easy to get wrong, then some sounds."""
    random = np.random.default_rng(0)
    time_s = np.arange(10 * RATE_HZ) / RATE_HZ
    yield np.zeros(10 * RATE_HZ, dtype=np.float32)
    yield np.sin(2 * np.pi * 440 * time_s).astype(np.float32)
    yield (random.normal(size=10 * RATE_HZ) * 1e-4).astype(np.float32)
    yield random.normal(size=700).astype(np.float32)
    yield random.normal(size=1).astype(np.float32)
    yield random.normal(size=5 * RATE_HZ + 1).astype(np.float32)
    yield from make_sounds(sample_rate_hz=RATE_HZ, window_s=10.0, count=4)


def assert_same_as_extractor(
    windows: list[np.ndarray], *, truncation: str, padding: str = "repeatpad"
) -> None:
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = extractor_config(truncation=truncation, padding=padding)
    extractor = transformers.ClapFeatureExtractor(**config)
    front_end = MelFrontEnd(MelSettings.from_extractor(json.loads(extractor.to_json_string())))

    found = front_end.compute_features(windows)

    for window, levels in zip(windows, found, strict=True):
        wanted = np.asarray(extractor(window, sampling_rate=RATE_HZ)["input_features"])[0]
        assert wanted.shape[0] == (4 if truncation == "fusion" else 1)
        for channel in wanted:  # of a fused model all four are the same
            assert np.abs(channel - levels[0]).max() <= 0.001


@pytest.mark.slow
@pytest.mark.parametrize(
    ("truncation", "padding"),
    [
        ("rand_trunc", "repeatpad"),
        ("fusion", "repeatpad"),
        ("rand_trunc", "repeat"),
        ("fusion", "pad"),
    ],
)
def test_levels_are_those_of_the_feature_extractor(truncation: str, padding: str) -> None:
    assert_same_as_extractor(list(made()), truncation=truncation, padding=padding)


@pytest.mark.slow
@pytest.mark.parametrize("truncation", ["rand_trunc", "fusion"])
def test_levels_of_real_sounds_are_those_of_the_feature_extractor(
    data: Path, truncation: str
) -> None:
    recordings = [decoded(path) for path in sorted((data / "sounds").glob("*.flac"))]
    windows = [part for one in recordings for part in (one[: 10 * RATE_HZ], one[:130_001])]

    assert_same_as_extractor(windows, truncation=truncation)


def test_a_window_takes_no_room_but_its_own() -> None:
    front_end = MelFrontEnd(MelSettings())
    windows = list(made())

    together = front_end.compute_features(windows)

    assert together.shape == (len(windows), 1, 1001, 64)
    assert together.dtype == np.float32
    for window, levels in zip(windows, together, strict=True):
        assert np.array_equal(front_end.compute_features([window])[0], levels)


def test_silence_and_nothing_at_all_are_the_floor() -> None:
    levels = MelFrontEnd(MelSettings()).compute_features(
        [np.zeros(RATE_HZ, dtype=np.float32), np.zeros(0, dtype=np.float32)]
    )

    assert np.allclose(levels, FLOOR_DB)


def test_what_is_beyond_a_window_is_not_heard() -> None:
    front_end = MelFrontEnd(MelSettings())
    long = np.random.default_rng(1).normal(size=12 * RATE_HZ).astype(np.float32)

    levels = front_end.compute_features([long, long[: 10 * RATE_HZ]])

    assert np.array_equal(levels[0], levels[1])


def test_a_short_window_is_repeated_whole_and_ends_in_silence() -> None:
    front_end = MelFrontEnd(MelSettings())
    noise = np.random.default_rng(2).normal(size=3 * RATE_HZ).astype(np.float32)
    filled = np.concatenate([noise, noise, noise, np.zeros(RATE_HZ, dtype=np.float32)])

    levels = front_end.compute_features([noise, filled])

    assert np.array_equal(levels[0], levels[1])
    assert np.allclose(levels[0, 0, 905:], FLOOR_DB)


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_each_filter_is_a_triangle_between_its_neighbours(scale: str) -> None:
    bank = make_mel_filters(MelSettings(mel_scale=scale))  # type: ignore[arg-type]

    peaks = bank.argmax(axis=0)
    assert bank.shape == (513, 64)
    assert (bank >= 0).all()
    assert (np.diff(peaks) >= 0).all()
    assert peaks[0] * RATE_HZ / 1024 > 50
    assert peaks[-1] * RATE_HZ / 1024 < 14_000


def test_settings_survive_a_card() -> None:
    settings = MelSettings.from_extractor(extractor_config(truncation="fusion"))

    assert settings.is_fused
    assert settings.mel_scale == "htk"
    assert MelSettings.from_settings(json.loads(json.dumps(settings.to_settings()))) == settings


@pytest.mark.parametrize("changes", [{"truncation": "middle"}, {"padding": "mirror"}])
def test_what_is_not_known_is_refused_and_named(changes: dict[str, object]) -> None:
    with pytest.raises(ModelError, match=next(iter(changes.values()))):  # type: ignore[call-overload]
        MelSettings.from_extractor(extractor_config(**changes))


def test_a_card_without_a_setting_is_refused() -> None:
    settings = MelSettings().to_settings()
    del settings["hop"]

    with pytest.raises(ModelError, match="'hop'"):
        MelSettings.from_settings(settings)
