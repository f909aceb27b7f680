"""Formats tables and JSON as "header: value" lines for text encoders."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, repeat

# Parsed JSON takes some ten times its size: larger files are read line by line.
_MAX_JSON_BYTES = 16 * 1024**2
_MAX_DEPTH = 16
_MAX_LINE_CHARS = 1 << 20
_MAX_CELL_CHARS = 10_000
_SAMPLE_CHARS = 8192


def split_lines(blocks: Iterable[str]) -> Iterator[str]:
    """Yields lines with their ends; a line without an end is cut after a million characters."""
    rest = ""
    for block in blocks:
        parts = (rest + block).splitlines(keepends=True) if "\n" in block else [rest + block]
        rest = parts.pop() if parts and not parts[-1].endswith("\n") else ""
        yield from parts
        while len(rest) >= _MAX_LINE_CHARS:
            yield rest[:_MAX_LINE_CHARS]
            rest = rest[_MAX_LINE_CHARS:]
    if rest:
        yield rest


def format_table(blocks: Iterable[str]) -> Iterator[str]:
    """Yields "header: value, header: value" for each row; malformed rows stay unchanged."""
    source = split_lines(blocks)
    head: list[str] = []
    chars = 0
    for line in source:
        head.append(line.lstrip("\ufeff") if not head else line)
        chars += len(line)
        if chars >= _SAMPLE_CHARS or len(head) >= 50:
            break
    delimiter = _detect_delimiter(head)
    all_lines = chain(head, source)
    if delimiter is not None:
        # A quote that is never closed swallows lines until the reader gives up: go on raw.
        with suppress(csv.Error):
            yield from _format_rows(csv.reader(all_lines, delimiter=delimiter))
    yield from all_lines


def _format_rows(rows: Iterable[list[str]]) -> Iterator[str]:
    header: list[str] | None = None
    for number, row in enumerate(rows):
        cells = [cell.strip()[:_MAX_CELL_CHARS] for cell in row]
        if number == 0 and _is_header(cells):
            header = cells
            yield ", ".join(cell for cell in cells if cell) + "\n"
            continue
        pairs = zip(chain(header or (), repeat("")), cells, strict=False)
        line = ", ".join(f"{name}: {cell}" if name else cell for name, cell in pairs if cell)
        if line:
            yield line.replace("\n", " ") + "\n"


def _detect_delimiter(lines: list[str]) -> str | None:
    try:
        return csv.Sniffer().sniff("".join(lines[:20])[:_SAMPLE_CHARS], ",;\t|").delimiter
    except csv.Error:
        counts = {mark: lines[0].count(mark) if lines else 0 for mark in ",;\t|"}
        best = max(counts, key=lambda mark: counts[mark])
        return best if counts[best] else None


def _is_header(cells: list[str]) -> bool:
    filled = [cell for cell in cells if cell]
    is_unique = len(set(filled)) == len(filled) >= 1
    return is_unique and all(len(cell) <= 80 and not _is_number(cell) for cell in filled)


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def format_json(blocks: Iterable[str], size_bytes: int) -> Iterator[str]:
    """Yields "key.key: value" for each value; malformed lines stay unchanged."""
    if size_bytes <= _MAX_JSON_BYTES:
        text = "".join(blocks).lstrip("\ufeff")
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            blocks = [text]
        else:
            yield from _flatten(value, "", 0)
            return
    for line in split_lines(blocks):
        stripped = line.strip()
        if stripped[:1] in ("{", "[") and stripped[-1:] in ("}", "]"):
            try:
                value = json.loads(stripped)
            except (ValueError, RecursionError):
                yield line
            else:
                yield ", ".join(part.rstrip("\n") for part in _flatten(value, "", 0)) + "\n"
        else:
            yield line


def _flatten(value: object, key: str, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        return
    prefix = f"{key}: " if key else ""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flatten(inner, f"{key}.{name}" if key else str(name), depth + 1)
    elif isinstance(value, list):
        if value and not any(isinstance(inner, dict | list) for inner in value):
            yield prefix + ", ".join(_format_scalar(inner) for inner in value) + "\n"
            return
        for inner in value:
            yield from _flatten(inner, key, depth + 1)
    elif value is not None and value != "":
        yield f"{prefix}{_format_scalar(value)}\n"


def _format_scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
