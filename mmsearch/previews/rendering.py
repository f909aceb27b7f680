"""Renders one preview of a file, verified to be the one that was indexed."""

from __future__ import annotations

import os
from contextlib import closing
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.errors import DecodeError, MediaError, MediaGone
from mmsearch.media.base import AudioBlock, LoadOptions, Picture
from mmsearch.media.isolation import CancelledError
from mmsearch.previews import drawing
from mmsearch.previews.workers import DEADLINE_S
from mmsearch.types import PictureFit

if TYPE_CHECKING:
    from mmsearch.library.library import Library
    from mmsearch.media.isolation import Decoder
    from mmsearch.previews.preview_request import PreviewRequest
    from mmsearch.types import PixelArray

SPARE_RATE_HZ = 1_000
_TRIES = 2


def render_preview(
    request: PreviewRequest, library: Library, decoder: Decoder
) -> tuple[str, bytes]:
    """Returns the media type and the file of a preview.

    Raises MediaGone, and MediaError where the file cannot be decoded. As a decoder opens a file by
    its path, the file there is verified afterwards, so that no other file is shown.
    """
    for _ in range(_TRIES):
        opened = library.open_file(request.asset_id)
        with opened.stream as stream:
            before = os.fstat(stream.fileno())
            failure: MediaError | None = None
            try:
                result = _decode(request, Path(opened.path), decoder)
            except MediaError as exc:
                failure = exc
            if _is_unmoved(opened.path, before):
                if failure is not None:
                    raise failure
                return result
    raise MediaGone(request.asset_id, "its file was changed while it was looked at")


def _is_unmoved(path: str, before: os.stat_result) -> bool:
    """Tests if a path still leads to the file that was opened, unchanged."""
    try:
        after = os.stat(path)  # noqa: PTH116 - as it was opened
    except OSError:
        return False
    # Moving a file away and back changes its ctime.
    identify = attrgetter("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
    return bool(identify(before) == identify(after))


def _decode(request: PreviewRequest, path: Path, decoder: Decoder) -> tuple[str, bytes]:
    try:
        if request.kind == "picture":
            return "image/jpeg", drawing.encode_jpeg(_render_pixels(request, path, decoder))
        return "image/png", _render_waveform(request, path, decoder)
    except CancelledError as exc:
        raise DecodeError(path, f"decoding it took longer than {DEADLINE_S:g} s") from exc


def _render_pixels(request: PreviewRequest, path: Path, decoder: Decoder) -> PixelArray:
    options = LoadOptions(
        picture=PictureFit("within", request.px, "lanczos"),
        sample_rates_hz=(SPARE_RATE_HZ,),
        only=None if request.page else request.at,
        track="pictures",
        page=request.page,
    )
    nearest = None
    with closing(decoder.load(path, options)) as contents:
        for content in contents:
            if not isinstance(content, Picture):
                continue
            if nearest is None or _is_nearer(content, request):
                nearest = content
            elif request.page is None or (content.place.page or 1) >= request.page:
                break  # a plugin hands over all that it has
    if nearest is None:
        raise DecodeError(path, "there is no picture in it")
    if request.page is not None and (nearest.place.page or 1) != request.page:
        raise DecodeError(path, f"there is no page {request.page} in it")
    return nearest.pixels


def _is_nearer(picture: Picture, request: PreviewRequest) -> bool:
    """Tests if a further image of a file is nearer to the request than the one before."""
    if request.page is not None:
        return picture.place.page == request.page
    span = picture.place.span
    return span is not None and span.start_s <= request.at.start_s


def _render_waveform(request: PreviewRequest, path: Path, decoder: Decoder) -> bytes:
    span = request.stretch
    options = LoadOptions(sample_rates_hz=(drawing.RATE_HZ,), only=span, track="sound")
    with closing(decoder.load(path, options)) as contents:
        blocks = (content for content in contents if isinstance(content, AudioBlock))
        envelope = drawing.compute_envelope(blocks, span, is_open=request.end_tenths is None)
    if envelope is None:
        raise DecodeError(path, "there is nothing to hear in it")
    return drawing.draw_waveform(envelope, width_px=request.px, height_px=request.height_px)
