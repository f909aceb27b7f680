"""What `--explain` says of a hit: spaces, the words that match, tags, where in the picture."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import typer

from mmsearch.cli.render import printable, shown_place
from mmsearch.query.algebra import TermKind
from mmsearch.search.explanation import excerpt, shortened
from mmsearch.search.highlight import Chars, bounded, highlights
from mmsearch.serialization import play

if TYPE_CHECKING:
    from mmsearch.query.algebra import Query
    from mmsearch.types import Box, Hit, Moment, Segment

INDENT = 18
LABEL = 7
"""Columns for `speech:` and the like."""
WIDEST = 100
NARROWEST = 72
SHOWN_MOMENTS = 3
SHOWN_TAGS = 5
SHOWN_CHARS = 300
MOMENT_CHARS = 120
MIN_ROOM = 12
"""Columns below which no text of another moment is begun."""
_QUOTING = ("text: ", "speech: ", "ocr: ")
_SEEN = "seen: "
_WHOLE = 0.9
_MIDDLE = (0.42, 0.58)


def sought_words(query: Query) -> str:
    """The words that a query looks for, without those that it avoids."""
    return " ".join(
        term.value for term in query.terms if term.kind is TermKind.TEXT and term.weight > 0
    )


def reasons(hit: Hit, words: str) -> Iterator[str]:
    """Lines that say why a hit is one, styled for a terminal, at most as wide as it."""
    segment = hit.segment
    is_quoted = bool(segment.text) and hit.why.startswith(_QUOTING)
    if segment.text and is_quoted:
        yield from _quoted(segment, words)
    elif hit.why:
        name, colon, rest = hit.why.partition(": ")
        yield from _paragraph(name if colon else "", rest if colon else name, words)
    yield from _spaces(hit)
    if segment.text and not is_quoted:
        yield from _quoted(segment, words)
    if segment.tags and not hit.why.startswith(_SEEN):
        listed = ", ".join(f"{tag.name} {tag.probability:.0%}" for tag in segment.tags[:SHOWN_TAGS])
        yield from _paragraph("tags", listed, words)
    place = where(hit.moments[0].box) if hit.moments else ""
    if place:
        yield f"{_label('where')}{place}"
    if command := play(hit):
        yield f"{_label('play')}{typer.style(printable(command), dim=True)}"
    label = _label("also")
    for moment in hit.moments[1 : SHOWN_MOMENTS + 1]:
        yield label + _moment(moment, words)
        label = " " * len(label)


def where(box: Box | None) -> str:
    """In which part of its picture a box lies, as `top left`; nothing for the whole of it."""
    if box is None or (box.x1 - box.x0) * (box.y1 - box.y0) >= _WHOLE:
        return ""
    low, high = _MIDDLE
    across, down = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    row = "top" if down < low else "bottom" if down > high else ""
    column = "left" if across < low else "right" if across > high else ""
    return " ".join(part for part in (row, column) if part) or "middle"


def emphasised(text: str, ranges: Sequence[Chars]) -> str:
    """A text with some ranges bold and the rest dim."""
    parts, at = [], 0
    for start, end in ranges:
        parts += [typer.style(text[at:start], dim=True), typer.style(text[start:end], bold=True)]
        at = end
    return "".join([*parts, typer.style(text[at:], dim=True)])


def wrapped(text: str, columns: int) -> list[Chars]:
    """Where the lines of a text lie that are at most `columns` wide, cut at spaces if possible.

    `text` is one line, and no character wider than `columns`.
    """
    lines: list[Chars] = []
    start = 0
    while start < len(text):
        end, used, space = start, 0, -1
        while end < len(text) and used + _width(text[end]) <= columns:
            used += _width(text[end])
            space = end if text[end] == " " else space
            end += 1
        if end == len(text):
            lines.append((start, end))
            break
        cut = end if text[end] == " " or space <= start else space
        lines.append((start, cut))
        start = cut + (text[cut] == " ")
    return lines


def _width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _label(name: str) -> str:
    return f"{'':{INDENT}}{f'{name}:' if name else '':<{LABEL}} "


def _columns() -> int:
    width = shutil.get_terminal_size().columns
    return min(max(width, NARROWEST), WIDEST)


def _paragraph(name: str, text: str, words: str) -> Iterator[str]:
    """A label and a text in as many lines as it takes, with the words of the query in bold."""
    shown = printable(text)
    ranges = highlights(shown, words)
    label = _label(name)
    for start, end in wrapped(shown, max(10, _columns() - len(label))):
        yield label + emphasised(shown[start:end], bounded(ranges, start, end))
        label = " " * len(label)


def _quoted(segment: Segment, words: str) -> Iterator[str]:
    text = excerpt(segment.text or "", words)
    yield from _paragraph(segment.kind.value, shortened(text, SHOWN_CHARS), words)


def _spaces(hit: Hit) -> Iterator[str]:
    label = _label("spaces")
    width = max(map(len, hit.spaces), default=0)
    for name, one in hit.spaces.items():
        said = f"rank {one.rank}, score {one.score:.2f}, similarity {one.similarity:.3f}"
        yield f"{label}{name:<{width}}  {said}"
        label = " " * len(label)


def _moment(moment: Moment, words: str) -> str:
    """Another moment on one line, with as much of its text as there is room for."""
    segment = moment.segment
    places = (segment.kind.value, shown_place(moment).strip(), where(moment.box))
    line = f"{moment.score:4.2f} {', '.join(part for part in places if part)}"
    room = _columns() - INDENT - LABEL - 1 - len(line) - 2
    text = printable(shortened(excerpt(segment.text or "", words), MOMENT_CHARS))
    if not text or room < MIN_ROOM:
        return line
    start, end = wrapped(text, room)[0]
    if end < len(text):
        start, end = wrapped(text, room - 1)[0]
    ranges = bounded(highlights(text, words), start, end)
    return f"{line}: {emphasised(text[start:end], ranges)}{'…' if end < len(text) else ''}"
