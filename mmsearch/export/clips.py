"""What of a list of hits can be played: clips, each a stretch of one file."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from mmsearch.types import Hit, Metadata, Modality, Moment, SegmentKind, Span

PLAYABLE = frozenset({Modality.IMAGE, Modality.AUDIO, Modality.VIDEO})
STILL_S = 5.0
"""How long a picture is shown, and what has no known length."""
MAX_NOTE = 500
_UNSAFE_IN_XML = {*range(0x20), 0x7F, 0xFFFE, 0xFFFF, *range(0xD800, 0xE000)} - {0x09, 0x0A, 0x0D}


@dataclass(frozen=True, slots=True)
class Clip:
    """A stretch of a file, for a player or an editor.

    `span` is None for a still, and where no length is known. `title` and `note` are one line each;
    `note` is what was said, else what was seen.
    """

    path: str
    kind: Modality
    title: str
    span: Span | None
    metadata: Metadata
    note: str = ""


def clips(hits: Sequence[Hit]) -> list[Clip]:
    """A clip a moment, in the order of the hits; what lies within a better one is left out.

    A picture is one clip. Texts cannot be played and are left out.
    """
    return [clip for hit in hits if hit.kind in PLAYABLE for clip in _clips(hit)]


def _clips(hit: Hit) -> Iterator[Clip]:
    moments = hit.moments or (Moment(hit.segment, hit.score),)
    if hit.kind is Modality.IMAGE:
        yield _clip(hit, moments[0], None)
        return
    taken: list[Span] = []
    whole = _whole(hit)
    for moment in moments:
        span = stretch(moment) or whole
        if span is None:
            if not taken:
                yield _clip(hit, moment, None)
                return
        elif not any(one.start_s <= span.start_s and span.end_s <= one.end_s for one in taken):
            taken.append(span)
            yield _clip(hit, moment, span)


def _whole(hit: Hit) -> Span | None:
    length_s = hit.asset.metadata.duration_s
    return Span(0.0, length_s) if length_s and math.isfinite(length_s) and length_s > 0 else None


def stretch(moment: Moment) -> Span | None:
    """When a moment is, in seconds from 0; None where it has no time."""
    span = moment.span or moment.segment.span
    if span is None or not (math.isfinite(span.start_s) and math.isfinite(span.end_s)):
        return None
    start_s = max(0.0, span.start_s)
    return Span(start_s, max(start_s, span.end_s))


def _clip(hit: Hit, moment: Moment, span: Span | None) -> Clip:
    said = moment.segment.text if moment.segment.kind is SegmentKind.SPEECH else None
    seen = ", ".join(tag.name for tag in moment.segment.tags)
    return Clip(
        path=hit.path,
        kind=hit.kind,
        title=one_line(os.path.basename(hit.path)),  # noqa: PTH119 - Path drops a last slash
        span=span,
        metadata=hit.asset.metadata,
        note=one_line(said or seen or hit.why)[:MAX_NOTE],
    )


def one_line(text: str) -> str:
    """Without line breaks and control characters; bytes that are no UTF-8 are spelled out."""
    plain = spelled(text)
    return " ".join("".join(one if one.isprintable() else " " for one in plain).split())


def spelled(text: str) -> str:
    r"""As text that UTF-8 can hold: what stands for a byte that it cannot becomes `\udcNN`."""
    return text.encode("utf-8", "backslashreplace").decode()


def file_uri(path: str) -> str:
    """`file:///...` in ASCII (RFC 8089): whatever the bytes of the name are, they come back."""
    return "file://" + quote(os.fsencode(os.path.abspath(path)))  # noqa: PTH100 - keeps the text


def xml_safe(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold, escaped or not."""
    return "".join(one for one in spelled(text) if ord(one) not in _UNSAFE_IN_XML)
