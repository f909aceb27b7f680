"""Sensor traces for mmsearch: finds the stretches of a 1-D stream that look like another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mmsearch.encoders.base import Context
from mmsearch.errors import DecodeError
from mmsearch.media.base import Content, Described, LoadOptions, Reading
from mmsearch.models.presets import ModelSpec
from mmsearch.types import Metadata, Modality, Place, Space, Span

NAME, RATE_HZ, WINDOW = "trace", 100.0, 256
RECIPE = hashlib.sha256(b"log spectrum, version 1").hexdigest()


class TraceLoader:
    """Text files whose first line is `# trace`, then one number a line, taken at 100 Hz."""

    name = NAME

    def claims(self, path: Path, head: bytes) -> bool:
        return head.startswith(b"# trace")

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()[1:]
            values = np.array([float(line) for line in lines], dtype=np.float32)
        except (ValueError, OSError) as exc:
            raise DecodeError(path, f"no trace: {exc}") from exc
        yield Described(Modality.OTHER, Metadata(NAME, duration_s=len(values) / RATE_HZ))
        for start in range(0, len(values), WINDOW // 2):
            end = min(start + WINDOW, len(values))
            place = Place(span=Span(start / RATE_HZ, end / RATE_HZ))
            yield Reading(values[start:end], place, encoder=NAME)


class SpectrumEncoder:
    """The shape of the spectrum, whatever the level."""

    kind = "other"
    space = Space(NAME, WINDOW // 2 + 1, "cosine", "log spectrum", "1", RECIPE)

    @classmethod
    def describe(cls, spec: ModelSpec, context: Context) -> Space:
        return cls.space

    @classmethod
    def load(cls, spec: ModelSpec, context: Context) -> SpectrumEncoder:
        return cls()

    def encode(self, readings: Sequence[np.ndarray]) -> np.ndarray:
        spectra = [np.fft.rfft(one - one.mean(), n=WINDOW) for one in readings]
        rows = np.log1p(np.abs(spectra)) + 1e-6
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
