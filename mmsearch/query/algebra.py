"""Queries: weighted terms, and the operators and words that make them."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from mmsearch.errors import QueryError
from mmsearch.formatting import replace_surrogates


class TermKind(StrEnum):
    """The content of a term."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    FILE = "file"  # a file of any modality: its content decides
    ASSET = "asset"  # an asset of the library, by its id


@dataclass(frozen=True, slots=True)
class Term:
    """One part of a query: words, or an example by its path or its id; a negative weight avoids."""

    kind: TermKind
    value: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Query:
    """A weighted sum of terms: `text("harbour") + 0.5 * image("boat.jpg") - text("people")`."""

    terms: tuple[Term, ...]

    def __add__(self, other: Query) -> Query:
        return Query(self.terms + other.terms)

    def __sub__(self, other: Query) -> Query:
        return self + -1.0 * other

    def __mul__(self, factor: float) -> Query:
        return Query(tuple(replace(term, weight=term.weight * factor) for term in self.terms))

    __rmul__ = __mul__

    def __neg__(self) -> Query:
        return -1.0 * self

    def __str__(self) -> str:
        parts: list[str] = []
        for term in self.terms:
            sign = "-" if term.weight < 0 else "+" if parts else ""
            size = abs(term.weight)
            weight = "" if size == 1.0 else f"{size:g}:"
            mark = _ASSET_MARK if term.kind is TermKind.ASSET else ""
            parts.append(f"{sign}{weight}{mark}{term.value}")
        return " ".join(parts)

    def arguments(self) -> list[str]:
        """Returns the words that `parse` takes for the same terms; images and audio are files."""
        from decimal import Decimal

        words = []
        for number, term in enumerate(self.terms):
            is_text = term.kind is TermKind.TEXT
            body = term.value.strip() if is_text else term.value
            if term.kind is TermKind.ASSET:
                body = f"{_ASSET_MARK}{body}"
            elif not is_text and not body.startswith(_PATH):
                body = f"./{body}"
            sign = "-" if term.weight < 0 else "+"
            weight = "" if abs(term.weight) == 1.0 else f"{Decimal(repr(abs(term.weight))):f}:"
            if number == 0 and sign == "+" and not weight:
                sign = ""
            # A space in front: what follows is no sign, weight or path.
            is_marked = _MARKED.match(body) or (weight and body[:1].isdigit())
            space = " " if is_text and is_marked else ""
            words.append(f"{sign}{weight}{space}{body}")
        return words

    @property
    def seeks(self) -> bool:
        """True if a term is looked for, and not only avoided."""
        return any(term.weight > 0 for term in self.terms)

    @property
    def words(self) -> str:
        """The words that are looked for, of all text terms."""
        terms = [one for one in self.terms if one.kind is TermKind.TEXT and one.weight > 0]
        return " ".join(term.value for term in terms)

    def checked(self, *, is_narrowed: bool = False) -> Query:
        """Returns itself; raises QueryError for an empty query or term, or a weight that is none.

        With filters (`is_narrowed`) nothing need be looked for: all that passes them is meant,
        without what is to be avoided.
        """
        if not self.seeks and not is_narrowed:
            raise QueryError(
                "the query is empty: say what to look for, "
                'for example `mmsearch search "dog on a beach"`, or narrow it by a filter'
            )
        for term in self.terms:
            if not term.value.strip():
                raise QueryError(f"a {term.kind} term of the query is empty")
            if not math.isfinite(term.weight):
                raise QueryError(f"the weight of {term.value!r} is {term.weight}, not a number")
        return self


def as_query(query: str | Query) -> Query:
    """Returns words as a query of one text, without terms where they are blank."""
    if isinstance(query, Query):
        return query
    return text(query) if query.strip() else Query(())


def text(words: str) -> Query:
    """Looks for what words mean."""
    return Query((Term(TermKind.TEXT, words),))


def image(path: str | Path) -> Query:
    """Looks for what is like an image."""
    return Query((Term(TermKind.IMAGE, str(path)),))


def audio(path: str | Path) -> Query:
    """Looks for what sounds like a recording, or says what it says."""
    return Query((Term(TermKind.AUDIO, str(path)),))


def file(path: str | Path) -> Query:
    """Looks for what is like a file of any modality."""
    return Query((Term(TermKind.FILE, str(path)),))


