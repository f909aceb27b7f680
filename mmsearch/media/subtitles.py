"""Reads subtitle files, as cues of a video or as text."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

from mmsearch.errors import DecodeError, MediaTooLarge
from mmsearch.media.base import Content, Cue, Described, Limits, LoadOptions
from mmsearch.media.encoding import read_text
from mmsearch.media.paragraph_splitter import split_passages
from mmsearch.media.text import read_passages
from mmsearch.types import Metadata, Modality, Place, Span

# Two hours of dialogue are 100 kB.
_MAX_BYTES = 16 * 1024**2
_MAX_CUE_S = 600.0
_TAGS = re.compile(r"\{\\[^{}]*\}|</?[A-Za-z][^<>]{0,200}>|<\d[\d:.]{0,20}>")
_BREAKS = re.compile(r"\\[Nnh]")
_SPACE = re.compile(r"\s+")
_FORMATS = {".srt": "srt", ".vtt": "vtt", ".ass": "ass", ".ssa": "ssa"}


class SubtitlesLoader:
    """SubRip, WebVTT and SubStation files as text, without times and tags."""

    name = "subtitles"

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yields Described, then the lines as passages."""
        try:
            lines = [cue.text for cue in read_cues(path, options.limits)]
        except DecodeError:
            lines = []
        if not lines:
            # Readable as text, if not as subtitles.
            yield Described(Modality.TEXT, Metadata(format="text"))
            yield from read_passages(path, options.limits)
            return
        name = _FORMATS.get(path.suffix.lower(), "subtitles")
        yield Described(Modality.TEXT, Metadata(format=name))
        yield from split_passages((line + "\n" for line in lines), options.limits)


def read_cues(path: Path, limits: Limits) -> list[Cue]:
    """Returns the cues of a subtitle file in order; raises DecodeError or MediaTooLarge."""
    import pysubs2

    if path.stat().st_size > min(_MAX_BYTES, limits.text_bytes):
        raise MediaTooLarge(path, f"subtitles of more than {_MAX_BYTES} bytes")
    try:
        with path.open("rb") as file:
            text = "".join(read_text(file)).lstrip("\ufeff")
    except OSError as exc:
        raise DecodeError(path, f"the file cannot be read: {exc.strerror}") from exc
    try:
        parsed = pysubs2.SSAFile.from_string(text)
    except Exception as exc:  # its parsers raise anything
        raise DecodeError(path, "subtitles that cannot be parsed") from exc
    cues: list[Cue] = []
    chars = 0
    for event in sorted(parsed.events, key=lambda event: event.start):
        line = strip_tags(event.text)
        # Roll-up captions repeat every line.
        if event.is_comment or not line or (cues and cues[-1].text == line):
            continue
        start_s, end_s = event.start / 1000, event.end / 1000
        if start_s < 0 or not start_s < end_s <= start_s + _MAX_CUE_S:
            end_s = max(0.0, start_s) + 3.0
        chars += len(line)
        if chars > limits.text_chars:
            break
        cues.append(Cue(line, Place(span=Span(max(0.0, start_s), end_s))))
    return cues


def strip_tags(text: str) -> str:
    """Returns a cue as one line without tags and codes."""
    return _SPACE.sub(" ", html.unescape(_TAGS.sub("", _BREAKS.sub(" ", text)))).strip()
