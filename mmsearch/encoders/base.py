"""What an encoder is: one protocol for each kind of content, all ending in vectors of a space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mmsearch.types import Box, Space, Span, Tag

if TYPE_CHECKING:
    from mmsearch.types import FloatArray, PixelArray, SampleArray


class TextEncoder(Protocol):
    """Embeds texts; also the door through which words enter the other spaces."""

    space: Space
    max_tokens: int

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text takes, without special tokens."""
        ...

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """(n, dim) float32 with unit rows; what goes beyond `max_tokens` is cut off."""
        ...


@dataclass(frozen=True, slots=True)
class PreparedPicture:
    """A picture cut and scaled to what the network takes.

    `crops` is (k, height, width, 3) uint8, `boxes` says for each crop where it lies.
    """

    crops: PixelArray
    boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class PictureCode:
    """What an image encoder makes of one picture.

    `values` is (n, dim) float32 with unit rows, `boxes` has n entries, `tags` come best first.
    """

    values: FloatArray
    boxes: tuple[Box, ...]
    tags: tuple[Tag, ...]


class ImageEncoder(Protocol):
    """Embeds pictures into a space that words can enter."""

    space: Space
    picture_px: int
    """Pictures are wanted with a longer side of this many pixels, where they have them."""

    def prepare(self, pixels: PixelArray) -> PreparedPicture:
        """Cut and scale (height, width, 3) uint8 RGB; pure, and safe to call from many threads."""
        ...

    def encode(self, pictures: Sequence[PreparedPicture]) -> list[PictureCode]:
        """Embed pictures in one go; the result does not depend on which are together."""
        ...

    def project_text(self, vectors: FloatArray) -> FloatArray:
        """Take (n, text dim) vectors of the text space to (n, dim) unit rows of this space."""
        ...


class SoundEncoder(Protocol):
    """Embeds fixed windows of a sound track."""

    space: Space
    window_s: float
    hop_s: float

    def encode(self, windows: Sequence[SampleArray]) -> FloatArray:
        """(n, dim) float32 with unit rows, for windows of at most `window_s` at 16 kHz mono."""
        ...


@dataclass(frozen=True, slots=True)
class Utterance:
    """What was said, and when, in seconds of the file."""

    text: str
    span: Span


class Transcriber(Protocol):
    """Turns a sound track into utterances."""

    model: str

    def transcribe(self, samples: SampleArray, start_s: float) -> list[Utterance]:
        """Utterances in (n,) float32 mono at 16 kHz that begins at `start_s` of its file."""
        ...
