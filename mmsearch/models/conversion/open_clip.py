"""Models of open_clip: read as published, and turned into two networks and a tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.encoders.text.clip_tokens import Tokens, TokenSettings, without_padding
from mmsearch.errors import ModelError
from mmsearch.models.conversion import sample_images
from mmsearch.models.conversion.graph_rewriting import fuse_attention, scaled_patches
from mmsearch.models.conversion.onnx_export import quiet
from mmsearch.models.conversion.open_clip_files import (
    find_weights,
    model_config,
    without_initialisation,
)
from mmsearch.models.conversion.open_clip_tokenizer import take_over
from mmsearch.models.conversion.towers import (
    REFERENCES,
    OnProgress,
    TowerSource,
    convert_tower,
    part,
)

if TYPE_CHECKING:
    import torch

    from mmsearch.types import FloatArray

FEW = 4
SAME = 0.99999
"""The least cosine of a tower that was rewritten to what it was before."""


@dataclass(frozen=True, slots=True)
class Source:
    """A model as open_clip has it: the module, its tokenizer and its preprocessing."""

    model: Any
    tokenizer: Any
    preprocessing: Mapping[str, Any]

    @property
    def size_px(self) -> int:
        """The side of the square pictures that it takes."""
        size = self.preprocessing["size"]
        sides = (size, size) if isinstance(size, int) else tuple(size)
        if sides[0] != sides[1]:
            raise ModelError(f"the model takes pictures of {sides}, only squares are supported")
        return int(sides[0])


def load(folder: Path) -> Source:
    """Read a model's folder as open_clip does, from safetensors alone.

    Raises ModelError where a file is missing, the weights may be a pickle, or open_clip cannot read
    the model.
    """
    import open_clip

    weights = find_weights(folder)
    foreign = model_config(folder)["text_cfg"].get("hf_model_name")
    if foreign:
        raise ModelError(
            f"{folder}: the text tower {foreign} is one of transformers, which "
            f"would have to be fetched besides: choose a model with a text tower of its own"
        )
    try:
        with without_initialisation(), quiet():
            model = open_clip.create_model(
                f"local-dir:{folder}",
                load_weights=False,
                pretrained_image=False,
                pretrained_text=False,
            )
            open_clip.load_checkpoint(model, str(weights), strict=True)
            tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    except Exception as exc:  # whatever a config that fits no code leads to
        raise ModelError(
            f"open_clip {open_clip.__version__} cannot read {folder} "
            f"({type(exc).__name__}: {str(exc).strip()[:300]}): is it complete, and of a model "
            f"that this version knows? pip install -U open_clip_torch timm"
        ) from exc
    model.eval()
    return Source(model, tokenizer, model.visual.preprocess_cfg)


def convert(
    source: Path,
    target: Path,
    *,
    settings: Mapping[str, str] | None = None,  # other families have some
    on_progress: OnProgress,
    pictures: Sequence[Path] = (),
) -> dict[str, Any]:
    """Turn the model in the folder `source` into networks in `target`; returns its card's parts.

    `pictures` are photographs to compare on besides made ones. Raises ModelError.
    """
    on_progress("loading the model", 0.0)
    loaded = load(source)
    tokens = take_over(loaded.tokenizer, target)
    towers: dict[str, Any] = {}
    image = image_tower(loaded, pictures)
    towers["image"] = convert_tower(image, target, part(on_progress, 0.05, 0.65))
    text = text_tower(loaded, Tokens.open(target, tokens))
    towers["text"] = convert_tower(text, target, part(on_progress, 0.65, 1.0))
    return {
        "dim": image.reference.shape[1],
        "towers": towers,
        "settings": card_settings(loaded, tokens),
        "made_with": {
            name: version(name) for name in ("torch", "open_clip_torch", "timm", "onnxruntime")
        },
    }


def card_settings(source: Source, tokens: TokenSettings) -> dict[str, Any]:
    """What the encoder needs to know besides the networks."""
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
        "is_causal": looks_back_only(source.model),
        "logit_bias": None if bias is None else float(bias.detach().reshape(-1)[0]),
        "tokens": tokens.to_json(),
    }


def image_tower(source: Source, pictures: Sequence[Path] = ()) -> TowerSource:
    """The tower for pictures, which takes them as (n, size, size, 3) uint8.

    Before it is rewritten it says what the probes' vectors are. Raises ModelError where rewriting
    has changed them.
    """
    import torch

    size_px = source.size_px
    pixels = sample_images.pictures(size_px, pictures)
    shown = torch.from_numpy(pixels[:REFERENCES].copy())
    mean, std = source.preprocessing["mean"], source.preprocessing["std"]
    plain = pixels_module(source.model, mean=mean, std=std)
    reference = _computed(plain, shown)
    visual = merged_branches(source.model.visual)
    fuse_attention(visual)
    if scaled_patches(visual, mean=mean, std=std, size_px=size_px):
        mean = std = None
    source.model.visual = visual
    module = pixels_module(source.model, mean=mean, std=std)
    _check_same(reference, _computed(module, shown[:FEW]), "image")
    return TowerSource("image", module, {"pixels": shown[:2]}, {"pixels": pixels}, reference)


def merged_branches(visual: Any) -> Any:
    """FastViT and its like: the branches that are trained side by side as one convolution each."""
    if not any(hasattr(module, "reparameterize") for module in visual.modules()):
        return visual
    from timm.utils.model import reparameterize_model

    return reparameterize_model(visual).eval()


def pixels_module(model: Any, *, mean: Any, std: Any) -> torch.nn.Module:
    """`model.encode_image` for uint8; without a mean the tower itself sees to the scale."""
    import torch
    from torch import nn

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


def text_tower(source: Source, tokens: Tokens) -> TowerSource:
    """The tower for words, which takes (n, context_length) int64, or fewer columns of a causal one.

    Raises ModelError where rewriting has changed what it computes.
    """
    import torch

    rows = tokens.encode(sample_images.SENTENCES)
    shown = torch.from_numpy(rows[:REFERENCES].copy())
    reference = _computed(tokens_module(source.model), shown)
    fuse_attention(source.model)
    module = tokens_module(source.model)
    is_causal = looks_back_only(source.model)
    few = rows[:FEW]
    for form in (few, without_padding(few, tokens.settings.pad_id)) if is_causal else (few,):
        _check_same(reference, _computed(module, torch.from_numpy(form.copy())), "text")
    return TowerSource(
        "text",
        module,
        {"tokens": shown[:2]},
        {"tokens": rows},
        reference,
        dynamic=("tokens",) if is_causal else (),
        is_table=True,
    )


def looks_back_only(model: Any) -> bool:
    """Whether a text's vector does not depend on the padding behind it.

    So it is in CLIP: each token sees those before it, and the vector is that of the end token. With
    the padding left out, a query of ten tokens takes an eighth of the time.
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


