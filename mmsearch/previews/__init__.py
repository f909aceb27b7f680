"""Previews of assets: thumbnails, stills of films, waveforms of sound."""

from mmsearch.previews.preview_request import MAX_PX, Preview, has_page_picture
from mmsearch.previews.preview_service import Previews, choose_still_s
from mmsearch.previews.store import LIMIT_BYTES
from mmsearch.previews.workers import Busy

__all__ = [
    "LIMIT_BYTES",
    "MAX_PX",
    "Busy",
    "Preview",
    "Previews",
    "choose_still_s",
    "has_page_picture",
]
