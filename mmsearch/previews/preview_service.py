"""Makes previews of assets, each once, in decoder processes, and keeps them."""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING

from mmsearch.errors import MediaError, MediaGone
from mmsearch.previews.preview_request import (
    Preview,
    PreviewRequest,
    request_image,
    request_waveform,
)
from mmsearch.previews.rendering import render_preview
from mmsearch.previews.store import LIMIT_BYTES, PreviewStore, previews_folder
from mmsearch.previews.workers import PreviewWorkers
from mmsearch.runtime.closing import Closing
from mmsearch.types import Span

if TYPE_CHECKING:
    from mmsearch.library.library import Library
    from mmsearch.media.isolation import Decoder
    from mmsearch.types import Asset

FAILED_S = 300.0
"""The time after which a file that could not be decoded is tried again."""
_FAILURES = 10_000
_ASSETS = 20_000
_STILL_S = 0.5
_ID = re.compile(r"[0-9a-f]{32}")


def choose_still_s(span: Span) -> float:
    """Returns the time of a still for a moment of a film, for `Previews.picture`.

    It is a little after the beginning, where a cut lies within an eighth of a second.
    """
    return span.start_s + min(_STILL_S, (span.end_s - span.start_s) / 2)


class Previews(Closing):
    """Thumbnails, stills and waveforms of the assets of a library; close it.

    Threads may share it; simultaneous requests for one preview are made once. Files are decoded in
    at most `workers` processes, which start with the first file and end when idle. Previews are
    kept on disk, at most `limit_bytes` of them.
    """

    def __init__(
        self, library: Library, *, workers: int = 2, limit_bytes: int = LIMIT_BYTES
    ) -> None:
        self._library = library
        self._workers: PreviewWorkers[Preview] = PreviewWorkers(workers)
        self._store = PreviewStore(previews_folder(library.location), limit_bytes=limit_bytes)
        self._lock = threading.RLock()  # a future may be done before it is noted
        self._pending: dict[str, Future[Preview]] = {}
        self._failures: OrderedDict[object, tuple[float, Callable[[], MediaError]]] = OrderedDict()
        self._assets: OrderedDict[str, Asset] = OrderedDict()

    def close(self) -> None:
        """Ends the decoder processes; kept previews stay."""
        self._workers.close()

    def picture(
        self, asset_id: str, *, at_s: float | None = None, page: int | None = None, px: int = 320
    ) -> Preview:
        """Returns the image of an asset, upright, on white, its longer side about `px`, as JPEG.

        Sizes are rounded up to 160, 320, 640, 1280 or 1600, and never beyond the source. Of a video
        it is the frame at `at_s` (to a tenth of a second; past the end the last), without a time
        one near its beginning. `page` is a page or frame of an image, as a segment has it. Raises
        QueryError where the asset has no image, MediaGone where it is not in the library or its
        file is not as indexed, MediaError where it cannot be decoded, and Busy.
        """
        return self.submit(self.request_picture(asset_id, at_s=at_s, page=page, px=px)).result()

    def waveform(
        self, asset_id: str, *, span: Span | None = None, width_px: int = 640, height_px: int = 120
    ) -> Preview:
        """Returns the waveform of a recording, or of the sound of a film, as PNG with transparency.

        It is that of `span` or of all, at most the first ten minutes of it. The loudest moment
        fills the height. Sizes are rounded up to a few. Raises as `picture` does.
        """
        request = self.request_waveform(asset_id, span=span, width_px=width_px, height_px=height_px)
        return self.submit(request).result()

    def request_picture(
        self, asset_id: str, *, at_s: float | None = None, page: int | None = None, px: int = 320
    ) -> PreviewRequest:
        """Returns the request that `picture` answers; its `etag` is known without making it."""
        return request_image(self._find_asset(asset_id), at_s=at_s, page=page, px=px)

    def request_waveform(
        self, asset_id: str, *, span: Span | None = None, width_px: int = 640, height_px: int = 120
    ) -> PreviewRequest:
        """Returns the request that `waveform` answers."""
        asset = self._find_asset(asset_id)
        return request_waveform(asset, span=span, width_px=width_px, height_px=height_px)

    def submit(self, request: PreviewRequest) -> Future[Preview]:
        """Returns the future of a preview, done at once for a kept one.

        Raises MediaError for a file that failed within `FAILED_S`, and Busy.
        """
        key = request.key
        with self._lock:
            pending = self._pending.get(key)
        if pending is not None:
            return pending
        kept = self._store.get(key)
        if kept is not None:
            done: Future[Preview] = Future()
            done.set_result(Preview(kept[1], kept[0], request.etag))
            return done
        with self._lock:
            if (pending := self._pending.get(key)) is None:
                self._check_failed(request)
                pending = self._workers.submit(lambda decoder: self._make(request, decoder))
                self._pending[key] = pending
                pending.add_done_callback(lambda _: self._finish(key))
        return pending

    def asset(self, asset_id: str) -> Asset | None:
        """Returns an asset; None for an unknown id."""
        if _ID.fullmatch(asset_id) is None or self._library.snapshot().asset_row(asset_id) is None:
            return None
        with self._lock:
            cached = self._assets.get(asset_id)
        if cached is not None:
            return cached
        library_asset = self._library.asset(asset_id)
        if library_asset is None:
            return None
        with self._lock:
            self._assets[asset_id] = library_asset.asset
            while len(self._assets) > _ASSETS:
                self._assets.popitem(last=False)
        return library_asset.asset

    def size_bytes(self) -> int:
        """The size of previews on disk."""
        return self._store.size_bytes()

    def _make(self, request: PreviewRequest, decoder: Decoder) -> Preview:
        try:
            media_type, data = render_preview(request, self._library, decoder)
        except MediaError as exc:
            self._remember(request, exc)
            raise
        self._store.put(request.key, media_type, data)
        return Preview(data, media_type, request.etag)

    def _finish(self, key: str) -> None:
        with self._lock:
            self._pending.pop(key, None)

    def _find_asset(self, asset_id: str) -> Asset:
        asset = self.asset(asset_id)
        if asset is None:
            raise MediaGone(asset_id, "the library has no such asset")
        return asset

    def _remember(self, request: PreviewRequest, error: MediaError) -> None:
        # A new error each time: a raised one keeps its traceback and all frames alive.
        make_error = partial(type(error), error.path, error.reason)
        with self._lock:
            self._failures[request.source] = (time.monotonic() + FAILED_S, make_error)
            while len(self._failures) > _FAILURES:
                self._failures.popitem(last=False)

    def _check_failed(self, request: PreviewRequest) -> None:
        until, make_error = self._failures.get(request.source, (0.0, None))
        if make_error is None:
            return
        if time.monotonic() < until:
            raise make_error()
        del self._failures[request.source]
