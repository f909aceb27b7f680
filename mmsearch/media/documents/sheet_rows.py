"""Formats the rows of a sheet as "header: value" lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

_MAX_HEADER_CHARS = 80


class SheetCell(NamedTuple):
    """A cell as it is shown; `is_text` is False for numbers and dates."""

    text: str
    is_text: bool


class SheetRows:
    """Formats the rows of one sheet, from the top.

    The first row of several cells is the header if all its cells are short texts; titles above it
    stay as they are.
    """

    def __init__(self) -> None:
        self._header: dict[int, str] | None = None

    def format(self, row: Mapping[int, SheetCell]) -> str | None:
        """Returns the line of a row, whose cells are by their columns; None if it is blank."""
        cells = {at: _join_lines(row[at].text) for at in sorted(row)}
        cells = {at: text for at, text in cells.items() if text}
        if not cells:
            return None
        if self._header is None and len(cells) > 1:
            self._header = {}
            names = set(cells.values())
            is_header = len(names) == len(cells) and all(
                row[at].is_text and len(text) <= _MAX_HEADER_CHARS for at, text in cells.items()
            )
            if is_header:
                self._header = cells
                return ", ".join(cells.values()) + "\n"
        header = self._header or {}
        return (
            ", ".join(
                f"{header[at]}: {text}" if at in header else text for at, text in cells.items()
            )
            + "\n"
        )


def _join_lines(text: str) -> str:
    return " ".join(text.split())
