"""Converts CLAP models of transformers (`ClapModel`) to two networks."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from mmsearch.encoders.audio.mel import MelFrontEnd, MelSettings
from mmsearch.encoders.text_batching import pad_token_rows
from mmsearch.errors import ModelError
from mmsearch.models.conversion.hub_folders import load_pretrained, read_json
from mmsearch.models.conversion.sample_sounds import make_sounds
from mmsearch.models.conversion.towers import (
    REFERENCE_COUNT,
    OnProgress,
    TowerSource,
    convert_tower,
    make_text_source,
    scale_progress,
)
from mmsearch.models.conversion.vocabulary import convert_tokenizer, find_special_tokens

if TYPE_CHECKING:
    from mmsearch.encoders.text.text_tokens import StoredTokenizer
    from mmsearch.types import FloatArray

MAX_TOKENS = 77
"""LAION trained CLAP on texts of at most so many tokens, special ones included."""
_MAKERS = (
    "a dog", "rain", "a car horn", "a piano", "an electric guitar", "a crowd", "waves", "a door",
)  # fmt: skip
_MANNERS = (
    "This is a sound of {}.", "{} far away", "{} and people speaking", "loud {} in a large hall",
    "{}", "{}, then silence", "a recording of {} in the wind", "music that has {} in it, recorded "
    "with an old microphone, with noise and the hum of an engine behind it",
)  # fmt: skip


def convert(
    source: Path, target: Path, *, settings: Mapping[str, str], on_progress: OnProgress
) -> dict[str, Any]:
    """Writes the networks and the tokenizer into `target` and returns the parts of the card.

    `source` has config.json, safetensors, preprocessor_config.json and a tokenizer. There are no
    settings. Raises ModelError for another folder, or one with its weights as a pickle.
    """
    if settings:
        raise ModelError(f"a CLAP model has no setting {min(settings)!r}: leave it out")
    on_progress("loading the model", 0.0)
    model, mel = load(source)
    tokens = convert_tokenizer(source, target)
    pad_id = int(model.config.text_config.pad_token_id or 0)
    max_tokens = min(MAX_TOKENS, int(model.config.text_config.max_position_embeddings) - pad_id - 1)
    on_progress("listening with torch", 0.05)
    audio = _prepare_audio_tower(model, mel)
    text = _prepare_text_tower(model, tokens, pad_id=pad_id, max_tokens=max_tokens)
    towers = {
        "audio": convert_tower(audio, target, scale_progress(on_progress, 0.15, 0.6)),
        "text": convert_tower(text, target, scale_progress(on_progress, 0.6, 1.0)),
    }
    return {
        "dim": int(model.config.projection_dim),
        "towers": towers,
        "settings": {
            **mel.to_settings(),
            "max_tokens": max_tokens,
            "pad_id": pad_id,
            "end_tokens": len(find_special_tokens(tokens.full_tokenizer)[1]),
            "logit_scale_audio": float(model.logit_scale_a.detach().exp()),
            "logit_scale_text": float(model.logit_scale_t.detach().exp()),
        },
        "made_with": {name: version(name) for name in ("torch", "transformers", "onnxruntime")},
    }


def load(source: Path) -> tuple[Any, MelSettings]:
    """Loads the `ClapModel` of a folder in float32, and its mel settings; raises ModelError."""
    from transformers import ClapModel

    mel = read_mel_settings(source)
    model = load_pretrained(source, ClapModel.from_pretrained).eval()
    audio = model.config.audio_config
    if audio.num_mel_bins != mel.mels or bool(audio.enable_fusion) != mel.is_fused:
        raise ModelError(
            f"{source}: config.json (enable_fusion {audio.enable_fusion}, {audio.num_mel_bins} "
            f"mels) and the feature extractor (truncation of a {'' if mel.is_fused else 'non-'}"
            f"fused model, {mel.mels} mels) are not of the same model: fetch both from one place"
        )
    return model, mel


def read_mel_settings(source: Path) -> MelSettings:
    """Reads preprocessor_config.json, or processor_config.json, as transformers 5 writes it."""
    extractor = read_json(source, "preprocessor_config.json")
    if extractor is None:
        extractor = (read_json(source, "processor_config.json") or {}).get("feature_extractor")
    if extractor is None:
        raise ModelError(
            f"{source} has no preprocessor_config.json, which says what the model hears: fetch the "
            f"whole model"
        )
    return MelSettings.from_extractor(extractor)


def load_tower(source: Path, name: str) -> torch.nn.Module:
    """Loads the tower `audio` or `text` with the inputs of its network; raises ModelError."""
    model, mel = load(source)
    return (
        build_audio_tower(model, frames=mel.frames) if name == "audio" else build_text_tower(model)
    )


def build_audio_tower(model: Any, *, frames: int) -> torch.nn.Module:
    """Builds a module from `features` (n, 1, frames, mels) in dB to (n, dim) unit rows.

    The same as `get_audio_features` with `is_longer` False. For a fused model the feature extractor
    stacks the same spectrogram four times, and marks one clip of each batch, drawn at random, as
    longer than 10 s, on which the vectors would depend. All but the first of the four are used in
    longer clips only, so they are not computed.

    Frames are stretched to the width of the network by a product with a fixed matrix: ONNX
    Runtime's bicubic Resize took 8 % of the time, this takes 1 %.
    """

    class AudioTower(torch.nn.Module):  # type: ignore[misc]  # torch is not looked into
        def __init__(self) -> None:
            super().__init__()
            self.encoder = model.audio_model.audio_encoder
            self.projection = model.audio_projection
            width = self.encoder.spec_size * self.encoder.freq_ratio
            identity = torch.eye(frames)[None, None]
            stretch = functional.interpolate(
                identity, (width, frames), mode="bicubic", align_corners=True
            )
            self.register_buffer("stretch", stretch[0, 0].contiguous(), persistent=False)

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            encoder = self.encoder
            levels = encoder.batch_norm(features.transpose(1, 3)).transpose(1, 3)
            if self.stretch.shape[0] != self.stretch.shape[1]:
                levels = torch.matmul(self.stretch.to(levels.dtype), levels)
            picture = encoder.reshape_mel2img(levels)
            states = encoder.patch_embed.proj(picture)
            states = encoder.patch_embed.norm(states.flatten(2).transpose(1, 2))
            for layer, resolution in zip(encoder.layers, encoder.input_resolutions, strict=True):
                states = layer(states, resolution)[0]
            # The encoder sorts its states by pitch and averages over all of them.
            pooled = encoder.norm(states).mean(dim=1)
            return functional.normalize(self.projection(pooled), dim=-1)

    return AudioTower().eval()


def build_text_tower(model: Any) -> torch.nn.Module:
    """Builds a module from `input_ids`, `attention_mask` (n, length) to (n, dim) unit rows."""

    class TextTower(torch.nn.Module):  # type: ignore[misc]  # torch is not looked into
        def __init__(self) -> None:
            super().__init__()
            self.encoder = model.text_model
            self.projection = model.text_projection

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            states = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
            return functional.normalize(self.projection(states.pooler_output), dim=-1)

    return TextTower().eval()


def _prepare_audio_tower(model: Any, mel: MelSettings) -> TowerSource:
    windows = make_sounds(sample_rate_hz=mel.sample_rate_hz, window_s=mel.window_s)
    features = MelFrontEnd(mel).compute_features(windows)
    first = torch.from_numpy(features[:REFERENCE_COUNT].copy())
    reference = []
    with torch.inference_mode():
        for batch in first.split(4):
            inputs = batch.repeat(1, 4, 1, 1) if mel.is_fused else batch
            longer = torch.zeros((len(batch), 1), dtype=torch.bool)
            rows = model.get_audio_features(input_features=inputs, is_longer=longer)
            reference.append(_normalize(rows))
    return TowerSource(
        name="audio",
        module=build_audio_tower(model, frames=mel.frames),
        example={"features": first[:2]},
        probes={"features": features},
        reference=np.concatenate(reference),
    )


def _prepare_text_tower(
    model: Any, tokens: StoredTokenizer, *, pad_id: int, max_tokens: int
) -> TowerSource:
    texts = [manner.format(maker) for maker in _MAKERS for manner in _MANNERS]
    probes = pad_token_rows([row[:max_tokens] for row in tokens.encode(texts)], pad_id=pad_id)
    return make_text_source(
        build_text_tower(model),
        probes,
        lambda inputs: _normalize(model.get_text_features(**inputs)),
    )


def _normalize(output: Any) -> FloatArray:
    """Returns unit rows of the output of transformers, an object from version 5 on."""
    rows = output if isinstance(output, torch.Tensor) else output.pooler_output
    unit: FloatArray = torch.nn.functional.normalize(rows, dim=-1).numpy()
    return unit
