"""Formats tables and JSON as "header: value" lines for text encoders."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, islice, repeat

# Parsed JSON takes some ten times its size: larger files are read line by line.
_MAX_JSON_BYTES = 16 * 1024**2
# The names of so many objects around a value are written before it.
_MAX_KEY_PARTS = 16
_MAX_LINE_CHARS = 1 << 20
_DELIMITERS = "\t;|,"
_SAMPLE_LINES = 50
_SAMPLE_LINE_CHARS = 4096
# A quoted cell of more lines or characters is taken for a quote that is never closed.
_MAX_CELL_LINES = 1000
_MAX_CELL_CHARS = 1 << 20
# So many characters may be searched for closing quotes in vain, in all.
_MAX_VAIN_CHARS = 1 << 25
_ROW_SHARE = 0.8
_QUOTED = re.compile(r'"[^"\n]*"')
_SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.I | re.S)


def split_lines(blocks: Iterable[str]) -> Iterator[str]:
    """Yields lines with their ends; a line without an end is cut after a million characters."""
    rest = ""
    for block in blocks:
        parts = (rest + block).split("\n")
        rest = parts.pop()
        for part in parts:
            yield part + "\n"
        while len(rest) >= _MAX_LINE_CHARS:
            yield rest[:_MAX_LINE_CHARS]
            rest = rest[_MAX_LINE_CHARS:]
    if rest:
        yield rest


def format_table(blocks: Iterable[str]) -> Iterator[str]:
    """Yields "header: value, header: value" for each row, in which all text of the row is."""
    lines = split_lines(blocks)
    head = [line.lstrip("\ufeff") for line in islice(lines, 1)]
    declared = _SEPARATOR.fullmatch(head[0]) if head else None
    head = [*([] if declared else head), *islice(lines, _SAMPLE_LINES)]
    delimiter, width = _detect_delimiter(head, declared[1] if declared else _DELIMITERS)
    if delimiter is None:
        yield from head
        yield from lines
    else:
        yield from _format_rows(_TableReader(chain(head, lines), delimiter, width).read_rows())


def _format_rows(rows: Iterable[list[str]]) -> Iterator[str]:
    header: list[str] | None = None
    for number, row in enumerate(rows):
        cells = [cell.strip() for cell in row]
        if number == 0 and _is_header(cells):
            header = cells
            yield ", ".join(cell for cell in cells if cell) + "\n"
            continue
        pairs = zip(chain(header or (), repeat("")), cells, strict=False)
        line = ", ".join(f"{name}: {cell}" if name else cell for name, cell in pairs if cell)
        if line:
            yield line.replace("\n", " ") + "\n"


def _detect_delimiter(lines: list[str], marks: str) -> tuple[str | None, int]:
    """Returns the mark that most lines have equally often, and the number of cells in a row."""
    best: tuple[str | None, int] = (None, 1)
    best_share = 0.0
    samples = [_QUOTED.sub("", line[:_SAMPLE_LINE_CHARS]) for line in lines if line.strip()]
    for mark in marks:
        counts = Counter(sample.count(mark) for sample in samples if mark in sample)
        if counts:
            count, agreeing = max(counts.items(), key=lambda item: (item[1], item[0]))
            share = agreeing / len(samples)
            # Earlier marks are rarer in text.
            if share > best_share * 1.1:
                first = samples[0].count(mark) if '"' not in samples[0] else 0
                best, best_share = (mark, (first or count) + 1), share
    return best


class _TableReader:
    """Reads the rows of a table with recovery: an open quote is a letter of its own row."""

    def __init__(self, lines: Iterable[str], delimiter: str, width: int) -> None:
        self._lines = iter(lines)
        self._ahead: list[str] = []
        self._delimiter, self._width = delimiter, width
        self._vain_chars = 0
        csv.field_size_limit(_MAX_LINE_CHARS + _MAX_CELL_CHARS)

    def read_rows(self) -> Iterator[list[str]]:
        """Yields the cells of each row."""
        while (line := self._next_line()) is not None:
            if '"' not in line:
                yield self._split(line)
                continue
            record = self._read_record(line)
            # A quote without an end is a mark of inches, or a slip.
            yield self._split(line) if record is None else self._parse(record)

    def _next_line(self) -> str | None:
        return self._ahead.pop() if self._ahead else next(self._lines, None)

    def _read_record(self, line: str) -> str | None:
        """Returns the line with those that its quoted cells go on in; None for an open quote."""
        is_open = self._is_left_open(line, is_open=False)
        if not is_open:
            return line
        taken: list[str] = []
        chars = 0
        while is_open and len(taken) < _MAX_CELL_LINES and chars < _MAX_CELL_CHARS:
            if self._vain_chars > _MAX_VAIN_CHARS or (following := self._next_line()) is None:
                break
            taken.append(following)
            chars += len(following)
            is_open = self._is_left_open(following, is_open=True)
        if is_open is False and not self._look_like_rows([line, *taken]):
            return line + "".join(taken)
        self._vain_chars += chars
        self._ahead += reversed(taken)
        return None

    def _is_left_open(self, line: str, *, is_open: bool) -> bool | None:
        """Returns True if a quoted cell goes on after the line, None if it does not end as one.

        `is_open` says that the line begins within a quoted cell.
        """
        at, crosses = 0, is_open
        while True:
            if is_open:
                at = line.find('"', at) + 1
                if at == 0:
                    return True
                if line.startswith('"', at):
                    at += 1
                    continue
                end = line[at : at + 20].lstrip(" ")
                if crosses and end and not end.startswith((self._delimiter, "\n")):
                    return None
                is_open = crosses = False
            elif line.startswith('"', at):
                is_open = True
                at += 1
                continue
            at = line.find(self._delimiter, at) + 1
            if at == 0:
                return False

    def _look_like_rows(self, lines: list[str]) -> bool:
        """Tests if lines within a quoted cell have as many cells as rows of their own."""
        if len(lines) == 2:
            return len(self._parse("".join(lines))) != self._width
        alike = sum(line.count(self._delimiter) + 1 == self._width for line in lines)
        return alike >= len(lines) * _ROW_SHARE

    def _parse(self, record: str) -> list[str]:
        try:
            return next(csv.reader([record], delimiter=self._delimiter))
        except csv.Error:  # a cell above the limit of the parser
            return self._split(record)

    def _split(self, line: str) -> list[str]:
        return line.rstrip("\n").split(self._delimiter)


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
            value = json.loads(text, object_pairs_hook=_make_object)
        except (ValueError, RecursionError):
            blocks = [text]
        else:
            yield from _flatten(value)
            return
    for line in split_lines(blocks):
        stripped = line.strip().lstrip("\x1e")
        if stripped[:1] in ("{", "[") and stripped[-1:] in ("}", "]"):
            try:
                value = json.loads(stripped, object_pairs_hook=_make_object)
            except (ValueError, RecursionError):
                yield line
            else:
                yield ", ".join(part.rstrip("\n") for part in _flatten(value)) + "\n"
        else:
            yield line


class _RepeatedNames(list[tuple[str, object]]):
    """The values of an object in which a name comes twice."""

    def items(self) -> Iterator[tuple[str, object]]:
        """Yields the names and values, as those of a dict."""
        return iter(self)


def _make_object(pairs: list[tuple[str, object]]) -> object:
    value = dict(pairs)
    return value if len(value) == len(pairs) else _RepeatedNames(pairs)


def _flatten(root: object) -> Iterator[str]:
    """Yields a line for each value, or list of plain values, at any depth."""
    stack: list[Iterator[tuple[str, object]]] = [iter([("", root)])]
    while stack:
        key, value = next(stack[-1], (None, None))
        if key is None:
            stack.pop()
        elif isinstance(value, dict | _RepeatedNames):
            stack.append(_name_values(key, value.items()))
        elif isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
            stack.append(zip(repeat(key), value, strict=False))
        elif value not in (None, "", []):
            plain = ", ".join(map(_format_scalar, value)) if isinstance(value, list) else value
            yield f"{key}: {_format_scalar(plain)}\n" if key else f"{_format_scalar(plain)}\n"


def _name_values(key: str, items: Iterable[tuple[str, object]]) -> Iterator[tuple[str, object]]:
    """Yields each value under the names of the innermost objects around it."""
    if key.count(".") >= _MAX_KEY_PARTS:
        key = key.partition(".")[2]
    for name, value in items:
        yield f"{key}.{name}" if key else name, value


def _format_scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
