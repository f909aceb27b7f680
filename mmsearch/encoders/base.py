"""What an encoder is: one protocol for each kind of content, all ending in vectors of a space.

An encoder is found by its name (`mmsearch.plugins`). The class behind the name has `kind`, which is
the name of its protocol below in lower case, and two class methods that `Described` and `Loadable`
show: `describe` says which space it fills without loading a network, `load` gives the encoder.
`mmsearch.testing` has a check for each kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from mmsearch.types import Box, PictureFit, Space, Span, Tag

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mmsearch.models.model_card import StoredModel
    from mmsearch.models.model_store import ModelStore
    from mmsearch.runtime.device import Device
    from mmsearch.runtime.network import Network
    from mmsearch.types import FloatArray, PixelArray, SampleArray


@dataclass(frozen=True, slots=True)
class Context:
    """Where encoders run and where their weights are.

    `device` is auto, cpu, cuda or cuda:N; who opens a network settles it. `precision` is auto, fp32
    or int8, for networks on a CPU; auto is what was found good when the model was converted.
    `language` is what is spoken, where it need not be detected. `text` gives the library's text
    encoder to an encoder that words enter through it. `open_on_gpu` gives a tower of a stored model
    as torch runs it on a GPU; without it everything runs on the CPU.
    """

    store: ModelStore
    device: str = "cpu"
    threads: int | None = None
    precision: str = "auto"
    language: str | None = None
    text: Callable[[], TextEncoder] | None = None
    open_on_gpu: Callable[[StoredModel, str, Device], Network] | None = None

    @property
    def for_queries(self) -> Context:
        """The same on the CPU: a sentence takes milliseconds there, and no torch."""
        return replace(self, device="cpu")


class TextEncoder(Protocol):
    """Embeds texts."""

    space: Space
    max_tokens: int

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text takes, without special tokens."""
        ...

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """(n, dim) float32 with unit rows; what goes beyond `max_tokens` is cut off."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> FloatArray:
        """The same for what is asked, which some models want marked as such."""
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
    fit: PictureFit
    """How pictures are wanted; loaders bring them to it while they decode."""

    def prepare(self, pixels: PixelArray) -> PreparedPicture:
        """Cut and scale (height, width, 3) uint8 RGB; pure, and safe to call from many threads."""
        ...

    def encode(self, pictures: Sequence[PreparedPicture]) -> list[PictureCode]:
        """Embed pictures in one go; the result does not depend on which are together."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """(n, dim) float32 unit rows of this space, for words that describe pictures."""
        ...


@runtime_checkable
class KnowsCeiling(Protocol):
    """An encoder that knows how near to some words a picture could be at best."""

    def ceiling(self, queries: FloatArray) -> float:
        """The greatest similarity to any of (n, dim) unit rows that a picture can have."""
        ...


class SoundEncoder(Protocol):
    """Embeds fixed windows of a sound track."""

    space: Space
    window_s: float
    hop_s: float
    sample_rate_hz: int
    takes_words: bool
    """Whether words can enter this space."""

    def encode(self, windows: Sequence[SampleArray]) -> FloatArray:
        """(n, dim) float32 with unit rows, for mono windows of at most `window_s`."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """(n, dim) float32 unit rows for words that name sounds; only where `takes_words`."""
        ...


class OtherEncoder(Protocol):
    """Embeds what only a plugin reads: the `Reading`s of its loader. Its space bears its name."""

    space: Space

    def encode(self, readings: Sequence[NDArray[np.float32]]) -> FloatArray:
        """(n, dim) float32 with unit rows."""
        ...


@dataclass(frozen=True, slots=True)
class Word:
    """A word, when it was spoken, in seconds of the file, and how sure the model was (0..1)."""

    text: str
    span: Span
    probability: float


@dataclass(frozen=True, slots=True)
class Utterance:
    """What was said, and when, in seconds of the file.

    `language` is a code such as en, empty where the model does not tell; its probability (0..1) is
    1 where the language was given. `words` are there on demand.
    """

    text: str
    span: Span
    language: str = ""
    words: tuple[Word, ...] = ()
    language_probability: float = 1.0


class Transcriber(Protocol):
    """Turns a sound track into utterances."""

    model: str

    def transcribe(
        self, samples: SampleArray, start_s: float, *, with_words: bool = False
    ) -> list[Utterance]:
        """Utterances in (n,) float32 mono at 16 kHz that begins at `start_s` of its file."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """A line of writing in a picture, where it stands, and how sure the model was (0..1)."""

    text: str
    box: Box
    probability: float


class PictureReader(Protocol):
    """Reads what is written in pictures."""

    model: str

    def read(self, pixels: PixelArray) -> list[Line]:
        """The lines in (height, width, 3) uint8 RGB, in reading order; safe to call from threads.

        A picture that cannot be read has no lines: it never ends a run.
        """
        ...

    def glance(self, pixels: PixelArray) -> bool:
        """Whether anything is written there, at less cost than reading it all."""
        ...
