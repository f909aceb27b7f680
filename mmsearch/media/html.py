"""Reads the words of HTML pages and SVG drawings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.media.base import Content, Described, LoadOptions
from mmsearch.media.encoding import read_text
from mmsearch.media.passages import passages
from mmsearch.media.strings import clean, words
from mmsearch.media.text import check_size
from mmsearch.types import Metadata, Modality

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

# The tree takes some ten times the size of the page: of a larger one, only its beginning is read.
_MAX_CHARS = 24 * 1024**2
_DROPPED = frozenset(
    {"script", "style", "noscript", "template", "head", "iframe", "object", "-comment"}
)
_INLINE = frozenset(
    words("""
    a abbr b bdi bdo big cite code data del dfn em font i ins kbd mark q ruby rt rp s samp
    small span strike strong sub sup time tt u var wbr img tspan
    """)
)
_SPACE = re.compile(r"[ \t\r\n\f\v]+")


class HtmlLoader:
    """Pages: title and description as metadata, the visible words as passages."""

    name = "html"

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yield Described, then passages, one line for each block of the page."""
        from selectolax.lexbor import LexborHTMLParser

        check_size(path, options.limits)
        parts: list[str] = []
        chars = 0
        with path.open("rb") as file:
            for block in read_text(file, is_markup=True):
                parts.append(block)
                chars += len(block)
                if chars >= _MAX_CHARS:
                    break
        # Lone surrogates have no UTF-8, which the parser works on.
        source = "".join(parts).encode("utf-8", "replace").decode("utf-8")
        tree = LexborHTMLParser(source)
        yield Described(Modality.TEXT, _metadata(tree))
        if tree.root is not None:
            yield from passages(_lines(tree.root), options.limits)


def _metadata(tree: LexborHTMLParser) -> Metadata:
    title = tree.css_first("title")
    language = tree.root.attributes.get("lang") if tree.root is not None else None
    return Metadata(
        format="html",
        title=clean(title.text()) if title is not None else None,
        artist=_meta(tree, "author"),
        description=_meta(tree, "description"),
        language=clean(language, max_chars=20),
    )


def _meta(tree: LexborHTMLParser, name: str) -> str | None:
    node = tree.css_first(f'meta[name="{name}"]')
    return clean(node.attributes.get("content")) if node is not None else None


def _lines(root: LexborNode) -> Iterator[str]:
    """The text of each block on a line of its own, walked without recursion."""
    words: list[str] = []
    node: LexborNode | None = root
    while node is not None:
        tag = node.tag or ""
        if tag == "-text":
            words.append(node.text_content or "")
        elif tag not in _INLINE:
            yield from _line(words)
        child = node.child if tag not in _DROPPED else None
        if child is not None:
            node = child
            continue
        while node is not None and node.next is None:
            node = node.parent
            if node is not None and (node.tag or "") not in _INLINE:
                yield from _line(words)
        node = node.next if node is not None else None
    yield from _line(words)


def _line(words: list[str]) -> Iterator[str]:
    line = _SPACE.sub(" ", "".join(words)).strip()
    words.clear()
    if line:
        yield line + "\n"
