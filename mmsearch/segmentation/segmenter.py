"""Cuts contents into segments and encodes them, for ingest and for queries by example."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from mmsearch.encoders.base import PreparedPicture
from mmsearch.encoders.ocr.pipeline import OcrPipeline, OcrSegment
from mmsearch.formatting import replace_surrogates
from mmsearch.media.base import (
    AudioBlock,
    Content,
    Cue,
    Described,
    LoadOptions,
    Passage,
    Picture,
    Reading,
)
from mmsearch.media.pictures.thumbprint import compute_thumbprint, remove_padding
from mmsearch.media.texts.chunking import split_chunks
from mmsearch.segmentation.sound_segments import (
    SPEECH_RATE_HZ,
    SoundSegmenter,
    SoundWindow,
    SpokenPart,
)
from mmsearch.store.rows import EncodedSegment
from mmsearch.types import (
    Box,
    Metadata,
    Modality,
    Omission,
    Place,
    Segment,
    SegmentKind,
    Vectors,
    segment_id,
)

if TYPE_CHECKING:
    from mmsearch.encoders.bundle import Encoders
    from mmsearch.types import FloatArray, PixelArray, SampleArray, Space

CHUNK_TOKENS = 96
OVERLAP_TOKENS = 16
MAX_TAGS = 8
LEGIBLE_PX = 1600
"""The longer side of pictures for OCR."""


@dataclass(frozen=True, slots=True)
class WorkItem:
    """A segment that waits for its vectors: of a picture, a window of sound, or its own text.

    `reading` is content of a plugin's loader, for the encoder named `encoder`; `box` is the part of
    its picture that holds the text.
    """

    segment: Segment
    picture: PreparedPicture | None = None
    window: SampleArray | None = None
    reading: FloatArray | None = None
    encoder: str = ""
    box: Box | None = None

    @property
    def size_bytes(self) -> int:
        """About the memory that it takes while it waits."""
        crops = None if self.picture is None else self.picture.crops
        arrays = (crops, self.window, self.reading)
        return 16 * 1024 + sum(array.nbytes for array in arrays if array is not None)


@dataclass(slots=True)
class AssetDescription:
    """The facts that a file states about itself; filled in while its contents are read.

    `thumbprint` is that of a still picture: a file with several pictures has none.
    """

    modality: Modality | None = None
    metadata: Metadata = field(default_factory=Metadata)
    thumbprint: bytes | None = None
    omissions: list[Omission] = field(default_factory=list)


def make_load_options(
    encoders: Encoders, options: LoadOptions, *, with_ocr: bool = True
) -> LoadOptions:
    """Returns `options` with the sizes and rates that these encoders take.

    `with_ocr` permits OCR, for a library that has it. Raises MissingExtra if the library has
    OCR and its packages are not installed.
    """
    rates_hz = {SPEECH_RATE_HZ, encoders.sound.sample_rate_hz}
    return replace(
        options,
        picture=encoders.image.fit,
        sample_rates_hz=tuple(sorted(rates_hz)),
        legible_px=LEGIBLE_PX if with_ocr and encoders.ocr is not None else 0,
    )


def split_into_work_items(
    asset_id: str, contents: Iterable[Content], encoders: Encoders, description: AssetDescription
) -> Iterator[WorkItem]:
    """Cuts the contents of one asset into segments and prepares each for its encoder.

    Speech is transcribed here. An asset in which nothing can be embedded still gets one segment, so
    that it can be found by its name.
    """
    count = 0
    for item in _split_contents(asset_id, contents, encoders, description):
        count += 1
        yield item
    if count == 0 and description.modality is not None:
        yield WorkItem(make_empty_segment(asset_id, description.modality))


def make_empty_segment(asset_id: str, modality: Modality) -> Segment:
    """Makes the only segment of an asset without content, which its name alone stands for."""
    kind = SegmentKind.IMAGE if modality is Modality.IMAGE else SegmentKind.TEXT
    return _make_segment(asset_id, kind, Place())


def _split_contents(
    asset_id: str, contents: Iterable[Content], encoders: Encoders, description: AssetDescription
) -> Iterator[WorkItem]:
    make_segment = partial(_make_segment, asset_id)

    def make_sound_items(windows: Iterable[SoundWindow]) -> Iterator[WorkItem]:
        for each in windows:
            yield WorkItem(make_segment(SegmentKind.SOUND, each.place), window=each.samples)

    def make_speech_items(parts: Iterable[SpokenPart]) -> Iterator[WorkItem]:
        for each in parts:
            segment = make_segment(SegmentKind.SPEECH, each.place, each.text)
            yield WorkItem(replace(segment, language=each.language))

    def make_ocr_items(ocr_segments: Iterable[OcrSegment]) -> Iterator[WorkItem]:
        for each in ocr_segments:
            place = read_places.separate(each.place)
            segment = make_segment(SegmentKind.OCR, place, each.paragraph.text)
            yield WorkItem(segment, box=each.paragraph.box)

    count_tokens = encoders.text.count_tokens
    sounds: SoundSegmenter | None = None  # its models are loaded for the first sound
    ocr = OcrPipeline(lambda: encoders.reader, count_tokens, max_tokens=CHUNK_TOKENS)
    picture_count = 0
    picture_places, read_places = _PlaceSeparator(), _PlaceSeparator()
    for content in contents:
        match content:
            case Described(modality, metadata):
                description.modality, description.metadata = modality, metadata
            case Omission():
                description.omissions.append(content)
            case Picture(pixels, place, is_frame, legible):
                picture_count += 1
                is_still = picture_count == 1 and description.modality is Modality.IMAGE
                description.thumbprint = (
                    _compute_thumbprint(pixels, description, encoders) if is_still else None
                )
                kind = SegmentKind.FRAME if is_frame else SegmentKind.IMAGE
                prepared = encoders.image.prepare(pixels)
                own_place = picture_places.separate(place)
                yield WorkItem(make_segment(kind, own_place), picture=prepared)
                legible_part = () if legible is None else (legible.pixels, legible.boxes)
                yield from make_ocr_items(ocr.feed(place, *legible_part))
            case Cue(text, place, language, role):
                sounds = sounds or SoundSegmenter(encoders.sound, encoders.transcriber)
                sounds.add_cue(content)
                cue_kind = SegmentKind.TEXT if role == "chapter" else SegmentKind.SPEECH
                yield WorkItem(replace(make_segment(cue_kind, place, text), language=language))
            case AudioBlock():
                sounds = sounds or SoundSegmenter(encoders.sound, encoders.transcriber)
                yield from make_sound_items(sounds.cut_windows(content))
                yield from make_speech_items(sounds.transcribe(content))
            case Reading(text=text, place=place, values=values, encoder=name):
                segment = make_segment(SegmentKind.OTHER, place, text)
                if encoders.get_other_encoder(name) is None:  # it keeps its text and its place
                    yield WorkItem(segment)
                else:
                    yield WorkItem(segment, reading=values, encoder=name)
            case Passage():
                for chunk in split_chunks(
                    [content], count_tokens, max_tokens=CHUNK_TOKENS, overlap_tokens=OVERLAP_TOKENS
                ):
                    yield WorkItem(make_segment(SegmentKind.TEXT, chunk.place, chunk.text))
    yield from make_ocr_items(ocr.finish())
    if sounds is not None:
        yield from make_sound_items(sounds.finish_windows())
        yield from make_speech_items(sounds.finish_speech())
        description.omissions += sounds.omissions


class _PlaceSeparator:
    """Keeps segments apart that stand at one place, such as several pictures on one page."""

    def __init__(self) -> None:
        self._counts: Counter[Place] = Counter()

    def separate(self, place: Place) -> Place:
        """Returns the place itself at first, then with characters that count the repetitions."""
        if place.span is not None:
            return place
        own = place
        while own in self._counts:
            start, end = place.chars or (0, 0)
            count = self._counts[place]
            self._counts[place] += 1
            own = replace(place, chars=(start + count, end + count))
        self._counts[own] = 1
        return own


def _make_segment(
    asset_id: str, kind: SegmentKind, place: Place, text: str | None = None
) -> Segment:
    # A lone surrogate cannot be stored.
    text = text and replace_surrogates(text)
    return Segment(segment_id(asset_id, kind, place), asset_id, kind, place, text)


def _compute_thumbprint(
    pixels: PixelArray, description: AssetDescription, encoders: Encoders
) -> bytes | None:
    width_px, height_px = description.metadata.width_px, description.metadata.height_px
    if width_px and height_px:
        pixels = remove_padding(pixels, encoders.image.fit, width_px, height_px)
    return compute_thumbprint(pixels)


def encode_work_items(batch: Sequence[WorkItem], encoders: Encoders) -> list[EncodedSegment]:
    """Embeds a batch, which may be of many assets; results in the order of the batch."""
    vectors: list[tuple[Vectors, ...]] = [()] * len(batch)
    segments = [item.segment for item in batch]

    def add_rows(space: Space, indices: Iterable[int], rows: FloatArray) -> None:
        for i, row in zip(indices, rows, strict=True):
            box = batch[i].box
            boxes = None if box is None else (box,)
            vectors[i] += (Vectors(space.name, row[None], boxes),)

    if pictures := {i: each.picture for i, each in enumerate(batch) if each.picture is not None}:
        codes = encoders.image.encode(list(pictures.values()))
        for i, code in zip(pictures, codes, strict=True):
            vectors[i] = (Vectors(encoders.image.space.name, code.values, code.boxes),)
            segments[i] = replace(segments[i], tags=code.tags[:MAX_TAGS])
    if windows := {i: each.window for i, each in enumerate(batch) if each.window is not None}:
        add_rows(encoders.sound.space, windows, encoders.sound.encode(list(windows.values())))
    readings = {i: each.reading for i, each in enumerate(batch) if each.reading is not None}
    for name in {batch[i].encoder for i in readings}:
        encoder = encoders.get_other_encoder(name)
        if encoder is not None:
            own = [i for i in readings if batch[i].encoder == name]
            add_rows(encoder.space, own, encoder.encode([readings[i] for i in own]))
    if texts := {i: each.text for i, each in enumerate(segments) if each.text}:
        add_rows(encoders.text.space, texts, encoders.text.encode(list(texts.values())))
    return [EncodedSegment(*pair) for pair in zip(segments, vectors, strict=True)]
