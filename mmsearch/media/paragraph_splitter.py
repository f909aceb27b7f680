"""Splits a stream of text into passages at paragraphs, up to a limit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mmsearch.media.base import Limits, Passage

PASSAGE_CHARS = 32_768


def split_passages(
    blocks: Iterable[str], limits: Limits, *, page: int | None = None, start_char: int = 0
) -> Iterator[Passage]:
    """Yields passages of at most 32768 characters, `limits.text_chars` in all.

    They end with a paragraph, else a line, else a word. Blank passages are left out, but their
    characters count for the offsets.
    """
    buffer: list[str] = []
    held, at = 0, start_char
    end = start_char + limits.text_chars
    for block in blocks:
        buffer.append(block)
        held += len(block)
        if held < PASSAGE_CHARS:
            continue
        text = "".join(buffer)
        done = 0
        while len(text) - done >= PASSAGE_CHARS:
            cut = _find_cut(text, done)
            yield from _limit_passage(text[done:cut], page, at, end)
            at += cut - done
            done = cut
            if at >= end:
                return
        buffer, held = [text[done:]], len(text) - done
    yield from _limit_passage("".join(buffer), page, at, end)


def _limit_passage(text: str, page: int | None, at: int, end: int) -> Iterator[Passage]:
    text = text[: max(0, end - at)]
    if text and not text.isspace():
        yield Passage(text, page, at)


def _find_cut(text: str, start: int) -> int:
    end = start + PASSAGE_CHARS
    for mark in ("\n\n", "\n", " "):
        at = text.rfind(mark, start + PASSAGE_CHARS // 2, end)
        if at >= 0:
            return at + len(mark)
    return end
