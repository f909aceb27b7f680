"""Parses untrusted XML as a flat stream of events, without tree, entities or document types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Literal, NamedTuple
from xml.parsers import expat

_MAX_DEPTH = 1000
# The parser reads an unfinished tag anew with every block.
_MAX_TAG_BYTES = 4 * 1024**2
_NO_ATTRIBUTES: Mapping[str, str] = MappingProxyType({})


class MarkupEvent(NamedTuple):
    """The start or end of an element with the local name `value`, or a piece of text."""

    kind: Literal["start", "end", "text"]
    value: str
    attributes: Mapping[str, str]


class MarkupError(ValueError):
    """The XML is malformed, declares a document type, nests too deep, or has a huge tag."""


def parse_events(blocks: Iterable[bytes], *, has_namespaces: bool = False) -> Iterator[MarkupEvent]:
    """Parses blocks of XML as they come; raises MarkupError after the events before the fault.

    Document types are refused: no supported file needs one, and all attacks by entities do.

    With `has_namespaces` a name is its namespace, a space and the local name.
    """
    ready: list[MarkupEvent] = []
    depth = 0

    def local(name: str) -> str:
        return name if has_namespaces else name.rpartition(" ")[2]

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _MAX_DEPTH:
            raise MarkupError("elements nest too deep")
        named = {local(key): value for key, value in attributes.items()} if attributes else None
        ready.append(MarkupEvent("start", local(name), named or _NO_ATTRIBUTES))

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        ready.append(MarkupEvent("end", local(name), _NO_ATTRIBUTES))

    def add_text(text: str) -> None:
        ready.append(MarkupEvent("text", text, _NO_ATTRIBUTES))

    def doctype(name: str, system: str | None, public: str | None, internal: bool) -> None:
        raise MarkupError("a document type is declared")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = add_text
    parser.StartDoctypeDeclHandler = doctype
    try:
        size_bytes = 0
        for block in blocks:
            parser.Parse(block, False)
            yield from ready
            ready.clear()
            size_bytes += len(block)
            if size_bytes - parser.CurrentByteIndex > max(_MAX_TAG_BYTES, len(block)):
                raise MarkupError("a tag is too long")
        parser.Parse(b"", True)
    except (expat.ExpatError, ValueError) as exc:
        yield from ready
        raise exc if isinstance(exc, MarkupError) else MarkupError(str(exc)) from exc
    yield from ready


def extract_fields(blocks: Iterable[bytes], names: Iterable[str]) -> dict[str, str]:
    """Returns the text of the first element of each name; malformed parts are left out."""
    names, texts, inside, depth = frozenset(names), dict[str, str](), "", 0
    try:
        for event in parse_events(blocks):
            if event.kind == "start":
                if inside:
                    depth += 1
                elif event.value in names and event.value not in texts:
                    inside, depth = event.value, 0
                    texts[inside] = ""
            elif event.kind == "end" and inside:
                if depth == 0:
                    inside = ""
                depth -= 1
            elif inside:
                texts[inside] += event.value
    except MarkupError:
        pass  # the text before the fault is valid
    return {name: text.strip() for name, text in texts.items() if text.strip()}


def extract_text(source: str) -> str:
    """Returns the text of a small piece of XML, as far as it is well-formed."""
    words: list[str] = []
    with suppress(MarkupError):  # the text before the fault is valid
        words.extend(
            event.value if event.kind == "text" else " "
            for event in parse_events([source.encode("utf-8", "replace")] if source else [])
        )
    return "".join(words)
