"""CLAP as transformers has it (`ClapModel`): from a folder of the hub's layout to two networks."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.encoders.audio.mel import MelFrontEnd, MelSettings
from mmsearch.encoders.text_batching import padded
from mmsearch.errors import ModelError
from mmsearch.models.conversion.hub_folders import load_pretrained, read_json
from mmsearch.models.conversion.sample_sounds import sounds
from mmsearch.models.conversion.towers import REFERENCES, OnProgress, TowerSource, convert_tower
from mmsearch.models.conversion.vocabulary import around, keep_tokenizer

if TYPE_CHECKING:
    import torch

    from mmsearch.encoders.text.text_tokens import TextTokens
    from mmsearch.types import FloatArray

TOKENS = 77
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
    """Write the networks, the tokenizer and what belongs to them into the folder `target`.

    `source` has config.json, safetensors, preprocessor_config.json and a tokenizer. No settings are
    known. Returns the card's parts. Raises ModelError for a folder that
    is not of this kind or has its weights as a pickle.
    """
    if settings:
        raise ModelError(f"a CLAP model has no setting {min(settings)!r}: leave it out")
    on_progress("loading the model", 0.0)
    model, mel = load(source)
    tokens = keep_tokenizer(source, target)
    pad_id = int(model.config.text_config.pad_token_id or 0)
    max_tokens = min(TOKENS, int(model.config.text_config.max_position_embeddings) - pad_id - 1)
    on_progress("listening with torch", 0.05)
    audio = _audio(model, mel)
    text = _text(model, tokens, pad_id=pad_id, max_tokens=max_tokens)
    towers = {
        "audio": convert_tower(audio, target, _part(on_progress, 0.15, 0.6)),
        "text": convert_tower(text, target, _part(on_progress, 0.6, 1.0)),
    }
    return {
        "dim": int(model.config.projection_dim),
        "towers": towers,
        "settings": {
            **mel.to_settings(),
            "max_tokens": max_tokens,
            "pad_id": pad_id,
            "end_tokens": len(around(tokens.whole)[1]),
            "logit_scale_audio": float(model.logit_scale_a.detach().exp()),
            "logit_scale_text": float(model.logit_scale_t.detach().exp()),
        },
        "made_with": {name: version(name) for name in ("torch", "transformers", "onnxruntime")},
    }


def load(source: Path) -> tuple[Any, MelSettings]:
    """The `ClapModel` in a folder, for evaluation in float32, and what it wants to hear.

    Raises ModelError.
    """
    from transformers import ClapModel

    mel = mel_settings(source)
    model = load_pretrained(source, ClapModel.from_pretrained).eval()
    audio = model.config.audio_config
    if audio.num_mel_bins != mel.mels or bool(audio.enable_fusion) != mel.is_fused:
        raise ModelError(
            f"{source}: config.json (enable_fusion {audio.enable_fusion}, {audio.num_mel_bins} "
            f"mels) and the feature extractor (truncation of a {'' if mel.is_fused else 'non-'}"
            f"fused model, {mel.mels} mels) are not of the same model: fetch both from one place"
        )
    return model, mel


def mel_settings(source: Path) -> MelSettings:
    """From preprocessor_config.json, or from processor_config.json, as transformers 5 writes it."""
    extractor = read_json(source, "preprocessor_config.json")
    if extractor is None:
        extractor = (read_json(source, "processor_config.json") or {}).get("feature_extractor")
    if extractor is None:
        raise ModelError(
            f"{source} has no preprocessor_config.json, which says what the model hears: fetch the "
            f"whole model"
        )
    return MelSettings.from_extractor(extractor)


def tower(source: Path, name: str) -> torch.nn.Module:
    """The tower `audio` or `text` alone, as torch runs it; it takes what its network takes.

    Raises ModelError.
    """
    model, mel = load(source)
    return audio_tower(model, frames=mel.frames) if name == "audio" else text_tower(model)


def audio_tower(model: Any, *, frames: int) -> torch.nn.Module:
    """From `features` (n, 1, frames, mels) in dB to (n, dim) unit rows.

    The same as `get_audio_features` with `is_longer` False. For a fused model the feature extractor
    stacks the same spectrogram four times, and says of one clip of each batch, drawn at random,
    that it was longer than 10 s; what the model makes of a clip would depend on that. All but the
    first of the four are looked at in longer clips only, so they are not made at all.

    Frames are stretched to the width of the network by a product with a fixed matrix: ONNX
    Runtime's bicubic Resize took 8 % of the time, this takes 1 %.
    """
    import torch
    from torch.nn import functional

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


def text_tower(model: Any) -> torch.nn.Module:
    """From `input_ids` and `attention_mask` (n, length) to (n, dim) unit rows."""
    import torch
    from torch.nn import functional

    class TextTower(torch.nn.Module):  # type: ignore[misc]  # torch is not looked into
        def __init__(self) -> None:
            super().__init__()
            self.encoder = model.text_model
            self.projection = model.text_projection

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            states = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
            return functional.normalize(self.projection(states.pooler_output), dim=-1)

    return TextTower().eval()


def _audio(model: Any, mel: MelSettings) -> TowerSource:
    import torch

    windows = sounds(sample_rate_hz=mel.sample_rate_hz, window_s=mel.window_s)
    features = MelFrontEnd(mel).features(windows)
    first = torch.from_numpy(features[:REFERENCES].copy())
    reference = []
    with torch.inference_mode():
        for one in first.split(4):
            heard = one.repeat(1, 4, 1, 1) if mel.is_fused else one
            longer = torch.zeros((len(one), 1), dtype=torch.bool)
            reference.append(
                _unit(model.get_audio_features(input_features=heard, is_longer=longer))
            )
    return TowerSource(
        name="audio",
        module=audio_tower(model, frames=mel.frames),
        example={"features": first[:2]},
        probes={"features": features},
        reference=np.concatenate(reference),
    )


def _text(model: Any, tokens: TextTokens, *, pad_id: int, max_tokens: int) -> TowerSource:
    import torch

    texts = [manner.format(maker) for maker in _MAKERS for manner in _MANNERS]
    probes = padded([row[:max_tokens] for row in tokens.ids(texts)], pad_id=pad_id)
    first = {name: torch.from_numpy(one[:REFERENCES].copy()) for name, one in probes.items()}
    with torch.inference_mode():
        reference = _unit(model.get_text_features(**first))
    example = {name: one[:2] for name, one in first.items()}
    return TowerSource(
        name="text",
        module=text_tower(model),
        example=example,
        probes=probes,
        reference=reference,
        dynamic=tuple(example),
        is_table=True,
    )


def _unit(output: Any) -> FloatArray:
    """Unit rows of what transformers gives: a tensor up to version 4, an object from 5 on."""
    import torch

    rows = output if isinstance(output, torch.Tensor) else output.pooler_output
    unit: FloatArray = torch.nn.functional.normalize(rows, dim=-1).numpy()
    return unit


def _part(on_progress: OnProgress, start: float, end: float) -> OnProgress:
    return lambda what, share: on_progress(what, start + share * (end - start))
