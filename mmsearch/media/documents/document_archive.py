"""Opens zip files that hold documents: members by name, with a bound on what is unpacked."""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from mmsearch.errors import DecodeError, MediaTooLarge
from mmsearch.media.base import Limits
from mmsearch.media.documents.office_parts import (
    CONTENT_TYPES,
    PartRelationship,
    read_main_type,
    read_relationships,
)
from mmsearch.media.texts.markup import MarkupError, MarkupEvent, parse_events

_BLOCK_BYTES = 1 << 16
_IS_ENCRYPTED = 1
# An entry of the directory costs some 600 bytes of memory: documents have at most some 50,000.
MAX_DIRECTORY_BYTES = 16 * 1024**2
_TAIL_BYTES = 22 + 0xFFFF + 76
_IN_ZIP64 = 0xFFFFFFFF
# Sheets of nothing but empty cells have no text that could end their reading.
_BYTES_PER_ELEMENT = 128


class ArchiveError(Exception):
    """A member is not there."""


class EncryptedMember(ArchiveError):
    """A member can be read with a password only."""


class UnpackedLimit(ArchiveError):
    """The members unpack to more than `Limits.text_bytes`, or to too many elements of XML."""


READ_ERRORS = (
    ArchiveError,
    MarkupError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
)
"""Errors of damaged members, those of modules of the standard library among them."""


class DocumentArchive:
    """The members of a zip file, by names without regard to case.

    All text that is read counts against `limits.text_bytes`, since sizes in the directory may be
    false. `data` is the content of an archive that is no file by itself. Raises DecodeError if it
    is no whole zip, MediaTooLarge if its directory is huge.
    """

    def __init__(self, path: Path, limits: Limits, data: bytes | None = None) -> None:
        tail = _read_tail(path) if data is None else data[-_TAIL_BYTES:]
        directory_bytes = _find_directory_size(tail)
        if directory_bytes > MAX_DIRECTORY_BYTES:
            reason = f"an archive with a directory of {directory_bytes:,} bytes"
            raise MediaTooLarge(path, reason)
        self._path, self._limits = path, limits
        self._file: BinaryIO = path.open("rb") if data is None else io.BytesIO(data)
        try:
            self._zip = zipfile.ZipFile(self._file)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as exc:
            self._file.close()
            raise DecodeError(path, f"a damaged document or archive: {exc}") from exc
        self._members = {_fold(info.filename): info for info in self._zip.infolist()}
        self._left_bytes = limits.text_bytes
        self._elements = ElementCounter(limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._zip.close()
        self._file.close()  # a member that was not read to its end would keep it open

    def __contains__(self, name: str) -> bool:
        return _fold(name) in self._members

    def list_names(self) -> list[str]:
        """Returns the names of all members, as they are written."""
        return [info.filename for info in self._members.values()]

    def read_blocks(self, name: str) -> Iterator[bytes]:
        """Yields the unpacked bytes of a member; raises ArchiveError and errors of zipfile."""
        with self._open(name) as file:
            while block := file.read(_BLOCK_BYTES):
                yield block[: max(0, self._left_bytes)]
                self._left_bytes -= len(block)
                if self._left_bytes < 0:
                    raise UnpackedLimit("too many bytes when unpacked")

    def parse(self, name: str, *, has_namespaces: bool = False) -> Iterator[MarkupEvent]:
        """Yields the events of an XML member; raises MarkupError, and as `read_blocks` does."""
        blocks = drop_document_type(self.read_blocks(name))
        yield from self._elements.count(parse_events(blocks, has_namespaces=has_namespaces))

    def read_start(self, name: str, max_bytes: int) -> bytes:
        """Returns at most the first `max_bytes` of a member, not counted; raises as above."""
        with self._open(name) as file:
            return file.read(max_bytes)

    def read_relationships(self, part: str) -> list[PartRelationship]:
        """Returns what a part of an Office package refers to; "" is the package itself."""
        folder, name = posixpath.split(part)
        if posixpath.join(folder, "_rels", f"{name}.rels") not in self:
            return []
        return read_relationships(self._zip, part)

    @contextmanager
    def open_nested(self, name: str) -> Iterator[DocumentArchive]:
        """Opens a member that is an archive itself; what is read in it counts here.

        Raises as `read_blocks` and the opening of an archive do.
        """
        data = b"".join(self.read_blocks(name))
        limits = replace(self._limits, text_bytes=max(0, self._left_bytes))
        with DocumentArchive(self._path, limits, data) as nested:
            nested._elements = self._elements
            try:
                yield nested
            finally:
                self._left_bytes = nested._left_bytes

    def read_main_type(self) -> str:
        """Returns the content type of the main part of an Office package; "" for others."""
        return read_main_type(self._zip) if CONTENT_TYPES in self else ""

    def _open(self, name: str) -> BinaryIO:
        info = self._members.get(_fold(name))
        if info is None:
            raise ArchiveError(f"there is no {name} in it")
        if info.flag_bits & _IS_ENCRYPTED:
            raise EncryptedMember(f"{name} is encrypted")
        return self._zip.open(info)  # type: ignore[return-value]  # IO[bytes] that is read only


class ElementCounter:
    """Bounds the number of XML elements of one document, by `limits.text_bytes`."""

    def __init__(self, limits: Limits) -> None:
        self._left = limits.text_bytes // _BYTES_PER_ELEMENT

    def count(self, events: Iterable[MarkupEvent]) -> Iterator[MarkupEvent]:
        """Yields the events; raises UnpackedLimit past the bound.

        Before any error all open elements are ended, so that the text in them is not lost.
        """
        open_names: list[str] = []
        try:
            for event in events:
                if event.kind == "start":
                    open_names.append(event.value)
                    self._left -= 1
                    if self._left < 0:
                        raise UnpackedLimit("too many elements")
                elif event.kind == "end":
                    open_names.pop()
                yield event
        except READ_ERRORS:
            yield from (MarkupEvent("end", name, {}) for name in reversed(open_names))
            raise


def read_directory_size(path: Path) -> int:
    """Returns the bytes of the directory of a zip file, as its end states; 0 if there is none."""
    return _find_directory_size(_read_tail(path))


def _read_tail(path: Path) -> bytes:
    try:
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(0, size_bytes - _TAIL_BYTES))
            return file.read(_TAIL_BYTES)
    except OSError as exc:
        raise DecodeError(path, f"the file cannot be read: {exc.strerror}") from exc


def _find_directory_size(tail: bytes) -> int:
    at = tail.rfind(b"PK\x05\x06")
    directory_bytes = int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0
    if directory_bytes == _IN_ZIP64:
        at = tail.rfind(b"PK\x06\x06")
        directory_bytes = int.from_bytes(tail[at + 40 : at + 48], "little") if at >= 0 else 0
    return directory_bytes


def drop_document_type(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Takes a document type without declarations of its own out of XML.

    Old OpenOffice files and books name one; it defines no entities. Others stay, for the parser to
    refuse.
    """
    source = iter(blocks)
    head = next(source, b"")
    at = head.find(b"<!DOCTYPE", 0, 2048)
    end = head.find(b">", at)
    if 0 <= at < end and b"[" not in head[at:end]:
        head = head[:at] + head[end + 1 :]
    yield head
    yield from source


def _fold(name: str) -> str:
    return name.replace("\\", "/").lstrip("/").casefold()
