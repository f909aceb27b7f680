"""The speech model: where it runs, which languages it takes, and what it does with full memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mmsearch.encoders.speech import transcriber as speech
from mmsearch.encoders.speech import transcription
from mmsearch.encoders.speech.transcriber import (
    PATTERNS,
    REPOSITORIES,
    WhisperTranscriber,
    choose_compute_type,
    find_packaged_folder,
    list_languages,
    open_named_whisper,
    open_whisper,
)
from mmsearch.encoders.speech.transcription import BatchTranscriber, TranscriptionOptions
from mmsearch.encoders.speech.vad import SAMPLE_RATE_HZ, SpeechRegions
from mmsearch.errors import ConfigError, ModelError, WeightsMissing
from mmsearch.runtime.device import Device
from mmsearch.types import Span

FULL = RuntimeError("CUDA failed with error out of memory")
CPU, GPU = Device("cpu"), Device("cuda", 1)


class FakeWhisper:
    """A multilingual model of the first generation: it has no token for yue."""

    supported_languages = ("en", "de", "yue")

    def __init__(self, *, is_multilingual: bool = True) -> None:
        self.model = SimpleNamespace(is_multilingual=is_multilingual)
        self.hf_tokenizer = SimpleNamespace(token_to_id={"<|en|>": 1, "<|de|>": 2}.get)
        if not is_multilingual:
            self.supported_languages = ("en",)
        self.calls: list[dict[str, Any]] = []

    def transcribe(self, _samples: np.ndarray, **options: Any) -> tuple[list[Any], Any]:
        self.calls.append(options)
        told = SimpleNamespace(language=options["language"] or "de", language_probability=0.75)
        return [segment(0.0, 2.0, "Guten Tag.")], told


def segment(start_s: float, end_s: float, text: str, *, seek: int = 0, words: Any = None) -> Any:
    from faster_whisper.transcribe import Segment

    return Segment(
        id=1, seek=seek, start=start_s, end=end_s, text=text, tokens=[], avg_logprob=-0.2,
        compression_ratio=1.0, no_speech_prob=0.01, words=words, temperature=0.0,
    )  # fmt: skip


LOUD = np.full(4 * SAMPLE_RATE_HZ, 0.1, dtype=np.float32)


@pytest.fixture
def loud(monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Four seconds that are all voice."""
    everywhere = ((0, len(LOUD)),)
    monkeypatch.setattr(
        SpeechRegions, "detect", classmethod(lambda cls, _samples: cls(everywhere, everywhere))
    )
    return LOUD


# Languages


def test_a_language_that_was_detected_comes_with_its_probability(loud: np.ndarray) -> None:
    (said,) = WhisperTranscriber(FakeWhisper()).transcribe(loud, 7.0)

    assert (said.language, said.language_probability) == ("de", 0.75)
    assert said.span == Span(7.0, 9.0)


def test_a_language_that_is_given_is_not_detected(loud: np.ndarray) -> None:
    whisper = FakeWhisper()
    WhisperTranscriber(whisper, language=" EN ").transcribe(loud, 0.0)

    assert whisper.calls[0]["language"] == "en"


@pytest.mark.parametrize("language", ["english", "yue", "", "xx"])
def test_a_language_that_the_model_does_not_know_is_refused_with_those_it_does(
    language: str,
) -> None:
    with pytest.raises(ConfigError, match=r"there are: en, de$"):
        WhisperTranscriber(FakeWhisper(), language=language)


def test_a_model_for_english_takes_no_other_language() -> None:
    english = FakeWhisper(is_multilingual=False)

    assert list_languages(english) == ("en",)
    WhisperTranscriber(english, language="en")
    with pytest.raises(ConfigError, match=r"tiny\.en.*English only.*--speech-model small"):
        WhisperTranscriber(english, language="de")


# Words


