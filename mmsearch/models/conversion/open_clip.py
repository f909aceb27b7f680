"""Converts models of open_clip to two networks and a tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from mmsearch.encoders.text.clip_tokens import ClipTokenizer, TokenSettings, trim_padding
from mmsearch.errors import ModelError
from mmsearch.models.conversion import sample_images
from mmsearch.models.conversion.graph_rewriting import fuse_attention, fuse_patch_embedding
from mmsearch.models.conversion.onnx_export import silence_logs
from mmsearch.models.conversion.open_clip_files import (
    find_weights,
    read_model_config,
    skip_initialization,
)
from mmsearch.models.conversion.open_clip_tokenizer import convert_tokenizer
from mmsearch.models.conversion.towers import (
    REFERENCE_COUNT,
    OnProgress,
    TowerSource,
    convert_tower,
    scale_progress,
)

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

CHECKED_ROWS = 4
MIN_REWRITE_COSINE = 0.99999
"""The least cosine of a rewritten tower to the original."""


@dataclass(frozen=True, slots=True)
class OpenClipSource:
    """A model of open_clip: the module, its tokenizer and its preprocessing."""

    model: Any
    tokenizer: Any
    preprocessing: Mapping[str, Any]

    @property
    def size_px(self) -> int:
        """The side of the square input pictures."""
        size = self.preprocessing["size"]
        sides = (size, size) if isinstance(size, int) else tuple(size)
        if sides[0] != sides[1]:
            raise ModelError(f"the model takes pictures of {sides}, only squares are supported")
        return int(sides[0])


def load(folder: Path) -> OpenClipSource:
    """Loads a model's folder as open_clip does, from safetensors alone.

    Raises ModelError if a file is missing, the weights may be a pickle, or open_clip cannot read
    the model.
    """
    import open_clip

    weights = find_weights(folder)
    text_model = read_model_config(folder)["text_cfg"].get("hf_model_name")
    if text_model:
        raise ModelError(
            f"{folder}: the text tower {text_model} is one of transformers, which "
            f"would have to be fetched besides: choose a model with a text tower of its own"
        )
    try:
        with skip_initialization(), silence_logs():
            model = open_clip.create_model(
                f"local-dir:{folder}",
                load_weights=False,
                pretrained_image=False,
                pretrained_text=False,
            )
            open_clip.load_checkpoint(model, str(weights), strict=True)
            tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    except Exception as exc:  # a config that fits no code leads to any error
        raise ModelError(
            f"open_clip {open_clip.__version__} cannot read {folder} "
            f"({type(exc).__name__}: {str(exc).strip()[:300]}): is it complete, and of a model "
            f"that this version knows? pip install -U open_clip_torch timm"
        ) from exc
    model.eval()
    return OpenClipSource(model, tokenizer, model.visual.preprocess_cfg)


def convert(
    source: Path,
    target: Path,
    *,
    settings: Mapping[str, str] | None = None,  # other families have some
    on_progress: OnProgress,
    pictures: Sequence[Path] = (),
) -> dict[str, Any]:
    """Converts the model in `source` to networks in `target`; returns the parts of the card.

    `pictures` are photographs to compare on, besides drawn ones. Raises ModelError.
    """
    on_progress("loading the model", 0.0)
    loaded = load(source)
    tokens = convert_tokenizer(loaded.tokenizer, target)
    towers: dict[str, Any] = {}
    image = prepare_image_tower(loaded, pictures)
    towers["image"] = convert_tower(image, target, scale_progress(on_progress, 0.05, 0.65))
    text = prepare_text_tower(loaded, ClipTokenizer.open(target, tokens))
    towers["text"] = convert_tower(text, target, scale_progress(on_progress, 0.65, 1.0))
    return {
        "dim": image.reference.shape[1],
        "towers": towers,
        "settings": make_card_settings(loaded, tokens),
        "made_with": {
            name: version(name) for name in ("torch", "open_clip_torch", "timm", "onnxruntime")
        },
    }


def make_card_settings(source: OpenClipSource, tokens: TokenSettings) -> dict[str, Any]:
    """Returns the settings of the encoder for the card."""
    cfg = source.preprocessing
    scale = source.model.logit_scale.detach().exp()
    bias = source.model.logit_bias
    return {
        "image_size": source.size_px,
        "resize_mode": cfg["resize_mode"],
        "interpolation": "bilinear" if cfg["interpolation"] == "bilinear" else "bicubic",
        "fill_color": int(cfg["fill_color"]),
        "mean": [float(value) for value in cfg["mean"]],
        "std": [float(value) for value in cfg["std"]],
        "logit_scale": float(scale.reshape(-1)[0]),
        "is_causal": is_causal_text(source.model),
        "logit_bias": None if bias is None else float(bias.detach().reshape(-1)[0]),
        "tokens": tokens.to_json(),
    }


def prepare_image_tower(source: OpenClipSource, pictures: Sequence[Path] = ()) -> TowerSource:
    """Prepares the tower for pictures, (n, size, size, 3) uint8.

    The original computes the reference. Raises ModelError if rewriting changes it.
    """
    size_px = source.size_px
    pixels = sample_images.make_images(size_px, pictures)
    shown = torch.from_numpy(pixels[:REFERENCE_COUNT].copy())
    mean, std = source.preprocessing["mean"], source.preprocessing["std"]
    plain = build_image_module(source.model, mean=mean, std=std)
    reference = _compute_vectors(plain, shown)
    visual = merge_branches(source.model.visual)
    fuse_attention(visual)
    if fuse_patch_embedding(visual, mean=mean, std=std, size_px=size_px):
        mean = std = None
    source.model.visual = visual
    module = build_image_module(source.model, mean=mean, std=std)
    _check_same(reference, _compute_vectors(module, shown[:CHECKED_ROWS]), "image")
    return TowerSource("image", module, {"pixels": shown[:2]}, {"pixels": pixels}, reference)


def merge_branches(visual: Any) -> Any:
    """Merges parallel branches of FastViT and its like into one convolution each."""
    if not any(hasattr(module, "reparameterize") for module in visual.modules()):
        return visual
    from timm.utils.model import reparameterize_model

    return reparameterize_model(visual).eval()


def build_image_module(model: Any, *, mean: Any, std: Any) -> torch.nn.Module:
    """Builds `model.encode_image` for uint8; without a mean the tower itself scales pixels."""

    class ImageTower(nn.Module):  # type: ignore[misc]  # torch is not looked into
        def __init__(self) -> None:
            super().__init__()
            self.model = model.visual
            if mean is not None:
                middle, spread = (torch.tensor([*v], dtype=torch.float64) for v in (mean, std))
                self.register_buffer("gain", (1 / (255 * spread)).float().view(1, 3, 1, 1))
                self.register_buffer("shift", (-middle / spread).float().view(1, 3, 1, 1))

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            if mean is not None:
                pixels = pixels.permute(0, 3, 1, 2).float() * self.gain + self.shift
            vectors = self.model(pixels)
            return torch.nn.functional.normalize(vectors, dim=-1)

    return ImageTower().eval()


def prepare_text_tower(source: OpenClipSource, tokens: ClipTokenizer) -> TowerSource:
    """Prepares the text tower: (n, context_length) int64, or fewer columns if it is causal.

    Raises ModelError if rewriting changes its vectors.
    """
    rows = tokens.encode(sample_images.SENTENCES)
    shown = torch.from_numpy(rows[:REFERENCE_COUNT].copy())
    reference = _compute_vectors(build_text_module(source.model), shown)
    fuse_attention(source.model)
    module = build_text_module(source.model)
    is_causal = is_causal_text(source.model)
    few = rows[:CHECKED_ROWS]
    for form in (few, trim_padding(few, tokens.settings.pad_id)) if is_causal else (few,):
        _check_same(reference, _compute_vectors(module, torch.from_numpy(form.copy())), "text")
    return TowerSource(
        "text",
        module,
        {"tokens": shown[:2]},
        {"tokens": rows},
        reference,
        dynamic=("tokens",) if is_causal else (),
        is_table=True,
    )


def is_causal_text(model: Any) -> bool:
    """Tests if a text's vector does not depend on the padding behind it.

    In CLIP each token sees those before it, and the vector is that of the end token. Without
    padding, a query of ten tokens takes an eighth of the time.
    """
    text = getattr(model, "text", model)
    pooling = getattr(model, "text_pool_type", getattr(text, "pool_type", ""))
    mask = getattr(text, "attn_mask", None)
    return (
        pooling in ("argmax", "eos")
        and mask is not None
        and mask.dim() == 2
        and bool((mask.triu(1) < -1e4).sum() == mask.shape[0] * (mask.shape[0] - 1) // 2)
        and getattr(text, "cls_emb", None) is None
    )


def build_text_module(model: Any) -> torch.nn.Module:
    """Builds `model.encode_text`, for shorter rows too if `is_causal_text`."""
    from open_clip.model import CLIP
    from open_clip.transformer import text_global_pool

    is_split = isinstance(model, CLIP)  # its text tower is no module, and takes full rows alone

    class TextTower(nn.Module):  # type: ignore[misc]  # torch is not looked into
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def parameters(self, recurse: bool = True) -> Iterator[Any]:
            """Returns all but those of the image tower, which is not exported along."""
            skipped = {id(p) for p in model.visual.parameters()}
            return (p for p in super().parameters(recurse) if id(p) not in skipped)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            vectors = self._encode_split(tokens) if is_split else self.model.encode_text(tokens)
            return torch.nn.functional.normalize(vectors, dim=-1)

        def _encode_split(self, tokens: torch.Tensor) -> torch.Tensor:
            """Computes `CLIP.encode_text` of open_clip 3.3 for any number of columns."""
            length = tokens.shape[1]
            states = model.token_embedding(tokens) + model.positional_embedding[:length]
            mask = None if model.attn_mask is None else model.attn_mask[:length, :length]
            states = model.ln_final(model.transformer(states, attn_mask=mask))
            pooled = text_global_pool(
                states, tokens, model.text_pool_type, eos_token_id=model.text_eos_id
            )
            projection = model.text_projection
            if projection is None:
                return pooled
            projected: torch.Tensor = (
                projection(pooled) if isinstance(projection, nn.Linear) else pooled @ projection
            )
            return projected

    return TextTower().eval()


def _compute_vectors(module: Any, inputs: Any) -> FloatArray:
    with torch.inference_mode():
        parts = [module(inputs[start : start + 4]).numpy() for start in range(0, len(inputs), 4)]
    return np.concatenate(parts)


def _check_same(before: FloatArray, after: FloatArray, name: str) -> None:
    least = float((before[: len(after)] * after).sum(axis=1).min())
    if not least >= MIN_REWRITE_COSINE:
        raise ModelError(
            f"the {name} tower computes something else once it is rewritten (cosine {least:.6f}): "
            f"report it with the model's name and the versions of torch, timm and open_clip_torch"
        )
