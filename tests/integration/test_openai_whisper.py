"""The example plugin for openai-whisper, with a stand-in for that package."""

from __future__ import annotations

import hashlib
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mmsearch import testing
from mmsearch.encoders.base import Context
from mmsearch.encoders.speech.vad import SAMPLE_RATE_HZ, SpeechRegions
from mmsearch.errors import ConfigError, ModelError, WeightsMismatch, WeightsMissing
from mmsearch.models.model_store import ModelStore
from mmsearch.models.presets import ModelSpec
from mmsearch.types import Span
from tests.conftest import ROOT

torch = pytest.importorskip("torch")
EXAMPLE = ROOT / "examples/openai_whisper"
SECOND = SAMPLE_RATE_HZ


@dataclass
class Dimensions:
    n_mels: int = 80
    n_vocab: int = 51865


class FakeWhisper(torch.nn.Module):  # type: ignore[misc]
    """Says one sentence with each call, and that it is German."""

    def __init__(self, dims: Dimensions) -> None:
        super().__init__()
        self.dims = dims
        self.is_multilingual = dims.n_vocab >= 51865
        self.weight = torch.nn.Parameter(torch.zeros(3))
        self.calls: list[dict[str, Any]] = []

    def detect_language(self, _mel: Any) -> tuple[None, dict[str, float]]:
        return None, {"en": 0.2, "de": 0.8}

    def transcribe(self, _samples: np.ndarray, **options: Any) -> dict[str, Any]:
        self.calls.append(options)
        sure = {"no_speech_prob": 0.01, "avg_logprob": -0.2, "compression_ratio": 1.1}
        said = {"start": 1.0, "end": 3.0, "text": " Guten Tag.", **sure}
        if options["word_timestamps"]:
            said["words"] = [
                {"word": " Guten", "start": 1.0, "end": 1.5, "probability": 0.9},
                {"word": " Tag.", "start": 1.5, "end": 3.0, "probability": 0.9},
            ]
        return {"segments": [said], "language": options["language"]}


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Any:
    fake, tokenizer = ModuleType("whisper"), ModuleType("whisper.tokenizer")
    fake.ModelDimensions, fake.Whisper = Dimensions, FakeWhisper  # type: ignore[attr-defined]
    fake.pad_or_trim = lambda samples: samples  # type: ignore[attr-defined]
    fake.log_mel_spectrogram = lambda _samples, n_mels: torch.zeros(n_mels, 3000)  # type: ignore[attr-defined]
    fake.load_model = lambda *_: pytest.fail("it may unpickle")  # type: ignore[attr-defined]
    tokenizer.LANGUAGES = {"en": "english", "de": "german"}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "whisper", fake)
    monkeypatch.setitem(sys.modules, "whisper.tokenizer", tokenizer)
    monkeypatch.syspath_prepend(str(EXAMPLE))
    import mmsearch_openai_whisper  # type: ignore[import-not-found]

    return mmsearch_openai_whisper.OpenAiWhisper


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(store=ModelStore(tmp_path / "store"))


def checkpoint(path: Path, **more: Any) -> ModelSpec:
    state = {"weight": torch.ones(3)}
    torch.save({"dims": {"n_mels": 80}, "model_state_dict": state, **more}, path)
    return ModelSpec("openai-whisper", str(path))


def test_the_entry_point_names_the_class(plugin: Any) -> None:
    written = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())
    (name,) = written["project"]["entry-points"]["mmsearch.encoders"].items()

    assert name == ("openai-whisper", f"{plugin.__module__}:{plugin.__name__}")
    assert plugin.kind == "speech"


def test_the_file_is_known_by_its_hash(plugin: Any, context: Context, tmp_path: Path) -> None:
    spec = checkpoint(tmp_path / "mine.pt")
    digest = hashlib.sha256((tmp_path / "mine.pt").read_bytes()).hexdigest()
    found = plugin.describe(spec, context)

    assert found.model == "openai-whisper:mine"
    assert found.weights_sha256 == digest == found.files[0].sha256
    pinned = ModelSpec("openai-whisper", spec.source, weights_sha256="0" * 64)
    with pytest.raises(WeightsMismatch, match="bring back the file"):
        plugin.load(pinned, context)


@pytest.mark.parametrize("source", ["small", "/none/model.pt", ""])
def test_what_is_no_file_is_told(plugin: Any, context: Context, source: str) -> None:
    with pytest.raises(WeightsMissing, match=r"openai-whisper:/models/tiny\.pt"):
        plugin.describe(ModelSpec("openai-whisper", source), context)


class Harmful:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (pytest.fail, ("code of the checkpoint was run",))


@pytest.mark.parametrize("content", [{"extra": Harmful()}, {"dims": {"unknown": 1}}, {"dims": 1}])
def test_a_file_with_more_or_less_than_tensors_is_refused(
    plugin: Any, context: Context, tmp_path: Path, content: dict[str, Any]
) -> None:
    spec = checkpoint(tmp_path / "bad.pt", **content)

    with pytest.raises(ModelError, match=r"bad\.pt is no checkpoint of Whisper"):
        plugin.load(spec, context)


def test_a_torn_file_is_refused(plugin: Any, context: Context, tmp_path: Path) -> None:
    spec = checkpoint(tmp_path / "torn.pt")
    whole = (tmp_path / "torn.pt").read_bytes()
    for length in (0, 10, len(whole) // 2):
        (tmp_path / "torn.pt").write_bytes(whole[:length])
        with pytest.raises(ModelError, match="is no checkpoint"):
            plugin.load(spec, context)


def test_it_hears_nothing_where_nothing_is_said(
    plugin: Any, context: Context, tmp_path: Path
) -> None:
    testing.check_transcriber(plugin.load(checkpoint(tmp_path / "a.pt"), context))


def test_utterances_have_times_language_and_words(
    plugin: Any, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = ((10 * SECOND, 15 * SECOND),)
    monkeypatch.setattr(SpeechRegions, "detect", classmethod(lambda cls, _samples: cls(parts)))
    transcriber = plugin.load(checkpoint(tmp_path / "a.pt"), context)
    (said,) = transcriber.transcribe(np.ones(20 * SECOND, np.float32), 100.0, with_words=True)

    assert transcriber._whisper.weight.tolist() == [1.0, 1.0, 1.0]
    assert (said.text, said.span) == ("Guten Tag.", Span(111.0, 113.0))
    assert (said.language, said.language_probability) == ("de", pytest.approx(0.8))
    assert [(word.text, word.span.start_s) for word in said.words] == [
        ("Guten", 111.0),
        ("Tag.", 111.5),
    ]


def test_a_language_is_taken_or_refused(plugin: Any, context: Context, tmp_path: Path) -> None:
    store = context.store
    spec = checkpoint(tmp_path / "a.pt")
    assert plugin.load(spec, Context(store=store, language="de"))._language == "de"
    with pytest.raises(ConfigError, match=r"it knows: en, de$"):
        plugin.load(spec, Context(store=store, language="xx"))

    english = checkpoint(tmp_path / "en.pt", dims={"n_vocab": 51864})
    assert plugin.load(english, context)._language == "en"
    with pytest.raises(ConfigError, match=r"it knows: en$"):
        plugin.load(english, Context(store=store, language="de"))
