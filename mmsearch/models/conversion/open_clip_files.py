"""Finds the repository, weights and configuration of an open_clip model."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmsearch.errors import ModelError

CONFIG = "open_clip_config.json"
WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "model.safetensors",
)
"""In the order in which open_clip looks for them."""
PICKLES = ("*.bin", "*.pt", "*.pth")


def resolve_repository(name: str) -> str:
    """Returns the hub repository of an open_clip ARCHITECTURE/TAG, such as ViT-B-32/openai.

    Raises ModelError if open_clip knows no such weights, or only as a file that may be a pickle.
    """
    from open_clip import pretrained

    architecture, _, tag = name.partition("/")
    config = pretrained.get_pretrained_cfg(architecture, tag)
    if not config:
        tags = pretrained.list_pretrained_tags_by_model(architecture)
        listed = (
            f"its tags are {', '.join(tags)}" if tags else "open_clip.list_pretrained() has all"
        )
        raise ModelError(f"open_clip knows no weights {tag!r} of {architecture!r}: {listed}")
    repository = str(config.get("hf_hub", "")).strip("/")
    if not repository:
        raise ModelError(
            f"open_clip has {name} only at {config.get('url', 'an address')}, as a pickle: "
            f"take another tag, or a folder with {CONFIG} and {WEIGHTS[0]}"
        )
    return "/".join(repository.split("/")[:2])  # a third part is a file in it


@contextlib.contextmanager
def skip_initialization() -> Iterator[None]:
    """Skips random weights, which would be overwritten: 200 million of them take seconds."""
    from torch.nn import init

    names = ("normal_", "uniform_", "kaiming_uniform_", "kaiming_normal_", "xavier_uniform_")
    before = {name: getattr(init, name) for name in names}
    for name in names:
        setattr(init, name, lambda tensor, *_args, **_kwargs: tensor)
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(init, name, function)


def find_weights(folder: Path) -> Path:
    """Returns the safetensors file of a model's folder; raises ModelError with a remedy."""
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    others = sorted(folder.glob("*.safetensors"))
    if len(others) == 1:
        return others[0]
    pickles = [path.name for pattern in PICKLES for path in folder.glob(pattern)]
    if pickles:
        raise ModelError(
            f"{folder} has its weights only as {pickles[0]}, which is a pickle and could run any "
            f"program: fetch {WEIGHTS[0]} instead, or make it with safetensors.torch.save_file of "
            f"what torch.load(..., weights_only=True) gives"
        )
    raise ModelError(f"{folder} has no {WEIGHTS[0]}: pull the model again")


def read_model_config(folder: Path) -> dict[str, Any]:
    """Reads the part of a folder's configuration on the model; raises ModelError."""
    path = folder / CONFIG
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["model_cfg"]
        for name in ("vision_cfg", "text_cfg"):
            dict(config[name])
    except FileNotFoundError as exc:
        raise ModelError(f"{path} is missing: it says what the weights are of") from exc
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ModelError(f"{path} is no configuration of an open_clip model: {exc!r}") from exc
    return config
