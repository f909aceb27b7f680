"""Reads lines, tables and JSON of annotations, bounded, with errors that name file and line."""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from mmsearch.errors import ConfigError

MAX_FILE_BYTES = 1 << 30
MAX_DOCUMENT_BYTES = 1 << 28
"""The captions of COCO are 144 MB of JSON with their splits; parsed they take ten times as much."""
MAX_LINE_BYTES = 1 << 24
MAX_QUERY_CHARS = 10_000
EVERY_SPLIT = "all"

Where = int | str | None
"""A line, counted from 1, or an element of a list in JSON."""


def file_error(path: Path, where: Where, what: str) -> ConfigError:
    """Returns the error for a fault in a file."""
    if where is None:
        return ConfigError(f"{path}: {what}")
    place = f"line {where}" if isinstance(where, int) else where
    return ConfigError(f"{path}, {place}: {what}")


@contextlib.contextmanager
def add_location(path: Path, where: Where) -> Iterator[None]:
    """Adds the location to errors: ValueError and ConfigError become ConfigError."""
    try:
        yield
    except (ValueError, ConfigError) as exc:
        raise file_error(path, where, str(exc)) from exc


def refuse_split(path: Path, split: str | None) -> None:
    """Raises ConfigError for a split of a layout that has none."""
    if split not in (None, EVERY_SPLIT):
        raise ConfigError(f"{path}: this layout has no splits, so no {split!r}")


def read_opening(path: Path, size: int) -> bytes:
    """Returns the beginning of a file."""
    with _open_text(path, MAX_FILE_BYTES) as stream:
        try:
            return stream.read(size)
        except OSError as exc:
            raise file_error(path, None, f"cannot be read: {exc.strerror or exc}") from exc


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yields the lines of a text in UTF-8 with their numbers, without line ends."""
    with _open_text(path, MAX_FILE_BYTES) as stream:
        number = 0
        while raw := _read_line(stream, path, number + 1):
            number += 1
            # A byte order mark is left by spreadsheets.
            encoding = "utf-8-sig" if number == 1 else "utf-8"
            try:
                text = raw.decode(encoding)
            except UnicodeDecodeError as exc:
                raise file_error(path, number, f"cannot be read as UTF-8: {exc.reason}") from exc
            if "\0" in text:
                raise file_error(path, number, "a NUL character is no text")
            yield number, text.rstrip("\r\n")


def _read_line(stream: BinaryIO, path: Path, number: int) -> bytes:
    try:
        raw = stream.readline(MAX_LINE_BYTES + 1)
    except OSError as exc:
        raise file_error(path, number, f"cannot be read: {exc.strerror or exc}") from exc
    if len(raw) > MAX_LINE_BYTES:
        raise file_error(path, number, f"is longer than {MAX_LINE_BYTES >> 20} MiB")
    return raw


def _open_text(path: Path, limit: int) -> BinaryIO:
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path} cannot be read: it is no file")
        if path.stat().st_size > limit:
            raise ConfigError(f"{path} cannot be read: it is larger than {limit >> 20} MiB")
        return path.open("rb")
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise ConfigError(f"{path} cannot be read: {reason}") from exc


def read_table(path: Path, *, columns: Collection[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields the rows of a CSV with a header, each with its last line; `columns` are required."""
    line_number = 0

    def texts() -> Iterator[str]:
        nonlocal line_number
        for number, text in read_lines(path):
            line_number = number
            yield text + "\n"

    rows = csv.reader(texts(), strict=True)
    header: list[str] | None = None
    try:
        for row in rows:
            if header is None:
                header = [name.strip() for name in row]
                missing = [name for name in columns if name not in header]
                if missing:
                    raise file_error(path, line_number, f"there is no column {', '.join(missing)}")
            elif row:
                if len(row) != len(header):
                    fault = f"{len(header)} columns are named, {len(row)} are here"
                    raise file_error(path, line_number, fault)
                yield line_number, dict(zip(header, row, strict=True))
    except csv.Error as exc:
        raise file_error(path, line_number, f"is no CSV: {exc}") from exc


def read_document(path: Path) -> Any:
    """Reads a file that is one JSON value."""
    with _open_text(path, MAX_DOCUMENT_BYTES) as stream:
        try:
            return json.load(stream)
        except (ValueError, RecursionError) as exc:
            line = exc.lineno if isinstance(exc, json.JSONDecodeError) else None
            raise file_error(path, line, f"is no JSON: {_shorten(exc)}") from exc
        except (OSError, MemoryError) as exc:
            raise file_error(path, None, f"cannot be read: {_shorten(exc)}") from exc


def parse_value(text: str) -> Any:
    """Parses one JSON value; raises ValueError."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ValueError(f"is no JSON: {_shorten(exc)}") from exc


def parse_query(text: object) -> str:
    """Returns a query as one line; raises ValueError for an invalid one."""
    if not isinstance(text, str):
        raise ValueError("the query is no text")  # noqa: TRY004 - what is wrong is in the file
    query = " ".join(text.split())
    if not query:
        raise ValueError("the query is empty")
    if "\0" in query:
        raise ValueError("a NUL character is no text")
    try:
        query.encode()  # JSON can hold one half of a pair of surrogates
    except UnicodeEncodeError as exc:
        raise ValueError("half a character (a lone surrogate) is no text") from exc
    if len(query) > MAX_QUERY_CHARS:
        raise ValueError(f"the query has more than {MAX_QUERY_CHARS:,} characters")
    return query


def _shorten(error: BaseException) -> str:
    return str(error)[:200] or type(error).__name__
