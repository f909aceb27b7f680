"""The command that plays a moment, to be shown and copied; mmsearch itself runs none."""

from __future__ import annotations

import os
import shlex

from mmsearch.types import Span

PLAYER = "mpv"


def play_arguments(path: str, span: Span | None = None) -> list[str]:
    """The words of a command that plays a file, or a span of it."""
    words = [PLAYER]
    if span is not None:
        words.append(f"--start={_seconds(max(0.0, span.start_s))}")
        if span.end_s > max(0.0, span.start_s):
            words.append(f"--end={_seconds(span.end_s)}")
    return [*words, "--", path]


def play_command(path: str, span: Span | None = None) -> str:
    r"""The same as one line for a shell, of printable characters alone.

    A name with control characters, or bytes that are no UTF-8, is written as `$'...'` (POSIX.1-2024
    and bash, zsh, ksh), so that it can drive no terminal and is still that name.
    """
    return " ".join(_quoted(word) for word in play_arguments(path, span))


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def _quoted(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    parts = []
    for one in word:
        if one in "\\'":
            parts.append("\\" + one)
        elif one.isprintable():
            parts.append(one)
        else:
            # Three octal digits: unlike \x they cannot swallow what comes after.
            parts += [f"\\{byte:03o}" for byte in os.fsencode(one)]
    return "$'" + "".join(parts) + "'"
