"""As what a file of the library is sent to a browser, and whether browsers are known to play it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import quote

from mmsearch.types import Modality

if TYPE_CHECKING:
    from mmsearch.types import Asset

UNKNOWN = "application/octet-stream"
PLAIN = "text/plain; charset=utf-8"

# By what the decoder found the content to be, not by name. HTML and SVG are among the texts.
_IMAGES = MappingProxyType(
    {
        "JPEG": "image/jpeg",
        "MPO": "image/jpeg",
        "PNG": "image/png",
        "GIF": "image/gif",
        "WEBP": "image/webp",
        "AVIF": "image/avif",
        "BMP": "image/bmp",
        "ICO": "image/x-icon",
        "TIFF": "image/tiff",
        "HEIF": "image/heif",
        "JPEG2000": "image/jp2",
    }
)
_SOUNDS = MappingProxyType(
    {
        "mp3": "audio/mpeg",
        "flac": "audio/flac",
        "wav": "audio/wav",
        "ogg": "audio/ogg",
        "mov": "audio/mp4",
        "aac": "audio/aac",
        "matroska": "audio/x-matroska",
        "aiff": "audio/aiff",
    }
)
_FILMS = MappingProxyType(
    {
        "mov": "video/mp4",
        "ogg": "video/ogg",
        "matroska": "video/x-matroska",
        "avi": "video/x-msvideo",
        "mpeg": "video/mpeg",
        "mpegts": "video/mp2t",
    }
)
_TYPES = MappingProxyType(
    {Modality.IMAGE: _IMAGES, Modality.AUDIO: _SOUNDS, Modality.VIDEO: _FILMS}
)
# https://developer.mozilla.org/docs/Web/Media/Guides/Formats: what all browsers of today take, with
# the codecs that are usual in it. Matroska is not told from WebM by its content alone.
_PLAYED = MappingProxyType(
    {
        Modality.IMAGE: frozenset({"JPEG", "MPO", "PNG", "GIF", "WEBP", "AVIF", "BMP", "ICO"}),
        Modality.AUDIO: frozenset({"mp3", "flac", "wav", "ogg", "mov", "aac", "matroska"}),
        Modality.VIDEO: frozenset({"mov", "ogg", "matroska"}),
    }
)


@dataclass(frozen=True, slots=True)
class Served:
    """A media type, and whether a browser may show the file itself; else it is only kept."""

    media_type: str
    is_inline: bool


def served_as(asset: Asset, name: str = "") -> Served:
    """How a file is sent: as what it is where that is harmless, text as plain text.

    All else is sent as bytes to be kept. `name` is that of the file; of Matroska it tells WebM.
    """
    form = asset.metadata.format
    if asset.modality is Modality.TEXT:
        if form in ("pdf", "docx"):
            return Served("application/pdf" if form == "pdf" else UNKNOWN, is_inline=False)
        return Served(PLAIN, is_inline=True)
    found = _TYPES.get(asset.modality, _IMAGES).get(form)
    if found is None or asset.modality not in _TYPES:
        return Served(UNKNOWN, is_inline=False)
    if _is_webm(form, name):
        found = found.replace("x-matroska", "webm")
    return Served(found, is_inline=True)


def playable(asset: Asset, name: str = "") -> bool:
    """Whether browsers are expected to show or play the file itself.

    They may not after all: codecs are not looked at. Where `name`, that of the file, says that
    Matroska is no WebM, not all browsers do.
    """
    form = asset.metadata.format
    if form not in _PLAYED.get(asset.modality, frozenset()):
        return False
    return form != "matroska" or not name or _is_webm(form, name)


def _is_webm(form: str, name: str) -> bool:
    return form == "matroska" and PurePath(name).suffix.lower() in (".webm", ".weba")


def disposition(name: str, *, is_inline: bool) -> str:
    """The value of Content-Disposition for a file of that name (RFC 6266)."""
    how = "inline" if is_inline else "attachment"
    plain = "".join(one if " " <= one <= "~" and one not in '"\\%' else "_" for one in name)
    told = f'{how}; filename="{plain}"'
    if plain == name:
        return told
    return f"{told}; filename*=UTF-8''{quote(name.encode('utf-8', 'replace'), safe='')}"
