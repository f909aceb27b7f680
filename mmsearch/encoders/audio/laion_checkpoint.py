"""Reads the tensors of laion_clap checkpoints, running nothing that is in them."""

from __future__ import annotations

import pickle
import re
import shlex
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsearch.errors import ModelError

PATCHES = "audio_branch.patch_embed.proj.weight"
FUSION = "audio_branch.patch_embed.fusion_model."
WORDS = "text_branch.embeddings.word_embeddings.weight"
SIZES = {96: "HTSAT-tiny", 128: "HTSAT-base", 256: "HTSAT-large"}
"""The package's names of the sound networks, by the width of their first layer."""
NUMBERS = ("numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The tensors of a file, and the networks that they are for.

    `audio` is one of `SIZES`, `words` the size of the text network's vocabulary.
    """

    path: Path
    tensors: Mapping[str, Any]
    audio: str
    is_fused: bool
    words: int


class _Number:
    """Stands in for a number of NumPy beside the tensors, which is ignored.

    Training scripts keep the best score so; LAION's own checkpoints may have some.
    """

    def __init__(self, *_args: object) -> None:
        pass

    def __setstate__(self, _state: object) -> None:
        pass


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint without running anything in it.

    Raises ModelError for a file with more than tensors, a broken one, or one of other networks.
    """
    import torch

    loaded = _load_tensors(path)
    if not isinstance(loaded, dict):
        loaded = {}
    if isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    by_name = {_strip_prefix(name): tensor for name, tensor in loaded.items()}
    if not by_name.keys() >= {PATCHES, WORDS} or not all(map(torch.is_tensor, by_name.values())):
        raise ModelError(
            f"{path} is no checkpoint of laion_clap with HTSAT for sounds and RoBERTa for words: "
            f"name another; models of transformers are read by --sound-model FOLDER"
        )
    # position_ids: a counter that transformers no longer keeps with the weights.
    tensors = {
        name: tensor
        for name, tensor in by_name.items()
        if not name.endswith("embeddings.position_ids")
    }
    width, words = (len(tensors[name]) if tensors[name].dim() else 0 for name in (PATCHES, WORDS))
    if width not in SIZES:
        raise ModelError(
            f"{path} has a sound network of width {width}, but {', '.join(SIZES.values())} have "
            f"{', '.join(map(str, SIZES))}: name another checkpoint"
        )
    return Checkpoint(
        path=path,
        tensors=tensors,
        audio=SIZES[width],
        is_fused=any(name.startswith(FUSION) for name in tensors),
        words=words,
    )


def _strip_prefix(name: object) -> str:
    """Removes the prefix that training on several GPUs puts before a tensor's name."""
    return str(name).removeprefix("module.")


def _load_tensors(path: Path) -> Any:
    import torch

    stand_ins: list[Any] = [(_Number, name) for name in NUMBERS]
    try:
        with torch.serialization.safe_globals(stand_ins):
            # Mapped, what a checkpoint keeps beside the weights (an optimizer) is never read.
            return torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    except pickle.UnpicklingError as exc:
        match = re.search(r"GLOBAL ([\w.]+)", str(exc))
        holds = f" (it holds {match[1]})" if match else ""
        target = path.with_name(f"{path.stem}-tensors.pt")
        convert = (
            f"import torch; c = torch.load({str(path)!r}, map_location='cpu', weights_only=False); "
            f"torch.save(c.get('state_dict', c), {str(target)!r})"
        )
        raise ModelError(
            f"{path} cannot be read as tensors alone{holds}, and to read it otherwise could run "
            f"code that is in it. Where you trust whom it comes from, write its tensors to a file "
            f"of their own, on a machine you trust:\n"
            f"  python -c {shlex.quote(convert)}\n"
            f"and name {target.name} instead"
        ) from exc
    except Exception as exc:  # torn and hostile files make torch raise anything
        raise ModelError(
            f"{path} cannot be read as a checkpoint of torch ({type(exc).__name__}: "
            f"{str(exc).splitlines()[0] if str(exc) else 'no reason given'}): fetch it again"
        ) from exc
