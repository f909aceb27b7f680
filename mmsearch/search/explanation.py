"""Explains a hit in a few words."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mmsearch.index.word_index import FUNCTION_WORDS, split_words
from mmsearch.types import Moment, SegmentKind, SpaceScore

QUOTED = 120
_SENTENCE = re.compile(r"(?<=[.!?;:])\s+|\n+")


def explain(spaces: Mapping[str, SpaceScore], moment: Moment, query: str = "") -> str:
    """Returns the strongest reason: a sentence of the text, tags, or the name of the file."""
    segment = moment.segment
    strongest = next(iter(spaces), "")
    if strongest == "name":
        return "name: words of the query are in the name, the folder or the title"
    if segment.text:
        source = {SegmentKind.SPEECH: "speech", SegmentKind.OCR: "ocr"}.get(segment.kind, "text")
        return f"{source}: {shorten(select_sentence(segment.text, query))}"
    if segment.tags:
        tags = ", ".join(f"{tag.name} {tag.probability:.0%}" for tag in segment.tags[:3])
        return f"seen: {tags}"
    return "sounds alike" if spaces and segment.kind is SegmentKind.SOUND else ""


def select_sentence(text: str, query: str) -> str:
    """Returns the text from the sentence that shares most words with the query."""
    sought = set(split_words(query)) - FUNCTION_WORDS
    starts = [0, *(match.end() for match in _SENTENCE.finditer(text))]
    ends = [*starts[1:], len(text)]
    shared = [
        len(sought.intersection(split_words(text[start:end])))
        for start, end in zip(starts, ends, strict=True)
    ]
    return text[starts[shared.index(max(shared))] :]


def shorten(text: str, limit: int = QUOTED) -> str:
    """Returns one line of at most `limit` characters, cut at a word."""
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    cut = line[: limit - 1]
    return f"{cut[: cut.rfind(' ')] if ' ' in cut else cut}…"
