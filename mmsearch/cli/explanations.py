"""Explains a hit for `--explain`: spaces, matching words, tags, and the place in the image."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import typer

from mmsearch.cli.render import format_place, make_printable
from mmsearch.export.play_command import format_hit_command
from mmsearch.search.explanation import select_sentence, shorten
from mmsearch.search.highlight import Chars, clip_ranges, find_highlights

if TYPE_CHECKING:
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
"""The fewest columns in which text of another moment is shown."""
_QUOTING = ("text: ", "speech: ", "ocr: ")
_SEEN = "seen: "
_WHOLE = 0.9
_MIDDLE = (0.42, 0.58)


def explain_hit(hit: Hit, words: str) -> Iterator[str]:
    """Yields the lines that explain a hit, styled, at most as wide as the terminal."""
    segment = hit.segment
    is_quoted = bool(segment.text) and hit.why.startswith(_QUOTING)
    if segment.text and is_quoted:
        yield from _quote_text(segment, words)
    elif hit.why:
        name, colon, rest = hit.why.partition(": ")
        yield from _format_paragraph(name if colon else "", rest if colon else name, words)
    yield from _format_spaces(hit)
    if segment.text and not is_quoted:
        yield from _quote_text(segment, words)
    if segment.tags and not hit.why.startswith(_SEEN):
        tags = ", ".join(f"{tag.name} {tag.probability:.0%}" for tag in segment.tags[:SHOWN_TAGS])
        yield from _format_paragraph("tags", tags, words)
    place = describe_box(hit.moments[0].box) if hit.moments else ""
    if place:
        yield f"{_format_label('where')}{place}"
    if command := format_hit_command(hit):
        yield f"{_format_label('play')}{typer.style(make_printable(command), dim=True)}"
    label = _format_label("also")
    for moment in hit.moments[1 : SHOWN_MOMENTS + 1]:
        yield label + _format_moment(moment, words)
        label = " " * len(label)


def describe_box(box: Box | None) -> str:
    """Describes the part of an image that a box covers, as `top left`; empty for all of it."""
    if box is None or (box.x1 - box.x0) * (box.y1 - box.y0) >= _WHOLE:
        return ""
    low, high = _MIDDLE
    across, down = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    row = "top" if down < low else "bottom" if down > high else ""
    column = "left" if across < low else "right" if across > high else ""
    return " ".join(part for part in (row, column) if part) or "middle"


def style_ranges(text: str, ranges: Sequence[Chars]) -> str:
    """Styles some ranges of a text bold and the rest dim."""
    parts, at = [], 0
    for start, end in ranges:
        parts += [typer.style(text[at:start], dim=True), typer.style(text[start:end], bold=True)]
        at = end
    return "".join([*parts, typer.style(text[at:], dim=True)])


def wrap_ranges(text: str, columns: int) -> list[Chars]:
    """Returns the ranges of the lines of a text, at most `columns` wide, cut at spaces if possible.

    `text` is one line, and no character wider than `columns`.
    """
    lines: list[Chars] = []
    start = 0
    while start < len(text):
        end, used, space = start, 0, -1
        while end < len(text) and used + _text_width(text[end]) <= columns:
            used += _text_width(text[end])
            space = end if text[end] == " " else space
            end += 1
        if end == len(text):
            lines.append((start, end))
            break
        cut = end if text[end] == " " or space <= start else space
        lines.append((start, cut))
        start = cut + (text[cut] == " ")
    return lines


def _text_width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _format_label(name: str) -> str:
    return f"{'':{INDENT}}{f'{name}:' if name else '':<{LABEL}} "


def _terminal_columns() -> int:
    return min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)


def _format_paragraph(name: str, text: str, words: str) -> Iterator[str]:
    """Formats a label and a text in lines, with the words of the query in bold."""
    shown = make_printable(text)
    ranges = find_highlights(shown, words)
    label = _format_label(name)
    for start, end in wrap_ranges(shown, max(10, _terminal_columns() - len(label))):
        yield label + style_ranges(shown[start:end], clip_ranges(ranges, start, end))
        label = " " * len(label)


def _quote_text(segment: Segment, words: str) -> Iterator[str]:
    text = select_sentence(segment.text or "", words)
    yield from _format_paragraph(segment.kind.value, shorten(text, SHOWN_CHARS), words)


def _format_spaces(hit: Hit) -> Iterator[str]:
    label = _format_label("spaces")
    width = max(map(len, hit.spaces), default=0)
    for name, space in hit.spaces.items():
        measures = f"rank {space.rank}, score {space.score:.2f}, similarity {space.similarity:.3f}"
        yield f"{label}{name:<{width}}  {measures}"
        label = " " * len(label)


def _format_moment(moment: Moment, words: str) -> str:
    """Formats another moment on one line, with as much of its text as fits."""
    segment = moment.segment
    places = (segment.kind.value, format_place(moment).strip(), describe_box(moment.box))
    line = f"{moment.score:4.2f} {', '.join(part for part in places if part)}"
    room = _terminal_columns() - INDENT - LABEL - 1 - len(line) - 2
    text = make_printable(shorten(select_sentence(segment.text or "", words), MOMENT_CHARS))
    if not text or room < MIN_ROOM:
        return line
    start, end = wrap_ranges(text, room)[0]
    if end < len(text):
        start, end = wrap_ranges(text, room - 1)[0]
    ranges = clip_ranges(find_highlights(text, words), start, end)
    return f"{line}: {style_ranges(text[start:end], ranges)}{'…' if end < len(text) else ''}"