def test_words_come_on_demand_only(loud: np.ndarray) -> None:
    from faster_whisper.transcribe import Word

    class Wordy(FakeWhisper):
        def transcribe(self, samples: np.ndarray, **options: Any) -> tuple[list[Any], Any]:
            segments, told = super().transcribe(samples, **options)
            segments[0].words = [Word(0.5, 1.0, " Guten", 0.9), Word(1.0, 2.0, " Tag.", 0.8)]
            return segments, told

    transcriber = WhisperTranscriber(Wordy())
    (plain,), (worded,) = (
        transcriber.transcribe(loud, 5.0, with_words=with_words) for with_words in (False, True)
    )

    assert plain.words == ()
    assert plain.span == worded.span == Span(5.5, 7.0)
    assert [word.text for word in worded.words] == ["Guten", "Tag."]
    assert [word.span for word in worded.words] == [Span(5.5, 6.0), Span(6.0, 7.0)]
    assert worded.words[0].probability == 0.9


def speak(words: str, *spans: tuple[float, float]) -> Any:
    """A segment that lasts from its first word to its last."""
    from faster_whisper.transcribe import Word

    said = [Word(*span, f" {text}", 0.9) for text, span in zip(words.split(), spans, strict=True)]
    return segment(spans[0][0], spans[-1][1], f" {words}", words=said)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_segment_over_a_pause_is_an_utterance_on_either_side(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten seconds of voice, forty of nothing, and ten of voice again, drawn together."""
    import faster_whisper

    second = SAMPLE_RATE_HZ
    voices = ((second, 10 * second), (50 * second, 60 * second))
    regions = SpeechRegions.from_voices(voices, 61 * second)
    monkeypatch.setattr(SpeechRegions, "detect", classmethod(lambda _cls, _samples: regions))
    # The second voice begins at 10.2 s of the parts; the model draws "Then" out to both sides.
    heard = speak(
        "It rained, Then it snowed.", (0.4, 1.0), (1.0, 9.6), (9.6, 10.4), (10.4, 11), (11, 20)
    )
    told = SimpleNamespace(language="en", language_probability=1.0)
    whisper = FakeWhisper()
    for owner in (whisper, faster_whisper.BatchedInferencePipeline):
        monkeypatch.setattr(owner, "transcribe", lambda *_a, **_k: ([heard], told), raising=False)

    utterances = WhisperTranscriber(whisper, device=device).transcribe(
        np.zeros(61 * second, np.float32), 100.0
    )

    assert [said.text for said in utterances] == ["It rained,", "Then it snowed."]
    assert utterances[0].span.start_s == pytest.approx(101.0)
    assert utterances[0].span.end_s == pytest.approx(110.0)
    assert utterances[1].span.start_s == pytest.approx(150.0)


# Devices


def test_the_arithmetic_is_what_the_device_supports() -> None:
    assert choose_compute_type(CPU, {"int8", "int8_float32", "float32"}) == "int8"
    assert choose_compute_type(CPU, {"float32"}) == "float32"
    assert choose_compute_type(GPU, {"float16", "int8_float16", "int8", "float32"}) == "float16"
    assert choose_compute_type(GPU, {"int8_float32", "int8", "float32"}) == "int8_float32"
    assert choose_compute_type(GPU, {"float32"}) == "float32"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What faster-whisper was asked to open, on a machine with a GPU."""
    import ctranslate2
    import faster_whisper

    asked: dict[str, Any] = {}
    monkeypatch.setattr(speech, "load_cublas", lambda: "")
    monkeypatch.setattr(
        ctranslate2, "get_supported_compute_types", lambda *_place: {"float16", "float32"}
    )
    monkeypatch.setattr(
        faster_whisper, "WhisperModel", lambda folder, **options: asked.update(options, at=folder)
    )
    return asked


def test_a_gpu_is_taken_by_its_number(opened: dict[str, Any]) -> None:
    open_whisper(find_packaged_folder(), device="cuda:1", threads=3)

    assert opened == {
        "at": str(find_packaged_folder()),
        "device": "cuda",
        "device_index": 1,
        "compute_type": "float16",
        "cpu_threads": 3,
        "local_files_only": True,
    }


def test_a_gpu_without_its_libraries_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "load_cublas", lambda: "Whisper needs cuBLAS 12: pip install it")

    with pytest.raises(ModelError, match=r"pip install it; or use --device cpu"):
        open_whisper(find_packaged_folder(), device="cuda")


