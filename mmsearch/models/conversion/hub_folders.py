"""Reads model folders in the layout of the hub with transformers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmsearch.errors import ModelError
from mmsearch.models.conversion.onnx_export import silence_logs


def read_json(folder: Path, name: str) -> dict[str, Any] | None:
    """Reads a JSON object, None without the file; raises ModelError for other content."""
    path = folder / name
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        raise ModelError(f"{path} cannot be read: {exc}") from exc
    if not isinstance(read, dict):
        raise ModelError(f"{path} is no JSON object")
    return read


def check_safetensors(folder: Path) -> None:
    """Raises ModelError for a folder without safetensors; a pickle can run code."""
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(path.name for path in folder.glob("*.bin"))
    if pickles:
        raise ModelError(
            f"{folder} has its weights only as {pickles[0]}, a pickle, which can run any code when "
            f"it is opened: take a revision with model.safetensors (many repositories offer one as "
            f"refs/pr/N), or convert it where you trust it, with save_pretrained of transformers"
        )
    raise ModelError(f"{folder} has no model.safetensors: fetch the whole model, or name another")


def load_pretrained(folder: Path, load: Callable[..., Any], *, unused: str = "") -> Any:
    """Loads a folder in float32 with `load`, a `from_pretrained` of transformers.

    Runs neither pickles nor code of the folder. Raises ModelError if it cannot be loaded or lacks
    weights, except those whose name begins with `unused`.
    """
    import torch

    check_safetensors(folder)
    try:
        with _hide_progress(), silence_logs():
            model, report = load(
                folder,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except Exception as exc:  # transformers raises whatever it stumbles over
        raise ModelError(
            f"transformers cannot load {folder} ({type(exc).__name__}: {str(exc).strip()[:300]}): "
            f"is it a model of this kind, and whole?"
        ) from exc
    # Missing weights would be random, with only a warning.
    lacking = sorted({*report["missing_keys"], *map(str, report["mismatched_keys"])})
    lacking = [name for name in lacking if not (unused and name.startswith(unused))]
    if lacking:
        raise ModelError(
            f"{folder} lacks {len(lacking)} of the weights that its config.json calls for, as "
            f"{lacking[0]}: it is another kind of model, or not whole"
        )
    return model


@contextlib.contextmanager
def _hide_progress() -> Iterator[None]:
    from transformers.utils import logging

    had_bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if had_bars:
            logging.enable_progress_bar()
