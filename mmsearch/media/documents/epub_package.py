"""Reads the package of an EPUB book: its metadata, its chapters in order, what is encrypted."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, field

from mmsearch.media.documents.document_archive import READ_ERRORS, DocumentArchive
from mmsearch.media.documents.office_parts import resolve_target
from mmsearch.media.strings import clean, split_words
from mmsearch.media.texts.html import extract_lines
from mmsearch.media.texts.markup import MarkupEvent
from mmsearch.types import Metadata

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_FIELDS = frozenset({"title", "creator", "language", "description", "subject"})
_MAX_VALUES = 100
_MAX_FIELD_CHARS = 10_000
_MAX_ITEMS = 50_000
_PAGE_TYPES = ("application/xhtml+xml", "text/html", "text/x-oeb1-document", "image/svg+xml")
_PAGE_SUFFIXES = (".xhtml", ".html", ".htm")
# Fonts are obfuscated in books without DRM, too.
_FONT_ALGORITHMS = split_words("http://www.idpf.org/2008/embedding http://ns.adobe.com/pdf/enc#RC")


@dataclass(slots=True)
class EpubPackage:
    """The package of a book: names of its chapters and of its cover, and its metadata."""

    chapters: list[str] = field(default_factory=list)
    cover: str = ""
    fields: dict[str, list[str]] = field(default_factory=dict)

    def make_metadata(self) -> Metadata:
        """Returns the metadata of the book."""

        def join(name: str) -> str | None:
            return clean(", ".join(self.fields.get(name, ())))

        def first(name: str) -> str:
            return next(iter(self.fields.get(name, ())), "")

        description = first("description")
        if "<" in description:
            description = " ".join(extract_lines(description))
        return Metadata(
            format="epub",
            page_count=len(self.chapters),
            title=clean(first("title")),
            artist=join("creator"),
            description=clean(description),
            language=clean(first("language"), max_chars=20),
            keywords=tuple(
                word for each in self.fields.get("subject", ()) if (word := clean(each))
            ),
        )


def read_package(archive: DocumentArchive) -> EpubPackage:
    """Reads the package of a book as far as it is sound; without one, its pages by their names."""
    package, name = EpubPackage(), _find_package(archive)
    try:
        if name:
            _read_package_part(archive.parse(name), posixpath.dirname(name), package)
    except READ_ERRORS:
        pass  # what stands before the fault is valid
    if not package.chapters:
        names = archive.list_names()
        package.chapters = sorted(each for each in names if each.lower().endswith(_PAGE_SUFFIXES))
    return package


def _find_package(archive: DocumentArchive) -> str:
    try:
        for event in archive.parse(_CONTAINER):
            if event.kind == "start" and event.value == "rootfile":
                name = resolve_target("", event.attributes.get("full-path", ""))
                if name in archive:
                    return name
    except READ_ERRORS:
        pass  # the package has a known suffix
    names = archive.list_names()
    return next((name for name in names if name.lower().endswith(".opf")), "")


def _read_package_part(events: Iterable[MarkupEvent], folder: str, package: EpubPackage) -> None:
    targets: dict[str, str] = {}
    pages: list[str] = []
    cover_id = inside = ""
    try:
        for event in events:
            # The first books wrote the names of Dublin Core with capitals.
            name, values = event.value.lower(), event.attributes
            if event.kind == "text":
                if inside:
                    texts = package.fields[inside]
                    texts[-1] = (texts[-1] + event.value)[:_MAX_FIELD_CHARS]
            elif event.kind == "end":
                inside = ""
            elif name in _FIELDS:
                texts = package.fields.setdefault(name, [])
                inside = name if len(texts) < _MAX_VALUES else ""
                texts.extend([""] if inside else [])
            elif name == "meta" and values.get("name") == "cover":
                cover_id = values.get("content", "")
            elif name == "item" and len(targets) < _MAX_ITEMS:
                target = resolve_target(folder, values.get("href", ""))
                targets[values.get("id", "")] = target
                if values.get("media-type") in _PAGE_TYPES:
                    pages.append(target)
                if "cover-image" in values.get("properties", "").split():
                    package.cover = target
            elif name == "itemref" and len(package.chapters) < _MAX_ITEMS:
                package.chapters.append(targets.get(values.get("idref", ""), ""))
    finally:
        package.chapters = package.chapters or pages
        package.cover = package.cover or targets.get(cover_id, "")


def find_encrypted(archive: DocumentArchive) -> frozenset[str]:
    """Returns the names of the members that are encrypted by DRM; fonts do not count."""
    names: set[str] = set()
    algorithm = ""
    try:
        for event in archive.parse(_ENCRYPTION) if _ENCRYPTION in archive else ():
            if event.kind != "start":
                continue
            if event.value == "EncryptedData":
                algorithm = ""
            elif event.value == "EncryptionMethod":
                algorithm = algorithm or event.attributes.get("Algorithm", "")
            elif event.value == "CipherReference" and algorithm not in _FONT_ALGORITHMS:
                names.add(resolve_target("", event.attributes.get("URI", "")))
    except READ_ERRORS:
        pass  # what stands before the fault is valid
    return frozenset(names)
