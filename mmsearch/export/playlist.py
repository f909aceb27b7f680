"""Writes clips as a playlist: extended M3U, with the options by which VLC plays a moment."""

from __future__ import annotations

from collections.abc import Sequence

from mmsearch.export.clips import STILL_S, Clip, to_file_uri, to_one_line
from mmsearch.types import Modality


def write_m3u(clips: Sequence[Clip], *, title: str = "", still_s: float = STILL_S) -> str:
    """Writes a playlist in UTF-8 with ASCII addresses, as a file name can hold a line break.

    A player that does not know `#EXTVLCOPT` plays the files from their beginnings.
    """
    lines = ["#EXTM3U"]
    if title:
        lines.append(f"#PLAYLIST:{to_one_line(title)}")
    for clip in clips:
        lines += _format_entry(clip, still_s)
    return "\n".join(lines) + "\n"


def _format_entry(clip: Clip, still_s: float) -> list[str]:
    name, metadata = clip.title, clip.metadata
    if clip.kind is Modality.AUDIO and metadata.artist and metadata.title:
        name = f"{metadata.artist} - {metadata.title}"
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
        f"#EXTINF:{seconds},{to_one_line(name)}",
        *(f"#EXTVLCOPT:{option}" for option in options),
        to_file_uri(clip.path),
    ]
