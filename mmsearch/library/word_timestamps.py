"""Computes word timestamps of a moment, for one hit at a time and never while indexing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.errors import MediaError, QueryError
from mmsearch.media.base import AudioBlock, LoadOptions
from mmsearch.media.isolation import Decoder
from mmsearch.segmentation.sound_segments import SPEECH_RATE_HZ
from mmsearch.types import Modality, Span

if TYPE_CHECKING:
    from mmsearch.encoders.base import Transcriber, Word
    from mmsearch.types import Hit, SampleArray

MARGIN_S = 0.5
"""Sound that is heard before and after, so that no word is cut."""


def transcribe_words(hit: Hit, load_transcriber: Callable[[], Transcriber]) -> tuple[Word, ...]:
    """Returns the words spoken in the best moment of a hit, each with its span.

    Empty for what has no sound. Raises QueryError where the file cannot be read any more.
    """
    span, path = hit.segment.span, Path(hit.path)
    if span is None or hit.kind not in (Modality.AUDIO, Modality.VIDEO):
        return ()
    around = Span(max(0.0, span.start_s - MARGIN_S), span.end_s + MARGIN_S)
    try:
        samples, start_s = _read_span(path, around, hit.segment.place.track)
    except MediaError as exc:
        raise QueryError(f"{path} cannot be listened to: {exc.reason}") from exc
    heard = load_transcriber().transcribe(samples, start_s, with_words=True)
    return tuple(word for said in heard for word in said.words if word.span.overlap_s(span) > 0)


def _read_span(path: Path, span: Span, sound_track: int | None) -> tuple[SampleArray, float]:
    """Returns (n,) float32 at 16 kHz of `span`, and its start in the file."""
    options = LoadOptions(
        sample_rates_hz=(SPEECH_RATE_HZ,), only=span, track="sound", sound_track=sound_track
    )
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
