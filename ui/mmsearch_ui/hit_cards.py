"""Turns hits into cards: names, places, marked words, images; without Streamlit.

Text from files is passed on as plain text, in runs that are marked or not: pages set it as text
nodes, never as HTML or Markdown.
"""

from __future__ import annotations

import os
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mmsearch.export.clips import spell_out, to_one_line
from mmsearch.formatting import format_clock
from mmsearch.previews import choose_still_s, has_page_picture
from mmsearch.search.explanation import select_sentence, shorten
from mmsearch.search.highlight import find_highlights
from mmsearch.snapshot.array_writers import MODALITIES
from mmsearch.types import Modality, Moment
from mmsearch_ui import shared_state

if TYPE_CHECKING:
    from mmsearch.library.library import Library
    from mmsearch.types import Hit

Run = tuple[str, bool]
"""A piece of text, and True if it is marked."""
Shape = Literal["picture", "wave", "paper"]
SHAPES: dict[Modality, Shape] = {
    Modality.IMAGE: "picture",
    Modality.VIDEO: "picture",
    Modality.AUDIO: "wave",
}
EXCERPT_CHARS = 220
NEAR = 2
WHOLE_WAVE_S = 600.0
"""Of a longer recording only the surroundings of the moment are wave_span, for speed."""
WAVE_MARGIN_S = 30.0
NEARLY_ALL = 0.95
"""A moment that fills so much of the waveform is not marked in it."""


@dataclass(frozen=True, slots=True)
class Card:
    """A hit in the grid.

    `near_folders` is the end of `folder`. `picture` is the URL of a thumbnail, or empty.
    `wave_share` is the moment in a waveform, as fractions of its width. A hit that merely passes
    the filters has no moment, and the `score` None.
    """

    key: str
    kind: str
    shape: Shape
    name: str
    folder: str
    near_folders: str
    score: float | None
    place: str
    picture: str
    ratio: float
    wave_share: tuple[float, float] | None
    excerpt: tuple[Run, ...]
    why: str
    moments: int
    copies: int


def hit_key(hit: Hit) -> str:
    """Returns the key of a hit, the same in every search."""
    return f"{hit.asset.id}.{hit.segment.id}"


def build_card(hit: Hit, words: str, *, is_listed: bool = False) -> Card:
    """Builds the card of a hit; `words` are those of the query.

    `is_listed`: the hit merely passes the filters.
    """
    shape = "picture" if has_page_picture(hit) else SHAPES.get(hit.kind, "paper")
    text = hit.segment.text or ""
    wave_span = choose_wave_span(hit)
    return Card(
        key=hit_key(hit),
        kind=hit.kind.value,
        shape=shape,
        name=format_name(hit.path),
        folder=format_folder(hit.path),
        near_folders=format_near_folders(hit.path),
        score=None if is_listed else round(hit.score, 4),
        place="" if is_listed else format_place_of(best_moment(hit)),
        picture=image_url_of(hit, shape, wave_span),
        ratio=compute_ratio(hit),
        wave_share=_locate_moment(hit, wave_span) if shape == "wave" and not is_listed else None,
        excerpt=mark_words(shorten(select_sentence(text, words), EXCERPT_CHARS), words)
        if text
        else (),
        why=make_displayable(hit.why),
        moments=len(hit.moments),
        copies=len(hit.also_at) + len(hit.duplicates),
    )


def best_moment(hit: Hit) -> Moment:
    """Returns the moment that matched best."""
    return hit.moments[0] if hit.moments else Moment(hit.segment, hit.score)


def compute_ratio(hit: Hit) -> float:
    """Returns width by height, within the bounds of the grid."""
    metadata = hit.asset.metadata
    if not metadata.width_px or not metadata.height_px:
        return 4 / 3
    return round(min(2.5, max(0.5, metadata.width_px / metadata.height_px)), 3)


def image_url_of(hit: Hit, shape: Shape, wave_span: tuple[float, float] | None) -> str:
    """Returns the address of the image of a hit; empty for a text."""
    place = hit.segment.place
    if shape == "wave":
        return shared_state.waveform_url(hit.asset.id, span=wave_span)
    if hit.kind is Modality.VIDEO:
        at_s = 0.0 if place.span is None else choose_still_s(place.span)
        return shared_state.thumbnail_url(hit.asset.id, at_s=at_s)
    if shape == "picture":
        return shared_state.thumbnail_url(hit.asset.id, page=place.page)
    return ""


