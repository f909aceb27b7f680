"""Formats the paragraphs of WordprocessingML as lines of text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from mmsearch.media.texts.markup import MarkupEvent

# Deleted text, text where it was moved away from, codes of fields.
_SKIPPED = frozenset({"del", "moveFrom", "instrText", "delInstrText"})
_SPECIAL = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_MAX_LINE_CHARS = 1 << 20
_ALTERNATIVES = frozenset({"Choice", "Fallback"})


def format_lines(
    events: Iterable[MarkupEvent], read_chunk: Callable[[str], Iterator[str]] | None = None
) -> Iterator[str]:
    """Yields paragraphs and headings as lines, rows of tables as lines of cells.

    Text boxes come before the paragraph that holds them, comments with their author. `read_chunk`
    returns the lines of the document that the relationship of an id imports at a place.
    """
    formatter = _LineFormatter()
    for event in events:
        if event.kind == "text":
            formatter.add_text(event.value)
            if formatter.is_long:
                yield from formatter.take_line()
        elif event.kind == "start":
            if event.value == "altChunk" and read_chunk is not None:
                yield from formatter.take_line()
                yield from read_chunk(event.attributes.get("id", ""))
            formatter.start(event)
        else:
            yield from formatter.end(event.value)
    yield from formatter.take_line()


class _LineFormatter:
    def __init__(self) -> None:
        self._words: list[str] = []
        self._cells = 0
        self._is_text = False
        self._skipped = 0
        self._held = self._added = 0
        # What was before each text box that is open, and before each set of alternatives.
        self._outer: list[tuple[list[str], int]] = []
        self._added_before: list[int] = []
        self._alternatives: list[bool] = []
        self._chosen, self._choices = 0, list[str]()

    @property
    def is_long(self) -> bool:
        """True if the text of a paragraph grows too large to be kept."""
        return self._held > _MAX_LINE_CHARS

    def add_text(self, text: str) -> None:
        if self._is_text and not self._skipped:
            self._words.append(text)
            self._held += len(text)
            self._added += len(text.strip())

    def start(self, event: MarkupEvent) -> None:
        name = event.value
        self._skipped += name in _SKIPPED
        self._is_text = name == "t"
        if name in _ALTERNATIVES:
            # Of several forms of one thing, the first that has words.
            is_spare = bool(self._added_before) and self._added > self._added_before[-1]
            self._alternatives.append(is_spare)
            self._skipped += is_spare
        elif name == "AlternateContent":
            self._added_before.append(self._added)
        elif name in _SPECIAL:
            if not self._skipped:
                self._words.append(_SPECIAL[name])
        elif name == "tc":
            self._cells += 1
        elif name == "txbxContent":
            self._outer.append((self._words, self._cells))
            self._words, self._cells = [], 0
        elif name == "comment" and (author := event.attributes.get("author")):
            self._words.append(f"{author}: ")
        else:
            self._start_choice(name, event.attributes.get("val", ""))

    def _start_choice(self, name: str, value: str) -> None:
        """Collects the entries of the list of a form, and the number of the chosen one."""
        if name == "ddList":
            self._chosen = 0
            self._choices.clear()
        elif name == "result" and value.isascii() and value.isdigit() and len(value) < 5:
            self._chosen = int(value)
        elif name == "listEntry":
            self._choices.append(value)

    def end(self, name: str) -> Iterator[str]:
        self._skipped -= name in _SKIPPED
        self._is_text = False
        if name in _ALTERNATIVES and self._alternatives:
            self._skipped -= self._alternatives.pop()
        elif name == "AlternateContent" and self._added_before:
            self._added_before.pop()
        elif name == "txbxContent" and self._outer:
            yield from self.take_line()
            self._words, self._cells = self._outer.pop()
        elif name == "ddList":
            self._words += self._choices[self._chosen : self._chosen + 1]
        elif name == "tc":
            self._cells -= 1
            self._words.append(" | ")
        elif name == "p" and self._cells:
            self._words.append(" ")
        elif name == "p":
            yield from self.take_line()
        elif name == "tr" and not self._cells:
            yield from self.take_line(" |\t")

    def take_line(self, edges: str = "") -> Iterator[str]:
        line = "".join(self._words)
        line = line.strip(edges) if edges else line.rstrip()
        self._words.clear()
        self._held = 0
        if line and not line.isspace():
            yield line + "\n"
