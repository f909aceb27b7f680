"""Synthetic sounds to test networks with, the same each time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mmsearch.types import SampleArray

COUNT = 64
SHORTEST_S = 1.5
NOTE_S = 0.6


def make_sounds(*, sample_rate_hz: int, window_s: float, count: int = COUNT) -> list[SampleArray]:
    """Returns windows, (n,) float32 each: mixed notes, noises, sweeps and knocks; some short."""
    return [_synthesize_sound(seed, sample_rate_hz, window_s) for seed in range(count)]


def _synthesize_sound(seed: int, rate_hz: int, window_s: float) -> SampleArray:
    random = np.random.default_rng(seed)
    length_s = window_s if seed % 4 else random.uniform(SHORTEST_S, window_s)
    time_s = np.arange(int(length_s * rate_hz)) / rate_hz
    parts = (_synthesize_notes, _synthesize_noise, _synthesize_sweep, _synthesize_knocks)
    first = parts[seed % 4](random, time_s)
    second = parts[int(random.integers(0, 4))](random, time_s)
    mixed = first + random.uniform(0.0, 0.5) * second
    loudness = 10.0 ** random.uniform(-2.5, -0.1)
    samples: SampleArray = (mixed / max(np.abs(mixed).max(), 1e-9) * loudness).astype(np.float32)
    return samples


def _synthesize_notes(random: np.random.Generator, time_s: np.ndarray) -> np.ndarray:
    """Returns decaying notes with overtones, one after the other."""
    sound = np.zeros_like(time_s)
    length = int(np.searchsorted(time_s, NOTE_S))
    for start_s in np.arange(0.0, time_s[-1], random.uniform(0.2, 1.2)):
        start = int(np.searchsorted(time_s, start_s))
        since_s = time_s[: min(length, len(time_s) - start)]
        phase = 2 * np.pi * 55.0 * 2.0 ** random.uniform(0, 5) * since_s
        note = sum(np.sin(phase * overtone) / overtone**1.5 for overtone in (1, 2, 3))
        fading = np.exp(-since_s * random.uniform(3.0, 12.0))
        sound[start : start + len(since_s)] += note * fading
    return sound


def _synthesize_noise(random: np.random.Generator, time_s: np.ndarray) -> np.ndarray:
    """Returns noise of one colour, from rain to a far-off road, that swells."""
    spectrum = np.fft.rfft(random.normal(size=len(time_s)))
    colour = np.maximum(np.arange(len(spectrum)), 1.0) ** -random.uniform(0.0, 1.5)
    swell = 1.0 + random.uniform(0.0, 0.9) * np.sin(time_s * random.uniform(0.5, 20.0))
    noise: np.ndarray = np.fft.irfft(spectrum * colour, len(time_s)) * swell
    return noise


def _synthesize_sweep(random: np.random.Generator, time_s: np.ndarray) -> np.ndarray:
    """Returns a wandering pitch, like a siren, an engine or a bird."""
    low_hz, high_hz = np.sort(random.uniform(60, 6000, 2))
    wander = 0.5 + 0.5 * np.sin(2 * np.pi * random.uniform(0.1, 4.0) * time_s)
    phase = np.cumsum(low_hz + (high_hz - low_hz) * wander) * (time_s[1] - time_s[0])
    sharp: np.ndarray = np.tanh(random.uniform(0.5, 6.0) * np.sin(2 * np.pi * phase))
    return sharp


def _synthesize_knocks(random: np.random.Generator, time_s: np.ndarray) -> np.ndarray:
    """Returns short bursts of noise, like steps, typing or hammering."""
    since_s = time_s % random.uniform(0.08, 1.5)
    knocks: np.ndarray = random.normal(size=len(time_s)) * np.exp(
        -since_s * random.uniform(10, 120)
    )
    return knocks
