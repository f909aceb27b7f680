"""Reads the documents that are attached to mails, through the loaders of their kinds."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from mmsearch.media.base import Content, LoadOptions
from mmsearch.media.registry import load
from mmsearch.media.strings import split_words

DOCUMENT_TYPES = frozenset({"application/pdf", "application/x-pdf"})
DOCUMENT_SUFFIXES = frozenset(
    split_words("""
    .pdf .docx .docm .dotx .odt .ods .odp .odg .pptx .pptm .ppsx .xlsx .xlsm .epub .ipynb
    """)
)
"""Kinds of documents that hold no mails, so that reading them comes to an end."""


def load_attached(data: bytes, suffix: str, options: LoadOptions) -> Iterator[Content]:
    """Yields the contents of a document; raises MediaError as the loader of its kind does."""
    # PDFium and others open files by name only.
    with tempfile.TemporaryDirectory(prefix="mmsearch-", ignore_cleanup_errors=True) as folder:
        path = Path(folder, f"attachment{suffix}")
        path.write_bytes(data)
        yield from load(path, options)
