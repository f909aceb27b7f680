"""Finds the parts of an Office Open XML package by their content types and relationships."""

from __future__ import annotations

import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from mmsearch.media.texts.markup import MarkupError, MarkupEvent, parse_events

CONTENT_TYPES = "[Content_Types].xml"
_MAX_BYTES = 4 * 1024**2
_MAX_RELATIONSHIPS = 10_000
# RuntimeError and NotImplementedError: a member with a password, or packed in an unknown way.
_UNREADABLE = (MarkupError, zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError)


@dataclass(frozen=True, slots=True)
class PartRelationship:
    """A reference from one part to another: `kind` is the last word of its type.

    `target` is the name of the part in the archive.
    """

    id: str
    kind: str
    target: str


def read_main_type(archive: zipfile.ZipFile) -> str:
    """Returns the content type of the main part, such as one with "wordprocessingml"; else ""."""
    for event in _parse_part(archive, CONTENT_TYPES):
        content_type = event.attributes.get("ContentType", "")
        if event.value in ("Override", "Default") and content_type.endswith("main+xml"):
            return content_type
    return ""


def read_relationships(archive: zipfile.ZipFile, part: str) -> list[PartRelationship]:
    """Returns what `part` refers to inside the package; "" is the package itself.

    What cannot be parsed is left out, as are references to files outside.
    """
    folder, name = posixpath.split(part)
    found = []
    for event in _parse_part(archive, posixpath.join(folder, "_rels", f"{name}.rels")):
        values = event.attributes
        if event.value != "Relationship" or values.get("TargetMode") == "External":
            continue
        kind = values.get("Type", "").rpartition("/")[2]
        target = resolve_target(folder, values.get("Target", ""))
        found.append(PartRelationship(values.get("Id", ""), kind, target))
        if len(found) == _MAX_RELATIONSHIPS:
            break
    return found


def resolve_target(folder: str, target: str) -> str:
    """Returns the name in the archive of a target that a part in `folder` refers to."""
    target = unquote(target.replace("\\", "/").partition("#")[0])
    return posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")


def find_member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo | None:
    """Returns the member of that name, whatever its case, or None; names of parts have no case."""
    try:
        return archive.getinfo(name)
    except KeyError:
        folded = name.casefold()
        return next((i for i in archive.infolist() if i.filename.casefold() == folded), None)


def _parse_part(archive: zipfile.ZipFile, name: str) -> Iterator[MarkupEvent]:
    """Yields the starts of the elements of a small part, as far as it is sound."""
    member = find_member(archive, name)
    if member is None:
        return
    try:
        with archive.open(member) as file:
            for event in parse_events([file.read(_MAX_BYTES)]):
                if event.kind == "start":
                    yield event
    except _UNREADABLE:
        return  # what stands before the fault is valid