def asset(asset_id: str) -> Query:
    """Looks for what is like an asset of the library, by its id."""
    return Query((Term(TermKind.ASSET, asset_id),))


def split(line: str) -> list[str]:
    """Splits a line into the words that `parse` takes; quoted words stay together, with quotes."""
    return _WORDS.findall(line)


def parse(words: Sequence[str], *, without: Sequence[str] = (), reads_files: bool = True) -> Query:
    """Reads the words of a command line as a query.

    A word may begin with a sign (`+`, `-`; also alone, for the word after it) and a weight
    (`0.5:`, where no digit follows, so that 10:30 stays a time). What begins with `./`, `../`, `/`
    or `~/` is the path of an example, `asset:` and 32 hex digits are an asset of the library.
    Words without any of these belong to the text before, so that `dog + black cat` are two terms.
    `without` are terms to avoid, written in the same way. Without `reads_files`, for queries of
    others, a path is an error, and no file is looked for.

    Raises QueryError for a path where no file is, a sign or a weight with nothing behind it, and a
    weight that is no number between 0 and 1000.
    """
    terms: list[Term] = []
    last_text: int | None = None
    sign = ""
    for word in words:
        if word in ("+", "-") and not sign:
            sign = word
            continue
        if not word.strip() and not sign:
            continue
        match = _WORD.fullmatch(word)
        if match is None:
            raise AssertionError(word)
        if not reads_files and match["body"].startswith(_PATH):
            raise QueryError(
                f"{word!r} is a path, and no files are read here: send the file itself, or put a "
                f"space in front to search for it as text"
            )
        term = _parse_term(sign + match["sign"], match["weight"], match["body"], word)
        is_marked = bool(sign or match["sign"] or match["weight"])
        sign = ""
        if term.kind is not TermKind.TEXT:
            terms.append(term)
        elif is_marked or last_text is None:
            last_text = len(terms)
            terms.append(term)
        else:
            text_before = terms[last_text]
            terms[last_text] = replace(text_before, value=f"{text_before.value} {term.value}")
    if sign:
        raise QueryError(f"there is nothing behind the last {sign!r} of the query: {_MARKS}")
    avoided = [term for word in without for term in parse([word], reads_files=reads_files).terms]
    return Query((*terms, *(replace(term, weight=-abs(term.weight)) for term in avoided)))


_WORD = re.compile(
    r"(?P<sign>[+-]?)(?:(?P<weight>\d+(?:\.\d+)?|\.\d+):(?!\d))?(?P<body>.*)", re.DOTALL
)
_WORDS = re.compile(r'(?:[^\s"]|"[^"]*(?:"|\Z))+')
_MARKED = re.compile(r"[+-]|\d+(\.\d+)?:|\.\d+:|\.\.?/|/|~/|asset:[0-9a-f]{32}\Z")
_ASSET_MARK = "asset:"
_ASSET = re.compile(r"asset:([0-9a-f]{32})")
_PATH = ("./", "../", "/", "~/")
_MARKS = "write +WORDS, -WORDS, 0.5:WORDS, or put a space in front of what is meant literally"
MAX_WEIGHT = 1000.0


def _parse_term(signs: str, weight: str, body: str, word: str) -> Term:
    factor = float(weight) if weight else 1.0
    if not 0.0 < factor <= MAX_WEIGHT:
        raise QueryError(f"{word!r}: a weight lies between 0 and {MAX_WEIGHT:g}")
    if signs.count("-") % 2:
        factor = -factor
    if body.startswith(_PATH):
        return Term(TermKind.FILE, str(_find_example(body)), factor)
    if (asset_id := _ASSET.fullmatch(body)) is not None:
        return Term(TermKind.ASSET, asset_id[1], factor)
    if not body.strip():
        raise QueryError(f"there is nothing behind {word!r} in the query: {_MARKS}")
    # Bytes that are no UTF-8 come from a command line as lone surrogates.
    return Term(TermKind.TEXT, replace_surrogates(body.strip()), factor)


def _find_example(written: str) -> Path:
    path = Path(written)
    with contextlib.suppress(RuntimeError):  # no home folder is known
        path = path.expanduser()
    try:
        is_file = path.is_file()
    except (OSError, ValueError):  # a name that is too long, or has a NUL
        is_file = False
    if not is_file:
        raise QueryError(
            f"{written!r} looks like the path of an example, but there is no such file: "
            f"correct it, or put a space in front to search for it as text"
        )
    return path
