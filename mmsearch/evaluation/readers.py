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


def trouble(path: Path, where: Where, what: str) -> ConfigError:
    """The error for something in a file."""
    if where is None:
        return ConfigError(f"{path}: {what}")
    place = f"line {where}" if isinstance(where, int) else where
    return ConfigError(f"{path}, {place}: {what}")


@contextlib.contextmanager
def placed(path: Path, where: Where) -> Iterator[None]:
    """Say of what is wrong where it stands: ValueError and ConfigError become ConfigError."""
    try:
        yield
    except (ValueError, ConfigError) as exc:
        raise trouble(path, where, str(exc)) from exc


def refuse_split(path: Path, split: str | None) -> None:
    """Raise ConfigError where a part is asked for of what has no parts."""
    if split not in (None, EVERY_SPLIT):
        raise ConfigError(f"{path}: this layout has no splits, so no {split!r}")


def opening(path: Path, size: int) -> bytes:
    """How a file begins."""
    with _opened(path, MAX_FILE_BYTES) as stream:
        try:
            return stream.read(size)
        except OSError as exc:
            raise trouble(path, None, f"cannot be read: {exc.strerror or exc}") from exc


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text in UTF-8 with their numbers, without the end of the line."""
    with _opened(path, MAX_FILE_BYTES) as stream:
        number = 0
        while raw := _line(stream, path, number + 1):
            number += 1
            # A byte order mark is left by spreadsheets.
            encoding = "utf-8-sig" if number == 1 else "utf-8"
            try:
                text = raw.decode(encoding)
            except UnicodeDecodeError as exc:
                raise trouble(path, number, f"cannot be read as UTF-8: {exc.reason}") from exc
            if "\0" in text:
                raise trouble(path, number, "a NUL character is no text")
            yield number, text.rstrip("\r\n")


def _line(stream: BinaryIO, path: Path, number: int) -> bytes:
    try:
        raw = stream.readline(MAX_LINE_BYTES + 1)
    except OSError as exc:
        raise trouble(path, number, f"cannot be read: {exc.strerror or exc}") from exc
    if len(raw) > MAX_LINE_BYTES:
        raise trouble(path, number, f"is longer than {MAX_LINE_BYTES >> 20} MiB")
    return raw


def _opened(path: Path, limit: int) -> BinaryIO:
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path} cannot be read: it is no file")
        if path.stat().st_size > limit:
            raise ConfigError(f"{path} cannot be read: it is larger than {limit >> 20} MiB")
        return path.open("rb")
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise ConfigError(f"{path} cannot be read: {reason}") from exc


def table(path: Path, *, columns: Collection[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV with a header, and the line each ends on; `columns` must be there."""
    ended = 0

    def texts() -> Iterator[str]:
        nonlocal ended
        for number, text in lines(path):
            ended = number
            yield text + "\n"

    rows = csv.reader(texts(), strict=True)
    header: list[str] | None = None
    try:
        for row in rows:
            if header is None:
                header = [name.strip() for name in row]
                lacking = [name for name in columns if name not in header]
                if lacking:
                    raise trouble(path, ended, f"there is no column {', '.join(lacking)}")
            elif row:
                if len(row) != len(header):
                    wanted = f"{len(header)} columns are named, {len(row)} are here"
                    raise trouble(path, ended, wanted)
                yield ended, dict(zip(header, row, strict=True))
    except csv.Error as exc:
        raise trouble(path, ended, f"is no CSV: {exc}") from exc


def document(path: Path) -> Any:
    """A file that is one JSON value."""
    with _opened(path, MAX_DOCUMENT_BYTES) as stream:
        try:
            return json.load(stream)
        except (ValueError, RecursionError) as exc:
            line = exc.lineno if isinstance(exc, json.JSONDecodeError) else None
            raise trouble(path, line, f"is no JSON: {_short(exc)}") from exc
        except (OSError, MemoryError) as exc:
            raise trouble(path, None, f"cannot be read: {_short(exc)}") from exc


def value(text: str) -> Any:
    """A text that is one JSON value; raises ValueError."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ValueError(f"is no JSON: {_short(exc)}") from exc


def query(words: object) -> str:
    """Words that can be searched for, in one line; raises ValueError for anything else."""
    if not isinstance(words, str):
        raise ValueError("the query is no text")  # noqa: TRY004 - what is wrong is in the file
    asked = " ".join(words.split())
    if not asked:
        raise ValueError("the query is empty")
    if "\0" in asked:
        raise ValueError("a NUL character is no text")
    if not _is_whole(asked):
        raise ValueError("half a character (a lone surrogate) is no text")
    if len(asked) > MAX_QUERY_CHARS:
        raise ValueError(f"the query has more than {MAX_QUERY_CHARS:,} characters")
    return asked


def _is_whole(text: str) -> bool:
    """Whether a text can be written down: JSON can hold one half of a pair of surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _short(error: BaseException) -> str:
    return str(error)[:200] or type(error).__name__
