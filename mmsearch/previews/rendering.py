"""Makes one preview of a file that is certainly the one that was indexed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.errors import DecodeError, MediaError, MediaGone
from mmsearch.media.base import AudioBlock, LoadOptions, Picture
from mmsearch.media.isolation import Stopped
from mmsearch.previews import drawing
from mmsearch.previews.workers import DEADLINE_S
from mmsearch.types import PictureFit

if TYPE_CHECKING:
    from mmsearch.library.library import Library
    from mmsearch.media.base import Content
    from mmsearch.media.isolation import Decoder
    from mmsearch.previews.preview_request import Wanted
    from mmsearch.types import PixelArray

SPARE_RATE_HZ = 1_000
_TRIES = 2


def made(wanted: Wanted, library: Library, decoder: Decoder) -> tuple[str, bytes]:
    """The media type and the file of a preview.

    Raises MediaGone, and MediaError where the file cannot be decoded. A decoder opens a file by its
    path: what lay there is known again afterwards, and nothing is shown of anything else.
    """
    for _ in range(_TRIES):
        opened = library.open_file(wanted.asset_id)
        with opened.stream as stream:
            before = os.fstat(stream.fileno())
            error: MediaError | None = None
            try:
                result = _decoded(wanted, Path(opened.path), decoder)
            except MediaError as exc:
                error = exc
            if _is_at(opened.path, before):
                if error is not None:
                    raise error
                return result
    raise MediaGone(wanted.asset_id, "its file was changed while it was looked at")


def _is_at(path: str, before: os.stat_result) -> bool:
    """Whether a path leads to the very file that was opened, and nothing was moved meanwhile."""
    try:
        after = os.stat(path)  # noqa: PTH116 - as it was opened
    except OSError:
        return False
    # Moving a file away and back changes its ctime.
    return (after.st_dev, after.st_ino, after.st_size, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_dev,
        before.st_ino,
        before.st_size,
        before.st_mtime_ns,
        before.st_ctime_ns,
    )


def _decoded(wanted: Wanted, path: Path, decoder: Decoder) -> tuple[str, bytes]:
    try:
        if wanted.kind == "picture":
            return "image/jpeg", drawing.jpeg(_pixels(wanted, path, decoder))
        return "image/png", _waveform(wanted, path, decoder)
    except Stopped as exc:
        raise DecodeError(path, f"decoding it took longer than {DEADLINE_S:g} s") from exc


def _pixels(wanted: Wanted, path: Path, decoder: Decoder) -> PixelArray:
    options = LoadOptions(
        picture=PictureFit("within", wanted.px, "lanczos"),
        sample_rates_hz=(SPARE_RATE_HZ,),
        only=None if wanted.page else wanted.at,
        track="pictures",
        page=wanted.page,
    )
    found = None
    with closing(decoder.load(path, options)) as contents:
        for content in contents:
            if not isinstance(content, Picture):
                continue
            if found is None or _is_nearer(content, wanted):
                found = content
            elif not _is_before(content, wanted):
                break  # a plugin hands over all that it has
    if found is None:
        raise DecodeError(path, "there is no picture in it")
    if wanted.page is not None and (found.place.page or 1) != wanted.page:
        raise DecodeError(path, f"there is no page {wanted.page} in it")
    return found.pixels


def _is_nearer(picture: Picture, wanted: Wanted) -> bool:
    """Whether a further picture of a file is what is wanted, and not the one before it."""
    if wanted.page is not None:
        return picture.place.page == wanted.page
    span = picture.place.span
    return span is not None and span.start_s <= wanted.at.start_s


def _is_before(picture: Picture, wanted: Wanted) -> bool:
    if wanted.page is not None:
        return (picture.place.page or 1) < wanted.page
    return False


def _waveform(wanted: Wanted, path: Path, decoder: Decoder) -> bytes:
    span = wanted.stretch
    options = LoadOptions(sample_rates_hz=(drawing.RATE_HZ,), only=span, track="sound")
    with closing(decoder.load(path, options)) as contents:
        shape = drawing.envelope(_heard(contents), span, is_open=wanted.end_tenths is None)
    if shape is None:
        raise DecodeError(path, "there is nothing to hear in it")
    return drawing.waveform(shape, width_px=wanted.px, height_px=wanted.height_px)


def _heard(contents: Iterator[Content]) -> Iterator[AudioBlock]:
    for content in contents:
        if isinstance(content, AudioBlock):
            yield content
