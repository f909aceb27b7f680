"""Finds the loader for a file and runs it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import cast

from mmsearch.errors import DecodeError, MediaError, MediaTooLarge
from mmsearch.media import plugin_loaders
from mmsearch.media.base import Content, Limits, Loader, LoadOptions
from mmsearch.media.sniff import guess_loaders, read_head
from mmsearch.media.strings import clean

LOADERS: Mapping[str, str] = MappingProxyType(
    {
        "image": "mmsearch.media.pictures.image:ImageLoader",
        "av": "mmsearch.media.av.av_loader:AvLoader",
        "text": "mmsearch.media.texts.text:TextLoader",
        "html": "mmsearch.media.texts.html:HtmlLoader",
        "pdf": "mmsearch.media.documents.pdf:PdfLoader",
        "docx": "mmsearch.media.documents.docx:DocxLoader",
        "epub": "mmsearch.media.documents.epub:EpubLoader",
        "opendocument": "mmsearch.media.documents.opendocument:OpenDocumentLoader",
        "presentation": "mmsearch.media.documents.presentation:PresentationLoader",
        "rtf": "mmsearch.media.documents.rtf:RtfLoader",
        "spreadsheet": "mmsearch.media.documents.spreadsheet:SpreadsheetLoader",
        "subtitles": "mmsearch.media.av.subtitles:SubtitlesLoader",
        "mail": "mmsearch.media.mail.mail_loader:MailLoader",
        "msg": "mmsearch.media.mail.msg:MsgLoader",
        "cards": "mmsearch.media.mail.cards:CardsLoader",
        "notebook": "mmsearch.media.documents.notebook:NotebookLoader",
    }
)
"""Classes of loaders by the names that `sniff` returns."""


def make_loader(name: str) -> Loader:
    """Makes the built-in loader of that name; raises KeyError without one."""
    module, _, attribute = LOADERS[name].partition(":")
    return cast("Loader", getattr(importlib.import_module(module), attribute)())


def find_loaders(path: Path) -> list[Loader]:
    """Finds the loaders to try for `path`: of a plugin that claims it, else built-in ones.

    Raises as `guess_loaders` does. A plugin whose check fails is named in the error only if no
    other loader reads the file.
    """
    head = read_head(path)
    claim = plugin_loaders.claim_file(path, head)
    if claim.loader is not None:
        return [claim.loader]
    try:
        return [make_loader(name) for name in guess_loaders(path, head)]
    except MediaError as exc:
        raise claim.explain_error(path, exc) from exc


def load(path: Path, options: LoadOptions) -> Iterator[Content]:
    """Yields the contents of a file; raises only MediaError for a bad file.

    Raises ImportError if a decoder is not installed.
    """
    try:
        loaders = find_loaders(path)
        check_file_size(path, path.stat().st_size, options.limits)
        yield from _try_loaders(path, options, loaders)
    except (MediaError, ImportError):
        raise  # a decoder that is not installed is no fault of the file
    except MemoryError as exc:
        raise MediaTooLarge(path, "decoding it takes more memory than allowed") from exc
    except Exception as exc:  # decoders of hostile bytes raise anything
        raise DecodeError(path, clean(f"{type(exc).__name__}: {exc}") or "broken") from exc


def _try_loaders(path: Path, options: LoadOptions, loaders: Sequence[Loader]) -> Iterator[Content]:
    """Yields the contents of the first loader that gets past the description of the file.

    Raises the error of the likeliest loader if none does.
    """
    first_error: Exception | None = None
    for loader in loaders[:-1]:
        try:
            contents = iter(loader.load(path, options))
            begin = list(islice(contents, 2))
        except (ImportError, MemoryError):
            raise
        except Exception as exc:  # decoders of hostile bytes raise anything
            first_error = first_error or exc
        else:
            yield from begin
            yield from contents
            return
    try:
        yield from loaders[-1].load(path, options)
    except MediaError as exc:
        raise (first_error or exc) from exc.__cause__


def check_file_size(path: Path, size_bytes: int, limits: Limits) -> None:
    """Raises MediaTooLarge for a file of more bytes than allowed."""
    if size_bytes > limits.file_bytes:
        raise MediaTooLarge(
            path,
            f"{size_bytes:,} bytes, the limit is {limits.file_bytes:,}: raise it with "
            f"--max-file-gb if the file is meant",
            needs="file_bytes",
        )
