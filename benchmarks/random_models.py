"""Models of the real architectures with random weights, in a store of their own.

Speed does not depend on the values of weights. The folders are kept in `MMSEARCH_BENCH_MODELS`
(default: a folder in the system's temporary one), since converting them takes minutes.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

from mmsearch.encoders.base import Context
from mmsearch.models.model_store import ModelStore
from mmsearch.models.presets import ModelSpec
from mmsearch.models.provisioning import Runtime, provision_model


def folder() -> Path:
    named = os.environ.get("MMSEARCH_BENCH_MODELS")
    path = Path(named) if named else Path(tempfile.gettempdir()) / "mmsearch-bench-models"
    path.mkdir(parents=True, exist_ok=True)
    return path


def store() -> Path:
    return folder() / "store"


def context(**wishes: object) -> Context:
    """For networks on the CPU, with the benchmark's own store."""
    made = Runtime(device="cpu", **wishes).create_context()  # type: ignore[arg-type]
    return replace(made, store=ModelStore(store()))


def open_clip(architecture: str) -> ModelSpec:
    from tests.models import save_open_clip

    source = folder() / architecture
    if not (source / "open_clip_model.safetensors").exists():
        save_open_clip(source, architecture)
    return provision_model(ModelSpec("open-clip", str(source)), context())


def clap() -> ModelSpec:
    from tests.models_sound import random_clap

    source = folder() / "clap-htsat-unfused"
    if not (source / "model.safetensors").exists():
        source.mkdir(exist_ok=True)
        random_clap(source, is_fused=False)
    return provision_model(ModelSpec("clap", str(source)), context())


def e5() -> ModelSpec:
    from tests.models_sound import random_e5

    source = folder() / "multilingual-e5-small"
    if not (source / "model.safetensors").exists():
        source.mkdir(exist_ok=True)
        random_e5(source)
    return provision_model(ModelSpec("sentence", str(source)), context())
