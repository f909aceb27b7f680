"""Parses the language of `where`: `kind = image and size > 10MB and not camera ~ canon`.

    expression  = conjunction {"or" conjunction}
    conjunction = unit {"and" unit}
    unit        = "not" unit | "(" expression ")" | condition
    condition   = field operator value | field "in" "(" value {"," value} ")"
                | "has" "(" field ")" | "under" "(" folder ")"
                | "near" "(" latitude "," longitude "," distance ")"
                | "inside" "(" south "," west "," north "," east ")"

The text becomes a tree of frozen values; no part of it is run or put into another language.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import NoReturn, TypeVar

from mmsearch.errors import QueryError
from mmsearch.media.files import make_absolute
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
from mmsearch.query.filters.lexer import (
    END,
    OPERATOR,
    QUOTED,
    WORD,
    FilterToken,
    build_error,
    split_tokens,
)

MAX_CHARS = 10_000
MAX_DEPTH = 50
"""Parentheses and `not`s within each other."""
MAX_CONDITIONS = 100
MAX_VALUES = 1_000
"""Values of one `in`."""
FUNCTIONS = ("has", "under", "near", "inside")
LATITUDE = partial(quantities.parse_degrees, bound=90.0)
LONGITUDE = partial(quantities.parse_degrees, bound=180.0)
T = TypeVar("T")


def parse(text: str, *, today: date | None = None) -> Expression:
    """Parses a filter; its relative dates count back from `today`, by default that of the clock.

    Raises QueryError, which shows the place and says what was expected there.
    """
    if len(text) > MAX_CHARS:
        raise QueryError(
            f"the filter has {len(text):,} characters, and {MAX_CHARS:,} is the most: "
            "shorten it, or search several times"
        )
    return _Parser(text, today).parse_all()


def parse_folder(text: str) -> str:
    """Parses an absolute path of a folder; raises QueryError for an impossible one."""
    try:
        return make_absolute(Path(fields.check_text(text)))
    except (OSError, RuntimeError) as exc:  # no home, or no folder to be in
        raise QueryError(f"{text!r} cannot be found: {exc}") from exc


class _Parser:
    """A recursive-descent parser: one pass, a function for each rule of the grammar."""

    def __init__(self, text: str, today: date | None) -> None:
        self._text = text
        self._today = today
        self._tokens = list(split_tokens(text))
        self._at = 0
        self._depth = 0
        self._conditions = 0

    @property
    def _next(self) -> FilterToken:
        return self._tokens[self._at]

    def _take(self) -> FilterToken:
        token = self._next
        self._at += token.kind != END
        return token

    def parse_all(self) -> Expression:
        if self._next.kind == END:
            raise QueryError("the filter is empty: write one as in kind = image and size > 10MB")
        expression = self._parse_expression()
        if self._next.kind != END:
            quoting = "; a text of several words stands in quotes"
            is_text = self._next.kind in (WORD, QUOTED)
            self._fail(self._next, f"expected and, or, or the end{quoting if is_text else ''}")
        return expression

    def _parse_expression(self) -> Expression:
        parts = [self._parse_conjunction()]
        while self._next.is_word("or"):
            self._take()
            parts.append(self._parse_conjunction())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _parse_conjunction(self) -> Expression:
        parts = [self._parse_unit()]
        while self._next.is_word("and"):
            self._take()
            parts.append(self._parse_unit())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _parse_unit(self) -> Expression:
        token = self._take()
        is_open = token.is_mark("(")
        if not (is_open or token.is_word("not")):
            return self._parse_condition(token)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(token, f"nested deeper than {MAX_DEPTH} levels")
        unit = self._parse_expression() if is_open else Not(self._parse_unit())
        if is_open:
            self._expect_mark(")")
        self._depth -= 1
        return unit

    def _parse_condition(self, token: FilterToken) -> Expression:
        if token.kind != WORD or token.is_word(*KEYWORDS):
            self._fail(token, "expected a field, a function, not, or (")
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            self._fail(
                token, f"more than {MAX_CONDITIONS} conditions: FIELD in (…) takes many values"
            )
        if self._next.is_mark("("):
            return self._parse_function(token)
        if token.is_word(GPS):
            self._fail(token, "places are asked for with has(gps), near(…) or inside(…)")
        field = self._read_token(token, fields.find_field)
        operator = self._take()
        if operator.is_word("in"):
            return Among(field.name, self._parse_values(field))
        if operator.is_word("not"):
            self._fail(operator, f"write: not {field.name} in (…)")
        if operator.kind != OPERATOR or operator.text not in field.holds.operators:
            operators = " ".join((*field.holds.operators, "in"))
            advice = f"; has({field.name}) asks whether it is known"
            self._fail(
                operator,
                f"{field.name} is {field.holds.value}: expected one of {operators}"
                f"{'' if operator.kind == OPERATOR else advice}",
            )
        return Compare(field.name, operator.text, self._parse_value(field))

    def _parse_values(self, field: Field) -> tuple[Value, ...]:
        self._expect_mark("(")
        values = [self._parse_value(field)]
        while self._next.is_mark(","):
            token = self._take()
            if len(values) == MAX_VALUES:
                self._fail(token, f"more than {MAX_VALUES:,} values")
            values.append(self._parse_value(field))
        self._expect_mark(")", "a comma or )")
        return tuple(values)

    def _parse_value(self, field: Field) -> Value:
        token = self._next
        if token.is_word(*KEYWORDS):
            self._fail(
                token,
                f"expected {field.holds.value}; the word {token.text} itself stands in quotes",
            )
        read = partial(fields.parse_value, field, today=self._today)
        return self._parse_argument(f"{field.holds.value} for {field.name}", read)

    def _parse_function(self, token: FilterToken) -> Expression:
        name = token.text.lower()
        if name not in FUNCTIONS:
            functions = ", ".join(FUNCTIONS)
            self._fail(token, f"there is no function {name[:40]!r}: there are {functions}")
        self._expect_mark("(")
        function = self._parse_call(name)
        self._expect_mark(")")
        return function

    def _parse_call(self, name: str) -> Expression:
        if name == "has":
            return Has(self._parse_argument("a field, or gps", _check_field))
        if name == "under":
            return Under(
                self._parse_argument("a folder, in quotes where it begins with ~", parse_folder)
            )
        first = self._parse_argument("a latitude", LATITUDE)
        second = self._parse_following("a longitude", LONGITUDE)
        if name == "near":
            return Near(
                first, second, self._parse_following("a distance", quantities.parse_kilometres)
            )
        north = self._parse_following("a latitude", LATITUDE)
        return Inside(first, second, north, self._parse_following("a longitude", LONGITUDE))

    def _parse_following(self, meaning: str, read: Callable[[str], T]) -> T:
        self._expect_mark(",", f"a comma and {meaning}")
        return self._parse_argument(meaning, read)

    def _parse_argument(self, meaning: str, read: Callable[[str], T]) -> T:
        token = self._take()
        if token.kind not in (WORD, QUOTED):
            self._fail(token, f"expected {meaning}")
        return self._read_token(token, read)

    def _expect_mark(self, mark: str, meaning: str = "") -> None:
        token = self._take()
        if not token.is_mark(mark):
            self._fail(token, f"expected {meaning or mark}")

    def _read_token(self, token: FilterToken, read: Callable[[str], T]) -> T:
        """Reads the value of a token; an error is shown with the place."""
        try:
            return read(token.text)
        except QueryError as exc:
            raise build_error(self._text, str(exc), token.start, token.end) from exc

    def _fail(self, token: FilterToken, why: str) -> NoReturn:
        raise build_error(self._text, why, token.start, token.end)


def _check_field(name: str) -> str:
    return GPS if name.lower() == GPS else fields.find_field(name).name