def test_a_gpu_that_cannot_take_the_model_is_told(
    opened: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import faster_whisper

    def refuse(_folder: str, **_options: Any) -> None:
        raise FULL

    monkeypatch.setattr(faster_whisper, "WhisperModel", refuse)
    with pytest.raises(ModelError, match=r"cuda:0.*out of memory.*smaller --speech-model"):
        open_whisper(find_packaged_folder(), device="cuda")


@pytest.mark.parametrize("left", [(), ("model.bin",), ("tokenizer.json",)])
def test_a_folder_without_a_whole_model_never_asks_the_network(
    left: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("it asked the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for name in left:
        (tmp_path / name).write_bytes(b"{}")

    with pytest.raises(WeightsMissing, match=r"holds no CTranslate2 Whisper model.*models pull"):
        open_named_whisper(str(tmp_path))


def test_a_model_that_is_broken_is_told(tmp_path: Path) -> None:
    for file in find_packaged_folder().iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes()[:5000])

    with pytest.raises(WeightsMissing, match=r"could not be loaded on cpu"):
        open_whisper(tmp_path)


# Batches


class FakePipeline:
    """Memory for `room` windows. In each it hears its number; the first is cut off once."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.asked: list[list[dict[str, float]]] = []
        self.languages: list[str | None] = []

    def __call__(self, _whisper: Any) -> FakePipeline:
        return self

    def transcribe(self, _samples: np.ndarray, **options: Any) -> tuple[Any, Any]:
        clips = options["clip_timestamps"]
        assert options["batch_size"] == len(clips)
        assert options["without_timestamps"] is False
        self.asked.append(clips)
        self.languages.append(options["language"])
        if len(clips) > self.room:
            raise FULL
        told = SimpleNamespace(language="de", language_probability=0.9)
        return (part for clip in clips for part in self._segments(clip)), told

    def _segments(self, clip: dict[str, float]) -> list[Any]:
        seek = int(clip["start"] * 100)
        end_s = 20.0 if clip["start"] == 0.0 else clip["end"] + 3.0
        return [
            segment(clip["start"], end_s, f"From {clip['start']:.0f}.", seek=seek),
            segment(clip["end"] + 1.0, clip["end"] + 2.0, "Invented.", seek=seek),
        ]


@pytest.fixture
def five_windows(monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Five parts of 20 s with a pause of 10 s before each."""
    second = SAMPLE_RATE_HZ
    parts = tuple(((30 * i + 10) * second, (30 * i + 30) * second) for i in range(5))
    monkeypatch.setattr(SpeechRegions, "detect", classmethod(lambda cls, _samples: cls(parts)))
    return np.zeros(150 * second, dtype=np.float32)


def pipeline(monkeypatch: pytest.MonkeyPatch, *, room: int) -> FakePipeline:
    import faster_whisper

    fake = FakePipeline(room)
    monkeypatch.setattr(faster_whisper, "BatchedInferencePipeline", fake)
    return fake


def test_batches_give_times_of_the_stretch(
    five_windows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = pipeline(monkeypatch, room=16)
    heard = BatchTranscriber()(FakeWhisper(), five_windows, TranscriptionOptions())

    assert len(fake.asked[0]) == 5
    spans = [one.utterance.span for one in heard]
    assert spans == [Span(30.0 * i + 10, 30.0 * i + 30) for i in range(5)]
    assert {one.utterance.language for one in heard} == {"de"}
    assert {one.utterance.language_probability for one in heard} == {0.9}


def test_full_memory_halves_the_batch_for_good_and_loses_nothing(
    five_windows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = pipeline(monkeypatch, room=1)
    listen = BatchTranscriber(16)
    heard = listen(FakeWhisper(), five_windows, TranscriptionOptions())

    assert [len(clips) for clips in fake.asked] == [5, 2, 1, 1, 1, 1, 1]
    assert listen.size == 1
    assert [one.utterance.text for one in heard] == [f"From {20 * i}." for i in range(5)]
    # What was detected first holds for the rest of the stretch.
    assert fake.languages == [None, None, None, "de", "de", "de", "de"]


def test_memory_for_not_even_one_window_is_told(
    five_windows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline(monkeypatch, room=0)

    with pytest.raises(ModelError, match=r"too little free memory.*--device cpu"):
        BatchTranscriber()(FakeWhisper(), five_windows, TranscriptionOptions())


def test_other_errors_are_not_taken_for_full_memory(
    five_windows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    import faster_whisper

    class Broken(FakePipeline):
        def transcribe(self, _samples: np.ndarray, **_options: Any) -> tuple[Any, Any]:
            raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(faster_whisper, "BatchedInferencePipeline", Broken(1))
    with pytest.raises(RuntimeError, match="no kernel image"):
        BatchTranscriber()(FakeWhisper(), five_windows, TranscriptionOptions())


def test_what_a_window_cuts_off_is_heard_in_a_further_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = ((0, 28 * SAMPLE_RATE_HZ),)
    monkeypatch.setattr(SpeechRegions, "detect", classmethod(lambda cls, _samples: cls(parts)))
    fake = pipeline(monkeypatch, room=16)

    heard = BatchTranscriber()(
        FakeWhisper(), np.zeros(28 * SAMPLE_RATE_HZ, np.float32), TranscriptionOptions()
    )

    assert fake.asked == [[{"start": 0.0, "end": 28.0}], [{"start": 20.0, "end": 28.0}]]
    assert [one.utterance.span for one in heard] == [Span(0.0, 20.0), Span(20.0, 28.0)]


def test_a_stretch_without_speech_asks_no_model() -> None:
    silence = np.zeros(SAMPLE_RATE_HZ, np.float32)
    assert BatchTranscriber()(None, silence, TranscriptionOptions()) == []


@pytest.mark.slow
def test_batches_hear_what_one_by_one_hears(sample_data: Path) -> None:
    from faster_whisper import decode_audio

    whisper = open_named_whisper(threads=2)
    samples = decode_audio(str(sample_data / "recordings" / "voice_memo_03.flac"))
    listening = TranscriptionOptions()
    one = transcription.transcribe_sequentially(whisper, samples, listening)
    many = BatchTranscriber(4)(whisper, samples, listening)

    said = [" ".join(part.utterance.text for part in heard).lower() for heard in (one, many)]
    assert said[0] == said[1]
    for part in many:
        texts = [word.text for word in part.utterance.words]
        assert " ".join(texts) == part.utterance.text
        assert all(0 <= word.probability <= 1 for word in part.utterance.words)
        assert all(0 <= w.span.start_s <= w.span.end_s <= 60 for w in part.utterance.words)


# Facts about faster-whisper


def test_sizes_and_patterns_are_those_of_faster_whisper() -> None:
    import inspect

    from faster_whisper import utils

    assert {size: one.name for size, one in REPOSITORIES.items()} == utils._MODELS
    assert {one.licence for one in REPOSITORIES.values()} == {"MIT"}
    source = inspect.getsource(utils.download_model)
    assert all(f'"{pattern}"' in source for pattern in PATTERNS)


def test_nothing_heavy_is_imported_before_a_model_is_opened() -> None:
    code = (
        "import sys; import mmsearch.encoders.speech.transcriber;"
        "sys.exit(any(name in sys.modules for name in ('faster_whisper', 'ctranslate2', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
