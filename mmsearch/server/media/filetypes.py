"""Media types of the files of a library, and the formats that browsers play."""

from __future__ import annotations

from collections.abc import Mapping
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
_TYPES: Mapping[Modality, Mapping[str, str]] = MappingProxyType(
    {
        Modality.IMAGE: {
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
        },
        Modality.AUDIO: {
            "mp3": "audio/mpeg",
            "flac": "audio/flac",
            "wav": "audio/wav",
            "ogg": "audio/ogg",
            "mov": "audio/mp4",
            "aac": "audio/aac",
            "matroska": "audio/x-matroska",
            "aiff": "audio/aiff",
        },
        Modality.VIDEO: {
            "mov": "video/mp4",
            "ogg": "video/ogg",
            "matroska": "video/x-matroska",
            "avi": "video/x-msvideo",
            "mpeg": "video/mpeg",
            "mpegts": "video/mp2t",
        },
    }
)
_PLAIN_FORMATS = frozenset(
    {"", "text", "markdown", "csv", "json", "html", "svg", "srt", "vtt", "ass", "ssa", "subtitles"}
    | {"eml", "emlx", "mbox", "mhtml", "ipynb", "vcf", "ics"}
)
"""Formats of texts whose bytes are text; the others are packages and binary documents."""
# The others are played by all browsers of today with their usual codecs:
# https://developer.mozilla.org/docs/Web/Media/Guides/Formats. Matroska is not told from WebM by its
# content alone.
_NOT_PLAYED = frozenset({"TIFF", "HEIF", "JPEG2000", "aiff", "avi", "mpeg", "mpegts"})


@dataclass(frozen=True, slots=True)
class ContentType:
    """A media type, and True where a browser may show the file itself."""

    media_type: str
    is_inline: bool


def choose_content_type(asset: Asset, name: str = "") -> ContentType:
    """Chooses the type that a file is sent as: its own where that is harmless, plain for text.

    All else is sent as an attachment of bytes. The file `name` tells WebM from other Matroska.
    """
    form = asset.metadata.format
    if asset.modality is Modality.TEXT:
        if form in _PLAIN_FORMATS:
            return ContentType(PLAIN, is_inline=True)
        return ContentType("application/pdf" if form == "pdf" else UNKNOWN, is_inline=False)
    media_type = _TYPES.get(asset.modality, {}).get(form)
    if media_type is None:
        return ContentType(UNKNOWN, is_inline=False)
    if _is_webm(form, name):
        media_type = media_type.replace("x-matroska", "webm")
    return ContentType(media_type, is_inline=True)


def is_playable(asset: Asset, name: str = "") -> bool:
    """Tests if browsers are expected to show or play the file itself; codecs are not looked at.

    Not all browsers play Matroska that is no WebM by the file `name`.
    """
    form = asset.metadata.format
    if form not in _TYPES.get(asset.modality, {}) or form in _NOT_PLAYED:
        return False
    return form != "matroska" or not name or _is_webm(form, name)


def _is_webm(form: str, name: str) -> bool:
    return form == "matroska" and PurePath(name).suffix.lower() in (".webm", ".weba")


def format_content_disposition(name: str, *, is_inline: bool) -> str:
    """Formats the value of Content-Disposition for a file of that name (RFC 6266)."""
    kind = "inline" if is_inline else "attachment"
    plain = "".join(char if " " <= char <= "~" and char not in '"\\%' else "_" for char in name)
    value = f'{kind}; filename="{plain}"'
    if plain == name:
        return value
    return f"{value}; filename*=UTF-8''{quote(name.encode('utf-8', 'replace'), safe='')}"
