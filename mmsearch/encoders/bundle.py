"""The encoders of one library, each loaded when it is first used."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from mmsearch.encoders.base import (
    Context,
    ImageEncoder,
    OtherEncoder,
    PictureReader,
    SoundEncoder,
    TextEncoder,
    Transcriber,
)
from mmsearch.encoders.query_batcher import AskedText, Asking
from mmsearch.encoders.registry import encoder_class
from mmsearch.models.presets import NO_OCR, ModelSpec, Preset
from mmsearch.runtime.concurrency import Once, started
from mmsearch.runtime.device import resolve
from mmsearch.types import Provenance, Space

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

BATCH = 16


class Encoders:
    """A preset come to life. Safe to share between threads: each model is loaded once."""

    def __init__(self, preset: Preset, context: Context) -> None:
        self.preset = preset
        self.context = replace(context, text=lambda: AskedText(self.text, self._asking("text")))
        self._models = Once()
        self._entered: frozenset[str] = frozenset()

    @cached_property
    def spaces(self) -> tuple[Space, ...]:
        """The spaces of the preset, without loading a network.

        Raises WeightsMissing or WeightsMismatch.
        """
        specs = [self.preset.text, self.preset.image, self.preset.sound, *self.preset.others]
        return tuple(encoder_class(spec).describe(spec, self.context) for spec in specs)

    @cached_property
    def speech(self) -> Provenance:
        """Which model transcribes; raises WeightsMissing or WeightsMismatch."""
        spec = self.preset.speech
        found: Provenance = encoder_class(spec).describe(spec, self.context)
        return found

    @cached_property
    def is_on_gpu(self) -> bool:
        """Whether media are encoded on a GPU."""
        return resolve(self.context.device).device.kind != "cpu"

    @property
    def batch(self) -> int:
        """How many segments are best encoded in one go, as far as that is known by now."""
        if not self.is_on_gpu:
            return BATCH
        # Two of its batches: a GPU copies one while it computes the other.
        return max(BATCH, 2 * int(getattr(self.image, "batch", BATCH)))

    def space(self, name: str) -> Space:
        """The space of that name."""
        return next(space for space in self.spaces if space.name == name)

    def _load(self, spec: ModelSpec) -> Any:
        return encoder_class(spec).load(spec, self.context)

    @property
    def text(self) -> TextEncoder:
        """The text encoder."""
        encoder: TextEncoder = self._models.get("text", lambda: self._load(self.preset.text))
        return encoder

    @property
    def image(self) -> ImageEncoder:
        """The image encoder; its networks are loaded when they are needed."""
        encoder: ImageEncoder = self._models.get("image", lambda: self._load(self.preset.image))
        return encoder

    @property
    def sound(self) -> SoundEncoder:
        """The sound encoder; its networks are loaded when they are needed."""
        encoder: SoundEncoder = self._models.get("sound", lambda: self._load(self.preset.sound))
        return encoder

    @property
    def transcriber(self) -> Transcriber:
        """The speech model; raises WeightsMissing or WeightsMismatch."""
        found: Transcriber = self._models.get("speech", lambda: self._load(self.preset.speech))
        return found

    @cached_property
    def ocr(self) -> Provenance | None:
        """Which model reads the writing in pictures; None where none does.

        Raises MissingExtra where its packages are not installed.
        """
        spec = self.preset.ocr
        if spec in (None, NO_OCR):
            return None
        found: Provenance = encoder_class(spec).describe(spec, self.context)
        return found

    @property
    def reader(self) -> PictureReader:
        """What reads the writing in pictures, where `ocr` says that something does."""
        spec = self.preset.ocr or NO_OCR
        found: PictureReader = self._models.get("ocr", lambda: self._load(spec))
        return found

    def other(self, name: str) -> OtherEncoder | None:
        """The encoder of a plugin, by the name of its space; None where the preset has none."""
        spec = next((one for one in self.preset.others if one.encoder == name), None)
        if spec is None:
            return None
        found: OtherEncoder = self._models.get(f"other {name}", lambda: self._load(spec))
        return found

    def _asking(self, place: str) -> Asking:
        """What encodes the words that go into a place, for many threads."""

        def encode(texts: Sequence[str]) -> FloatArray:
            if place == "text":
                return self.text.encode_queries(texts)
            return (self.image if place == "image" else self.sound).encode_texts(texts)

        return self._models.get(f"asking {place}", lambda: Asking(encode))

    def enter(
        self, texts: Sequence[str], spaces: Collection[str] | None = None
    ) -> dict[str, FloatArray]:
        """Where words can go: (n, dim) unit rows for each space that they can enter, by name.

        With `spaces` only those: a model whose space is empty need not be loaded. What several
        threads ask at the same time is encoded together.
        """
        curves = self.preset.calibrations
        places = {"text": self.text.space.name, "image": self.image.space.name}
        if self.sound.takes_words:
            places["sound"] = self.sound.space.name
        wanted = {
            name: partial(self._asking(place), texts)
            for place, name in places.items()
            if f"text>{name}" in curves and (spaces is None or name in spaces)
        }
        if self._entered.issuperset(wanted):
            # Each network has all processors, and what one needs of another is there already.
            return {name: call() for name, call in wanted.items()}
        found = _side_by_side(wanted)
        self._entered |= wanted.keys()
        return found


def _side_by_side(calls: Mapping[str, Callable[[], FloatArray]]) -> dict[str, FloatArray]:
    """Each call in a thread of its own: in a cold process, loading three networks is the work."""
    futures = {name: started(call) for name, call in calls.items()}
    return {name: future.result() for name, future in futures.items()}
