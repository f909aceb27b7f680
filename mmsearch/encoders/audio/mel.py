"""Log-mel spectrograms for CLAP, as transformers' ClapFeatureExtractor computes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mmsearch.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmsearch.types import FloatArray, SampleArray

MelScale = Literal["slaney", "htk"]
FLOOR = 1e-10
"""The least power: -100 dB."""
_BLOCK = 32  # frames at once: they stay in the cache
_PRODUCT_FRAMES = 8
"""Frames in one product: OpenBLAS takes all processors for larger ones, whose threads then wait for
each other (99 ms of processor time a window on two busy processors, not 7)."""
_PADDINGS = ("repeatpad", "repeat", "pad")


@dataclass(frozen=True, slots=True)
class MelSettings:
    """The parameters of spectrograms of `frames` by `mels` levels in dB.

    `mel_scale` slaney also scales each filter to constant energy, as librosa does; htk does not,
    as torchaudio does. `padding` fills a short window: `repeatpad` repeats it as often as it fits
    whole and ends in silence, `repeat` fills all, `pad` is silence alone. `is_fused` marks models
    that also take long clips, which are never passed here.
    """

    sample_rate_hz: int = 48_000
    window_s: float = 10.0
    fft_size: int = 1024
    hop: int = 480
    mels: int = 64
    f_min_hz: float = 50.0
    f_max_hz: float = 14_000.0
    mel_scale: MelScale = "slaney"
    padding: str = "repeatpad"
    is_fused: bool = False

    @classmethod
    def from_extractor(cls, config: Mapping[str, Any]) -> MelSettings:
        """Parses preprocessor_config.json; raises ModelError for unknown values."""
        # transformers keeps both filter banks and takes slaney's for models without fusion.
        truncation = config.get("truncation", "fusion")
        if truncation not in ("fusion", "rand_trunc"):
            raise ModelError(
                f"preprocessor_config.json: truncation {truncation!r} is not known: 'rand_trunc' "
                "(models without fusion) and 'fusion' are"
            )
        padding = config.get("padding", "repeatpad")
        if padding not in _PADDINGS:
            raise ModelError(
                f"preprocessor_config.json: padding {padding!r} is not known: "
                f"{', '.join(_PADDINGS)} are"
            )
        return cls(
            sample_rate_hz=int(config.get("sampling_rate", 48_000)),
            window_s=float(config.get("max_length_s", 10)),
            fft_size=int(config.get("fft_window_size", 1024)),
            hop=int(config.get("hop_length", 480)),
            mels=int(config.get("feature_size", 64)),
            f_min_hz=float(config.get("frequency_min", 0)),
            f_max_hz=float(config.get("frequency_max", 14_000)),
            mel_scale="htk" if truncation == "fusion" else "slaney",
            padding=padding,
            is_fused=truncation == "fusion",
        )

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> MelSettings:
        """Reads the settings of a stored model; raises ModelError for a missing one."""
        try:
            return cls(**{name: settings[name] for name in cls.__dataclass_fields__})
        except KeyError as exc:
            raise ModelError(
                f"the stored model lacks the setting {exc}: remove it and pull it again"
            ) from exc

    def to_settings(self) -> dict[str, Any]:
        """Returns the settings for the card of a stored model."""
        return asdict(self)

    @property
    def samples(self) -> int:
        """The number of samples of a window."""
        return round(self.window_s * self.sample_rate_hz)

    @property
    def frames(self) -> int:
        """The number of spectra of a window."""
        return 1 + self.samples // self.hop


@dataclass(frozen=True)
class MelFrontEnd:
    """Computes the levels of windows. Deterministic, and safe to share between threads."""

    settings: MelSettings

    def compute_features(self, windows: Sequence[SampleArray]) -> FloatArray:
        """Returns (n, 1, frames, mels) float32 in dB, for mono windows; long ones are cut off."""
        shape = (len(windows), 1, self.settings.frames, self.settings.mels)
        levels = np.empty(shape, dtype=np.float32)
        for i, window in enumerate(windows):
            self._write_levels(self.fill_window(window), levels[i, 0])
        return levels

    def fill_window(self, window: SampleArray) -> NDArray[np.float64]:
        """Fills a window to (samples,), as in the model's training."""
        size = self.settings.samples
        filled = np.zeros(size, dtype=np.float64)
        count = min(len(window), size)
        if count == 0:
            return filled
        copies = 1 if self.settings.padding == "pad" else size // count
        filled[: copies * count].reshape(copies, count)[:] = window[:count]
        if self.settings.padding == "repeat":
            filled[copies * count :] = window[: size - copies * count]
        return filled

    def _write_levels(self, samples: NDArray[np.float64], levels: FloatArray) -> None:
        half = self.settings.fft_size // 2
        padded = np.pad(samples, half, mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.settings.fft_size)
        frames = frames[:: self.settings.hop]
        bins = len(self._filters)
        # In float64: NumPy's float32 transform is slower (21 ms a window, not 7), and its rounding
        # shows in quiet bands beside loud ones.
        weighted = np.zeros((_BLOCK, self.settings.fft_size))
        for start in range(0, len(frames), _BLOCK):
            block = frames[start : start + _BLOCK]
            np.multiply(block, self._hann, out=weighted[: len(block)])
            spectra = np.fft.rfft(weighted)[:, :bins]
            power = np.square(spectra.real)
            power += np.square(spectra.imag)
            powers = power.astype(np.float32).reshape(-1, _PRODUCT_FRAMES, bins)
            mels = np.matmul(powers, self._filters).reshape(_BLOCK, -1)
            levels[start : start + _BLOCK] = mels[: len(block)]
        np.maximum(levels, FLOOR, out=levels)
        np.log10(levels, out=levels)
        levels *= 10.0

    @cached_property
    def _hann(self) -> NDArray[np.float64]:
        """A periodic Hann window."""
        turns = np.arange(self.settings.fft_size) / self.settings.fft_size
        return 0.5 - 0.5 * np.cos(2.0 * np.pi * turns)

    @cached_property
    def _filters(self) -> FloatArray:
        """(bins, mels) float32, without the bins above the highest filter."""
        bank = make_mel_filters(self.settings)
        used = int(np.flatnonzero(bank.any(axis=1))[-1]) + 1
        return np.ascontiguousarray(bank[:used], dtype=np.float32)


