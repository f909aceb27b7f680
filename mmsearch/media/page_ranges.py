"""Says in words which pages of a file are meant."""

from __future__ import annotations

from collections.abc import Iterable

_MAX_RANGES = 20


def format_pages(pages: Iterable[int]) -> str:
    """Formats page numbers as "page 7" or "pages 1 to 3, 7 and 2,001 to 2,010"."""
    ranges: list[list[int]] = []
    for page in sorted(set(pages)):
        if ranges and page == ranges[-1][1] + 1:
            ranges[-1][1] = page
        else:
            ranges.append([page, page])
    words = [_format_range(first, last) for first, last in ranges[:_MAX_RANGES]]
    if len(ranges) > _MAX_RANGES:
        words.append("others")
    is_single = len(ranges) == 1 and ranges[0][0] == ranges[0][1]
    listed = ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else "".join(words)
    return f"{'page' if is_single else 'pages'} {listed}"


def _format_range(first: int, last: int) -> str:
    if first == last:
        return f"{first:,}"
    return f"{first:,} to {last:,}" if last > first + 1 else f"{first:,} and {last:,}"
