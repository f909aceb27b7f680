"""Folders in the layout of the hub, as transformers reads and writes them."""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmsearch.errors import ModelError


def read_json(folder: Path, name: str) -> dict[str, Any] | None:
    """The object in a file of settings, None without the file; raises ModelError for others."""
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
    """Raises ModelError where a folder has weights only in a format that can run code, or none."""
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
    """The model that `load`, a `from_pretrained` of transformers, makes of a folder, in float32.

    Neither pickles nor code of the folder are run. Raises ModelError where it cannot be loaded, or
    lacks weights; those whose name begins with `unused` may be lacking.
    """
    import torch

    check_safetensors(folder)
    try:
        with _quiet():
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
    # What is lacking is drawn at random, and said only in a warning.
    lacking = sorted(set(report["missing_keys"]) | {str(one) for one in report["mismatched_keys"]})
    lacking = [name for name in lacking if not (unused and name.startswith(unused))]
    if lacking:
        raise ModelError(
            f"{folder} lacks {len(lacking)} of the weights that its config.json calls for, as "
            f"{lacking[0]}: it is another kind of model, or not whole"
        )
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No bars and no reports: the caller tells how far it is."""
    from transformers.utils import logging as chatter

    level, had_bars = logging.root.manager.disable, chatter.is_progress_bar_enabled()
    logging.disable(logging.ERROR)
    chatter.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        if had_bars:
            chatter.enable_progress_bar()