def make_mel_filters(settings: MelSettings) -> NDArray[np.float64]:
    """Returns (fft bins, mels): triangles at equal distances on the mel scale."""
    low, high = _to_mel(np.array([settings.f_min_hz, settings.f_max_hz]), settings.mel_scale)
    corners = _to_hertz(np.linspace(low, high, settings.mels + 2), settings.mel_scale)
    bins = np.linspace(0, settings.sample_rate_hz // 2, settings.fft_size // 2 + 1)
    widths = np.diff(corners)
    distances = corners[None, :] - bins[:, None]
    falling = -distances[:, :-2] / widths[:-1]
    rising = distances[:, 2:] / widths[1:]
    bank = np.maximum(0.0, np.minimum(falling, rising))
    if settings.mel_scale == "slaney":
        bank *= 2.0 / (corners[2:] - corners[:-2])
    return bank


# Slaney, Auditory Toolbox, 1998: linear up to 1 kHz, 27 steps for each factor of 6.4 above.
_LINEAR_HZ = 200.0 / 3.0
_BREAK_HZ = 1000.0
_STEP = np.log(6.4) / 27.0


def _to_mel(hertz: NDArray[np.float64], scale: MelScale) -> NDArray[np.float64]:
    if scale == "htk":
        return np.asarray(2595.0 * np.log10(1.0 + hertz / 700.0))
    above = np.log(np.maximum(hertz, _BREAK_HZ) / _BREAK_HZ) / _STEP
    return np.asarray(np.minimum(hertz, _BREAK_HZ) / _LINEAR_HZ + above)


def _to_hertz(mels: NDArray[np.float64], scale: MelScale) -> NDArray[np.float64]:
    if scale == "htk":
        return np.asarray(700.0 * (10.0 ** (mels / 2595.0) - 1.0))
    bend = _BREAK_HZ / _LINEAR_HZ
    above = np.exp(np.maximum(mels - bend, 0.0) * _STEP)
    return np.asarray(np.minimum(mels, bend) * _LINEAR_HZ * above)
