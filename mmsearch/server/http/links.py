"""URLs of assets, their pictures and their media, relative to the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmsearch.previews import choose_still_s, has_page_picture
from mmsearch.types import Modality

if TYPE_CHECKING:
    from starlette.requests import Request

    from mmsearch.types import Hit


def get_root_path(request: Request) -> str:
    """Returns the path that a proxy puts in front of those of the server."""
    root_path: str = request.scope.get("root_path", "")
    return root_path


def format_asset_url(asset_id: str, root: str = "") -> str:
    """Formats the URL of an asset; `root` is the path that a proxy puts in front."""
    return f"{root}/v1/assets/{asset_id}"


def build_hit_links(hit: Hit, root: str = "") -> dict[str, str | None]:
    """Builds the URLs of a hit: its asset, its picture and its media at the best moment."""
    base = format_asset_url(hit.asset.id, root)
    span = hit.moments[0].span if hit.moments else hit.segment.span
    media = f"{base}/media"
    if span is not None and hit.kind in (Modality.AUDIO, Modality.VIDEO):
        # W3C Media Fragments
        media += f"#t={_format_seconds(span.start_s)},{_format_seconds(span.end_s)}"
    return {
        "asset_url": base,
        "thumbnail_url": _format_thumbnail_url(
            base,
            Modality.IMAGE if has_page_picture(hit) else hit.kind,
            hit.segment.place.page,
            choose_still_s(span) if span else None,
        ),
        "media_url": media,
    }


def build_asset_links(asset_id: str, kind: Modality, root: str = "") -> dict[str, str | None]:
    """Builds the URLs of an asset: its picture, its media and its segments."""
    base = format_asset_url(asset_id, root)
    return {
        "thumbnail_url": _format_thumbnail_url(base, kind, None, None),
        "media_url": f"{base}/media",
        "segments_url": f"{base}/segments",
    }


def _format_thumbnail_url(
    base: str, kind: Modality, page: int | None, at_s: float | None
) -> str | None:
    match kind:
        case Modality.AUDIO:
            return f"{base}/thumbnail?kind=waveform"
        case Modality.VIDEO if at_s is not None:
            return f"{base}/thumbnail?t={_format_seconds(at_s)}"
        case Modality.IMAGE | Modality.VIDEO:
            return f"{base}/thumbnail" + (f"?page={page}" if page else "")
    return None


def _format_seconds(value_s: float) -> str:
    return f"{value_s:.3f}".rstrip("0").rstrip(".")
