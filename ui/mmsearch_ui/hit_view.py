"""One hit in large: what is played or read, why it matched, and what is known of it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mmsearch.library.localization import find_picture_moment
from mmsearch.previews import still_s
from mmsearch.types import Modality, Place, SegmentKind
from mmsearch_ui import shared_state
from mmsearch_ui.hit_cards import (
    Run,
    best,
    clock,
    key_of,
    marked,
    name_of,
    place_of,
    shown,
    size,
    wave_span,
)

if TYPE_CHECKING:
    from mmsearch.types import Hit, Segment

Stage = Literal["picture", "video", "audio", "text"]
LARGE_PX = 1600
STILL_PX = 960
MAX_LINES = 1_200
"""Lines of a transcript, or passages of a text, that are shown around the one that matched."""
SHOWN_TAGS = 8
SPACES = {
    "image": "looks like it",
    "sound": "sounds like it",
    "text": "means it in words",
    "words": "has the words",
    "name": "is named so",
}
"""What it says of a hit that a space speaks for it; spaces of other models go by their names."""


@dataclass(frozen=True, slots=True)
class Line:
    """Something said or written at a time of a recording, or a passage of a text.

    Times are in seconds, None in a text; `label` is where it is. `is_match` tells what was found.
    """

    label: str
    start_s: float | None
    end_s: float | None
    kind: str
    runs: tuple[Run, ...]
    is_match: bool


@dataclass(frozen=True, slots=True)
class Reason:
    """What one space says: its name in words, the score (0..1) and the rank there."""

    name: str
    score: float
    rank: int


@dataclass(frozen=True, slots=True)
class Jump:
    """A moment to go to."""

    label: str
    start_s: float
    score: float
    kind: str


@dataclass(frozen=True, slots=True)
class View:
    """A hit as the viewer's script draws it.

    `start_s` is where playing begins, `drawn` the stretch of a sound that is drawn, None for all of
    it. `picture` is the address of what is looked at: the picture, the drawing of a sound, or the
    still of the moment of a video. `left_out` counts lines before and after those that are
    here, `at` is the line to begin with. `can_locate` is whether a map can be asked for of where in
    the picture it matched.
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
    drawn: tuple[float, float] | None
    lines: tuple[Line, ...]
    left_out: tuple[int, int]
    at: int
    jumps: tuple[Jump, ...]
    why: tuple[Run, ...]
    reasons: tuple[Reason, ...]
    tags: tuple[tuple[str, float], ...]
    details: tuple[tuple[str, str], ...]
    path: str
    can_locate: bool


