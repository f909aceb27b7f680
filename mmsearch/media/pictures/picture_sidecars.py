"""Reads what the files beside a picture or a video say of it: XMP packets, JSON of exports."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mmsearch.media.pictures.file_dates import parse_date_in_name
from mmsearch.media.pictures.picture_facts import PictureFacts, combine_facts, merge_metadata
from mmsearch.media.pictures.xmp import MAX_PACKET_BYTES, read_xmp
from mmsearch.media.sidecars import find_sidecars
from mmsearch.types import Metadata

logger = logging.getLogger(__name__)

_MAX_JSON_BYTES = 1024**2
_MAX_SIDECARS = 8
_LATEST_S = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
_EARLIEST_S = datetime(1826, 1, 1, tzinfo=UTC).timestamp()


def add_facts_beside(path: Path, metadata: Metadata) -> Metadata:
    """Returns the metadata of a picture or video with that of its sidecars and its name.

    The date in the name counts only where nothing else states one.
    """
    if descriptions := find_sidecars(path).descriptions:
        metadata = merge_metadata(metadata, read_descriptions(descriptions))
    if metadata.taken_at is None:
        metadata = replace(metadata, taken_at=parse_date_in_name(path.name))
    return metadata


def read_descriptions(paths: Iterable[Path]) -> Metadata:
    """Returns what XMP packets and the JSON files of Google Takeout say; a broken one nothing."""
    return combine_facts([_read_sidecar(path) for path in list(paths)[:_MAX_SIDECARS]])


def _read_sidecar(path: Path) -> PictureFacts:
    try:
        with path.open("rb") as file:
            if path.suffix.lower() == ".xmp":
                return read_xmp(_to_utf8(file.read(MAX_PACKET_BYTES)))
            return _read_export(file.read(_MAX_JSON_BYTES))
    except Exception as exc:  # the picture does not need its sidecar
        logger.debug("a sidecar not read: %r", exc)
        return PictureFacts()


def _to_utf8(packet: bytes) -> bytes:
    """Returns a packet in UTF-16 as UTF-8, which the cut between blocks cannot break."""
    if packet.startswith((b"\xff\xfe", b"\xfe\xff")):
        return packet.decode("utf-16", "replace").encode("utf-8")
    return packet


def _read_export(data: bytes) -> PictureFacts:
    """Returns the facts of a JSON of Google Takeout, whose title is the name of the file."""
    parsed = json.loads(data.decode("utf-8-sig", "replace"))
    if not isinstance(parsed, dict):
        return PictureFacts()
    latitude, longitude = _read_position(parsed)
    people = parsed.get("people")
    names = [_get(person, "name") for person in people] if isinstance(people, list) else []
    return PictureFacts(
        descriptions=tuple(filter(None, [_get_text(parsed, "description")])),
        keywords=tuple(name for name in names if isinstance(name, str)),
        created=_parse_seconds(_get(parsed.get("photoTakenTime"), "timestamp")),
        latitude=latitude,
        longitude=longitude,
    )


def _get(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, dict) else None


def _get_text(parsed: Mapping[str, Any], key: str) -> str:
    value = parsed.get(key)
    return value if isinstance(value, str) else ""


def _read_position(parsed: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Returns the position, which the user may have set, else that of EXIF; 0, 0 means none."""
    for key in ("geoData", "geoDataExif"):
        latitude, longitude = (_get(parsed.get(key), axis) for axis in ("latitude", "longitude"))
        if not isinstance(latitude, int | float) or not isinstance(longitude, int | float):
            continue
        if (latitude or longitude) and abs(latitude) <= 90 and abs(longitude) <= 180:
            return float(latitude), float(longitude)
    return None, None


def _parse_seconds(value: object) -> datetime | None:
    """Returns the moment of a count of seconds since 1970, in UTC; it may be negative."""
    try:
        seconds = float(value) if isinstance(value, str | int | float) else 0.0
    except ValueError:
        return None
    # A picture without a date has zero there.
    is_valid = seconds and _EARLIEST_S < seconds < _LATEST_S
    return datetime.fromtimestamp(seconds, UTC) if is_valid else None
