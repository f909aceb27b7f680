"""Joins the lines of text in a picture to paragraphs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from mmsearch.encoders.base import TextLine
from mmsearch.types import Box

CountTokens = Callable[[Sequence[str]], list[int]]

# Limits for two lines of one paragraph, in heights of the lower one: the height of the other, the
# distance below it, and in a row the distance to the right; then overlaps as fractions.
_MAX_HEIGHT_RATIO = 1.6
_MAX_LEADING = 0.9
_MAX_BLANK = 1.5
_MIN_SHARED = 0.5
_MAX_LAPPED = 0.2


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Lines that belong together; `chars` is their range in the whole text of the picture."""

    text: str
    box: Box
    chars: tuple[int, int]


def join_paragraphs(
    lines: Sequence[TextLine], count_tokens: CountTokens, *, aspect: float, max_tokens: int
) -> list[Paragraph]:
    """Joins the lines of one picture that lie below or beside each other.

    `aspect` is the width of the picture over its height. Lines keep their ends; a paragraph of more
    than `max_tokens` is cut between lines.
    """
    paragraphs: list[Paragraph] = []
    start = 0
    for group in _group_neighbours(lines, aspect):
        rows = _arrange_rows(group)
        texts = [" ".join(line.text for line in row) for row in rows]
        for first, last in _split_by_tokens(count_tokens(texts), max_tokens):
            text = "\n".join(texts[first:last])
            box = _enclose(line.box for row in rows[first:last] for line in row)
            paragraphs.append(Paragraph(text, box, (start, start + len(text))))
            start += len(text) + 1
    return paragraphs


def _group_neighbours(lines: Sequence[TextLine], aspect: float) -> list[list[TextLine]]:
    """Groups lines that are neighbours, directly or through others; in order of first lines."""
    ordered = sorted(lines, key=lambda line: (line.box.y0, line.box.x0))
    groups: list[list[int]] = []
    for at, line in enumerate(ordered):
        joined, others = [at], []
        for group in groups:
            if any(_are_neighbours(ordered[i].box, line.box, aspect) for i in group):
                joined += group
            else:
                others.append(group)
        groups = [*others, sorted(joined)]
    return [[ordered[i] for i in group] for group in sorted(groups)]


def _are_neighbours(upper: Box, lower: Box, aspect: float) -> bool:
    """Tests if two lines, the first not below the second, belong to one paragraph."""
    heights = sorted((upper.y1 - upper.y0, lower.y1 - lower.y0))
    low, high = max(heights[0], 1e-6), heights[1]
    if high > _MAX_HEIGHT_RATIO * low:
        return False
    across = min(upper.x1, lower.x1) - max(upper.x0, lower.x0)
    down = min(upper.y1, lower.y1) - max(upper.y0, lower.y0)
    if down >= _MIN_SHARED * low:
        return -across * aspect <= _MAX_BLANK * low
    narrow = max(min(upper.x1 - upper.x0, lower.x1 - lower.x0), 1e-6)
    return -down <= _MAX_LEADING * low and across >= _MIN_SHARED * narrow


def _arrange_rows(group: Sequence[TextLine]) -> list[list[TextLine]]:
    """Arranges the lines of a paragraph as rows, from the left."""
    rows: list[list[TextLine]] = []
    for line in sorted(group, key=lambda line: line.box.y0 + line.box.y1):
        if rows and all(_are_beside(other.box, line.box) for other in rows[-1]):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda line: line.box.x0) for row in rows]


def _are_beside(left: Box, right: Box) -> bool:
    """Tests if a line goes on in another; the upright boxes of turned lines overlap as well."""
    across = min(left.x1, right.x1) - max(left.x0, right.x0)
    is_apart = across <= _MAX_LAPPED * min(left.x1 - left.x0, right.x1 - right.x0)
    return is_apart and left.y0 <= (right.y0 + right.y1) / 2 <= left.y1


def _split_by_tokens(counts: Sequence[int], max_tokens: int) -> Iterator[tuple[int, int]]:
    """Yields ranges of rows that have at most `max_tokens` together."""
    first, total = 0, 0
    for at, count in enumerate(counts):
        if at > first and total + count > max_tokens:
            yield first, at
            first, total = at, 0
        total += count
    if first < len(counts):
        yield first, len(counts)


def _enclose(boxes: Iterable[Box]) -> Box:
    lefts, tops, rights, bottoms = zip(
        *((box.x0, box.y0, box.x1, box.y1) for box in boxes), strict=True
    )
    return Box(min(lefts), min(tops), max(rights), max(bottoms))
