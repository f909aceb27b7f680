"""The encoders of one library, each loaded when it is first used."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
from mmsearch.encoders.query_batcher import BatchedTextEncoder, QueryBatcher
from mmsearch.encoders.registry import find_encoder_class
from mmsearch.models.presets import NO_OCR, ModelSpec, Preset
from mmsearch.runtime.concurrency import LazyValues, run_in_thread
from mmsearch.runtime.device import resolve_device
from mmsearch.types import Provenance, Space

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

BATCH = 16


class Encoders:
    """The models of a preset. Safe to share between threads: each model is loaded once."""

    def __init__(self, preset: Preset, context: Context) -> None:
        self.preset = preset
        self.context = replace(
            context, text=lambda: BatchedTextEncoder(self.text, self._get_query_batcher("text"))
        )
        self._models = LazyValues()
        self._loaded: frozenset[str] = frozenset()

    @cached_property
    def spaces(self) -> tuple[Space, ...]:
        """The spaces of the preset, without loading a network.

        Raises WeightsMissing or WeightsMismatch.
        """
        specs = [self.preset.text, self.preset.image, self.preset.sound, *self.preset.others]
        return tuple(find_encoder_class(spec).describe(spec, self.context) for spec in specs)

    @cached_property
    def speech(self) -> Provenance:
        """The provenance of the speech model; raises WeightsMissing or WeightsMismatch."""
        spec = self.preset.speech
        provenance: Provenance = find_encoder_class(spec).describe(spec, self.context)
        return provenance

    @cached_property
    def is_on_gpu(self) -> bool:
        """True if media are encoded on a GPU."""
        return resolve_device(self.context.device).device.kind != "cpu"

    @property
    def batch(self) -> int:
        """The best number of segments in a batch, as far as that is known by now."""
        if not self.is_on_gpu:
            return BATCH
        # Two of its batches: a GPU copies one while it computes the other.
        return max(BATCH, 2 * int(getattr(self.image, "batch", BATCH)))

    def get_space(self, name: str) -> Space:
        """Returns the space of that name."""
        return next(space for space in self.spaces if space.name == name)

    def _load(self, spec: ModelSpec) -> Any:
        return find_encoder_class(spec).load(spec, self.context)

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
        model: Transcriber = self._models.get("speech", lambda: self._load(self.preset.speech))
        return model

    @cached_property
    def ocr(self) -> Provenance | None:
        """The provenance of the OCR model; None for a library without OCR.

        Raises MissingExtra where its packages are not installed.
        """
        spec = self.preset.ocr
        if spec in (None, NO_OCR):
            return None
        provenance: Provenance = find_encoder_class(spec).describe(spec, self.context)
        return provenance

    @property
    def reader(self) -> PictureReader:
        """The OCR model; only where `ocr` is not None."""
        spec = self.preset.ocr or NO_OCR
        reader: PictureReader = self._models.get("ocr", lambda: self._load(spec))
        return reader

    def get_other_encoder(self, name: str) -> OtherEncoder | None:
        """Returns the encoder of a plugin by the name of its space, None for an unknown one."""
        spec = next((spec for spec in self.preset.others if spec.encoder == name), None)
        if spec is None:
            return None
        encoder: OtherEncoder = self._models.get(f"other {name}", lambda: self._load(spec))
        return encoder

    def _get_query_batcher(self, kind: str) -> QueryBatcher:
        """Returns the batcher of the queries for the text, image or sound encoder."""

        def encode(texts: Sequence[str]) -> FloatArray:
            if kind == "text":
                return self.text.encode_queries(texts)
            return (self.image if kind == "image" else self.sound).encode_texts(texts)

        return self._models.get(f"batcher {kind}", lambda: QueryBatcher(encode))

    def encode_query_texts(
        self, texts: Sequence[str], spaces: Collection[str] | None = None
    ) -> dict[str, FloatArray]:
        """Returns (n, dim) unit rows for each space that words can enter, by its name.

        Of `spaces` only, if given: a model whose space is empty need not be loaded. Queries of
        several threads are encoded together.
        """
        kinds = {"text": self.text.space.name, "image": self.image.space.name}
        if self.sound.takes_words:
            kinds["sound"] = self.sound.space.name
        calls = {
            space: partial(self._get_query_batcher(kind), texts)
            for kind, space in kinds.items()
            if f"text>{space}" in self.preset.calibrations and (spaces is None or space in spaces)
        }
        if self._loaded.issuperset(calls):
            # Each network has all processors, and all are open already.
            return {space: call() for space, call in calls.items()}
        # In a cold process, loading three networks is the work.
        futures = {space: run_in_thread(call) for space, call in calls.items()}
        vectors = {space: future.result() for space, future in futures.items()}
        self._loaded |= calls.keys()
        return vectors
