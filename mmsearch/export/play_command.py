"""Builds the command that plays a moment, to be shown and copied; mmsearch itself runs none."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from mmsearch.types import Modality, Span

if TYPE_CHECKING:
    from mmsearch.types import Hit

PLAYER = "mpv"


def build_play_arguments(path: str, span: Span | None = None) -> list[str]:
    """Returns the arguments of the command that plays a file, or a span of it."""
    words = [PLAYER]
    if span is not None:
        start_s, end_s = round(max(0.0, span.start_s), 3), round(span.end_s, 3)
        words.append(f"--start={_format_seconds(start_s)}")
        if end_s > start_s:
            words.append(f"--end={_format_seconds(end_s)}")
    return [*words, "--", path]


def format_play_command(path: str, span: Span | None = None) -> str:
    """Returns the command as one line for a shell, in printable characters alone.

    A name with control characters, or bytes that are no UTF-8, is written as `$'...'` (POSIX.1-2024
    and bash, zsh, ksh), so that it cannot control a terminal and still names the file.
    """
    return " ".join(_quote(word) for word in build_play_arguments(path, span))


def format_hit_command(hit: Hit) -> str | None:
    """Returns the command that plays the best moment of a recording or a film, else None."""
    if hit.kind not in (Modality.AUDIO, Modality.VIDEO):
        return None
    return format_play_command(hit.path, hit.moments[0].span if hit.moments else hit.segment.span)


def _format_seconds(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def _quote(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    parts = []
    for char in word:
        if char in "\\'":
            parts.append("\\" + char)
        elif char.isprintable():
            parts.append(char)
        else:
            # Octal: a \x escape could take in the digits that follow.
            parts += [f"\\{byte:03o}" for byte in os.fsencode(char)]
    return "$'" + "".join(parts) + "'"
