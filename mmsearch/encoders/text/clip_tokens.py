"""Texts as the rows of token ids that text towers take, without the libraries they were made with.

open_clip tokenises with its own SimpleTokenizer (CLIP) or through transformers (SigLIP's
SentencePiece vocabularies). Both are repeated here, from a table of merges that is mapped into
memory: Gemma's tokenizer.json, with 256,000 tokens, takes the tokenizers library 0.8 to 1.4 s and
230 MB to load; its table opens in 1.3 ms, and a query takes 0.15 ms.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mmsearch.encoders.text.bpe import Merges
from mmsearch.encoders.text.text_cleaning import cleaned
from mmsearch.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOKENIZER = "tokenizer.json"
MERGES = "tokenizer.merges.npy"
CHARACTERS = "tokenizer.characters.npy"


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """How a text becomes one row; kept in the settings of a model's card.

    `form` is `clip` (SimpleTokenizer's words of bytes), `pieces` (SentencePiece-like merges over a
    whole text) or `library` (tokenizer.json, for the tokenizers library). A row is `prefix`, the
    text's ids as far as there is room, `suffix`, padding, and `last` in its last places.
    `reserved` counts places that stay free for no reason but that the original leaves them free.
    `zeroed` is an id that is replaced by 0. `special` are texts that stand for one token each, and
    `replacements` what is done to a cleaned text before it is split (`pieces`).
    """

    form: str
    context_length: int
    clean: str
    pad_id: int = 0
    pads_left: bool = False
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    last: tuple[int, ...] = ()
    reserved: int = 0
    zeroed: int | None = None
    special: Mapping[str, int] = field(default_factory=dict)
    replacements: tuple[tuple[str, str], ...] = ()
    start: str = ""
    byte_ids: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For a card."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TokenSettings:
        """From a card; raises ModelError where it lacks something."""
        known = {one.name for one in fields(cls)}
        try:
            read = {key: value for key, value in values.items() if key in known}
            for key in ("prefix", "suffix", "last", "byte_ids"):
                read[key] = tuple(read.get(key, ()))
            read["replacements"] = tuple((old, new) for old, new in read.get("replacements", ()))
            return cls(**read)
        except (TypeError, ValueError, AttributeError) as exc:
            raise ModelError(f"the model's settings of tokens are broken: {exc}") from exc


class Splitter(Protocol):
    """Gives the ids of a cleaned text, without those that every row has."""

    def ids(self, text: str, limit: int) -> list[int]:
        """The first `limit` ids, or more."""
        ...


class Tokens:
    """Turns texts into (n, context_length) int64, as the tokenizer of the source does."""

    def __init__(self, settings: TokenSettings, splitter: Splitter) -> None:
        self.settings = settings
        self._splitter = splitter

    @classmethod
    def open(cls, folder: Path, settings: TokenSettings) -> Tokens:
        """From the folder of a model; raises ModelError where its files cannot be read."""
        if settings.form == "clip":
            return cls(settings, ClipWords.open(folder, settings))
        if settings.form == "pieces":
            return cls(settings, Pieces.open(folder, settings))
        return cls(settings, Library(folder / TOKENIZER))

    def encode(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """(n, context_length) int64; what goes beyond the length is cut off."""
        settings = self.settings
        rows = np.full((len(texts), settings.context_length), settings.pad_id, dtype=np.int64)
        fixed = len(settings.prefix) + len(settings.suffix) + len(settings.last)
        room = max(0, settings.context_length - fixed - settings.reserved)
        end = settings.context_length - len(settings.last)
        for row, text in zip(rows, texts, strict=True):
            ids = self._splitter.ids(cleaned(text, settings.clean), room)[:room]
            whole = [*settings.prefix, *ids, *settings.suffix]
            start = end - len(whole) if settings.pads_left else 0
            row[start : start + len(whole)] = whole
            row[end:] = settings.last
        if settings.zeroed is not None:
            rows[rows == settings.zeroed] = 0
        return rows


def without_padding(rows: NDArray[np.int64], pad_id: int) -> NDArray[np.int64]:
    """The columns up to the last that is not padding in all rows; at least one."""
    filled = np.flatnonzero((rows != pad_id).any(axis=0))
    return rows[:, : int(filled[-1]) + 1 if len(filled) else 1]


class Library:
    """Any tokenizer that the tokenizers library loads."""

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as exc:  # the library raises Exception itself
            raise ModelError(f"{path} cannot be read: {exc}; pull the model again") from exc
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def ids(self, text: str, limit: int) -> list[int]:  # it does all or nothing
        """All ids of a text."""
        found: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return found


class ClipWords:
    """CLIP's words: runs of letters, single digits, runs of the rest; merged from their bytes."""

    def __init__(self, settings: TokenSettings, merges: Merges) -> None:
        self._settings = settings
        self._merges = merges
        literals = [*map(re.escape, settings.special), "'s", "'t", "'re", "'ve", "'m", "'ll", "'d"]
        self._literal = re.compile("|".join(literals), re.IGNORECASE)

    @classmethod
    def open(cls, folder: Path, settings: TokenSettings) -> ClipWords:
        """From the folder of a model."""
        return cls(settings, Merges.open(folder / MERGES))

    def ids(self, text: str, limit: int) -> list[int]:
        """The ids of the text's words, until there are enough."""
        found: list[int] = []
        for word in self._words(text):
            if len(found) >= limit:
                break
            special = self._settings.special.get(word)
            found += [special] if special is not None else self._merges.apply(self._bytes(word))
        return found

    def _bytes(self, word: str) -> list[int]:
        """The ids of a word's bytes; the last one says that the word ends."""
        byte_ids = self._settings.byte_ids
        *others, last = word.encode()
        return [*(byte_ids[byte] for byte in others), byte_ids[256 + last]]

    def _words(self, text: str) -> Iterator[str]:
        at = 0
        while at < len(text):
            kind = _kind(text[at])
            literal = self._literal.match(text, at)
            if literal is not None:
                end = literal.end()
            elif kind == " ":
                at += 1
                continue
            else:
                end = at + 1
                while kind != "N" and end < len(text) and _kind(text[end]) == kind:
                    end += 1
            yield text[at:end]
            at = end


