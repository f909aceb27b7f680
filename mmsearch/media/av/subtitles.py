"""Reads subtitle files, as cues of a video or as text."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.errors import DecodeError, MediaTooLarge
from mmsearch.media.base import Content, Cue, Described, Limits, LoadOptions
from mmsearch.media.texts.encoding import read_text
from mmsearch.media.texts.paragraph_splitter import split_passages
from mmsearch.media.texts.text import read_passages
from mmsearch.types import Metadata, Modality, Place, Span

if TYPE_CHECKING:
    from pysubs2 import SSAEvent

# Two hours of dialogue are 100 kB.
_MAX_BYTES = 16 * 1024**2
_MAX_CUE_S = 600.0
_TAGS = re.compile(r"\{\\[^{}]*\}|</?[A-Za-z][^<>]{0,200}>|<\d[\d:.]{0,20}>")
_CODES = re.compile(r"(\{\\[^{}]*\})")
_DRAWING_SCALE = re.compile(r"\\p(\d{1,3})")
_DRAWING = re.compile(r"m(?: (?:[mnlbspc]|-?\d+(?:\.\d+)?))+", re.I)
_PLACED = re.compile(r"\\(?:pos|move)\(")
MIN_PLACED_LETTERS = 6
_REPEAT_S = 0.3
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
    for event in sorted(_list_spoken_events(parsed.events), key=lambda event: event.start):
        line = strip_tags(event.text)
        if not line:
            continue
        start_s, end_s = event.start / 1000, event.end / 1000
        if start_s < 0 or not start_s < end_s <= start_s + _MAX_CUE_S:
            end_s = max(0.0, start_s) + 3.0
        chars += len(line)
        if chars > limits.text_chars:
            break
        cues.append(Cue(line, Place(span=Span(max(0.0, start_s), end_s))))
    return join_repeats(cues)


def _list_spoken_events(events: list[SSAEvent]) -> list[SSAEvent]:
    """Returns the events that are lines, not effects drawn letter by letter.

    A karaoke script keeps the sung lines as comments and has each syllable several times over.
    """
    sung = [each for each in events if each.is_comment and each.effect.casefold() == "karaoke"]
    spoken = [each for each in events if not each.is_comment]
    if sung:
        spoken = [each for each in spoken if each.effect.casefold() != "fx"]
    letters = [each for each in spoken if is_placed_letter(each.text)]
    if len(letters) >= MIN_PLACED_LETTERS:
        spoken = [each for each in spoken if not is_placed_letter(each.text)]
    return spoken + sung


def is_placed_letter(text: str) -> bool:
    """Returns True for a letter or two at a place of their own, as signs and effects have."""
    return _PLACED.search(text) is not None and len(strip_tags(text)) <= 2


def join_repeats(cues: Iterable[Cue]) -> list[Cue]:
    """Joins cues that repeat a text without a pause, as roll-up captions and moved signs do."""
    joined: list[Cue] = []
    latest: dict[str, int] = {}
    for cue in cues:
        span, before = cue.place.span, latest.get(cue.text)
        if span is None:
            joined.append(cue)
            continue
        earlier = None if before is None else joined[before].place.span
        if before is not None and earlier and span.start_s <= earlier.end_s + _REPEAT_S:
            whole = Span(earlier.start_s, max(earlier.end_s, span.end_s))
            if whole.end_s - whole.start_s <= _MAX_CUE_S:
                joined[before] = replace(cue, place=Place(span=whole))
                continue
        latest[cue.text] = len(joined)
        joined.append(cue)
    return joined


def strip_tags(text: str) -> str:
    """Returns a cue as one line without tags, codes and drawings."""
    if "{" in text:
        text = _strip_drawings(text)
    plain = _SPACE.sub(" ", html.unescape(_TAGS.sub("", _BREAKS.sub(" ", text)))).strip()
    return "" if _DRAWING.fullmatch(plain) else plain


def _strip_drawings(text: str) -> str:
    """Leaves out what lies between the codes that begin and end a drawing: p1 and p0."""
    kept = []
    is_drawing = False
    for piece in _CODES.split(text):
        if piece.startswith("{\\"):
            for scale in _DRAWING_SCALE.findall(piece):
                is_drawing = int(scale) > 0
        if piece.startswith("{\\") or not is_drawing:
            kept.append(piece)
    return "".join(kept)
