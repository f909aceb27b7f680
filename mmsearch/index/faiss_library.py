"""FAISS itself, imported on first use."""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from typing import Any


def is_available() -> bool:
    """Returns True if FAISS is installed; does not import it."""
    return importlib.util.find_spec("faiss") is not None


@cache
def load_faiss() -> Any:
    """Imports `faiss` (0.14 s). Raises ImportError if it is not installed.

    Untyped: the stubs that come with it lack the names of the GPU build.
    """
    return importlib.import_module("faiss")


def faiss_version() -> str:
    """Returns the version of FAISS, which an index is stamped with."""
    return str(load_faiss().__version__)
