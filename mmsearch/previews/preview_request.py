"""Requests of previews, normalized so that few are made and kept."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Literal

from mmsearch.errors import QueryError
from mmsearch.media.base import Limits
from mmsearch.types import Asset, Hit, Modality, SegmentKind, Span

FORM = 1
"""The version of the look of previews; a change makes stored ones invalid."""
STEPS_PX = (160, 320, 640, 1280, 1600)
MAX_PX = STEPS_PX[-1]
HEIGHTS_PX = (60, 120, 240)
MAX_SOUND_S = 600.0
"""The longest sound that is decoded for one waveform."""
POSTER_S = 20.0
"""The latest default still of a video, else at a tenth of its length: many begin with black."""
_PICTURED = (Modality.IMAGE, Modality.VIDEO)
# Documents whose pages can be drawn.
_DRAWN_FORMATS = frozenset({"pdf"})
_HEARD = (Modality.AUDIO, Modality.VIDEO)

Kind = Literal["picture", "waveform"]


@dataclass(frozen=True, slots=True)
class Preview:
    """A small image as a file: JPEG, or PNG with transparency for a waveform.

    `etag` is an entity tag with its quotes, unique to this preview.
    """

    data: bytes
    media_type: str
    etag: str


@dataclass(frozen=True, slots=True)
class PreviewRequest:
    """A preview of an asset: the place in it, and the size.

    A picture has `px` as its longer side and may have `tenths`, a time in tenths of a second, or
    `page`. A waveform is `px` wide and `height_px` high; its stretch is `tenths` to `end_tenths`.
    """

    asset_id: str
    kind: Kind
    px: int
    height_px: int = 0
    tenths: int | None = None
    end_tenths: int | None = None
    page: int | None = None

    @property
    def key(self) -> str:
        """32 hex digits that identify this preview."""
        places = (self.tenths, self.end_tenths, self.page)
        text = f"{FORM}/{self.asset_id}/{self.kind}/{self.px}x{self.height_px}/{places}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    @property
    def etag(self) -> str:
        """The entity tag, which is known before the preview is made."""
        return f'"{self.key}"'

    @property
    def source(self) -> tuple[str, Kind, int | None, int | None]:
        """The key of the decoded source, for all sizes: a failure of one is a failure of all."""
        return self.asset_id, self.kind, self.tenths, self.page

    @property
    def at(self) -> Span:
        """The time of an image, as an empty span."""
        at_s = (self.tenths or 0) / 10
        return Span(at_s, at_s)

    @property
    def stretch(self) -> Span:
        """The span of a waveform, at most `MAX_SOUND_S` long."""
        start_s = (self.tenths or 0) / 10
        if self.end_tenths is None:
            return Span(start_s, start_s + MAX_SOUND_S)
        return Span(start_s, self.end_tenths / 10)


def has_page_picture(hit: Hit) -> bool:
    """Tests if the best moment of a hit is a picture of a page of a document that can be drawn."""
    is_picture = hit.segment.kind in (SegmentKind.IMAGE, SegmentKind.OCR)
    return is_picture and hit.asset.metadata.format in _DRAWN_FORMATS


def request_image(asset: Asset, *, at_s: float | None, page: int | None, px: int) -> PreviewRequest:
    """Requests the image of an asset, or a still of a film; raises QueryError where it has none.

    A time counts for films and a page for images and PDF files; sizes are rounded up to `STEPS_PX`,
    and none is larger than the source.
    """
    is_paged = asset.modality is Modality.IMAGE or asset.metadata.format in _DRAWN_FORMATS
    if asset.modality not in _PICTURED and not is_paged:
        raise QueryError(f"there is no picture of {_check_id(asset)}")
    if px < 1:
        raise QueryError(f"a picture is at least 1 pixel long, not {px}")
    if page is not None and page < 1:
        raise QueryError(f"pages count from 1, not {page}")
    if at_s is not None and not 0 <= at_s < math.inf:
        raise QueryError(f"there is no time {at_s:g} s in a film")
    metadata = asset.metadata
    if metadata.width_px and metadata.height_px:
        px = min(px, max(metadata.width_px, metadata.height_px))
    step_px = _round_to_step(px, STEPS_PX)
    if is_paged:
        return PreviewRequest(asset.id, "picture", step_px, page=page or 1)
    if at_s is None:
        at_s = min((metadata.duration_s or 0.0) / 10, POSTER_S)
    longest_s = Limits().duration_s if metadata.duration_s is None else metadata.duration_s
    at_s = min(at_s, longest_s)
    return PreviewRequest(asset.id, "picture", step_px, tenths=_to_tenths(at_s))


def request_waveform(
    asset: Asset, *, span: Span | None, width_px: int, height_px: int
) -> PreviewRequest:
    """Requests the waveform of a recording or film; raises QueryError where it has none.

    Without `span` it is that of the first ten minutes, or of all where it is shorter.
    """
    if asset.modality not in _HEARD:
        raise QueryError(f"there is nothing to hear in {_check_id(asset)}")
    if width_px < 1 or height_px < 1:
        raise QueryError(f"a waveform is at least 1 pixel large, not {width_px}x{height_px}")
    width_px, height_px = _round_to_step(width_px, STEPS_PX), _round_to_step(height_px, HEIGHTS_PX)
    if span is None:
        return PreviewRequest(asset.id, "waveform", width_px, height_px)
    if not 0 <= span.start_s < span.end_s < math.inf:
        raise QueryError(f"there is no stretch from {span.start_s:g} to {span.end_s:g} s")
    start_s, end_s = span.start_s, min(span.end_s, span.start_s + MAX_SOUND_S)
    duration_s = asset.metadata.duration_s
    if duration_s is not None and start_s >= duration_s:
        raise QueryError(f"there is nothing to hear at {start_s:g} s: it ends at {duration_s:g} s")
    start = _to_tenths(start_s)
    end = max(start + 1, math.ceil(round(end_s * 10, 6)))
    return PreviewRequest(asset.id, "waveform", width_px, height_px, tenths=start, end_tenths=end)


def _check_id(asset: Asset) -> str:
    names = {Modality.TEXT: "a text", Modality.IMAGE: "an image", Modality.AUDIO: "a recording"}
    return names.get(asset.modality, "what only a plugin reads")


def _round_to_step(px: int, steps: tuple[int, ...]) -> int:
    return next((step for step in steps if px <= step), steps[-1])


def _to_tenths(time_s: float) -> int:
    return math.floor(round(time_s * 10, 6))
