"""What hits look like: names, places, marked words, pictures; no Streamlit in here.

All text that comes from files leaves as plain text, in runs that are marked or not: pages set it as
text nodes, never as HTML or Markdown.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mmsearch.export.clips import one_line, spelled
from mmsearch.previews import still_s
from mmsearch.search.explanation import excerpt, shortened
from mmsearch.search.highlight import highlights
from mmsearch.snapshot.snapshot import MODALITIES
from mmsearch.types import Modality, Moment
from mmsearch_ui import shared_state

if TYPE_CHECKING:
    from mmsearch.library.library import Library
    from mmsearch.types import Hit

Run = tuple[str, bool]
"""A stretch of text, and whether it is marked."""
Shape = Literal["picture", "wave", "paper"]
EXCERPT_CHARS = 220
NEAR = 2
WHOLE_WAVE_S = 600.0
"""Of a longer recording only what lies around the moment is drawn: drawing means decoding."""
WAVE_MARGIN_S = 30.0
NEARLY_ALL = 0.95
"""What takes so much of a drawing is not set off in it."""


@dataclass(frozen=True, slots=True)
class Card:
    """A hit in the grid.

    `near` is the end of `folder`. `picture` is the address of a thumbnail, empty where there is
    none. `stretch` is where in the drawing of a sound the moment lies, as fractions of its width.
    `score` is None, and there is no moment, where nothing was asked but what passes the filters.
    """

    key: str
    kind: str
    shape: Shape
    name: str
    folder: str
    near: str
    score: float | None
    place: str
    picture: str
    ratio: float
    stretch: tuple[float, float] | None
    excerpt: tuple[Run, ...]
    why: str
    moments: int
    copies: int


def key_of(hit: Hit) -> str:
    """What tells two hits apart, in this search and between searches."""
    return f"{hit.asset.id}.{hit.segment.id}"


def card(hit: Hit, words: str, *, is_listed: bool = False) -> Card:
    """A hit as it is shown; `words` are those that the query looks for.

    `is_listed`: it is there for passing the filters alone.
    """
    shape = shape_of(hit)
    text = hit.segment.text or ""
    drawn = wave_span(hit)
    return Card(
        key=key_of(hit),
        kind=hit.kind.value,
        shape=shape,
        name=name_of(hit.path),
        folder=folder_of(hit.path),
        near=near_of(hit.path),
        score=None if is_listed else round(hit.score, 4),
        place="" if is_listed else place_of(best(hit)),
        picture=picture_of(hit, shape, drawn),
        ratio=ratio_of(hit),
        stretch=_stretch(hit, drawn) if shape == "wave" and not is_listed else None,
        excerpt=marked(shortened(excerpt(text, words), EXCERPT_CHARS), words) if text else (),
        why=shown(hit.why),
        moments=len(hit.moments),
        copies=len(hit.also_at) + len(hit.duplicates),
    )


def best(hit: Hit) -> Moment:
    """The moment that matched best."""
    return hit.moments[0] if hit.moments else Moment(hit.segment, hit.score)


def shape_of(hit: Hit) -> Shape:
    """What stands for a hit in the grid."""
    if hit.kind in (Modality.IMAGE, Modality.VIDEO):
        return "picture"
    return "wave" if hit.kind is Modality.AUDIO else "paper"


def ratio_of(hit: Hit) -> float:
    """Width by height, within what a grid can show."""
    metadata = hit.asset.metadata
    if not metadata.width_px or not metadata.height_px:
        return 4 / 3
    return round(min(2.5, max(0.5, metadata.width_px / metadata.height_px)), 3)


def picture_of(hit: Hit, shape: Shape, drawn: tuple[float, float] | None) -> str:
    """The address of the picture that stands for a hit; empty for what is shown as text."""
    place = hit.segment.place
    if shape == "wave":
        return shared_state.waveform_url(hit.asset.id, span=drawn)
    if hit.kind is Modality.VIDEO:
        at_s = 0.0 if place.span is None else still_s(place.span)
        return shared_state.thumbnail_url(hit.asset.id, at_s=at_s)
    if hit.kind is Modality.IMAGE:
        return shared_state.thumbnail_url(hit.asset.id, page=place.page)
    return ""


def wave_span(hit: Hit) -> tuple[float, float] | None:
    """The stretch of a recording that is drawn, in seconds; None for the whole of it."""
    span = hit.segment.span
    length_s = hit.asset.metadata.duration_s
    if span is None or (length_s is not None and length_s <= WHOLE_WAVE_S):
        return None
    start_s, end_s = max(0.0, span.start_s - WAVE_MARGIN_S), span.end_s + WAVE_MARGIN_S
    return start_s, end_s if length_s is None else min(end_s, length_s)


def _stretch(hit: Hit, drawn: tuple[float, float] | None) -> tuple[float, float] | None:
    span = best(hit).span or hit.segment.span
    length_s = hit.asset.metadata.duration_s
    start_s, end_s = drawn or (0.0, length_s or 0.0)
    if span is None or end_s <= start_s:
        return None
    at = [(one - start_s) / (end_s - start_s) for one in (span.start_s, span.end_s)]
    first, last = (round(min(1.0, max(0.0, one)), 4) for one in at)
    return (first, last) if last - first < NEARLY_ALL else None


def place_of(moment: Moment) -> str:
    """`1:05–1:09, page 2`, as far as it applies."""
    span = moment.span or moment.segment.span
    page = moment.segment.place.page
    parts = []
    if span is not None:
        begin, end = clock(span.start_s), clock(span.end_s)
        parts.append(begin if begin == end else f"{begin}–{end}")
    if page is not None:
        parts.append(f"page {page}")
    return ", ".join(parts)


def clock(seconds: float) -> str:
    """12.3 as 0:12, 3723 as 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def size(size_bytes: float) -> str:
    """1234567 as 1.2 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def name_of(path: str) -> str:
    """The name of a file on one line; bytes that are no UTF-8 are spelled out."""
    return shown(os.path.basename(path)) or "(no name)"  # noqa: PTH119 - Path drops a last slash


def folder_of(path: str) -> str:
    """The folder of a file, written as `name_of` writes a name."""
    return shown(os.path.dirname(path))  # noqa: PTH120


def near_of(path: str) -> str:
    """The last two folders of a path, which tell the most of where a file is."""
    parts = [part for part in folder_of(path).split("/") if part]
    return ("…/" if len(parts) > NEAR else "/") + "/".join(parts[-NEAR:])


def shown(text: str) -> str:
    """On one line, without control characters, as text that any encoding of Unicode can hold."""
    return one_line(text)


def marked(text: str, words: str) -> tuple[Run, ...]:
    """A text in runs; those that match `words` are marked. Joined, they are the text again."""
    plain = spelled(text)
    runs: list[Run] = []
    at = 0
    for start, end in highlights(plain, words):
        runs += [(plain[at:start], False), (plain[start:end], True)]
        at = end
    runs.append((plain[at:], False))
    return tuple(run for run in runs if run[0])


def markdown(text: str) -> str:
    """A text that Markdown shows as it is: for the few elements that take nothing else.

    Every ASCII character of punctuation is escaped (CommonMark 6.1), colons and dollars too, which
    Streamlit takes for icons, colours and formulas.
    """
    return "".join(f"\\{one}" if one in _PUNCTUATION else one for one in shown(text))


_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def counted(count: int, noun: str, plural: str = "") -> str:
    """`1 match`, `1,234 matches`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def as_json(value: Card) -> dict[str, object]:
    """A card for the grid's script."""
    return dataclasses.asdict(value)


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


def counts(library: Library) -> list[str]:
    """How many of each kind are in the library."""
    modalities = library.snapshot().modalities
    found = [int((modalities == at).sum()) for at in range(len(MODALITIES))]
    return [
        counted(count, *KIND_NOUNS[kind])
        for kind, count in zip(MODALITIES, found, strict=True)
        if count
    ]


def no_match(*, is_narrowed: bool, has_words: bool, has_bar: bool) -> Sequence[str]:
    """What to try where nothing was found, the likeliest first."""
    hints = []
    if is_narrowed:
        hints.append("Take filters away: something may match outside of them.")
    if has_words:
        hints.append("Use other words, or fewer: what can be seen or heard, not what it is for.")
    if has_bar:
        hints.append("Show the nearest there is, however far: score at least “anything”.")
    return hints
