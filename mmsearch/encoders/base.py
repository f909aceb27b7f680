"""The protocols of encoders: one for each kind of content, all of which give vectors of a space.

An encoder is looked up by its name (`mmsearch.plugins`). The class behind the name has `kind` and
two class methods: `describe` returns the space it fills without loading a network, `load` returns
the encoder. `mmsearch.testing` has a check for each kind.
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
    """The device that encoders run on and the store that holds their weights.

    `device` is auto, cpu, cuda or cuda:N, resolved when a network is opened. `precision` is auto,
    fp32 or int8, for networks on a CPU; auto is the choice made when the model was converted.
    `language` is the spoken language, None to detect it. `text` returns the library's text encoder,
    for encoders whose queries pass through it. `open_on_gpu` opens a tower of a stored model in
    torch on a GPU; without it everything runs on the CPU.
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
        """The same on the CPU: a sentence takes milliseconds there, and needs no torch."""
        return replace(self, device="cpu")


class TextEncoder(Protocol):
    """Embeds texts."""

    space: Space
    max_tokens: int

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Returns the number of tokens of each text, without special tokens."""
        ...

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Returns (n, dim) float32 with unit rows; tokens beyond `max_tokens` are cut off."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> FloatArray:
        """Encodes queries, which some models mark with a prefix."""
        ...


@dataclass(frozen=True, slots=True)
class PreparedPicture:
    """A picture as crops of the network's input size.

    `crops` is (k, height, width, 3) uint8, `boxes` are their positions in the picture.
    """

    crops: PixelArray
    boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class PictureCode:
    """The vectors and tags of one picture.

    `values` is (n, dim) float32 with unit rows, `boxes` has n entries, `tags` come best first.
    """

    values: FloatArray
    boxes: tuple[Box, ...]
    tags: tuple[Tag, ...]


class ImageEncoder(Protocol):
    """Embeds pictures into a space that words can enter."""

    space: Space
    fit: PictureFit
    """The size and shape of pictures, to which loaders scale them while they decode."""

    def prepare(self, pixels: PixelArray) -> PreparedPicture:
        """Cuts and scales (height, width, 3) uint8 RGB; safe to call from many threads."""
        ...

    def encode(self, pictures: Sequence[PreparedPicture]) -> list[PictureCode]:
        """Embeds a batch; the result does not depend on which pictures are in it together."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Returns (n, dim) float32 unit rows for words that describe pictures."""
        ...


@runtime_checkable
class CeilingEncoder(Protocol):
    """An encoder that can bound the similarity of pictures to a query."""

    def ceiling(self, queries: FloatArray) -> float:
        """Returns the greatest similarity to any of (n, dim) unit rows that a picture can have."""
        ...


class SoundEncoder(Protocol):
    """Embeds fixed windows of a sound track."""

    space: Space
    window_s: float
    hop_s: float
    sample_rate_hz: int
    takes_words: bool
    """True for an encoder that has `encode_texts`."""

    def encode(self, windows: Sequence[SampleArray]) -> FloatArray:
        """Returns (n, dim) float32 with unit rows, for mono windows of at most `window_s`."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Returns (n, dim) float32 unit rows for words that name sounds, if `takes_words`."""
        ...


class OtherEncoder(Protocol):
    """Embeds the `Reading`s of a plugin's loader; its space bears its name."""

    space: Space

    def encode(self, readings: Sequence[NDArray[np.float32]]) -> FloatArray:
        """Returns (n, dim) float32 with unit rows."""
        ...


@dataclass(frozen=True, slots=True)
class Word:
    """A spoken word with its span in seconds of the file and its probability (0..1)."""

    text: str
    span: Span
    probability: float


@dataclass(frozen=True, slots=True)
class Utterance:
    """A spoken text with its span in seconds of the file.

    `language` is a code such as en, or empty; its probability (0..1) is 1 where the language was
    given, not detected. `words` are there on demand.
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
        """Transcribes (n,) float32 mono at 16 kHz that begins at `start_s` of its file."""
        ...


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of text in a picture with its box and its probability (0..1)."""

    text: str
    box: Box
    probability: float


class PictureReader(Protocol):
    """Reads the text in pictures."""

    model: str

    def read(self, pixels: PixelArray) -> list[TextLine]:
        """Returns the lines of (height, width, 3) uint8 RGB in reading order, in any thread.

        A picture that cannot be read has no lines: it never ends a run.
        """
        ...

    def glance(self, pixels: PixelArray) -> bool:
        """Tests if there is any text, at less cost than reading it all."""
        ...
