"""Reads the text of HTML pages and SVG drawings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.formatting import replace_surrogates
from mmsearch.media.base import Content, Described, Limits, LoadOptions
from mmsearch.media.strings import clean, split_words
from mmsearch.media.texts.encoding import read_text
from mmsearch.media.texts.text import split_file_text
from mmsearch.types import Metadata, Modality, Omission, OmissionCause

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

# The tree takes some ten times the size of the page: larger pages are cut here, or at this
# multiple of the characters that a text may have.
_MAX_CHARS = 24 * 1024**2
_SOURCE_SHARE = 6
_DROPPED = frozenset(
    {"script", "style", "noscript", "template", "head", "iframe", "object", "-comment"}
)
_INLINE = frozenset(
    split_words("""
    a abbr b bdi bdo big cite code data del dfn em font i ins kbd mark q ruby rt rp s samp
    small span strike strong sub sup time tt u var wbr img tspan
    """)
)
# As in browsers. The parser walks all the way up for each of these tags: 80,000 nested ones took it
# 7 to 19 s.
_MAX_DEPTH = 512
_NESTING = re.compile(
    r"<(/?)(?:address|article|aside|blockquote|center|details|dialog|dir|div|dl|fieldset|"
    r"figcaption|figure|footer|form|h[1-6]|header|hgroup|main|menu|nav|ol|pre|section|summary|ul)"
    r"(?=[\s/>])[^<>]*>",
    re.IGNORECASE,
)
_SPACE = re.compile(r"[ \t\r\n\f\v]+")


class HtmlLoader:
    """HTML: title and description as metadata, the visible text as passages."""

    name = "html"

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yields Described, then passages with a line for each block of the page.

        The last content is an Omission if a limit was passed.
        """
        from selectolax.lexbor import LexborHTMLParser

        source, is_cut = _read_source(path, options.limits)
        # The parser works on UTF-8, which has no lone surrogates.
        tree = LexborHTMLParser(_limit_nesting(replace_surrogates(source)))
        yield Described(Modality.TEXT, _read_metadata(tree))
        omission = None
        if tree.root is not None:
            for content in split_file_text(path, _read_lines(tree.root), options.limits):
                omission = content if isinstance(content, Omission) else None
                yield content
        if is_cut and omission is None:
            limit = options.limits.text_chars
            detail = f"what comes after the first {len(source):,} characters of the source"
            yield Omission(OmissionCause.LIMIT, detail, "text_chars", limit)


def _read_source(path: Path, limits: Limits) -> tuple[str, bool]:
    """Returns the source of a page, and True if it is longer than the tree may be."""
    parts: list[str] = []
    chars, limit = 0, max(_MAX_CHARS, limits.text_chars * _SOURCE_SHARE)
    with path.open("rb") as file:
        for block in read_text(file, is_markup=True, max_bytes=limits.text_bytes):
            parts.append(block)
            chars += len(block)
            if chars >= limit:
                return "".join(parts), True
    return "".join(parts), False


def extract_lines(source: str) -> Iterator[str]:
    """Yields the visible text of HTML as lines, one for each block of the page."""
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(_limit_nesting(replace_surrogates(source[:_MAX_CHARS])))
    if tree.root is not None:
        yield from _read_lines(tree.root)


def _limit_nesting(source: str) -> str:
    """Replaces block tags that nest too deep by line breaks."""
    if source.count("<") <= _MAX_DEPTH:
        return source
    depth = 0

    def replace_deep(match: re.Match[str]) -> str:
        nonlocal depth
        depth_before = depth
        depth = max(0, depth - 1) if match[1] else depth + 1
        return match[0] if max(depth_before, depth) <= _MAX_DEPTH else "<br>"

    return _NESTING.sub(replace_deep, source)


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
    """Yields the text of each block as a line, without recursion."""
    parts: list[str] = []
    node: LexborNode | None = root
    while node is not None:
        tag = node.tag or ""
        if tag == "-text":
            parts.append(node.text_content or "")
        elif tag not in _INLINE:
            yield from _take_line(parts)
        child = node.child if tag not in _DROPPED else None
        if child is not None:
            node = child
            continue
        while node is not None and node.next is None:
            node = node.parent
            if node is not None and (node.tag or "") not in _INLINE:
                yield from _take_line(parts)
        node = node.next if node is not None else None
    yield from _take_line(parts)


def _take_line(parts: list[str]) -> Iterator[str]:
    line = _SPACE.sub(" ", "".join(parts)).strip()
    parts.clear()
    if line:
        yield line + "\n"
