"""The networks of laion_clap, imported apart from the package and filled from a checkpoint."""

from __future__ import annotations

import importlib
import json
import sys
import textwrap
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from mmsearch.errors import MissingExtra, ModelError
from mmsearch.runtime.device import CPU, Device
from mmsearch.runtime.torch import TorchNetwork

if TYPE_CHECKING:
    from mmsearch.encoders.audio.laion_checkpoint import Checkpoint
    from mmsearch.encoders.base import Context

PACKAGE = "laion_clap"
NETWORKS = "laion_clap_networks"
"""The name under which the package's folder `clap_module` is imported."""
INSTALL = "pip install 'mmsearch[laion]' && pip install --no-deps laion-clap==1.1.7"
FUSION_TYPE = "aff_2d"  # the one kind of fusion that the package's own loader knows
BATCH = 8


@dataclass(frozen=True, slots=True)
class Towers:
    """The two networks of a checkpoint; both give (n, 512) unit rows.

    `sound` takes `sound`: (n, samples) float32 samples, or where `is_fused` (n, 1, frames, mels)
    float32 levels. `words` takes `input_ids` and `attention_mask`, both (n, tokens) int64.
    """

    sound: TorchNetwork
    words: TorchNetwork
    is_fused: bool


def find_package_folder() -> Path:
    """Returns the folder of the package; raises MissingExtra. Imports nothing."""
    spec = find_spec(PACKAGE)
    lacking = [name for name in ("torch", "transformers") if find_spec(name) is None]
    folders = (spec and spec.submodule_search_locations) or []
    lacking += [] if folders else [PACKAGE]
    if lacking:
        raise MissingExtra(f"the sound model 'laion-clap' needs {', '.join(lacking)}: {INSTALL}")
    return Path(folders[0])


def open_towers(checkpoint: Checkpoint, context: Context) -> Towers:
    """Builds the networks of a checkpoint on the device.

    Raises MissingExtra without the packages, ModelError for weights that do not fit.
    """
    import torch

    device = Device.parse(context.device) or CPU
    if context.threads and device == CPU:
        torch.set_num_threads(context.threads)
    model = _open_model(checkpoint)
    samples = "mel_fusion" if checkpoint.is_fused else "waveform"
    # No window is longer than the model's own, so that nothing is cut at random, and nothing fused.
    longer = torch.zeros(1, dtype=torch.bool)

    def embed_sounds(sound: Any) -> Any:
        return model.get_audio_embedding([{samples: row, "longer": longer} for row in sound])

    def embed_words(**tokens: Any) -> Any:
        return model.get_text_embedding(tokens)

    class Tower(torch.nn.Module):  # type: ignore[misc]  # torch is Any: it is no dependency
        def __init__(self, compute: Callable[..., Any]) -> None:
            super().__init__()
            self.model = model
            self._compute = compute

        def forward(self, **inputs: Any) -> Any:
            return self._compute(**inputs)

    def open_network(compute: Callable[..., Any]) -> TorchNetwork:
        # In fp32 everywhere: the network computes the spectrum too, which bf16 would ruin.
        name = checkpoint.path.name
        return TorchNetwork.open(Tower(compute), device, name=name, batch=BATCH, precision="fp32")

    return Towers(open_network(embed_sounds), open_network(embed_words), checkpoint.is_fused)


def _open_model(checkpoint: Checkpoint) -> Any:
    """Builds the package's CLAP with the weights of a checkpoint; raises ModelError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations in the package: nobody here can mend them
        networks = _import_networks(checkpoint.words)
        configs = find_package_folder() / "clap_module" / "model_configs"
        config = json.loads((configs / f"{checkpoint.audio}.json").read_text(encoding="utf-8"))
        model = networks.CLAP(
            embed_dim=config["embed_dim"],
            audio_cfg=config["audio_cfg"],
            text_cfg=config["text_cfg"] | {"model_type": "roberta"},
            enable_fusion=checkpoint.is_fused,
            fusion_type=FUSION_TYPE if checkpoint.is_fused else "None",
        )
    try:
        model.load_state_dict(checkpoint.tensors)
    except RuntimeError as exc:
        raise ModelError(
            f"{checkpoint.path} does not fit the networks of laion_clap ({checkpoint.audio}"
            f"{', fused' if checkpoint.is_fused else ''}), whose release 1.1.7 is meant: "
            f"{textwrap.shorten(str(exc), 400)}"
        ) from exc
    return model


def _import_networks(words: int) -> Any:
    """Imports the package's module of networks, whose RoBERTa is built and not fetched."""
    folder = find_package_folder() / "clap_module"
    try:
        from transformers import RobertaConfig, RobertaModel

        if NETWORKS not in sys.modules:
            parent = ModuleSpec(NETWORKS, None, is_package=True)
            parent.submodule_search_locations = [str(folder)]
            sys.modules[NETWORKS] = module_from_spec(parent)
        module: Any = importlib.import_module(f"{NETWORKS}.model")
    except ImportError as exc:
        raise MissingExtra(
            f"the networks of laion_clap in {folder} cannot be imported ({exc}): {INSTALL}"
        ) from exc
    # roberta-base, as its config.json has it; what is not named here is transformers' default.
    config = RobertaConfig(
        vocab_size=words, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5
    )
    module.RobertaModel = SimpleNamespace(from_pretrained=lambda _name: RobertaModel(config))
    return module
