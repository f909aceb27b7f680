"""What is asked: terms with weights, and the operators that join them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from mmsearch.errors import QueryError


class TermKind(StrEnum):
    """What a term is made of."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    FILE = "file"  # a file of any kind: its content decides


@dataclass(frozen=True, slots=True)
class Term:
    """One thing to look for: words, or the path of an example; a negative weight is to avoid it."""

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
            parts.append(f"{sign}{weight}{term.value}")
        return " ".join(parts)

    def checked(self) -> Query:
        """Itself; raises QueryError when there is nothing in it that could be looked for."""
        if not any(term.weight > 0 for term in self.terms):
            raise QueryError(
                "the query is empty: say what to look for, "
                'for example `mmsearch search "dog on a beach"`'
            )
        for term in self.terms:
            if not term.value.strip():
                raise QueryError(f"a {term.kind} term of the query is empty")
        return self


def text(words: str) -> Query:
    """Look for what words mean."""
    return Query((Term(TermKind.TEXT, words),))


def image(path: str | Path) -> Query:
    """Look for what is like a picture."""
    return Query((Term(TermKind.IMAGE, str(path)),))


def audio(path: str | Path) -> Query:
    """Look for what sounds like a recording, or says what it says."""
    return Query((Term(TermKind.AUDIO, str(path)),))


def file(path: str | Path) -> Query:
    """Look for what is like a file, whatever its kind."""
    return Query((Term(TermKind.FILE, str(path)),))


def parse(words: list[str]) -> Query:
    """The words of a command line as a query.

    Words are joined to one text. A word that begins with `./`, `../` or `/` is the path of an
    example; raises QueryError when there is no such file.
    """
    texts = []
    query = Query(())
    for word in words:
        if word.startswith(("./", "../", "/", "~/")):
            path = Path(word).expanduser()
            if not path.is_file():
                raise QueryError(
                    f"{word!r} looks like the path of an example, but there is no such file: "
                    f"correct it, or put a space in front to search for it as text"
                )
            query += file(path)
        elif word.strip():
            # Bytes that are no UTF-8 come from a command line as lone surrogates.
            texts.append(word.strip().encode("utf-8", "replace").decode())
    return text(" ".join(texts)) + query if texts else query
