"""FAISS itself: whether it is here, and the module, imported when it is first needed."""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from typing import Any


def is_available() -> bool:
    """Whether FAISS is installed; it is not imported to find out."""
    return importlib.util.find_spec("faiss") is not None


@cache
def library() -> Any:
    """The module `faiss` (0.14 s to import). Raises ImportError where it is not installed.

    Untyped, for the stubs that come with it lack what the GPU's build adds.
    """
    return importlib.import_module("faiss")


def version() -> str:
    """The version of FAISS, as an index is stamped with it."""
    return str(library().__version__)
