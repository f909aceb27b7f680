"""Converts texts to the rows of token ids that the text towers of open_clip take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.encoders.text.text_cleaning import clean_text
from mmsearch.encoders.text.text_tokens import StoredTokenizer
from mmsearch.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """The layout of a row of token ids; kept in the settings of a model's card.

    A row is `prefix`, the ids of the cleaned text as far as there is room, `suffix`, padding, and
    `last` at its end. `zeroed` is an id that is replaced by 0.
    """

    context_length: int
    clean: str
    pad_id: int = 0
    pads_left: bool = False
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    last: tuple[int, ...] = ()
    zeroed: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the values for a card."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TokenSettings:
        """Reads the values of a card; raises ModelError if one is missing."""
        known = {field.name for field in fields(cls)}
        try:
            read = {key: value for key, value in values.items() if key in known}
            for key in ("prefix", "suffix", "last"):
                read[key] = tuple(read.get(key, ()))
            return cls(**read)
        except (TypeError, ValueError, AttributeError) as exc:
            raise ModelError(f"the model's settings of tokens are broken: {exc}") from exc


class ClipTokenizer:
    """Converts texts to (n, context_length) int64, as the tokenizer of the source does."""

    def __init__(self, settings: TokenSettings, tokens: StoredTokenizer) -> None:
        """`tokens` adds no special tokens to a text."""
        self.settings = settings
        self._tokens = tokens

    @classmethod
    def open(cls, folder: Path, settings: TokenSettings) -> ClipTokenizer:
        """Opens the tokenizer in the folder of a model; the first text reads its files."""
        return cls(settings, StoredTokenizer(folder))

    def encode(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Returns (n, context_length) int64; longer texts are cut off.

        Raises ModelError if the files of the tokenizer cannot be read.
        """
        settings = self.settings
        rows = np.full((len(texts), settings.context_length), settings.pad_id, dtype=np.int64)
        fixed = len(settings.prefix) + len(settings.suffix) + len(settings.last)
        room = max(0, settings.context_length - fixed)
        end = settings.context_length - len(settings.last)
        texts_ids = self._tokens.encode([clean_text(text, settings.clean) for text in texts])
        for row, ids in zip(rows, texts_ids, strict=True):
            filled = [*settings.prefix, *ids[:room], *settings.suffix]
            start = end - len(filled) if settings.pads_left else 0
            row[start : start + len(filled)] = filled
            row[end:] = settings.last
        if settings.zeroed is not None:
            rows[rows == settings.zeroed] = 0
        return rows


def trim_padding(rows: NDArray[np.int64], pad_id: int) -> NDArray[np.int64]:
    """Returns the columns up to the last that is not padding in all rows; at least one."""
    filled = np.flatnonzero((rows != pad_id).any(axis=0))
    return rows[:, : int(filled[-1]) + 1 if len(filled) else 1]