def tokens_module(model: Any) -> torch.nn.Module:
    """`model.encode_text`; it takes shorter rows too where `looks_back_only`."""
    import torch
    from open_clip.model import CLIP
    from open_clip.transformer import text_global_pool
    from torch import nn

    is_split = isinstance(model, CLIP)  # its text tower lies in pieces, and takes whole rows alone

    class TextTower(nn.Module):  # type: ignore[misc]  # torch is not looked into
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def parameters(self, recurse: bool = True) -> Iterator[Any]:
            """Without those of the image tower, which is not exported along."""
            skipped = {id(one) for one in model.visual.parameters()}
            return (one for one in super().parameters(recurse) if id(one) not in skipped)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            vectors = self._of_pieces(tokens) if is_split else self.model.encode_text(tokens)
            return torch.nn.functional.normalize(vectors, dim=-1)

        def _of_pieces(self, tokens: torch.Tensor) -> torch.Tensor:
            """As `CLIP.encode_text` of open_clip 3.3, for as many columns as there are."""
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


def _computed(module: Any, inputs: Any) -> FloatArray:
    import torch

    with torch.inference_mode():
        parts = [module(inputs[start : start + 4]).numpy() for start in range(0, len(inputs), 4)]
    return np.concatenate(parts)


def _check_same(before: FloatArray, after: FloatArray, name: str) -> None:
    least = float((before[: len(after)] * after).sum(axis=1).min())
    if not least >= SAME:
        raise ModelError(
            f"the {name} tower computes something else once it is rewritten (cosine {least:.6f}): "
            f"report it with the model's name and the versions of torch, timm and open_clip_torch"
        )
