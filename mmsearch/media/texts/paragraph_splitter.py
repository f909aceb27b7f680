"""Splits a stream of text into passages at paragraphs, up to a limit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mmsearch.media.base import Limits, Passage
from mmsearch.media.texts.text_cleaning import TextCleaner
from mmsearch.types import Omission, OmissionCause

PASSAGE_CHARS = 32_768


def split_passages(
    blocks: Iterable[str], limits: Limits, *, page: int | None = None, start_char: int = 0
) -> Iterator[Passage]:
    """Yields passages of about 32768 characters at most, `limits.text_chars` in all.

    They end with a paragraph, else a line, else a word, and are cleaned: their offsets are those
    in the cleaned text. Blank passages are left out, but their characters count.
    """
    for content in _split(blocks, limits, page, start_char):
        if isinstance(content, Passage):
            yield content


def split_text(blocks: Iterable[str], limits: Limits) -> Iterator[Passage | Omission]:
    """Yields the passages of a text, and at its end an Omission if it is longer than the limit."""
    return _split(blocks, limits, None, 0)


def _split(
    blocks: Iterable[str], limits: Limits, page: int | None, start_char: int
) -> Iterator[Passage | Omission]:
    cleaner = TextCleaner()
    at, end = start_char, start_char + limits.text_chars
    for part in _cut_parts(blocks):
        text = cleaner.clean(part)
        room = max(0, end - at)
        read = text[:room]
        if read and not read.isspace():
            yield Passage(read, page, at)
        if text[room:].strip():
            detail = f"text after the first {limits.text_chars:,} characters"
            yield Omission(OmissionCause.LIMIT, detail, "text_chars", limits.text_chars)
            return
        at += len(text)


def _cut_parts(blocks: Iterable[str]) -> Iterator[str]:
    """Yields the text in parts of at most PASSAGE_CHARS."""
    buffer: list[str] = []
    held = 0
    for block in blocks:
        buffer.append(block)
        held += len(block)
        if held < PASSAGE_CHARS:
            continue
        text = "".join(buffer)
        done = 0
        while len(text) - done >= PASSAGE_CHARS:
            cut = _find_cut(text, done)
            yield text[done:cut]
            done = cut
        buffer, held = [text[done:]], len(text) - done
    yield "".join(buffer)


def _find_cut(text: str, start: int) -> int:
    end = start + PASSAGE_CHARS
    for mark in ("\n\n", "\n", " "):
        at = text.rfind(mark, start + PASSAGE_CHARS // 2, end)
        if at >= 0:
            return at + len(mark)
    return end
