"""Chooses the loader of a file by its content; names only break ties."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from mmsearch.errors import DecodeError, UnsupportedMedia
from mmsearch.media import compound_file, signatures
from mmsearch.media.encoding import decode_if_text
from mmsearch.media.office_parts import read_main_type
from mmsearch.media.strings import split_words

HEAD_BYTES = 8192

_HTML = re.compile(
    r"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)\b", re.I | re.S
)
_SVG = re.compile(
    r"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*(<!doctype\s+svg[^>]*>\s*)?<svg\b", re.I | re.S
)
_SRT = re.compile(r"\s*\d+[ \t]*\n\s*\d{1,2}:\d\d:\d\d[,.]\d{1,3} *--> *\d{1,2}:\d\d:\d\d")
_PNM = re.compile(r"P[123]\s+(#.*\n\s*)*\d+\s")
_XBM = re.compile(r"\s*(/\*.*?\*/\s*)?#define[ \t]+\w*_width[ \t]+\d+", re.S)

_HTML_NAMES = frozenset({".html", ".htm", ".xhtml"})
_DOCX_MEMBER = "word/document.xml"
_DOCX_TYPES = ("wordprocessingml", "ms-word")
_ZIP_KINDS = (
    ("xl/workbook.xml", "Excel workbooks are not read: export them as CSV"),
    ("ppt/presentation.xml", "PowerPoint files are not read: export them as PDF"),
    ("content.xml", "OpenDocument files are not read: export them as DOCX or PDF"),
    ("META-INF/container.xml", "EPUB books are not read"),
    ("AndroidManifest.xml", "an Android package"),
)
_ZIP_STARTS = split_words("[Content_Types] _rels/ docProps/ word/ xl/ ppt/ customXml mimetype")


def sniff(path: Path, head: bytes | None = None) -> str:
    """Returns the loader for `path`: "image", "av", "text", "html", "pdf", "docx", "subtitles".

    Reads the first 8 KiB, unless given as `head`, and opens regular files only. Raises
    UnsupportedMedia with the reason, and DecodeError if the file cannot be opened.
    """
    head = read_head(path) if head is None else head
    suffix = path.suffix.lower()
    text = decode_if_text(head)
    if text is not None:
        return _sniff_text(path, text.replace("\r\n", "\n"), suffix)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _sniff_zip(path, head)
    if head.startswith(compound_file.MAGIC):
        return _sniff_compound_file(path)
    reason = signatures.find_refusal(head)
    if reason is not None:
        raise UnsupportedMedia(path, reason)
    name = signatures.find_loader_name(head)
    if name is not None:
        return name
    # TGA and damaged MP3 have no magic: the name is a hint, the decoder decides.
    if suffix in signatures.IMAGE_SUFFIXES:
        return "image"
    if suffix in signatures.AV_SUFFIXES:
        return "av"
    raise UnsupportedMedia(path, "the content is of no known kind")


def read_head(path: Path) -> bytes:
    """Reads the first 8 KiB of `path`.

    Raises UnsupportedMedia if it is empty or no regular file, DecodeError if it cannot be opened.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
            raise UnsupportedMedia(path, f"not a regular file but {kind}")
        # If a pipe has taken the file's place since, opening it must not wait for a writer.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(path, flags), "rb") as file:
            head = file.read(HEAD_BYTES)
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise DecodeError(path, f"the file cannot be read: {reason}") from exc
    if not head:
        raise UnsupportedMedia(path, "the file is empty")
    return head


def _sniff_text(path: Path, text: str, suffix: str) -> str:
    start = text.lstrip("\ufeff")
    if "%PDF-" in start[:1024] and suffix not in signatures.SOURCE_SUFFIXES:
        return "pdf"
    if start.startswith(("%!PS", "%!Adobe")):
        raise UnsupportedMedia(path, "PostScript is a program: it is not run")
    if start.startswith("{\\rtf"):
        raise UnsupportedMedia(path, "RTF is not read: save it as DOCX or text")
    if start.startswith(("/* XPM */", "SIMPLE  =")) or _PNM.match(start):
        return "image"
    if _XBM.match(start) and "_bits" in start and suffix in ("", ".xbm"):
        return "image"
    if start.startswith(("WEBVTT", "[Script Info]")) or _SRT.match(start):
        return "subtitles"
    if _SVG.match(start) or _HTML.match(start) or (suffix in _HTML_NAMES and "<" in start):
        return "html"
    return "text"


def _sniff_zip(path: Path, head: bytes) -> str:
    import zipfile

    # A zip directory can have millions of entries: read it only if the first is a document's.
    first_name = head[30 : 30 + int.from_bytes(head[26:28], "little")].decode("utf-8", "replace")
    if not first_name.startswith(_ZIP_STARTS):
        raise UnsupportedMedia(path, "a zip archive")
    try:
        with zipfile.ZipFile(path) as archive:
            names = frozenset(archive.namelist())
            main_type = read_main_type(archive)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as exc:
        raise DecodeError(path, f"a damaged document or archive: {exc}") from exc
    if _DOCX_MEMBER in names or any(each in main_type for each in _DOCX_TYPES):
        return "docx"
    for member, reason in _ZIP_KINDS:
        if member in names:
            raise UnsupportedMedia(path, reason)
    raise UnsupportedMedia(path, "a zip archive")


def _sniff_compound_file(path: Path) -> str:
    try:
        names = compound_file.read_entry_names(path)
    except OSError as exc:
        raise DecodeError(path, f"the file cannot be read: {exc.strerror}") from exc
    if "EncryptedPackage" in names:
        raise UnsupportedMedia(
            path, "the document is encrypted with a password: save it without one"
        )
    if any(name.startswith(("__properties_version1.0", "__substg1.0_")) for name in names):
        return "msg"
    raise UnsupportedMedia(path, "old Office files are not read: save it as DOCX or PDF")
