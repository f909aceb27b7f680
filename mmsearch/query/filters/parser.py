"""Reads the language of `where`: `kind = image and size > 10MB and not camera ~ canon`.

    expression  = all {"or" all}
    all         = one {"and" one}
    one         = "not" one | "(" expression ")" | condition
    condition   = field operator value | field "in" "(" value {"," value} ")"
                | "has" "(" field ")" | "under" "(" folder ")"
                | "near" "(" latitude "," longitude "," distance ")"
                | "inside" "(" south "," west "," north "," east ")"

Nothing of it is ever run, or pasted into another language: it becomes a tree of frozen values.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import NoReturn, TypeVar

from mmsearch.errors import QueryError
from mmsearch.media.files import absolute
from mmsearch.query.filters import fields, quantities
from mmsearch.query.filters.expressions import (
    GPS,
    KEYWORDS,
    Among,
    And,
    Compare,
    Expression,
    Has,
    Inside,
    Near,
    Not,
    Or,
    Under,
    Value,
)
from mmsearch.query.filters.fields import Field
from mmsearch.query.filters.lexer import END, OPERATOR, QUOTED, WORD, Token, failure, scan

MAX_CHARS = 10_000
MAX_DEPTH = 50
"""Parentheses and `not`s within each other."""
MAX_CONDITIONS = 100
MAX_VALUES = 1_000
"""Values of one `in`."""
FUNCTIONS = ("has", "under", "near", "inside")
LATITUDE = partial(quantities.degrees, bound=90.0)
LONGITUDE = partial(quantities.degrees, bound=180.0)
T = TypeVar("T")


def parse(text: str, *, today: date | None = None) -> Expression:
    """What `text` asks for; `today` is what its dates count back from, else that of the clock.

    Raises QueryError, which shows the place and says what was expected there.
    """
    if len(text) > MAX_CHARS:
        raise QueryError(
            f"the filter has {len(text):,} characters, and {MAX_CHARS:,} is the most: "
            "shorten it, or search several times"
        )
    return _Parser(text, today).whole()


def folder(text: str) -> str:
    """A folder as an absolute path; raises QueryError for what cannot be one."""
    try:
        return absolute(Path(fields.text(text)))
    except (OSError, RuntimeError) as exc:  # no home, or no folder to be in
        raise QueryError(f"{text!r} cannot be found: {exc}") from exc


class _Parser:
    """One pass from left to right, a function for each rule of the grammar."""

    def __init__(self, text: str, today: date | None) -> None:
        self._text = text
        self._today = today
        self._tokens = list(scan(text))
        self._at = 0
        self._depth = 0
        self._conditions = 0

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._next
        self._at += token.kind != END
        return token

    def whole(self) -> Expression:
        if self._next.kind == END:
            raise QueryError("the filter is empty: write one as in kind = image and size > 10MB")
        found = self._expression()
        if self._next.kind != END:
            quoting = "; a text of several words stands in quotes"
            is_text = self._next.kind in (WORD, QUOTED)
            self._fail(self._next, f"expected and, or, or the end{quoting if is_text else ''}")
        return found

    def _expression(self) -> Expression:
        parts = [self._all()]
        while self._next.is_word("or"):
            self._take()
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _all(self) -> Expression:
        parts = [self._one()]
        while self._next.is_word("and"):
            self._take()
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _one(self) -> Expression:
        token = self._take()
        is_open = token.is_mark("(")
        if not (is_open or token.is_word("not")):
            return self._condition(token)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(token, f"nested deeper than {MAX_DEPTH} levels")
        found = self._expression() if is_open else Not(self._one())
        if is_open:
            self._mark(")")
        self._depth -= 1
        return found

    def _condition(self, token: Token) -> Expression:
        if token.kind != WORD or token.is_word(*KEYWORDS):
            self._fail(token, "expected a field, a function, not, or (")
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            self._fail(
                token, f"more than {MAX_CONDITIONS} conditions: FIELD in (…) takes many values"
            )
        if self._next.is_mark("("):
            return self._function(token)
        if token.is_word(GPS):
            self._fail(token, "places are asked for with has(gps), near(…) or inside(…)")
        field = self._read(token, fields.find)
        operator = self._take()
        if operator.is_word("in"):
            return Among(field.name, self._values(field))
        if operator.is_word("not"):
            self._fail(operator, f"write: not {field.name} in (…)")
        if operator.kind != OPERATOR or operator.text not in field.holds.operators:
            listed = " ".join((*field.holds.operators, "in"))
            asking = f"; has({field.name}) asks whether it is known"
            self._fail(
                operator,
                f"{field.name} is {field.holds.value}: expected one of {listed}"
                f"{'' if operator.kind == OPERATOR else asking}",
            )
        return Compare(field.name, operator.text, self._value(field))

    def _values(self, field: Field) -> tuple[Value, ...]:
        self._mark("(")
        values = [self._value(field)]
        while self._next.is_mark(","):
            token = self._take()
            if len(values) == MAX_VALUES:
                self._fail(token, f"more than {MAX_VALUES:,} values")
            values.append(self._value(field))
        self._mark(")", "a comma or )")
        return tuple(values)

    def _value(self, field: Field) -> Value:
        token = self._next
        if token.is_word(*KEYWORDS):
            self._fail(
                token,
                f"expected {field.holds.value}; the word {token.text} itself stands in quotes",
            )
        read = partial(fields.value, field, today=self._today)
        return self._argument(f"{field.holds.value} for {field.name}", read)

    def _function(self, token: Token) -> Expression:
        name = token.text.lower()
        if name not in FUNCTIONS:
            listed = ", ".join(FUNCTIONS)
            self._fail(token, f"there is no function {name[:40]!r}: there are {listed}")
        self._mark("(")
        found = self._called(name)
        self._mark(")")
        return found

    def _called(self, name: str) -> Expression:
        if name == "has":
            return Has(self._argument("a field, or gps", _known))
        if name == "under":
            return Under(self._argument("a folder, in quotes where it begins with ~", folder))
        first = self._argument("a latitude", LATITUDE)
        second = self._following("a longitude", LONGITUDE)
        if name == "near":
            return Near(first, second, self._following("a distance", quantities.kilometres))
        north = self._following("a latitude", LATITUDE)
        return Inside(first, second, north, self._following("a longitude", LONGITUDE))

    def _following(self, meaning: str, read: Callable[[str], T]) -> T:
        self._mark(",", f"a comma and {meaning}")
        return self._argument(meaning, read)

    def _argument(self, meaning: str, read: Callable[[str], T]) -> T:
        token = self._take()
        if token.kind not in (WORD, QUOTED):
            self._fail(token, f"expected {meaning}")
        return self._read(token, read)

    def _mark(self, mark: str, meaning: str = "") -> None:
        token = self._take()
        if not token.is_mark(mark):
            self._fail(token, f"expected {meaning or mark}")

    def _read(self, token: Token, read: Callable[[str], T]) -> T:
        """What a token says; a complaint about it is told with the place."""
        try:
            return read(token.text)
        except QueryError as exc:
            raise failure(self._text, str(exc), token.start, token.end) from exc

    def _fail(self, token: Token, why: str) -> NoReturn:
        raise failure(self._text, why, token.start, token.end)


def _known(name: str) -> str:
    return GPS if name.lower() == GPS else fields.find(name).name
