"""Reads what a PDF holds besides its pages: typed-in values, notes, bookmarks, attachments."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from mmsearch.media.strings import clean
from mmsearch.media.texts.markup import MarkupError, extract_text, parse_events

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage

MAX_NOTES = 5_000
"""So many annotations of one page are read."""
_MAX_BOOKMARKS = 20_000
_MAX_ATTACHMENTS = 1_000
_MAX_OPTIONS = 2_000
_MAX_BYTES = 8 * 1024**2
_PASSWORD_FIELD = 1 << 13


def read_page_notes(document: PdfDocument, page: PdfPage) -> Iterator[str]:
    """Yields a line for each value in a form field and each note with words on a page.

    `document.init_forms()` must have been called before the page was opened. Links, and the windows
    that show a note once more, are passed over.
    """
    from pypdfium2 import raw

    count = raw.FPDFPage_GetAnnotCount(page)
    passed_over = (raw.FPDF_ANNOT_LINK, raw.FPDF_ANNOT_POPUP)
    # Most are links, and pages may have many: as plain numbers, they cost half as much.
    if not count:
        return
    get, get_kind, close = _load_functions()
    address = ctypes.cast(page.raw, ctypes.c_void_p).value
    for at in range(min(count, MAX_NOTES)):
        handle = get(address, at)
        if not handle:
            continue
        try:
            kind = get_kind(handle)
            if kind in passed_over:
                continue
            annotation = ctypes.cast(handle, raw.FPDF_ANNOTATION)
            if kind == raw.FPDF_ANNOT_WIDGET:
                yield from _read_field(document, annotation)
            else:
                yield from _read_note(annotation)
        finally:
            close(handle)


@cache
def _load_functions() -> tuple[Any, Any, Any]:
    """Returns functions that get, judge and close an annotation by its address."""
    from pypdfium2 import raw

    address = ctypes.c_void_p
    forms = (
        (raw.FPDFPage_GetAnnot, ctypes.CFUNCTYPE(address, address, ctypes.c_int)),
        (raw.FPDFAnnot_GetSubtype, ctypes.CFUNCTYPE(ctypes.c_int, address)),
        (raw.FPDFPage_CloseAnnot, ctypes.CFUNCTYPE(None, address)),
    )
    get, get_kind, close = (form(ctypes.cast(each, address).value or 0) for each, form in forms)
    return get, get_kind, close


def _read_note(annotation: Any) -> Iterator[str]:
    from pypdfium2 import raw

    words = _read_value(annotation, b"Contents").strip()
    if not words:
        words = " ".join(extract_text(_read_value(annotation, b"RC")).split())
    if not words and raw.FPDFAnnot_GetSubtype(annotation) == raw.FPDF_ANNOT_FILEATTACHMENT:
        words = _read_string(
            raw.FPDFAttachment_GetName, raw.FPDFAnnot_GetFileAttachment(annotation)
        )
    if not words or raw.FPDFAnnot_HasKey(annotation, b"StateModel"):
        return  # "Marked set by ...", which a reader writes for each note that is ticked off
    author, subject = (clean(_read_value(annotation, key)) for key in (b"T", b"Subj"))
    # Readers fill in the kind of the note as its subject.
    kinds = ("comment on text", "free text", "highlight", "note", "sticky note", "text box")
    if subject and subject.casefold() not in kinds and subject not in words:
        words = f"{subject}: {words}"
    yield f"{author}: {words}" if author else words


def _read_field(document: PdfDocument, annotation: Any) -> Iterator[str]:
    from pypdfium2 import raw

    form = document.formenv
    if form is None:  # fields that no form lists
        yield from _format_field(_read_value(annotation, b"T"), _read_value(annotation, b"V"))
        return
    kind = raw.FPDFAnnot_GetFormFieldType(form, annotation)
    flags = raw.FPDFAnnot_GetFormFieldFlags(form, annotation)
    value = ""
    if kind in (raw.FPDF_FORMFIELD_CHECKBOX, raw.FPDF_FORMFIELD_RADIOBUTTON):
        if raw.FPDFAnnot_IsChecked(form, annotation):
            value = _read_string(raw.FPDFAnnot_GetFormFieldExportValue, form, annotation)
            value = value or _read_string(raw.FPDFAnnot_GetFormFieldValue, form, annotation)
    elif kind in (raw.FPDF_FORMFIELD_COMBOBOX, raw.FPDF_FORMFIELD_LISTBOX):
        chosen = _read_chosen_options(form, annotation)
        value = chosen or _read_string(raw.FPDFAnnot_GetFormFieldValue, form, annotation)
    elif kind not in (raw.FPDF_FORMFIELD_PUSHBUTTON, raw.FPDF_FORMFIELD_SIGNATURE):
        if kind == raw.FPDF_FORMFIELD_TEXTFIELD and flags & _PASSWORD_FIELD:
            return
        value = _read_string(raw.FPDFAnnot_GetFormFieldValue, form, annotation)
        value = value or _read_value(annotation, b"V")
    name = _read_string(raw.FPDFAnnot_GetFormFieldAlternateName, form, annotation)
    name = name or _read_string(raw.FPDFAnnot_GetFormFieldName, form, annotation)
    yield from _format_field(name or _read_value(annotation, b"T"), value)


def _read_chosen_options(form: Any, annotation: Any) -> str:
    from pypdfium2 import raw

    count = min(raw.FPDFAnnot_GetOptionCount(form, annotation), _MAX_OPTIONS)
    labels = (
        _read_string(raw.FPDFAnnot_GetOptionLabel, form, annotation, at)
        for at in range(count)
        if raw.FPDFAnnot_IsOptionSelected(form, annotation, at)
    )
    return ", ".join(filter(None, labels))


def _format_field(name: str, value: str) -> Iterator[str]:
    value = value.strip()
    if value and value != "Off":
        # Names as form[0].page1[0].surname[0] are paths.
        label = clean(name.rpartition(".")[2].partition("[")[0] if "[" in name else name)
        yield f"{label}: {value}" if label else value


def read_form_data(document: PdfDocument) -> Iterator[tuple[str, str]]:
    """Yields the names and values of an XFA form."""
    from pypdfium2 import raw

    for at in range(min(raw.FPDF_GetXFAPacketCount(document), 32)):
        size = raw.FPDF_GetXFAPacketName(document, at, None, 0)
        name = ctypes.create_string_buffer(min(max(size, 1), 1024))
        raw.FPDF_GetXFAPacketName(document, at, name, len(name))
        if name.value != b"datasets":
            continue
        needed = ctypes.c_ulong()
        raw.FPDF_GetXFAPacketContent(document, at, None, 0, needed)
        if not 0 < needed.value <= _MAX_BYTES:
            continue
        packet = ctypes.create_string_buffer(needed.value)
        raw.FPDF_GetXFAPacketContent(document, at, packet, needed.value, needed)
        yield from _read_leaves(packet.raw)


def _read_leaves(packet: bytes) -> Iterator[tuple[str, str]]:
    """Yields name and text of the elements that have no elements in them."""
    words: list[str] = []
    open_name = ""
    try:
        for event in parse_events([packet]):
            if event.kind == "start":
                words, open_name = [], event.value
            elif event.kind == "text":
                words.append(event.value)
            else:
                value = "".join(words).strip()
                if event.value == open_name and value:
                    yield open_name, value
                words, open_name = [], ""
    except MarkupError:
        return  # the values before the fault are valid


def read_bookmarks(document: PdfDocument) -> dict[int, list[str]]:
    """Returns the titles of the outline by the index of their page; of page 0 without one."""
    titles: dict[int, list[str]] = {}
    for bookmark in islice(document.get_toc(), _MAX_BOOKMARKS):
        title = clean(bookmark.get_title())
        if title:
            destination = bookmark.get_dest()
            index = destination.get_index() if destination is not None else None
            titles.setdefault(index or 0, []).append(title)
    return titles


def find_missing_titles(titles: list[str], text: str) -> list[str]:
    """Returns the titles that do not stand in the text of their page."""
    page = _squeeze(text)
    return [title for title in dict.fromkeys(titles) if _squeeze(title) not in page]


def _squeeze(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


def read_attachments(document: PdfDocument) -> list[str]:
    """Returns the names of the attached files, with their descriptions; none is opened."""
    from pypdfium2 import raw

    lines = []
    for at in range(min(raw.FPDFDoc_GetAttachmentCount(document), _MAX_ATTACHMENTS)):
        attachment = raw.FPDFDoc_GetAttachment(document, at)
        if attachment:
            name = clean(_read_string(raw.FPDFAttachment_GetName, attachment))
            about = clean(_read_string(raw.FPDFAttachment_GetDescription, attachment))
            lines.append(f"{name}: {about}" if name and about else name or about or "")
    return [line for line in lines if line]


def _read_value(annotation: Any, key: bytes) -> str:
    from pypdfium2 import raw

    return _read_string(raw.FPDFAnnot_GetStringValue, annotation, key)


def _read_string(read: Callable[..., int], *args: Any) -> str:
    """Calls a function of PDFium that fills a buffer with UTF-16 and a closing zero."""
    size = read(*args, None, 0)
    if not 2 < size <= _MAX_BYTES:
        return ""
    buffer = (ctypes.c_ushort * (size // 2))()
    read(*args, buffer, size)
    text = bytes(buffer).decode("utf-16-le", "ignore").rstrip("\0")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", " ")
