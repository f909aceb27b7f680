"""Turns hits into clips, the playable spans of files."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from mmsearch.types import Hit, Metadata, Modality, Moment, SegmentKind, Span

PLAYABLE = frozenset({Modality.IMAGE, Modality.AUDIO, Modality.VIDEO})
STILL_S = 5.0
"""The duration of an image, and of a clip without a known length."""
MAX_NOTE = 500
_UNSAFE_IN_XML = {*range(0x20), 0x7F, 0xFFFE, 0xFFFF, *range(0xD800, 0xE000)} - {0x09, 0x0A, 0x0D}


@dataclass(frozen=True, slots=True)
class Clip:
    """A span of a file, for a player or an editor.

    `span` is None for a still, and where no length is known. `title` and `note` are one line each;
    `note` has the words of the moment, else its tags, else the reason of the hit.
    """

    path: str
    kind: Modality
    title: str
    span: Span | None
    metadata: Metadata
    note: str = ""


def list_clips(hits: Sequence[Hit]) -> list[Clip]:
    """Returns a clip for each moment, in the order of the hits, without those within a better one.

    An image is one clip. Texts cannot be played and are left out.
    """
    return [clip for hit in hits if hit.kind in PLAYABLE for clip in _list_hit_clips(hit)]


def _list_hit_clips(hit: Hit) -> Iterator[Clip]:
    moments = moments_of_hit(hit)
    if hit.kind is Modality.IMAGE:
        yield _build_clip(hit, moments[0], None)
        return
    spans: list[Span] = []
    length_s = hit.asset.metadata.duration_s or 0.0
    file_span = Span(0.0, length_s) if 0 < length_s < math.inf else None
    for moment in moments:
        span = span_of_moment(moment) or file_span
        if span is None:
            if not spans:
                yield _build_clip(hit, moment, None)
                return
        elif not any(
            earlier.start_s <= span.start_s and span.end_s <= earlier.end_s for earlier in spans
        ):
            spans.append(span)
            yield _build_clip(hit, moment, span)


def moments_of_hit(hit: Hit) -> tuple[Moment, ...]:
    """Returns the moments of a hit; of one without any, its segment as one."""
    return hit.moments or (Moment(hit.segment, hit.score),)


def span_of_moment(moment: Moment) -> Span | None:
    """Returns the span of a moment from 0; None for one without a time."""
    span = moment.span or moment.segment.span
    if span is None or not (math.isfinite(span.start_s) and math.isfinite(span.end_s)):
        return None
    start_s = max(0.0, span.start_s)
    return Span(start_s, max(start_s, span.end_s))


def _build_clip(hit: Hit, moment: Moment, span: Span | None) -> Clip:
    speech = moment.segment.text if moment.segment.kind is SegmentKind.SPEECH else None
    tags = ", ".join(tag.name for tag in moment.segment.tags)
    return Clip(
        path=hit.path,
        kind=hit.kind,
        title=to_one_line(os.path.basename(hit.path)),  # noqa: PTH119 - Path drops a last slash
        span=span,
        metadata=hit.asset.metadata,
        note=to_one_line(speech or tags or hit.why)[:MAX_NOTE],
    )


def to_one_line(text: str) -> str:
    """Removes line breaks and control characters, and escapes bytes that are no UTF-8."""
    plain = spell_out(text)
    return " ".join("".join(char if char.isprintable() else " " for char in plain).split())


def spell_out(text: str) -> str:
    r"""Returns text that UTF-8 can hold: a byte that it cannot becomes `\udcNN`."""
    return text.encode("utf-8", "backslashreplace").decode()


def to_file_uri(path: str) -> str:
    """Returns a `file:///` URI in ASCII (RFC 8089), with the bytes of the name percent-encoded."""
    return "file://" + quote(os.fsencode(os.path.abspath(path)))  # noqa: PTH100 - keeps the text


def remove_xml_controls(text: str) -> str:
    """Removes the characters that XML 1.0 cannot hold, escaped or not."""
    return "".join(char for char in spell_out(text) if ord(char) not in _UNSAFE_IN_XML)