def choose_wave_span(hit: Hit) -> tuple[float, float] | None:
    """Returns the span of a recording that is wave_span, in seconds; None for all of it."""
    span = hit.segment.span
    length_s = hit.asset.metadata.duration_s
    if span is None or (length_s is not None and length_s <= WHOLE_WAVE_S):
        return None
    start_s, end_s = max(0.0, span.start_s - WAVE_MARGIN_S), span.end_s + WAVE_MARGIN_S
    return start_s, end_s if length_s is None else min(end_s, length_s)


def _locate_moment(hit: Hit, wave_span: tuple[float, float] | None) -> tuple[float, float] | None:
    span = best_moment(hit).span or hit.segment.span
    length_s = hit.asset.metadata.duration_s
    start_s, end_s = wave_span or (0.0, length_s or 0.0)
    if span is None or end_s <= start_s:
        return None
    first, last = (
        round(min(1.0, max(0.0, (edge_s - start_s) / (end_s - start_s))), 4)
        for edge_s in (span.start_s, span.end_s)
    )
    return (first, last) if last - first < NEARLY_ALL else None


def format_place_of(moment: Moment) -> str:
    """Formats `1:05–1:09, page 2`, as far as it applies."""
    span = moment.span or moment.segment.span
    page = moment.segment.place.page
    parts = []
    if span is not None:
        begin, end = format_clock(span.start_s), format_clock(span.end_s)
        parts.append(begin if begin == end else f"{begin}–{end}")
    if page is not None:
        parts.append(f"page {page}")
    return ", ".join(parts)


def format_name(path: str) -> str:
    """Formats the name of a file on one line; bytes that are no UTF-8 are spelled out."""
    return make_displayable(os.path.basename(path)) or "(no name)"  # noqa: PTH119 - Path drops a last slash


def format_folder(path: str) -> str:
    """Formats the folder of a file as `format_name` formats a name."""
    return make_displayable(os.path.dirname(path))  # noqa: PTH120


def format_near_folders(path: str) -> str:
    """Formats the last two folders of a path."""
    parts = [part for part in format_folder(path).split("/") if part]
    return ("…/" if len(parts) > NEAR else "/") + "/".join(parts[-NEAR:])


def make_displayable(text: str) -> str:
    """Returns one line, without control characters, that any encoding of Unicode can hold."""
    return to_one_line(text)


def mark_words(text: str, words: str) -> tuple[Run, ...]:
    """Splits a text into runs; those that match `words` are marked. Joined, they are the text."""
    plain = spell_out(text)
    runs: list[Run] = []
    at = 0
    for start, end in find_highlights(plain, words):
        runs += [(plain[at:start], False), (plain[start:end], True)]
        at = end
    runs.append((plain[at:], False))
    return tuple(run for run in runs if run[0])


def escape_markdown(text: str) -> str:
    """Escapes a text for elements that take only Markdown.

    Escapes all ASCII punctuation (CommonMark 6.1), with the colons and dollars that Streamlit reads
    as icons, colours and formulas.
    """
    return "".join(f"\\{char}" if char in _PUNCTUATION else char for char in make_displayable(text))


_PUNCTUATION = frozenset(string.punctuation)


def format_count(count: int, noun: str, plural: str = "") -> str:
    """Formats `1 match`, `1,234 matches`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


KIND_NOUNS = {
    Modality.IMAGE: ("picture", ""),
    Modality.AUDIO: ("sound", ""),
    Modality.VIDEO: ("video", ""),
    Modality.TEXT: ("text", ""),
    Modality.OTHER: ("other file", ""),
}
WAYS = (
    ("dog on a beach", "what is seen"),
    ("rain on a roof", "what is heard"),
    ('"four score"', "words that stand together"),
    ("sunset -people", "the one without the other"),
    ("beach + 0.5:night", "two things, one of them half as much"),
)


def count_kinds(library: Library) -> list[str]:
    """Counts the assets of each kind."""
    modalities = library.snapshot().modalities
    counts = [int((modalities == code).sum()) for code in range(len(MODALITIES))]
    return [
        format_count(count, *KIND_NOUNS[kind])
        for kind, count in zip(MODALITIES, counts, strict=True)
        if count
    ]


def list_advice(*, is_narrowed: bool, has_words: bool, has_bar: bool) -> Sequence[str]:
    """Lists advice for a search without hits, the likeliest first."""
    hints = (
        (is_narrowed, "Take filters away: something may match outside of them."),
        (has_words, "Use other words, or fewer: what can be seen or heard, not what it is for."),
        (has_bar, "Show the nearest there is, however far: score at least “anything”."),
    )
    return [hint for applies, hint in hints if applies]
