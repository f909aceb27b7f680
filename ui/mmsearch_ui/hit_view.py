"""One hit in large: the media or text, the reasons, and the metadata."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mmsearch.formatting import format_clock, format_size
from mmsearch.library.localization import find_picture_moment
from mmsearch.previews import choose_still_s, has_page_picture
from mmsearch.types import Modality, Place, SegmentKind
from mmsearch_ui import shared_state
from mmsearch_ui.hit_cards import (
    Run,
    best_moment,
    choose_wave_span,
    format_name,
    format_place_of,
    hit_key,
    make_displayable,
    mark_words,
)

if TYPE_CHECKING:
    from mmsearch.types import Hit, Segment

Stage = Literal["picture", "video", "audio", "text"]
STAGES: dict[Modality, Stage] = {
    Modality.IMAGE: "picture",
    Modality.VIDEO: "video",
    Modality.AUDIO: "audio",
}
LARGE_PX = 1600
STILL_PX = 960
MAX_LINES = 1_200
"""Lines of a transcript, or passages of a text, around the match."""
SHOWN_TAGS = 8
SPACES = {
    "image": "looks like it",
    "sound": "sounds like it",
    "text": "means it in words",
    "words": "has the words",
    "name": "is named so",
}
"""Phrases for the spaces that rank a hit; spaces of other models go by their names."""


@dataclass(frozen=True, slots=True)
class TranscriptLine:
    """A text with its time in a recording, or a passage of a document.

    Times are in seconds, None in a text. `label` is the time or the page.
    """

    label: str
    start_s: float | None
    end_s: float | None
    kind: str
    runs: tuple[Run, ...]
    is_match: bool


@dataclass(frozen=True, slots=True)
class SpaceReason:
    """The reason of one space: its name in words, the score (0..1) and the rank there."""

    name: str
    score: float
    rank: int


@dataclass(frozen=True, slots=True)
class MomentLink:
    """A moment to go to."""

    label: str
    start_s: float
    score: float
    kind: str


@dataclass(frozen=True, slots=True)
class HitView:
    """A hit as the viewer's script draws it.

    Playing begins at `start_s`. `wave_span` is the part of the waveform in seconds, None for all.
    `picture` is the URL of the image, the waveform, or the still of a video at its moment.
    `left_out` counts lines before and after `lines`; `at` is the line to begin with. `can_locate`:
    a heat map of the match can be drawn.
    """

    key: str
    stage: Stage
    name: str
    kind: str
    media: str
    download: str
    picture: str
    ratio: float | None
    start_s: float
    wave_span: tuple[float, float] | None
    lines: tuple[TranscriptLine, ...]
    left_out: tuple[int, int]
    at: int
    jumps: tuple[MomentLink, ...]
    why: tuple[Run, ...]
    reasons: tuple[SpaceReason, ...]
    tags: tuple[tuple[str, float], ...]
    details: tuple[tuple[str, str], ...]
    path: str
    can_locate: bool


def build_view(hit: Hit, segments: Sequence[Segment], words: str) -> HitView:
    """Builds the view of a hit, with all segments of its asset in order."""
    width, height = hit.asset.metadata.width_px, hit.asset.metadata.height_px
    stage: Stage = "picture" if has_page_picture(hit) else STAGES.get(hit.kind, "text")
    lines = tuple(_list_lines(hit, segments, words))
    at = _first_match(hit, lines)
    first = max(0, at - MAX_LINES // 2)
    visible_lines = lines[first : first + MAX_LINES]
    moment = best_moment(hit)
    span = moment.span or hit.segment.span
    return HitView(
        key=hit_key(hit),
        stage=stage,
        name=format_name(hit.path),
        kind=hit.kind.value,
        media=shared_state.media_url(hit.asset.id),
        download=shared_state.media_url(hit.asset.id, is_download=True),
        picture=_image_url(hit, stage),
        ratio=round(width / height, 4) if width and height else None,
        start_s=0.0 if span is None else round(span.start_s, 3),
        wave_span=choose_wave_span(hit) if stage == "audio" else None,
        lines=visible_lines,
        left_out=(first, len(lines) - first - len(visible_lines)),
        at=at - first,
        jumps=tuple(_list_jumps(hit)),
        why=mark_words(make_displayable(hit.why), words),
        reasons=tuple(
            SpaceReason(SPACES.get(name, make_displayable(name)), round(score.score, 4), score.rank)
            for name, score in hit.spaces.items()
        ),
        tags=tuple(
            (make_displayable(tag.name), tag.probability) for tag in hit.segment.tags[:SHOWN_TAGS]
        ),
        details=tuple(_list_details(hit)),
        path=format_copied_path(hit.path),
        can_locate=bool(hit.spaces) and find_picture_moment(hit) is not None,
    )


def _image_url(hit: Hit, stage: Stage) -> str:
    place = hit.segment.place
    match stage:
        case "picture":
            return shared_state.thumbnail_url(hit.asset.id, page=place.page, px=LARGE_PX)
        case "video":
            moment = find_picture_moment(hit)
            span = place.span if moment is None else moment.segment.span
            at_s = 0.0 if span is None else choose_still_s(span)
            return shared_state.thumbnail_url(hit.asset.id, at_s=at_s, px=STILL_PX)
        case "audio":
            return shared_state.waveform_url(hit.asset.id, span=choose_wave_span(hit))
        case "text":
            return ""


def _list_lines(hit: Hit, segments: Sequence[Segment], words: str) -> Iterator[TranscriptLine]:
    matched = {moment.segment.id for moment in hit.moments} or {hit.segment.id}
    previous: Place | None = None
    for segment in segments:
        if not segment.text:
            continue
        text = _cut_overlap(segment, previous) if segment.kind is SegmentKind.TEXT else segment.text
        previous = segment.place
        if not text.strip():
            continue
        span = segment.span
        yield TranscriptLine(
            label=_format_label(segment.place),
            start_s=None if span is None else round(span.start_s, 3),
            end_s=None if span is None else round(span.end_s, 3),
            kind=segment.kind.value,
            runs=mark_words(text.strip(), words),
            is_match=segment.id in matched,
        )


def _cut_overlap(segment: Segment, previous: Place | None) -> str:
    """Returns the text of a passage without its overlap with the previous one."""
    text = segment.text or ""
    chars = segment.place.chars
    if previous is None or previous.chars is None or chars is None:
        return text
    if previous.page != segment.place.page:
        return text
    overlap = previous.chars[1] - chars[0]
    # If the text is not as long as its range, the overlap cannot be counted in characters.
    return text[overlap:] if overlap > 0 and len(text) == chars[1] - chars[0] else text


def _format_label(place: Place) -> str:
    if place.span is not None:
        return format_clock(place.span.start_s)
    return "" if place.page is None else f"page {place.page}"


def _first_match(hit: Hit, lines: Sequence[TranscriptLine]) -> int:
    """Returns the line to begin with: that of the best moment, else the first match."""
    span = hit.segment.span
    matches = [(at, line) for at, line in enumerate(lines) if line.is_match]
    for at, line in matches:
        is_begin = span is not None and line.start_s == round(span.start_s, 3)
        if is_begin and line.kind == hit.segment.kind.value:
            return at
    text = (hit.segment.text or "").strip()
    for at, line in matches:
        joined = "".join(run for run, _ in line.runs)
        if joined and text.endswith(joined):
            return at
    return matches[0][0] if matches else 0


def _list_jumps(hit: Hit) -> Iterator[MomentLink]:
    for moment in hit.moments:
        span = moment.span or moment.segment.span
        if span is not None:
            kind = moment.segment.kind.value
            yield MomentLink(
                format_place_of(moment), round(span.start_s, 3), round(moment.score, 4), kind
            )


def _list_details(hit: Hit) -> Iterator[tuple[str, str]]:
    """Lists the metadata of the file, the most useful first."""
    metadata = hit.asset.metadata
    if metadata.taken_at is not None:
        yield "Taken", metadata.taken_at.strftime("%-d %B %Y, %H:%M")
    pairs = (
        ("Title", metadata.title),
        ("Artist", metadata.artist),
        ("Album", metadata.album),
        ("Camera", metadata.camera),
        ("Description", metadata.description),
        ("Keywords", ", ".join(metadata.keywords)),
        ("Location", metadata.location),
        ("Language", hit.segment.language or metadata.language),
        ("Not read", "; ".join(omission.detail for omission in hit.asset.omissions)),
    )
    yield from ((label, make_displayable(value)) for label, value in pairs if value)
    if metadata.width_px and metadata.height_px:
        yield "Picture", f"{metadata.width_px} × {metadata.height_px}"
    if metadata.duration_s:
        yield "Length", format_clock(metadata.duration_s)
    if hit.segment.place.track is not None:
        yield "Sound track", str(hit.segment.place.track)
    if metadata.page_count:
        yield "Pages", str(metadata.page_count)
    if metadata.latitude is not None and metadata.longitude is not None:
        yield "Position", f"{metadata.latitude:.5f}, {metadata.longitude:.5f}"
    yield "File", f"{make_displayable(metadata.format)} {format_size(hit.asset.size_bytes)}".strip()
    yield "Path", make_displayable(hit.path)
    for path in hit.also_at:
        yield "Also at", make_displayable(path)
    for path in hit.duplicates:
        yield "Near-duplicate", make_displayable(path)
    if hit.asset.indexed_at is not None:
        yield "Indexed", hit.asset.indexed_at.strftime("%-d %B %Y")


def format_copied_path(path: str) -> str:
    """Formats a path to be pasted, quoted for a shell where a text cannot hold it."""
    if path.isprintable():
        return path
    return "$'" + "".join(_escape_octal(char) for char in path) + "'"


def _escape_octal(char: str) -> str:
    if char in "\\'":
        return "\\" + char
    if char.isprintable():
        return char
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(char))
