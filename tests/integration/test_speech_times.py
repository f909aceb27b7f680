"""A sentence after a pause is found where it begins, whatever the container."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from benchmarks.pauses import CONTAINERS, PausedSpeech, compose, measure_start_errors
from benchmarks.speech import Way, compose_pauses, hear_file
from mmsearch.encoders.base import Utterance
from mmsearch.encoders.speech.transcriber import WhisperTranscriber, open_named_whisper
from mmsearch.encoders.speech.transcription import BatchTranscriber, TranscriptionOptions
from mmsearch.encoders.speech.utterances import assemble_utterances

MAX_PAUSE_S = 2.0


@pytest.fixture(scope="module")
def transcriber() -> WhisperTranscriber:
    return WhisperTranscriber(open_named_whisper(threads=2))


@pytest.fixture(scope="module")
def speech(data: Path) -> PausedSpeech:
    return compose_pauses(count=6, pauses_s=(2.0, 20.0), seed=4)


def check(path: Path, speech: PausedSpeech, way: Way) -> None:
    heard = [said.span for said in hear_file(path, way)]
    errors = measure_start_errors(speech.said, heard)

    assert median(errors) <= 0.3, errors
    assert max(errors) <= 1.0, errors
    end_s = len(speech.samples) / 16_000
    for span in heard:
        assert 0.0 <= span.start_s < span.end_s <= end_s + 0.2
        for (_, before), (_, after) in pairwise(speech.said):
            is_across = span.start_s < before.end_s - 0.5 and span.end_s > after.start_s + 0.5
            assert not is_across, span


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTAINERS)
def test_sentences_after_pauses_begin_where_they_are_said(
    name: str, speech: PausedSpeech, transcriber: WhisperTranscriber, tmp_path: Path
) -> None:
    CONTAINERS[name](tmp_path / name, speech.samples)
    check(tmp_path / name, speech, lambda samples: transcriber.transcribe(samples, 0.0))


@pytest.mark.slow
def test_batches_have_the_same_starts(
    speech: PausedSpeech, transcriber: WhisperTranscriber, tmp_path: Path
) -> None:
    batches = BatchTranscriber(4)
    CONTAINERS["sound.wav"](tmp_path / "sound.wav", speech.samples)

    def hear(samples: np.ndarray) -> list[Utterance]:
        segments = batches(transcriber._whisper, samples, TranscriptionOptions())
        return assemble_utterances(segments)

    check(tmp_path / "sound.wav", speech, hear)


def test_a_construction_has_its_sentences_where_it_says(speech: PausedSpeech) -> None:
    assert len(speech.said) == 6
    for (_, before), (_, after) in pairwise(speech.said):
        assert after.start_s - before.end_s >= MAX_PAUSE_S - 0.01
    _, last = speech.said[-1]
    assert last.end_s == pytest.approx(len(speech.samples) / 16_000)
    assert np.abs(speech.samples[int(last.start_s * 16_000) :]).max() > 0.1
    with pytest.raises(ValueError, match="no sentences"):
        compose([])
