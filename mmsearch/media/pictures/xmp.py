"""Reads XMP packets: in pictures, and in files beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime

from mmsearch.media.pictures.exif import format_camera
from mmsearch.media.pictures.file_dates import parse_date
from mmsearch.media.pictures.picture_facts import MAX_CAPTION_CHARS, PictureFacts, choose_texts
from mmsearch.media.strings import split_words
from mmsearch.media.texts.markup import MarkupError, parse_events

MAX_PACKET_BYTES = 4 * 1024**2
_BLOCK_BYTES = 4096
_MAX_VALUES = 5_000
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XML = "http://www.w3.org/XML/1998/namespace"
_NAMESPACES = {
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://purl.org/dc/terms/": "dc",
    "http://ns.adobe.com/lightroom/1.0/": "lr",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://cipa.jp/exif/1.0/": "exif",
    "http://ns.adobe.com/tiff/1.0/": "tiff",
    "http://ns.adobe.com/pdf/1.3/": "pdf",
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": "ext",
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": "core",
    "http://www.metadataworkinggroup.com/schemas/regions/": "mwg-rs",
    "http://www.metadataworkinggroup.com/schemas/keywords/": "mwg-kw",
    "http://ns.microsoft.com/photo/1.0": "mp",
    "http://ns.microsoft.com/photo/1.0/": "mp",
    "http://ns.microsoft.com/photo/1.2/t/Region#": "mp",
    "http://www.digikam.org/ns/1.0/": "digikam",
    "http://ns.acdsee.com/iptc/1.0/": "acdsee",
    "http://ns.acdsee.com/regions/": "acdsee",
    "http://ns.iview-multimedia.com/mediapro/1.0/": "mediapro",
    "http://ns.microsoft.com/expressionmedia/1.0/": "mediapro",
}
_TITLES = split_words("dc:title photoshop:Headline acdsee:caption")
_DESCRIPTIONS = split_words("""
    dc:description exif:UserComment tiff:ImageDescription ext:ExtDescrAccessibility
    core:AltTextAccessibility core:ExtDescrAccessibility ext:Event acdsee:notes
    digikam:Caption
    """)
_KEYWORDS = split_words("""
    dc:subject ext:PersonInImage ext:PersonName mwg-rs:Name mp:PersonDisplayName
    mp:LastKeywordXMP mwg-kw:Keyword acdsee:keywords acdsee:Name mediapro:People
    mediapro:CatalogSets mediapro:Event ext:OrganisationInImageName
    """)
_PATHS = split_words("lr:hierarchicalSubject digikam:TagsList mp:LastKeywordXMP")
_JOINED_KEYWORDS = ("pdf:Keywords",)
_PLACES = (
    split_words("core:Location ext:Sublocation mediapro:Location"),
    split_words("photoshop:City ext:City"),
    split_words("photoshop:State ext:ProvinceState"),
    split_words("photoshop:Country ext:CountryName"),
)
_ARTISTS = split_words("dc:creator tiff:Artist")
_CREATED = split_words("exif:DateTimeOriginal photoshop:DateCreated")
_DIGITISED = split_words("exif:DateTimeDigitized xmp:CreateDate")
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,12})?")
_LEVELS = re.compile(r"[|/]")


def read_xmp(packet: bytes | str) -> PictureFacts:
    """Returns the facts of a packet; of a broken one, those before the fault."""
    if isinstance(packet, str):
        packet = packet.encode("utf-8", "replace")
    packet = packet[:MAX_PACKET_BYTES].strip(b"\0 \r\n\t")
    values: dict[str, list[str]] = {}
    for number, (name, value) in enumerate(_walk_values(packet)):
        if number == _MAX_VALUES:
            break
        values.setdefault(name, []).append(value)

    def get(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(value for name in names for value in values.get(name, ()))

    latitude = _parse_degrees(values, "exif:GPSLatitude", 90.0)
    longitude = _parse_degrees(values, "exif:GPSLongitude", 180.0)
    is_null = latitude is None or longitude is None or (latitude == 0 and longitude == 0)
    return PictureFacts(
        titles=get(_TITLES),
        descriptions=get(_DESCRIPTIONS),
        keywords=tuple(_list_keywords(get(_KEYWORDS), get(_PATHS), get(_JOINED_KEYWORDS))),
        place=tuple(name for names in _PLACES for name in get(names)),
        artists=get(_ARTISTS),
        created=_parse_first(get(_CREATED)),
        digitised=_parse_first(get(_DIGITISED)),
        latitude=None if is_null else latitude,
        longitude=None if is_null else longitude,
        camera=_join_camera(get(("tiff:Make",)), get(("tiff:Model",))),
    )


def _walk_values(packet: bytes) -> Iterator[tuple[str, str]]:
    """Yields the properties of a packet by their short names, with each of their values.

    A property is an attribute, or an element that is not of RDF; its values are its text, and the
    text of the items of its list.
    """
    blocks = (packet[at : at + _BLOCK_BYTES] for at in range(0, len(packet), _BLOCK_BYTES))
    open_names: list[str] = []
    text = ""
    try:
        for event in parse_events(blocks, has_namespaces=True):
            if event.kind == "start":
                text = ""
                own = _shorten(event.value)
                # Items of a list, and the wrappers of RDF, speak for the property around them.
                open_names.append(own or (open_names[-1] if open_names else ""))
                yield from _list_attributes(event.attributes, open_names[-1])
            elif event.kind == "text":
                text = (text + event.value)[: MAX_CAPTION_CHARS * 2]
            else:
                name = open_names.pop()
                if name and text.strip():
                    yield name, text.strip()
                text = ""
    except MarkupError:
        return  # what stands before the fault is valid


def _list_attributes(attributes: Mapping[str, str], owner: str) -> Iterator[tuple[str, str]]:
    for attribute, value in attributes.items():
        name = _shorten(attribute)
        if name and value.strip():
            yield name, value.strip()
        elif attribute == f"{_RDF} value" and owner:
            yield owner, value.strip()


def _shorten(name: str) -> str:
    """Returns "dc:title" for a name in a known namespace, "" in RDF, a dead name in others."""
    namespace, _, local = name.rpartition(" ")
    if namespace in (_RDF, _XML):
        return ""
    return f"{_NAMESPACES.get(namespace, '?')}:{local}"


def _list_keywords(
    words: tuple[str, ...], paths: tuple[str, ...], joined: tuple[str, ...]
) -> Iterator[str]:
    yield from words
    for path in paths:
        levels = _LEVELS.split(path)
        if levels[0].casefold() != "darktable":  # its own notes on the format of the file
            yield from reversed(levels)
    for text in joined:
        yield from re.split(r"[;,]", text)


def _parse_first(texts: tuple[str, ...]) -> datetime | None:
    return next((moment for text in texts if (moment := parse_date(text)) is not None), None)


def _parse_degrees(values: Mapping[str, list[str]], name: str, max_degrees: float) -> float | None:
    """Parses "46,12.3N", "46,12,18N", "46.205" and "46° 12' 18'' N"."""
    text = next(iter(values.get(name, ())), "").strip()[:60]
    reference = next(iter(values.get(name + "Ref", ())), "")
    parts = [float(number) for number in _NUMBER.findall(text)[:3]]
    if not parts or any(part >= 60 for part in parts[1:]):
        return None
    degrees = sum(part / 60**power for power, part in enumerate(parts))
    if degrees > max_degrees:
        return None
    mark: str = (text + reference).upper()
    is_negative = text.startswith("-") or mark.endswith(("S", "W"))
    return round(float(-degrees if is_negative else degrees), 7)


def _join_camera(makes: tuple[str, ...], models: tuple[str, ...]) -> str | None:
    return format_camera(
        next(iter(choose_texts(makes)), None), next(iter(choose_texts(models)), None)
    )
