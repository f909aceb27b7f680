"""Reads the documents that are attached to mails, through the loaders of their kinds."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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
    with _open_as_file(data, suffix) as path:
        yield from load(path, options)


@contextmanager
def _open_as_file(data: bytes, suffix: str) -> Iterator[Path]:
    """Gives data a path: in memory where the system can, so that nothing is left on the disk."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("attachment"), "wb") as file:
            file.write(data)
            file.flush()
            yield Path(f"/proc/self/fd/{file.fileno()}")
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"attachment{suffix}")
        path.write_bytes(data)
        yield path
