"""Says in a few words why a hit is one."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mmsearch.index.word_index import FUNCTION_WORDS, words
from mmsearch.types import Moment, SegmentKind, SpaceScore

QUOTED = 120
_SENTENCE = re.compile(r"(?<=[.!?;:])\s+|\n+")


def why(spaces: Mapping[str, SpaceScore], moment: Moment, query: str = "") -> str:
    """The strongest reason first: what was said, written or seen, or the name of the file."""
    segment = moment.segment
    strongest = next(iter(spaces), "")
    if strongest == "name":
        return "name: words of the query are in the name, the folder or the title"
    if segment.text:
        said = {SegmentKind.SPEECH: "speech", SegmentKind.OCR: "ocr"}.get(segment.kind, "text")
        return f"{said}: {shortened(excerpt(segment.text, query))}"
    if segment.tags:
        seen = ", ".join(f"{tag.name} {tag.probability:.0%}" for tag in segment.tags[:3])
        return f"seen: {seen}"
    return "sounds alike" if spaces and segment.kind is SegmentKind.SOUND else ""


def excerpt(text: str, query: str) -> str:
    """From the sentence on that shares most words with the query, else from the start."""
    wanted = set(words(query)) - FUNCTION_WORDS
    starts = [0, *(match.end() for match in _SENTENCE.finditer(text))]
    ends = [*starts[1:], len(text)]
    shared = [
        len(wanted.intersection(words(text[start:end])))
        for start, end in zip(starts, ends, strict=True)
    ]
    return text[starts[shared.index(max(shared))] :]


def shortened(text: str, limit: int = QUOTED) -> str:
    """On one line, at most `limit` characters, cut at a word."""
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    cut = line[: limit - 1]
    return f"{cut[: cut.rfind(' ')] if ' ' in cut else cut}…"
