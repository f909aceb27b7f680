"""Keeps pandas out of the command: pyarrow imports it where it is, half a second for nothing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType


class _WithoutPandas(MetaPathFinder):
    """Says that pandas is not installed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        del path, target
        if fullname == "pandas":
            raise ModuleNotFoundError("the mmsearch command runs without pandas", name=fullname)


def leave_pandas_out() -> None:
    """From here on, this process does without; for the command only, never for the library."""
    sys.meta_path.insert(0, _WithoutPandas())


def let_pandas_in() -> None:
    """Undo it, for a command that is made of it; before anything asked for pandas."""
    sys.meta_path[:] = [one for one in sys.meta_path if not isinstance(one, _WithoutPandas)]
