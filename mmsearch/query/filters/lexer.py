"""The words and signs that a filter is written in, and where in it something is wrong."""

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
class Token:
    """A word, a text that was quoted, an operator or a mark, and where it stands."""

    kind: str
    text: str
    start: int
    end: int

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these words, without quotes, in upper or lower case."""
        return self.kind == WORD and self.text.lower() in words

    def is_mark(self, mark: str) -> bool:
        """Whether it is this parenthesis or comma."""
        return self.kind == MARK and self.text == mark


def scan(text: str) -> Iterator[Token]:
    """The tokens of a filter, the last of them its end; raises QueryError."""
    if unfit := UNFIT.search(text):
        raise failure(text, "a control character, or bytes that are no UTF-8", *unfit.span())
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            known = "there are = != < <= > >= ~"
            why = "is not closed" if text[at] in "\"'" else f"is no operator: {known}"
            raise failure(text, f"{text[at]} {why}", at, at + 1)
        kind, said, at = str(found.lastgroup), found[0], found.end()
        if kind == QUOTED:
            said = _ESCAPED.sub(r"\1", said[1:-1])
        if kind != "space":
            yield Token(kind, _SAME.get(said, said) if kind == OPERATOR else said, *found.span())
    yield Token(END, "", len(text), len(text) + 1)


def failure(text: str, why: str, start: int, end: int) -> QueryError:
    """The error that shows a place in a filter, with carets below it."""
    begin = max(0, start - _SHOWN_BEFORE)
    shown = _tidy(text[begin : begin + _SHOWN])
    before, marked = shown[: start - begin], shown[start - begin : end - begin]
    lead = "…" if begin else ""
    tail = "…" if begin + _SHOWN < len(text) else ""
    carets = " " * (len(lead) + _columns(before)) + "^" * max(1, _columns(marked))
    return QueryError(f"the filter cannot be read: {why}\n  {lead}{shown}{tail}\n  {carets}")


def _tidy(text: str) -> str:
    """One line, in which every character can be shown."""
    return "".join(
        " " if char.isspace() else char if char.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for char in text
    )


def _columns(text: str) -> int:
    """How wide a text is on a terminal."""
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )
