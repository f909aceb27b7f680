"""Where the pictures, the media and the rest of an asset are, relative to the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmsearch.previews import still_s
from mmsearch.types import Modality

if TYPE_CHECKING:
    from mmsearch.types import Hit


def asset_url(asset_id: str, root: str = "") -> str:
    """Where an asset is described; `root` is what a proxy puts in front."""
    return f"{root}/v1/assets/{asset_id}"


def hit_links(hit: Hit, root: str = "") -> dict[str, str | None]:
    """Where a hit is described, pictured and played, at the moment that matched."""
    base = asset_url(hit.asset.id, root)
    span = hit.moments[0].span if hit.moments else hit.segment.span
    media = f"{base}/media"
    if span is not None and hit.kind in (Modality.AUDIO, Modality.VIDEO):
        media += f"#t={_seconds(span.start_s)},{_seconds(span.end_s)}"  # W3C Media Fragments
    return {
        "asset_url": base,
        "thumbnail_url": _thumbnail(
            base, hit.kind, hit.segment.place.page, still_s(span) if span else None
        ),
        "media_url": media,
    }


def asset_links(asset_id: str, kind: Modality, root: str = "") -> dict[str, str | None]:
    """Where an asset is pictured, played and told in full."""
    base = asset_url(asset_id, root)
    return {
        "thumbnail_url": _thumbnail(base, kind, None, None),
        "media_url": f"{base}/media",
        "segments_url": f"{base}/segments",
    }


def _thumbnail(base: str, kind: Modality, page: int | None, at_s: float | None) -> str | None:
    match kind:
        case Modality.AUDIO:
            return f"{base}/thumbnail?kind=waveform"
        case Modality.VIDEO if at_s is not None:
            return f"{base}/thumbnail?t={_seconds(at_s)}"
        case Modality.IMAGE | Modality.VIDEO:
            return f"{base}/thumbnail" + (f"?page={page}" if page else "")
    return None


def _seconds(value_s: float) -> str:
    return f"{value_s:.3f}".rstrip("0").rstrip(".")
