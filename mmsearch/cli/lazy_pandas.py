"""Keeps pandas out of the command: pyarrow imports it where installed, for half a second."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType


class _WithoutPandas(MetaPathFinder):
    """An import finder that says that pandas is not installed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        del path, target
        if fullname == "pandas":
            raise ModuleNotFoundError("the mmsearch command runs without pandas", name=fullname)


def hide_pandas() -> None:
    """Hides pandas from this process; for the command only, never for the library."""
    sys.meta_path.insert(0, _WithoutPandas())


def show_pandas() -> None:
    """Shows pandas again, for a command that needs it, before anything imports it."""
    sys.meta_path[:] = [hook for hook in sys.meta_path if not isinstance(hook, _WithoutPandas)]
