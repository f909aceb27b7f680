"""Lines of writing in a picture, joined to paragraphs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from mmsearch.encoders.base import Line
from mmsearch.types import Box

CountTokens = Callable[[Sequence[str]], list[int]]

# Lines of one paragraph, in heights of the lower one: how much higher the other may be, how far
# below it may begin, and in a row how far to the right.
_HEIGHT_RATIO = 1.6
_LEADING = 0.9
_BLANK = 1.5
_SHARED = 0.5
_LAPPED = 0.2


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Lines that belong together: `chars` is their range in all that is written in the picture."""

    text: str
    box: Box
    chars: tuple[int, int]


def paragraphs(
    lines: Sequence[Line], count_tokens: CountTokens, *, aspect: float, max_tokens: int
) -> list[Paragraph]:
    """The lines of one picture, joined where they stand below or beside each other.

    `aspect` is the width of the picture over its height. Lines keep their ends; a paragraph of more
    than `max_tokens` is cut between lines.
    """
    done: list[Paragraph] = []
    start = 0
    for group in _groups(lines, aspect):
        rows = _rows(group)
        texts = [" ".join(line.text for line in row) for row in rows]
        for first, last in _fitting(count_tokens(texts), max_tokens):
            text = "\n".join(texts[first:last])
            box = _around(line.box for row in rows[first:last] for line in row)
            done.append(Paragraph(text, box, (start, start + len(text))))
            start += len(text) + 1
    return done


def _groups(lines: Sequence[Line], aspect: float) -> list[list[Line]]:
    """Lines that are neighbours, or neighbours of neighbours; in order of their first lines."""
    ordered = sorted(lines, key=lambda line: (line.box.y0, line.box.x0))
    group_of = list(range(len(ordered)))

    def root(at: int) -> int:
        while group_of[at] != at:
            group_of[at] = group_of[group_of[at]]
            at = group_of[at]
        return at

    for at, line in enumerate(ordered):
        for before in range(at):
            if _are_neighbours(ordered[before].box, line.box, aspect):
                one, other = sorted((root(before), root(at)))
                group_of[other] = one
    groups: dict[int, list[Line]] = {}
    for at, line in enumerate(ordered):
        groups.setdefault(root(at), []).append(line)
    return list(groups.values())


def _are_neighbours(one: Box, other: Box, aspect: float) -> bool:
    """Whether two lines, the first not below the second, belong to one paragraph."""
    heights = sorted((one.y1 - one.y0, other.y1 - other.y0))
    low, high = max(heights[0], 1e-6), heights[1]
    if high > _HEIGHT_RATIO * low:
        return False
    across = min(one.x1, other.x1) - max(one.x0, other.x0)
    down = min(one.y1, other.y1) - max(one.y0, other.y0)
    if down >= _SHARED * low:
        return -across * aspect <= _BLANK * low
    narrow = max(min(one.x1 - one.x0, other.x1 - other.x0), 1e-6)
    return -down <= _LEADING * low and across >= _SHARED * narrow


def _rows(group: Sequence[Line]) -> list[list[Line]]:
    """The lines of a paragraph as rows, from the left."""
    rows: list[list[Line]] = []
    for line in sorted(group, key=lambda line: line.box.y0 + line.box.y1):
        if rows and all(_are_beside(other.box, line.box) for other in rows[-1]):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda line: line.box.x0) for row in rows]


def _are_beside(one: Box, other: Box) -> bool:
    """Whether a line goes on in another; the upright boxes of turned lines overlap as well."""
    across = min(one.x1, other.x1) - max(one.x0, other.x0)
    is_apart = across <= _LAPPED * min(one.x1 - one.x0, other.x1 - other.x0)
    return is_apart and one.y0 <= (other.y0 + other.y1) / 2 <= one.y1


def _fitting(counts: Sequence[int], max_tokens: int) -> Iterator[tuple[int, int]]:
    first, total = 0, 0
    for at, count in enumerate(counts):
        if at > first and total + count > max_tokens:
            yield first, at
            first, total = at, 0
        total += count
    if first < len(counts):
        yield first, len(counts)


def _around(boxes: Iterable[Box]) -> Box:
    every = list(boxes)
    return Box(
        min(box.x0 for box in every),
        min(box.y0 for box in every),
        max(box.x1 for box in every),
        max(box.y1 for box in every),
    )
