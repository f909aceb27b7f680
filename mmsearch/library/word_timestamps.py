"""Computes word timestamps of a moment, for one hit at a time and never while indexing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.errors import MediaError, QueryError
from mmsearch.media.base import AudioBlock, LoadOptions
from mmsearch.media.isolation import Decoder
from mmsearch.sound_segments import SPEECH_RATE_HZ
from mmsearch.types import Span

if TYPE_CHECKING:
    from mmsearch.encoders.base import Transcriber, Word
    from mmsearch.types import SampleArray

MARGIN_S = 0.5
"""Sound that is heard before and after, so that no word is cut."""


def transcribe_words(path: Path, span: Span, transcriber: Transcriber) -> tuple[Word, ...]:
    """Returns the words spoken in a file within a span, each with its span.

    Raises QueryError where the file cannot be read any more.
    """
    begin_s = max(0.0, span.start_s - MARGIN_S)
    try:
        samples, start_s = _read_span(path, Span(begin_s, span.end_s + MARGIN_S))
    except MediaError as exc:
        raise QueryError(f"{path} cannot be listened to: {exc.reason}") from exc
    heard = transcriber.transcribe(samples, start_s, with_words=True)
    return tuple(word for said in heard for word in said.words if word.span.overlap_s(span) > 0)


def _read_span(path: Path, span: Span) -> tuple[SampleArray, float]:
    """Returns (n,) float32 at 16 kHz of `span`, and its start in the file."""
    options = LoadOptions(sample_rates_hz=(SPEECH_RATE_HZ,), only=span, track="sound")
    parts: list[SampleArray] = []
    first_s = span.start_s
    with Decoder() as decoder:
        for content in decoder.load(path, options):
            if not isinstance(content, AudioBlock):
                continue
            begin = round((span.start_s - content.start_s) * SPEECH_RATE_HZ)
            end = round((span.end_s - content.start_s) * SPEECH_RATE_HZ)
            if end <= 0:
                break
            part = content.samples[max(0, begin) : end]
            if len(part):
                if not parts:
                    first_s = max(span.start_s, content.start_s)
                parts.append(part)
    joined = np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)
    return joined, first_s
