"""Splits a filter into tokens, and shows the place of an error in it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from mmsearch.errors import QueryError
from mmsearch.query.filters.fields import UNFIT

WORD, QUOTED, OPERATOR, MARK, END = "word", "quoted", "operator", "mark", "end"
_TOKEN = re.compile(
    r"""(?P<space>\s+)"""
    r"""|(?P<mark>[(),])"""
    r"""|(?P<operator><=|>=|!=|<>|==|[=<>~])"""
    r"""|(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"""|(?P<word>[^\s()=!<>~,"']+)""",
    re.DOTALL,
)
_ESCAPED = re.compile(r"""\\(["'\\])""")
_SAME = {"==": "=", "<>": "!="}
_SHOWN_BEFORE, _SHOWN = 40, 76


@dataclass(frozen=True, slots=True)
class FilterToken:
    """A word, a quoted text, an operator or a mark, and its position."""

    kind: str
    text: str
    start: int
    end: int

    def is_word(self, *words: str) -> bool:
        """Tests if it is one of some words, unquoted, in upper or lower case."""
        return self.kind == WORD and self.text.lower() in words

    def is_mark(self, mark: str) -> bool:
        """Tests if it is a parenthesis or comma."""
        return self.kind == MARK and self.text == mark


def split_tokens(text: str) -> Iterator[FilterToken]:
    """Splits a filter into tokens, the last of them its end; raises QueryError."""
    if unfit := UNFIT.search(text):
        raise build_error(text, "a control character, or bytes that are no UTF-8", *unfit.span())
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            operators = "there are = != < <= > >= ~"
            why = "is not closed" if text[at] in "\"'" else f"is no operator: {operators}"
            raise build_error(text, f"{text[at]} {why}", at, at + 1)
        kind, value, at = str(match.lastgroup), match[0], match.end()
        if kind == QUOTED:
            value = _ESCAPED.sub(r"\1", value[1:-1])
        if kind != "space":
            yield FilterToken(
                kind, _SAME.get(value, value) if kind == OPERATOR else value, *match.span()
            )
    yield FilterToken(END, "", len(text), len(text) + 1)


def build_error(text: str, why: str, start: int, end: int) -> QueryError:
    """Builds the error that shows a place in a filter, with carets below it."""
    begin = max(0, start - _SHOWN_BEFORE)
    shown = _make_printable(text[begin : begin + _SHOWN])
    before, marked = shown[: start - begin], shown[start - begin : end - begin]
    lead = "…" if begin else ""
    tail = "…" if begin + _SHOWN < len(text) else ""
    carets = " " * (len(lead) + _text_width(before)) + "^" * max(1, _text_width(marked))
    return QueryError(f"the filter cannot be read: {why}\n  {lead}{shown}{tail}\n  {carets}")


def _make_printable(text: str) -> str:
    """Returns one line of printable characters."""
    return "".join(
        " " if char.isspace() else char if char.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for char in text
    )


def _text_width(text: str) -> int:
    """Returns the width of a text on a terminal."""
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )
