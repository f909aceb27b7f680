"""Which loader reads which kind, and the one way to run it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import cast

from mmsearch.errors import DecodeError, MediaError, MediaTooLarge
from mmsearch.media import plugin_loaders
from mmsearch.media.base import Content, Limits, Loader, LoadOptions
from mmsearch.media.sniff import read_head, sniff
from mmsearch.media.strings import clean

LOADERS: Mapping[str, str] = MappingProxyType(
    {
        "image": "mmsearch.media.image:ImageLoader",
        "av": "mmsearch.media.av:AvLoader",
        "text": "mmsearch.media.text:TextLoader",
        "html": "mmsearch.media.html:HtmlLoader",
        "pdf": "mmsearch.media.pdf:PdfLoader",
        "docx": "mmsearch.media.docx:DocxLoader",
        "subtitles": "mmsearch.media.subtitles:SubtitlesLoader",
    }
)
"""Loader names, as `sniff` gives them, and where their classes are."""


def make_loader(name: str) -> Loader:
    """The built-in loader of that name; KeyError where there is none."""
    module, _, attribute = LOADERS[name].partition(":")
    return cast("Loader", getattr(importlib.import_module(module), attribute)())


def find_loader(path: Path) -> Loader:
    """The loader for the content of `path`: of a plugin that claims it, else a built-in one.

    Raises as `sniff` does. A plugin that fails to look at a file does not keep another from
    reading it: it is named where there is no other.
    """
    head = read_head(path)
    claimed = plugin_loaders.claim_file(path, head)
    if claimed.loader is not None:
        return claimed.loader
    try:
        return make_loader(sniff(path, head))
    except MediaError as exc:
        raise claimed.explain_error(path, exc) from exc


def load(path: Path, options: LoadOptions) -> Iterator[Content]:
    """Sniff, check the size, and stream the contents; only MediaError leaves for a bad file.

    ImportError leaves where a decoder is not installed.
    """
    try:
        reader = find_loader(path)
        check_file_size(path, path.stat().st_size, options.limits)
        yield from reader.load(path, options)
    except (MediaError, ImportError):
        # A decoder that is not installed is no fault of the file.
        raise
    except MemoryError as exc:
        raise MediaTooLarge(path, "decoding it takes more memory than allowed") from exc
    except Exception as exc:  # decoders of hostile bytes raise whatever they like
        raise DecodeError(path, clean(f"{type(exc).__name__}: {exc}") or "broken") from exc


def check_file_size(path: Path, size_bytes: int, limits: Limits) -> None:
    """Raise MediaTooLarge for a file of more bytes than are allowed."""
    if size_bytes > limits.file_bytes:
        raise MediaTooLarge(
            path,
            f"{size_bytes:,} bytes, the limit is {limits.file_bytes:,}: raise it with "
            f"--max-file-gb if the file is meant",
        )
