"""Joins what the sources in and beside a picture state about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mmsearch.media.strings import clean
from mmsearch.types import Metadata

MAX_CAPTION_CHARS = 4_000
_MAX_DESCRIPTION_CHARS = 16_000
_MAX_KEYWORDS = 1_000
_MAX_KEYWORD_CHARS = 200
_SEPARATOR = " · "
# Phrases that cameras and programs write into every file.
_EMPTY_PHRASES = frozenset(
    line.strip()
    for line in """
    olympus digital camera
    minolta digital camera
    samsung digital camera
    kodak digital still camera
    sony dsc
    exif_jpeg_picture
    exif jpeg
    applemark
    binary comment
    created with gimp
    dcim
    default
    untitled
    dav
    cof
    hdrpl
    oznor
    rhdr
    none
    null
    """.splitlines()
)
_EMPTY_STARTS = (
    *("creator: gd-jpeg", "lead technologies", "file written by adobe", "lavc", "optimized by"),
    *("intel(r) jpeg", "processed by ebay", "compressed by jpeg", "handmade software"),
    *("created with the gimp", "created with adobe", "dcim\\", "charset=ascii binary"),
)


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """Facts that one source states: EXIF, IPTC, an XMP packet, the text fields of a format.

    `place` goes from the narrow to the wide: part of a town, town, province, country. `created`
    is when the scene was, `digitised` when the file was first made, `changed` its last edit.
    """

    titles: tuple[str, ...] = ()
    descriptions: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    place: tuple[str, ...] = ()
    artists: tuple[str, ...] = ()
    created: datetime | None = None
    digitised: datetime | None = None
    changed: datetime | None = None
    latitude: float | None = None
    longitude: float | None = None
    camera: str | None = None


_NO_FACTS = PictureFacts()


def combine_facts(sources: Sequence[PictureFacts], picture_format: str = "") -> Metadata:
    """Returns what several sources state; of facts that exclude each other the first is taken."""
    sources = [source for source in sources if source != _NO_FACTS]
    if not sources:
        return Metadata(format=picture_format)
    titles = choose_texts(title for source in sources for title in source.titles)
    captions = (caption for source in sources for caption in source.descriptions)
    artists = choose_texts(artist for source in sources for artist in source.artists)
    moments = (
        *(source.created for source in sources),
        *(source.digitised for source in sources),
        *(source.changed for source in sources),
    )
    places = [(source.latitude, source.longitude) for source in sources]
    latitude, longitude = next((at for at in places if None not in at), (None, None))
    return Metadata(
        format=picture_format,
        taken_at=next((moment for moment in moments if moment is not None), None),
        latitude=latitude,
        longitude=longitude,
        camera=next((source.camera for source in sources if source.camera), None),
        artist=artists[0] if artists else None,
        title=titles[0] if titles else None,
        description=join_descriptions([*captions, *titles[1:]], without=titles[:1]),
        keywords=choose_keywords(word for source in sources for word in source.keywords),
        location=", ".join(choose_texts(name for source in sources for name in source.place))
        or None,
    )


def merge_metadata(own: Metadata, beside: Metadata) -> Metadata:
    """Returns the metadata of a file joined with that of the sidecars beside it.

    The title of a sidecar counts, as it is the later one; both descriptions and all keywords are
    kept. Camera, date and position are taken from the file where it states them.
    """
    replaced = [own.title] if beside.title and own.title else []
    has_position = own.latitude is not None and own.longitude is not None
    position = own if has_position else beside
    return replace(
        own,
        taken_at=own.taken_at or beside.taken_at,
        latitude=position.latitude,
        longitude=position.longitude,
        camera=own.camera or beside.camera,
        artist=own.artist or beside.artist,
        title=beside.title or own.title,
        description=join_descriptions(
            [beside.description, *_split_description(own.description), *replaced],
            without=[beside.title] if beside.title else [],
        ),
        keywords=choose_keywords((*own.keywords, *beside.keywords)),
        location=beside.location or own.location,
    )


def join_descriptions(texts: Iterable[object], without: Sequence[str] = ()) -> str | None:
    """Joins captions and comments, each once and bounded; `without` are texts shown elsewhere."""
    distinct: list[str] = []
    for text in choose_texts(texts, max_chars=MAX_CAPTION_CHARS):
        if text not in without and not any(text in longer for longer in distinct):
            distinct.append(text)
    return _SEPARATOR.join(distinct)[:_MAX_DESCRIPTION_CHARS] or None


def choose_texts(values: Iterable[object], *, max_chars: int = 500) -> list[str]:
    """Returns the cleaned texts among `values`, each once, without phrases that say nothing."""
    texts = (clean(value, max_chars=max_chars) for value in values)
    return list(dict.fromkeys(text for text in texts if text and _says_something(text)))


def choose_keywords(words: Iterable[object]) -> tuple[str, ...]:
    """Returns keywords cleaned, each once whatever its case, in their order."""
    distinct: dict[str, str] = {}
    for word in words:
        text = clean(word, max_chars=_MAX_KEYWORD_CHARS)
        if text and len(distinct) < _MAX_KEYWORDS:
            distinct.setdefault(text.casefold(), text)
    return tuple(distinct.values())


def _says_something(text: str) -> bool:
    folded = text.casefold()
    is_blank = folded.strip(" .-_0?") == ""
    return not is_blank and folded not in _EMPTY_PHRASES and not folded.startswith(_EMPTY_STARTS)


def _split_description(text: str | None) -> list[str]:
    return text.split(_SEPARATOR) if text else []
