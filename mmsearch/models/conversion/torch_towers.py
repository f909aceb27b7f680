"""Towers run by torch from the weights as published: what a GPU computes in place of ONNX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsearch.errors import MissingExtra, ModelError
from mmsearch.runtime.torch import Precision, TorchNetwork

if TYPE_CHECKING:
    import torch

    from mmsearch.runtime.device import Device

NO_SETTINGS: Mapping[str, str] = {}


def open_torch(
    encoder: str,
    source_folder: Path,
    tower: str,
    device: Device,
    *,
    settings: Mapping[str, str] = NO_SETTINGS,
    precision: Precision | None = None,
) -> TorchNetwork:
    """A tower of the model in `source_folder`, on a device.

    It takes the inputs that the tower's ONNX file takes, by the same names, and gives (n, dim)
    float32 unit rows. `tower` is image or text of an open-clip, audio or text of a clap, text of a
    sentence encoder; `settings` are those of the preset. Weights are read from safetensors alone.
    Raises ModelError where the tower cannot be read or does not fit, MissingExtra without torch.
    """
    name = f"the {tower} network of {source_folder.name}"
    module = tower_module(encoder, source_folder, tower, settings)
    return TorchNetwork.open(module, device, name=name, precision=precision)


def tower_module(
    encoder: str, source_folder: Path, tower: str, settings: Mapping[str, str] = NO_SETTINGS
) -> torch.nn.Module:
    """The module that the export starts from, with nothing of the other tower held."""
    load = _LOADERS.get((encoder, tower))
    if load is None:
        listed = ", ".join(f"{one} of {family}" for family, one in _LOADERS)
        raise ModelError(f"{encoder!r} has no tower {tower!r} that torch runs; there are: {listed}")
    try:
        return unit_rows(load(source_folder, settings))
    except ImportError as exc:
        raise MissingExtra(
            f"{encoder} on a GPU needs {exc.name}: pip install 'mmsearch[clip]'"
        ) from exc


def unit_rows(module: Any) -> torch.nn.Module:
    """The same, with rows of length one in float32.

    Under autocast a tower normalises in bf16: a row's length is then off by up to 0.4 %.
    """
    import torch

    class UnitRows(torch.nn.Module):  # type: ignore[misc]  # torch is not looked into
        def __init__(self) -> None:
            super().__init__()
            self.tower = module

        def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.normalize(self.tower(**inputs).float(), dim=-1)

    return UnitRows().eval()


def _open_clip_image(folder: Path, settings: Mapping[str, str]) -> Any:
    from mmsearch.models.conversion import open_clip

    del settings
    source = open_clip.load(folder)
    mean, std = source.preprocessing["mean"], source.preprocessing["std"]
    source.model.visual = open_clip.merged_branches(source.model.visual)
    return open_clip.pixels_module(source.model, mean=mean, std=std)


def _open_clip_text(folder: Path, settings: Mapping[str, str]) -> Any:
    from torch import nn

    from mmsearch.models.conversion import open_clip

    del settings
    source = open_clip.load(folder)
    source.model.visual = nn.Identity()  # else it would take the memory of the GPU too
    return open_clip.tokens_module(source.model)


def _clap(tower: str) -> Callable[[Path, Mapping[str, str]], Any]:
    def load(folder: Path, settings: Mapping[str, str]) -> Any:
        from mmsearch.models.conversion import clap

        del settings
        return clap.tower(folder, tower)

    return load


def _sentence(folder: Path, settings: Mapping[str, str]) -> Any:
    from mmsearch.models.conversion import sentence

    return sentence.tower(folder, settings)


_LOADERS: dict[tuple[str, str], Callable[[Path, Mapping[str, str]], Any]] = {
    ("open-clip", "image"): _open_clip_image,
    ("open-clip", "text"): _open_clip_text,
    ("clap", "audio"): _clap("audio"),
    ("clap", "text"): _clap("text"),
    ("sentence", "text"): _sentence,
}
