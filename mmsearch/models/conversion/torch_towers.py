"""Opens towers of published models with torch, for GPUs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsearch.errors import MissingExtra, ModelError
from mmsearch.runtime.torch import Precision, TorchNetwork

if TYPE_CHECKING:
    import torch

    from mmsearch.runtime.device import Device

NO_SETTINGS: Mapping[str, str] = {}


def open_torch_tower(
    encoder: str,
    source_folder: Path,
    tower: str,
    device: Device,
    *,
    settings: Mapping[str, str] = NO_SETTINGS,
    precision: Precision | None = None,
) -> TorchNetwork:
    """Opens a tower of the model in `source_folder` on a device.

    It has the inputs of the tower's ONNX file, and returns (n, dim) float32 unit rows. `tower` is
    image or text of an open-clip, audio or text of a clap, text of a sentence encoder; `settings`
    are those of the preset. Weights are read from safetensors alone. Raises ModelError if the tower
    cannot be read or does not fit, MissingExtra without torch.
    """
    name = f"the {tower} network of {source_folder.name}"
    module = load_tower(encoder, source_folder, tower, settings)
    return TorchNetwork.open(module, device, name=name, precision=precision)


def load_tower(
    encoder: str, source_folder: Path, tower: str, settings: Mapping[str, str] = NO_SETTINGS
) -> torch.nn.Module:
    """Loads the module that is exported, without the other tower."""
    load = _LOADERS.get((encoder, tower))
    if load is None:
        listed = ", ".join(f"{name} of {family}" for family, name in _LOADERS)
        raise ModelError(f"{encoder!r} has no tower {tower!r} that torch runs; there are: {listed}")
    try:
        return normalize_rows(load(source_folder, settings))
    except ImportError as exc:
        raise MissingExtra(
            f"{encoder} on a GPU needs {exc.name}: pip install 'mmsearch[clip]'"
        ) from exc


def normalize_rows(module: Any) -> torch.nn.Module:
    """Returns the module with rows normalized in float32.

    Under autocast a tower normalizes in bf16: a row's length is then off by up to 0.4 %.
    """
    import torch

    class UnitRows(torch.nn.Module):  # type: ignore[misc]  # torch is not looked into
        def __init__(self) -> None:
            super().__init__()
            self.tower = module

        def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.normalize(self.tower(**inputs).float(), dim=-1)

    return UnitRows().eval()


def _load_open_clip_image(folder: Path, settings: Mapping[str, str]) -> Any:
    from mmsearch.models.conversion import open_clip

    del settings
    source = open_clip.load(folder)
    mean, std = source.preprocessing["mean"], source.preprocessing["std"]
    source.model.visual = open_clip.merge_branches(source.model.visual)
    return open_clip.build_image_module(source.model, mean=mean, std=std)


def _load_open_clip_text(folder: Path, settings: Mapping[str, str]) -> Any:
    from torch import nn

    from mmsearch.models.conversion import open_clip

    del settings
    source = open_clip.load(folder)
    source.model.visual = nn.Identity()  # else it would take memory of the GPU
    return open_clip.build_text_module(source.model)


def _load_clap(tower: str, folder: Path, settings: Mapping[str, str]) -> Any:
    from mmsearch.models.conversion import clap

    del settings
    return clap.load_tower(folder, tower)


def _load_sentence(folder: Path, settings: Mapping[str, str]) -> Any:
    from mmsearch.models.conversion import sentence

    return sentence.load_tower(folder, settings)


_LOADERS: dict[tuple[str, str], Callable[[Path, Mapping[str, str]], Any]] = {
    ("open-clip", "image"): _load_open_clip_image,
    ("open-clip", "text"): _load_open_clip_text,
    ("clap", "audio"): partial(_load_clap, "audio"),
    ("clap", "text"): partial(_load_clap, "text"),
    ("sentence", "text"): _load_sentence,
}
