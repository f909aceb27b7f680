"""Writes sizes and times for people, and strings so that UTF-8 can hold them."""

from __future__ import annotations


def format_clock(seconds: float) -> str:
    """Formats 12.3 as 0:12, and 3723 as 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def format_size(size_bytes: float) -> str:
    """Formats 1234567 as 1.2 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def replace_surrogates(text: str) -> str:
    """Replaces lone surrogates by `?`: command lines, JSON and broken files can hold them."""
    return text.encode("utf-8", "replace").decode()
