"""Reads Jupyter notebooks: each cell a page, with its text, code, outputs and pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmsearch.errors import DecodeError
from mmsearch.media.base import Content, Described, LoadOptions
from mmsearch.media.documents.document_text import DocumentText
from mmsearch.media.documents.embedded_pictures import EmbeddedPictures
from mmsearch.media.mail.bodies import remove_encoded
from mmsearch.media.mail.headers import decode_base64
from mmsearch.media.strings import clean, split_words
from mmsearch.media.texts.encoding import read_text
from mmsearch.media.texts.html import extract_lines
from mmsearch.media.texts.text import check_text_size
from mmsearch.types import Metadata, Modality, OmissionCause

_MAX_OUTPUTS = 10_000
_ESCAPES = re.compile("\x1b\\[[0-9;?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]{0,500}(\x07|\x1b\\\\)?")
# Format 3 named kinds without a slash.
_PICTURE_TYPES = split_words(
    "image/png image/jpeg image/gif image/webp image/bmp image/tiff png jpeg"
)
_TEXT_TYPES = ("text/markdown", "text/plain", "text", "text/latex", "latex")
_DRAWN_TYPES = ("text/html", "html", "image/svg+xml", "svg")
_DATA_URL = re.compile(r"data:([\w.+/-]{0,80})(?:;[\w=.-]{1,60}){0,4};base64,([A-Za-z0-9+/=\s]*)")
_TITLE = re.compile(r"^ {0,3}#[ \t]+(\S.*)", re.M)
_TITLE_CELLS = 20


class NotebookLoader:
    """Notebooks of the formats 3 and 4: cells are pages; no Base64 is text."""

    name = "notebook"

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yields Described, then the passages and pictures of each cell.

        Raises DecodeError if the file is no JSON or no notebook.
        """
        check_text_size(path, options.limits)
        notebook = _parse(path)
        cells = _list_cells(notebook)
        if cells is None:
            raise DecodeError(path, "it is JSON, but no notebook: it has no cells")
        yield Described(Modality.TEXT, _read_metadata(notebook, cells))
        document = DocumentText(path, options.limits, "cell")
        pictures = EmbeddedPictures(options, document)
        for at in document.limit_pages(len(cells)):
            if document.is_full:
                break
            cell = _Cell(cells[at])
            yield from document.split([cell.text], at + 1)
            for data in cell.pictures:
                yield from pictures.load(data, at + 1)
            if cell.is_cut:
                detail = f"cell {at + 1:,}: outputs after the first {_MAX_OUTPUTS:,}"
                document.note(OmissionCause.UNSUPPORTED, detail)
        yield from document.finish()


def _parse(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        source = "".join(read_text(file)).removeprefix("\ufeff")
    try:
        notebook = json.loads(source, parse_constant=lambda _: None, strict=False)
    except (ValueError, RecursionError) as exc:
        raise DecodeError(path, clean(f"broken notebook: {exc}") or "broken notebook") from exc
    if not isinstance(notebook, dict):
        raise DecodeError(path, "it is JSON, but no notebook")
    return notebook


def _list_cells(notebook: dict[str, Any]) -> list[Any] | None:
    """Returns the cells of a notebook, which format 3 kept in worksheets; None without."""
    cells = notebook.get("cells")
    if isinstance(cells, list):
        return cells
    sheets = notebook.get("worksheets")
    if not isinstance(sheets, list):
        return None
    return [cell for sheet in sheets for cell in _get_list(sheet, "cells")]


def _read_metadata(notebook: dict[str, Any], cells: list[Any]) -> Metadata:
    metadata = _get_dict(notebook, "metadata")
    title = clean(metadata.get("title"))
    for cell in cells[:_TITLE_CELLS]:
        if title is None and _get_text(cell, "cell_type") == "markdown":
            match = _TITLE.search(_get_text(cell, "source")[:10_000])
            title = clean(match[1]) if match else None
    authors = [
        _get_text(author, "name") if isinstance(author, dict) else str(author)
        for author in _get_list(metadata, "authors")[:20]
    ]
    return Metadata(
        format="ipynb", title=title, artist=clean(", ".join(authors)), page_count=len(cells)
    )


class _Cell:
    """The text of a cell and its outputs, and the bytes of its pictures."""

    def __init__(self, cell: Any) -> None:
        self.pictures: list[bytes] = []
        self.is_cut = False
        kind = _get_text(cell, "cell_type")
        source = _get_text(cell, "source") or _get_text(cell, "input")
        texts = [self._take_data_urls(source)]
        if kind == "markdown" and re.search(r"<\w", texts[0]):
            texts = [_strip_tags(texts[0])]
        for attachment in _get_dict(cell, "attachments").values():
            self._add_pictures(attachment)
        outputs = _get_list(cell, "outputs")
        self.is_cut = len(outputs) > _MAX_OUTPUTS
        texts += [self._read_output(output) for output in outputs[:_MAX_OUTPUTS]]
        kept = (remove_encoded(text)[0].strip() for text in texts)
        self.text = "".join(f"{text}\n\n" for text in kept if text)

    def _read_output(self, output: Any) -> str:
        """Returns the text of an output, of which a rich one has several kinds."""
        kind = _get_text(output, "output_type")
        if kind in ("error", "pyerr"):
            return f"{_get_text(output, 'ename')}: {_get_text(output, 'evalue')}"
        data = _get_dict(output, "data")
        self._add_pictures(data or output)
        data = data or output
        texts = (_get_text(data, name).strip() for name in _TEXT_TYPES)
        # A figure states its class only: <Figure size 640x480 with 1 Axes>
        told = (text for text in texts if text and not (text[0] == "<" and text[-1] == ">"))
        text = _ESCAPES.sub("", next(told, ""))
        drawn = (_get_text(data, name) for name in _DRAWN_TYPES) if not text else ()
        return self._take_data_urls(text) or _strip_html(
            self._take_data_urls(next(filter(None, drawn), ""))
        )

    def _add_pictures(self, data: Any) -> None:
        for name in _PICTURE_TYPES:
            source = _get_text(data, name)
            if source:
                self.pictures.append(decode_base64(source.encode("ascii", "ignore")))

    def _take_data_urls(self, text: str) -> str:
        """Returns text without the files that are embedded in it, of which pictures are kept."""

        def take(match: re.Match[str]) -> str:
            if match[1].startswith("image/"):
                self.pictures.append(decode_base64(match[2].encode("ascii", "ignore")))
            return ""

        return _DATA_URL.sub(take, text)


def _strip_html(source: str) -> str:
    return "".join(extract_lines(source)) if source else ""


def _strip_tags(text: str) -> str:
    """Returns markdown without the tags of HTML in it, its line breaks kept."""
    return re.sub(r"</?[a-zA-Z][^<>]{0,2000}>", " ", text)


def _get_text(holder: Any, key: str) -> str:
    """Returns a text of a notebook, which may be kept as a list of lines; "" without one."""
    value = holder.get(key) if isinstance(holder, dict) else None
    if isinstance(value, list):
        return "".join(line for line in value if isinstance(line, str))
    return value if isinstance(value, str) else ""


def _get_list(holder: Any, key: str) -> list[Any]:
    value = holder.get(key) if isinstance(holder, dict) else None
    return value if isinstance(value, list) else []


def _get_dict(holder: Any, key: str) -> dict[str, Any]:
    value = holder.get(key) if isinstance(holder, dict) else None
    return value if isinstance(value, dict) else {}
