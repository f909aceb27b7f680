"""Reads the words of HTML pages and SVG drawings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.media.base import Content, Described, LoadOptions
from mmsearch.media.encoding import read_text
from mmsearch.media.paragraph_splitter import split_passages
from mmsearch.media.strings import clean, split_words
from mmsearch.media.text import check_text_size
from mmsearch.types import Metadata, Modality

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

# The tree takes some ten times the size of the page: of a larger one, only its beginning is read.
_MAX_CHARS = 24 * 1024**2
_DROPPED = frozenset(
    {"script", "style", "noscript", "template", "head", "iframe", "object", "-comment"}
)
_INLINE = frozenset(
    split_words("""
    a abbr b bdi bdo big cite code data del dfn em font i ins kbd mark q ruby rt rp s samp
    small span strike strong sub sup time tt u var wbr img tspan
    """)
)
# Browsers nest 512 deep. The parser looks all the way up for each of these tags: 80,000 within each
# other took it 7 to 19 s.
_MAX_DEPTH = 512
_NESTING = re.compile(
    r"<(/?)(?:address|article|aside|blockquote|center|details|dialog|dir|div|dl|fieldset|"
    r"figcaption|figure|footer|form|h[1-6]|header|hgroup|main|menu|nav|ol|pre|section|summary|ul)"
    r"(?=[\s/>])[^<>]*>",
    re.IGNORECASE,
)
_SPACE = re.compile(r"[ \t\r\n\f\v]+")


class HtmlLoader:
    """Pages: title and description as metadata, the visible words as passages."""

    name = "html"

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yield Described, then passages, one line for each block of the page."""
        from selectolax.lexbor import LexborHTMLParser

        check_text_size(path, options.limits)
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
        tree = LexborHTMLParser(_limit_nesting(source))
        yield Described(Modality.TEXT, _read_metadata(tree))
        if tree.root is not None:
            yield from split_passages(_read_lines(tree.root), options.limits)


def _limit_nesting(source: str) -> str:
    """The page with line breaks in place of blocks that lie too deep within others."""
    if source.count("<") <= _MAX_DEPTH:
        return source
    depth = deepest = 0
    for match in _NESTING.finditer(source):
        depth = max(0, depth - 1) if match[1] else depth + 1
        deepest = max(deepest, depth)
    if deepest <= _MAX_DEPTH:
        return source
    depth = 0

    def kept(match: re.Match[str]) -> str:
        nonlocal depth
        before = depth
        depth = max(0, depth - 1) if match[1] else depth + 1
        return match[0] if max(before, depth) <= _MAX_DEPTH else "<br>"

    return _NESTING.sub(kept, source)


def _read_metadata(tree: LexborHTMLParser) -> Metadata:
    title = tree.css_first("title")
    language = tree.root.attributes.get("lang") if tree.root is not None else None
    return Metadata(
        format="html",
        title=clean(title.text()) if title is not None else None,
        artist=_read_meta(tree, "author"),
        description=_read_meta(tree, "description"),
        language=clean(language, max_chars=20),
    )


def _read_meta(tree: LexborHTMLParser, name: str) -> str | None:
    node = tree.css_first(f'meta[name="{name}"]')
    return clean(node.attributes.get("content")) if node is not None else None


def _read_lines(root: LexborNode) -> Iterator[str]:
    """The text of each block on a line of its own, walked without recursion."""
    words: list[str] = []
    node: LexborNode | None = root
    while node is not None:
        tag = node.tag or ""
        if tag == "-text":
            words.append(node.text_content or "")
        elif tag not in _INLINE:
            yield from _take_line(words)
        child = node.child if tag not in _DROPPED else None
        if child is not None:
            node = child
            continue
        while node is not None and node.next is None:
            node = node.parent
            if node is not None and (node.tag or "") not in _INLINE:
                yield from _take_line(words)
        node = node.next if node is not None else None
    yield from _take_line(words)


def _take_line(words: list[str]) -> Iterator[str]:
    line = _SPACE.sub(" ", "".join(words)).strip()
    words.clear()
    if line:
        yield line + "\n"
