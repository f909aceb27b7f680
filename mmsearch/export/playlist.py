"""Clips as a playlist: extended M3U, with the options by which VLC plays a moment."""

from __future__ import annotations

from collections.abc import Sequence

from mmsearch.export.clips import STILL_S, Clip, file_uri, one_line
from mmsearch.types import Modality


def to_m3u(clips: Sequence[Clip], *, title: str = "", still_s: float = STILL_S) -> str:
    """A playlist in UTF-8 whose addresses are ASCII: a file name can hold a line break, they none.

    A player that does not know `#EXTVLCOPT` plays the files from their beginnings.
    """
    lines = ["#EXTM3U"]
    if title:
        lines.append(f"#PLAYLIST:{one_line(title)}")
    for clip in clips:
        lines += _entry(clip, still_s)
    return "\n".join(lines) + "\n"


def _entry(clip: Clip, still_s: float) -> list[str]:
    name = f"{clip.metadata.artist} - {clip.metadata.title}" if _is_named(clip) else clip.title
    seconds, options = -1, []
    if clip.kind is Modality.IMAGE:
        seconds, options = round(still_s), [f"image-duration={still_s:g}"]
    elif clip.span is not None:
        span = clip.span
        options = [f"start-time={span.start_s:.3f}"]
        if span.end_s > span.start_s:
            seconds = max(1, round(span.end_s - span.start_s))
            options.append(f"stop-time={span.end_s:.3f}")
    return [
        f"#EXTINF:{seconds},{one_line(name)}",
        *(f"#EXTVLCOPT:{option}" for option in options),
        file_uri(clip.path),
    ]


def _is_named(clip: Clip) -> bool:
    return clip.kind is Modality.AUDIO and bool(clip.metadata.artist and clip.metadata.title)