def _kind(character: str) -> str:
    """L for letters, N for numbers, a space for white space, a dot for the rest."""
    category = unicodedata.category(character)[0]
    if category in "LN":
        return category
    return " " if character.isspace() and character not in "\x1c\x1d\x1e\x1f" else "."


class Pieces:
    """Merges over the whole text, spaces included; characters that have no id become bytes."""

    def __init__(
        self,
        settings: TokenSettings,
        merges: Merges,
        characters: NDArray[np.uint32],
        fallback: Path,
    ) -> None:
        self._settings = settings
        self._merges = merges
        self._codes, self._ids = characters
        self._fallback = fallback
        self._library: Library | None = None

    @classmethod
    def open(cls, folder: Path, settings: TokenSettings) -> Pieces:
        """From the folder of a model."""
        path = folder / CHARACTERS
        try:
            characters = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as exc:
            raise ModelError(f"{path} cannot be read: {exc}; pull the model again") from exc
        return cls(settings, Merges.open(folder / MERGES), characters, folder / TOKENIZER)

    def ids(self, text: str, limit: int) -> list[int]:
        """All ids of a text.

        A text that has a special token written out goes to the tokenizers library: seldom enough.
        """
        settings = self._settings
        replaced = text
        for old, new in settings.replacements:
            replaced = replaced.replace(old, new)
        if any(one in text or one in replaced for one in settings.special):
            self._library = self._library or Library(self._fallback)
            return self._library.ids(text, limit)
        return self._merges.apply(self._split(settings.start + replaced)) if replaced else []

    def _split(self, text: str) -> list[int]:
        codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
        at = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        known = self._codes[at] == codes
        ids: list[int] = []
        for character, is_known, number in zip(text, known, self._ids[at].tolist(), strict=True):
            if is_known:
                ids.append(number)
            else:
                ids += [self._settings.byte_ids[byte] for byte in character.encode()]
        return ids
