"""Makes small pictures of assets, each once, in decoder processes, and keeps them."""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

from mmsearch.errors import MediaError, MediaGone
from mmsearch.previews import preview_request as forms
from mmsearch.previews.preview_request import Preview, Wanted
from mmsearch.previews.rendering import made
from mmsearch.previews.store import LIMIT_BYTES, Store, folder_of
from mmsearch.previews.workers import Workers
from mmsearch.types import Span

if TYPE_CHECKING:
    from mmsearch.library.library import Library
    from mmsearch.media.isolation import Decoder
    from mmsearch.types import Asset

FAILED_S = 300.0
"""So long a file that could not be decoded is not tried again."""
_FAILURES = 10_000
_ASSETS = 20_000
_STILL_S = 0.5
_ID = re.compile(r"[0-9a-f]{32}")


def still_s(span: Span) -> float:
    """The time at which a moment of a film shows itself, for `Previews.picture`.

    A little after its beginning: there lies a cut, give or take an eighth of a second.
    """
    return span.start_s + min(_STILL_S, (span.end_s - span.start_s) / 2)


class Previews:
    """Thumbnails, stills and waveforms of the assets of a library; close it.

    Threads may share it: what two want at once is made once. Files are decoded in at most `workers`
    processes, which start with the first file and end when there is nothing to do. What was made is
    kept on the disk, at most `limit_bytes` of it.
    """

    def __init__(
        self, library: Library, *, workers: int = 2, limit_bytes: int = LIMIT_BYTES
    ) -> None:
        self._library = library
        self._workers: Workers[Preview] = Workers(workers)
        self._store = Store(folder_of(library.location), limit_bytes=limit_bytes)
        self._lock = threading.RLock()  # a future may be done before it is noted
        self._coming: dict[str, Future[Preview]] = {}
        self._failures: OrderedDict[object, tuple[float, Callable[[], MediaError]]] = OrderedDict()
        self._assets: OrderedDict[str, Asset] = OrderedDict()

    def __enter__(self) -> Previews:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the decoder processes; what is kept stays."""
        self._workers.close()

    def picture(
        self, asset_id: str, *, at_s: float | None = None, page: int | None = None, px: int = 320
    ) -> Preview:
        """The picture of an asset, upright, on white, its longer side about `px`, as JPEG.

        Sizes are rounded up to 160, 320, 640, 1280 or 1600, and never beyond the source. Of a film
        it is the frame that is shown at `at_s` (to a tenth of a second), past the end the last;
        without a time one from its beginning. `page` is a page or frame of an image, as a segment
        has it. Raises QueryError where there is nothing to picture, MediaGone where the asset is
        not in the library or its file not as it was indexed, MediaError where it cannot be decoded,
        and Busy.
        """
        return self.soon(self.wanted_picture(asset_id, at_s=at_s, page=page, px=px)).result()

    def waveform(
        self,
        asset_id: str,
        *,
        span: Span | None = None,
        width_px: int = 640,
        height_px: int = 120,
    ) -> Preview:
        """The waveform of a recording, or of the sound of a film, as PNG with transparency.

        It is that of `span`, of which ten minutes are drawn; without it, that of all, or of the
        first ten minutes. The loudest moment fills the height. Sizes are rounded up to a few.
        Raises as `picture` does.
        """
        asked = self.wanted_waveform(asset_id, span=span, width_px=width_px, height_px=height_px)
        return self.soon(asked).result()

    def wanted_picture(
        self, asset_id: str, *, at_s: float | None = None, page: int | None = None, px: int = 320
    ) -> Wanted:
        """What `picture` would make; its `etag` is known without making it."""
        return forms.picture(self._asset(asset_id), at_s=at_s, page=page, px=px)

    def wanted_waveform(
        self,
        asset_id: str,
        *,
        span: Span | None = None,
        width_px: int = 640,
        height_px: int = 120,
    ) -> Wanted:
        """What `waveform` would make."""
        asset = self._asset(asset_id)
        return forms.waveform(asset, span=span, width_px=width_px, height_px=height_px)

    def soon(self, wanted: Wanted) -> Future[Preview]:
        """A preview that is there, or that comes: whoever has the future may wait elsewhere.

        Raises MediaError for what failed a short while ago, and Busy.
        """
        key = wanted.key
        with self._lock:
            coming = self._coming.get(key)
        if coming is not None:
            return coming
        kept = self._store.get(key)
        if kept is not None:
            done: Future[Preview] = Future()
            done.set_result(Preview(kept[1], kept[0], wanted.etag))
            return done
        with self._lock:
            if (coming := self._coming.get(key)) is None:
                self._check_failed(wanted)
                coming = self._workers.ask(lambda decoder: self._made(wanted, decoder))
                self._coming[key] = coming
                coming.add_done_callback(lambda _: self._arrived(key))
        return coming

    def asset(self, asset_id: str) -> Asset | None:
        """What an asset is; None where the library has none of that id, or has it no more."""
        if _ID.fullmatch(asset_id) is None or self._library.snapshot().asset_row(asset_id) is None:
            return None
        with self._lock:
            known = self._assets.get(asset_id)
        if known is not None:
            return known
        shelved = self._library.asset(asset_id)
        if shelved is None:
            return None
        with self._lock:
            self._assets[asset_id] = shelved.asset
            while len(self._assets) > _ASSETS:
                self._assets.popitem(last=False)
        return shelved.asset

    def size_bytes(self) -> int:
        """What previews take on the disk."""
        return self._store.size_bytes()

    def _made(self, wanted: Wanted, decoder: Decoder) -> Preview:
        try:
            media_type, data = made(wanted, self._library, decoder)
        except MediaError as exc:
            self._remember(wanted, exc)
            raise
        self._store.put(wanted.key, media_type, data)
        return Preview(data, media_type, wanted.etag)

    def _arrived(self, key: str) -> None:
        with self._lock:
            self._coming.pop(key, None)

    def _asset(self, asset_id: str) -> Asset:
        found = self.asset(asset_id)
        if found is None:
            raise MediaGone(asset_id, "the library has no such asset")
        return found

    def _remember(self, wanted: Wanted, error: MediaError) -> None:
        # Made anew each time: an error that was raised holds on to all that was there.
        again = partial(type(error), error.path, error.reason)
        with self._lock:
            self._failures[wanted.source] = (time.monotonic() + FAILED_S, again)
            while len(self._failures) > _FAILURES:
                self._failures.popitem(last=False)

    def _check_failed(self, wanted: Wanted) -> None:
        until, again = self._failures.get(wanted.source, (0.0, None))
        if again is None:
            return
        if time.monotonic() < until:
            raise again()
        del self._failures[wanted.source]
