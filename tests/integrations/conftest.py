"""The marks that langchain-tests sets on tests of its own, which pytest wants to know of."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    for mark in ("benchmark", "vcr"):
        config.addinivalue_line("markers", f"{mark}: of langchain-tests; nothing here uses it")