def view(hit: Hit, segments: Sequence[Segment], words: str) -> View:
    """A hit in large, with all segments of its asset in their order."""
    stage = stage_of(hit)
    lines = tuple(_lines(hit, segments, words))
    at = _first_match(hit, lines)
    first = max(0, at - MAX_LINES // 2)
    shown_lines = lines[first : first + MAX_LINES]
    moment = best(hit)
    span = moment.span or hit.segment.span
    return View(
        key=key_of(hit),
        stage=stage,
        name=name_of(hit.path),
        kind=hit.kind.value,
        media=shared_state.media_url(hit.asset.id),
        download=shared_state.media_url(hit.asset.id, is_download=True),
        picture=_picture(hit, stage),
        ratio=_ratio(hit),
        start_s=0.0 if span is None else round(span.start_s, 3),
        drawn=wave_span(hit) if stage == "audio" else None,
        lines=shown_lines,
        left_out=(first, len(lines) - first - len(shown_lines)),
        at=at - first,
        jumps=tuple(_jumps(hit)),
        why=marked(shown(hit.why), words),
        reasons=tuple(
            Reason(SPACES.get(name, shown(name)), round(one.score, 4), one.rank)
            for name, one in hit.spaces.items()
        ),
        tags=tuple((shown(tag.name), tag.probability) for tag in hit.segment.tags[:SHOWN_TAGS]),
        details=tuple(_details(hit)),
        path=copied(hit.path),
        can_locate=bool(hit.spaces) and find_picture_moment(hit) is not None,
    )


def as_json(value: View) -> dict[str, object]:
    """A view for the viewer's script."""
    return dataclasses.asdict(value)


def stage_of(hit: Hit) -> Stage:
    """How a hit is shown."""
    if hit.kind is Modality.IMAGE:
        return "picture"
    if hit.kind is Modality.VIDEO:
        return "video"
    if hit.kind is Modality.AUDIO:
        return "audio"
    return "text"


def _picture(hit: Hit, stage: Stage) -> str:
    place = hit.segment.place
    match stage:
        case "picture":
            return shared_state.thumbnail_url(hit.asset.id, page=place.page, px=LARGE_PX)
        case "video":
            seen = find_picture_moment(hit)
            span = place.span if seen is None else seen.segment.span
            at_s = 0.0 if span is None else still_s(span)
            return shared_state.thumbnail_url(hit.asset.id, at_s=at_s, px=STILL_PX)
        case "audio":
            return shared_state.waveform_url(hit.asset.id, span=wave_span(hit))
        case "text":
            return ""


def _ratio(hit: Hit) -> float | None:
    metadata = hit.asset.metadata
    if not metadata.width_px or not metadata.height_px:
        return None
    return round(metadata.width_px / metadata.height_px, 4)


def _lines(hit: Hit, segments: Sequence[Segment], words: str) -> Iterator[Line]:
    found = {moment.segment.id for moment in hit.moments} or {hit.segment.id}
    before: Place | None = None
    for segment in segments:
        if not segment.text:
            continue
        text = _new_text(segment, before) if segment.kind is SegmentKind.TEXT else segment.text
        before = segment.place
        if not text.strip():
            continue
        span = segment.span
        yield Line(
            label=_label(segment.place),
            start_s=None if span is None else round(span.start_s, 3),
            end_s=None if span is None else round(span.end_s, 3),
            kind=segment.kind.value,
            runs=marked(text.strip(), words),
            is_match=segment.id in found,
        )


def _new_text(segment: Segment, before: Place | None) -> str:
    """What a passage says that the one before it did not: they may overlap."""
    text = segment.text or ""
    chars = segment.place.chars
    if before is None or before.chars is None or chars is None or before.page != segment.place.page:
        return text
    overlap = before.chars[1] - chars[0]
    # Where the text is as long as its range says; else characters cannot be counted off it.
    return text[overlap:] if overlap > 0 and len(text) == chars[1] - chars[0] else text


def _label(place: Place) -> str:
    if place.span is not None:
        return clock(place.span.start_s)
    return "" if place.page is None else f"page {place.page}"


def _first_match(hit: Hit, lines: Sequence[Line]) -> int:
    """The line to begin with: that of the best moment, else the first that matched."""
    span = hit.segment.span
    for at, line in enumerate(lines):
        begins = span is not None and line.start_s == round(span.start_s, 3)
        if line.is_match and begins and line.kind == hit.segment.kind.value:
            return at
    text = (hit.segment.text or "").strip()
    for at, line in enumerate(lines):
        joined = "".join(run for run, _ in line.runs)
        if line.is_match and joined and text.endswith(joined):
            return at
    return next((at for at, line in enumerate(lines) if line.is_match), 0)


def _jumps(hit: Hit) -> Iterator[Jump]:
    for moment in hit.moments:
        span = moment.span or moment.segment.span
        if span is not None:
            kind = moment.segment.kind.value
            yield Jump(place_of(moment), round(span.start_s, 3), round(moment.score, 4), kind)


def _details(hit: Hit) -> Iterator[tuple[str, str]]:
    """What is known of the file, in the order in which people ask."""
    known = hit.asset.metadata
    taken = known.taken_at
    if taken is not None:
        yield "Taken", taken.strftime("%-d %B %Y, %H:%M")
    pairs = (
        ("Title", known.title),
        ("Artist", known.artist),
        ("Album", known.album),
        ("Camera", known.camera),
        ("Description", known.description),
        ("Language", known.language),
    )
    yield from ((label, shown(value)) for label, value in pairs if value)
    if known.width_px and known.height_px:
        yield "Picture", f"{known.width_px} × {known.height_px}"
    if known.duration_s:
        yield "Length", clock(known.duration_s)
    if known.page_count:
        yield "Pages", str(known.page_count)
    if known.latitude is not None and known.longitude is not None:
        yield "Position", f"{known.latitude:.5f}, {known.longitude:.5f}"
    yield "File", f"{shown(known.format)} {size(hit.asset.size_bytes)}".strip()
    yield "Path", shown(hit.path)
    for path in hit.also_at:
        yield "Also at", shown(path)
    for path in hit.duplicates:
        yield "Near-duplicate", shown(path)
    if hit.asset.indexed_at is not None:
        yield "Indexed", hit.asset.indexed_at.strftime("%-d %B %Y")


def copied(path: str) -> str:
    """A path to be pasted: as it is, or quoted for a shell where a text cannot hold it."""
    if path.isprintable():
        return path
    return "$'" + "".join(_octal(one) for one in path) + "'"


def _octal(one: str) -> str:
    if one in "\\'":
        return "\\" + one
    if one.isprintable():
        return one
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(one))
