"""Local-first search by meaning over images, audio, video and text."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from mmsearch.errors import MmsearchError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmsearch.library.library import Library
    from mmsearch.models.provisioning import Runtime
    from mmsearch.query.algebra import Query, asset, audio, file, image, text
    from mmsearch.types import Hit

__all__ = [
    "Hit",
    "Library",
    "MmsearchError",
    "Query",
    "Runtime",
    "asset",
    "audio",
    "file",
    "image",
    "open",
    "text",
]

# Nothing leaves the machine. ONNX Runtime reports the use of models to its maker unless it is told
# not to before it is loaded; workers and jobs inherit this. Whoever has set it has decided.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

_HOMES = {
    "Hit": "mmsearch.types",
    "Library": "mmsearch.library.library",
    "Query": "mmsearch.query.algebra",
    "Runtime": "mmsearch.models.provisioning",
    "asset": "mmsearch.query.algebra",
    "audio": "mmsearch.query.algebra",
    "file": "mmsearch.query.algebra",
    "image": "mmsearch.query.algebra",
    "text": "mmsearch.query.algebra",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'mmsearch' has no attribute {name!r}")


def open(  # noqa: A001 - `mmsearch.open` is the contract, as in io.open
    path: str,
    *,
    preset: str | None = None,
    models: Mapping[str, str] | None = None,
    create: bool = True,
    runtime: Runtime | None = None,
) -> Library:
    """Open the library in a folder, making an empty one where nothing is, unless `create` is False.

    See `mmsearch.library.library.Library.open` for what the arguments mean and what is raised.
    """
    from mmsearch.library.library import Library
    from mmsearch.models.provisioning import Runtime

    return Library.open(
        path, preset=preset, models=models or {}, create=create, runtime=runtime or Runtime()
    )
