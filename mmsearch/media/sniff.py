"""Chooses the loader of a file by its content; names only break ties."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from mmsearch.errors import DecodeError, UnsupportedMedia
from mmsearch.media import signatures
from mmsearch.media.documents import compound_file
from mmsearch.media.documents.zip_kinds import detect_zip_loader
from mmsearch.media.texts.encoding import decode_if_text
from mmsearch.media.texts.text_formats import find_text_format

HEAD_BYTES = 8192

# Atomic groups: without them, a run of comments takes a time that doubles with each.
_PROLOG = r"\s*+(?:<\?xml[^>]*>\s*+)?(?>(?><!--.*?-->)\s*+)*+"
_HTML = re.compile(_PROLOG + r"<(!doctype\s+html|html|head|body)\b", re.I | re.S)
_SVG = re.compile(_PROLOG + r"(<!doctype\s+svg[^>]*>\s*)?<svg\b", re.I | re.S)
_SRT = re.compile(r"\s*\d+[ \t]*\n\s*\d{1,2}:\d\d:\d\d[,.]\d{1,3} *--> *\d{1,2}:\d\d:\d\d")
# Plain PNM has nothing but numbers and comments; raw PNM states the size of its pixels.
_PNM = re.compile(r"P[123](?:\s++(?:#.*+(?:\n|\Z)|\d++(?=\s|\Z)))++\s*+\Z")
_RAW_PNM = re.compile(rb"P([456])\s+(?:#.*\n\s*)*(\d{1,6})\s+(\d{1,6})\s+(?:(\d{1,5})\s)?")
_PDF = re.compile(r"^%PDF-\d\.\d", re.M)
_PDF_OBJECT = re.compile(r"^[ \t]*\d{1,10}\s{1,4}\d{1,5}\s{1,4}obj\b", re.M)
_RTF = re.compile(r"\{\\rtf(?:\d|\s*[\\{])")
_POSTSCRIPT = re.compile(r"\x04?%!(?:PS(?:-Adobe-\d.*)?|Adobe.*|)\s*(?:\n|\Z)")
_XBM = re.compile(r"\s*(/\*.*?\*/\s*)?#define[ \t]+\w*_width[ \t]+\d+", re.S)

_HTML_NAMES = frozenset({".html", ".htm", ".xhtml"})
_FLAT_OPENDOCUMENT = re.compile(
    _PROLOG + r"(?:<!doctype\s[^>\[]*>\s*)?<(?:[\w.-]+:)?document[\s>]", re.I
)
_OPENDOCUMENT_SPACE = "urn:oasis:names:tc:opendocument:xmlns:office:"


def sniff(path: Path, head: bytes | None = None) -> str:
    """Returns the likeliest loader for `path`, a key of `mmsearch.media.registry.LOADERS`.

    Reads the first 8 KiB, unless given as `head`, and opens regular files only. Raises
    UnsupportedMedia with the reason, and DecodeError if the file cannot be opened.
    """
    return guess_loaders(path, head)[0]


def guess_loaders(path: Path, head: bytes | None = None) -> tuple[str, ...]:
    """Returns the loaders to try for `path`, the likeliest first; raises as `sniff` does.

    The later ones are for a file that only begins like another kind.
    """
    head = read_head(path) if head is None else head
    suffix = path.suffix.lower()
    text = decode_if_text(head)
    if text is None or _is_raw_pnm(path, head):
        guesses = _guess_binary(path, head, suffix)
        if not guesses:
            is_blank = not head.strip(b"\0")
            reason = "it begins with zeros only" if is_blank else "the content is of no known kind"
            raise UnsupportedMedia(path, reason)
        return guesses
    start = text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    name = _sniff_text(path, start, suffix)
    if name == "pdf" and _PDF_OBJECT.search(start):
        return ("pdf",)
    # Text with zeros in it may be a binary file with a long header of letters.
    guesses = _guess_binary(path, head, suffix) if "\0" in text else ()
    fallbacks = ("html", "text") if _is_page(start, suffix) else ("text",)
    return tuple(dict.fromkeys((*guesses, name, *fallbacks)))


def _guess_binary(path: Path, head: bytes, suffix: str) -> tuple[str, ...]:
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return (detect_zip_loader(path, head),)
    if head.startswith(compound_file.MAGIC):
        return (_sniff_compound_file(path),)
    reason = signatures.find_refusal(head)
    if reason is not None:
        raise UnsupportedMedia(path, reason)
    # TGA and damaged MP3 have no magic: the name is a hint, the decoder decides.
    by_suffix = "image" if suffix in signatures.IMAGE_SUFFIXES else None
    by_suffix = "av" if suffix in signatures.AV_SUFFIXES else by_suffix
    # A mail may carry bytes as they are, behind its header.
    mail = find_text_format(head.decode("latin-1").replace("\r\n", "\n"), suffix)
    names = (mail, signatures.find_loader_name(head), by_suffix)
    return tuple(dict.fromkeys(name for name in names if name is not None))


def _is_raw_pnm(path: Path, head: bytes) -> bool:
    """Tests for a header of raw PNM, and as many bytes as its pixels take."""
    match = _RAW_PNM.match(head)
    if match is None:
        return False
    width, height, maximum = int(match[2]), int(match[3]), int(match[4] or 1)
    bits = {b"4": 1, b"5": 8, b"6": 24}[match[1]] * (2 if maximum > 255 else 1)
    return path.stat().st_size - match.end() >= (width * bits + 7) // 8 * height > 0


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
    name = find_text_format(start, suffix)
    if name is not None:
        return name
    if _begins_pdf(start, suffix):
        return "pdf"
    if _POSTSCRIPT.match(start):
        raise UnsupportedMedia(path, "PostScript is a program: it is not run")
    if _RTF.match(start):
        return "rtf"
    if _OPENDOCUMENT_SPACE in start and _FLAT_OPENDOCUMENT.match(start):
        return "opendocument"
    if start.startswith(("/* XPM */", "SIMPLE  =")) or _PNM.match(start):
        return "image"
    if _XBM.match(start) and "_bits" in start and suffix in ("", ".xbm"):
        return "image"
    if start.startswith(("WEBVTT", "[Script Info]")) or _SRT.match(start):
        return "subtitles"
    return "html" if _is_page(start, suffix) else "text"


def _begins_pdf(start: str, suffix: str) -> bool:
    """Tests for the header of a PDF: at the start, or behind another header and before objects."""
    header = _PDF.search(start[:1024])
    if header is None or header.start() == 0:
        return header is not None
    is_source = suffix in signatures.SOURCE_SUFFIXES or _is_page(start, suffix)
    return not is_source and _PDF_OBJECT.search(start, header.end()) is not None


def _is_page(start: str, suffix: str) -> bool:
    is_page = _SVG.match(start) or _HTML.match(start)
    return is_page is not None or (suffix in _HTML_NAMES and "<" in start)


def _sniff_compound_file(path: Path) -> str:
    try:
        names = compound_file.read_entry_names(path)
    except OSError as exc:
        raise DecodeError(path, f"the file cannot be read: {exc.strerror}") from exc
    if "EncryptedPackage" in names:
        raise UnsupportedMedia(
            path, "the document is encrypted with a password: save it without one"
        )
    is_message = any(name.startswith(("__properties_version1.0", "__substg1.0_")) for name in names)
    if is_message or path.suffix.lower() == ".msg":
        return "msg"
    raise UnsupportedMedia(path, "old Office files are not read: save it as DOCX or PDF")
