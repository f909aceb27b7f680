"""Speech for mmsearch through OpenAI's own package, for checkpoints in its format."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from mmsearch.encoders.base import Context, Utterance, Word
from mmsearch.encoders.speech.utterances import (
    TranscribedSegment,
    assemble_utterances,
    shift_utterance,
)
from mmsearch.encoders.speech.vad import SpeechRegions, measure_level_db
from mmsearch.errors import ConfigError, ModelError, WeightsMismatch, WeightsMissing
from mmsearch.models.presets import ModelSpec
from mmsearch.models.weights import hash_file_once
from mmsearch.types import Provenance, Span, WeightFile


class OpenAiWhisper:
    """A transcriber around a `whisper.Whisper`; `source` is a .pt file."""

    kind = "speech"

    def __init__(self, whisper: Any, model: str, context: Context) -> None:
        self.model = model
        self._whisper = whisper
        self._device = context.device
        self._language = context.language if whisper.is_multilingual else "en"
        if context.language not in (None, *self._languages()):
            listed = ", ".join(self._languages())
            raise ConfigError(f"{model} knows no language {context.language!r}; it knows: {listed}")

    @classmethod
    def describe(cls, spec: ModelSpec, context: Context) -> Provenance:
        path = Path(spec.source).expanduser()
        if path.suffix != ".pt" or not path.is_file():
            raise WeightsMissing(f"openai-whisper needs a file: openai-whisper:/models/tiny.pt, "
                                 f"and there is none called {spec.source!r}")  # fmt: skip
        digest = hash_file_once(path)
        if spec.weights_sha256 not in ("", digest):
            raise WeightsMismatch(f"{path} has sha256 {digest}, and {spec.weights_sha256} is "
                                  f"wanted: bring back the file that was used")  # fmt: skip
        file = WeightFile(path.name, digest, path.stat().st_size)
        return Provenance(f"openai-whisper:{path.stem}", spec.revision, digest, (file,))

    @classmethod
    def load(cls, spec: ModelSpec, context: Context) -> OpenAiWhisper:
        import torch
        import whisper

        named = cls.describe(spec, context).model
        try:  # whisper.load_model could unpickle: whether it does is up to its version
            path = Path(spec.source).expanduser()
            found = torch.load(path, map_location="cpu", weights_only=True)
            network = whisper.Whisper(whisper.ModelDimensions(**found["dims"]))
            network.load_state_dict(found["model_state_dict"])
        except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, EOFError) as exc:
            # Not torch's own words: they tell how to load it all the same.
            raise ModelError(
                f"{path} is no checkpoint of Whisper, or holds more than tensors and is refused "
                f"for that ({type(exc).__name__}): name a .pt file as openai-whisper has them"
            ) from exc
        return cls(network.to(context.device).eval(), named, context)

    def transcribe(
        self, samples: np.ndarray, start_s: float, *, with_words: bool = False
    ) -> list[Utterance]:
        voice = SpeechRegions.detect(samples)
        if not voice.parts:
            return []
        spoken = voice.extract(samples)
        language, probability = self._detected(spoken)
        told = self._whisper.transcribe(
            spoken, language=language, temperature=0.0, condition_on_previous_text=False,
            fp16=self._device != "cpu", word_timestamps=with_words, verbose=None,
        )  # fmt: skip
        heard = []
        for one in told["segments"]:
            span = voice.map_to_original(Span(one["start"], one["end"]))
            words = tuple(
                Word(
                    w["word"].strip(),
                    voice.map_to_original(Span(w["start"], w["end"])),
                    w["probability"],
                )
                for w in one.get("words", ())
            )
            said = Utterance(one["text"].strip(), span, language, words, probability)
            level = measure_level_db(samples[int(span.start_s * 16_000) : int(span.end_s * 16_000)])
            sure = (one["no_speech_prob"], one["avg_logprob"], one["compression_ratio"])
            heard.append(TranscribedSegment(said, *sure, level))
        return [shift_utterance(said, start_s) for said in assemble_utterances(heard)]

    def _languages(self) -> tuple[str, ...]:
        from whisper.tokenizer import LANGUAGES

        return tuple(LANGUAGES) if self._whisper.is_multilingual else ("en",)

    def _detected(self, samples: np.ndarray) -> tuple[str, float]:
        if self._language is not None:
            return self._language, 1.0
        from whisper import log_mel_spectrogram, pad_or_trim

        mel = log_mel_spectrogram(pad_or_trim(samples), n_mels=self._whisper.dims.n_mels)
        _, probabilities = self._whisper.detect_language(mel.to(self._device))
        language = max(probabilities, key=probabilities.get)
        return language, float(probabilities[language])
