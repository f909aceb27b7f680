"""From the contents of a file to segments with vectors; the same for ingest and for queries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

from mmsearch.encoders.audio.whisper_sound import WindowCutter
from mmsearch.encoders.base import PreparedPicture
from mmsearch.encoders.ocr.pipeline import Writing, Written
from mmsearch.encoders.speech.transcriber import SpeechCutter
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
from mmsearch.media.chunking import split_chunks
from mmsearch.media.thumbprint import compute_thumbprint, remove_padding
from mmsearch.store.rows import EncodedSegment
from mmsearch.types import (
    Box,
    Metadata,
    Modality,
    Place,
    Segment,
    SegmentKind,
    Span,
    Vectors,
    segment_id,
)

if TYPE_CHECKING:
    from mmsearch.encoders.bundle import Encoders
    from mmsearch.types import FloatArray, PixelArray, SampleArray

SPEECH_RATE_HZ = 16_000
"""What Whisper was trained on."""
CHUNK_TOKENS = 96
OVERLAP_TOKENS = 16
MAX_TAGS = 8
LEGIBLE_PX = 1600
"""The longer side of a picture that is read."""


@dataclass(frozen=True, slots=True)
class Work:
    """A segment that waits for its vectors: a picture, a window of sound, or its own text.

    `reading` is what a plugin's loader read, for the encoder named `encoder`; `box` is where in its
    picture the text stands.
    """

    segment: Segment
    picture: PreparedPicture | None = None
    window: SampleArray | None = None
    reading: FloatArray | None = None
    encoder: str = ""
    box: Box | None = None

    @property
    def size_bytes(self) -> int:
        """About how much memory it holds while it waits."""
        crops = 0 if self.picture is None else self.picture.crops.nbytes
        samples = 0 if self.window is None else self.window.nbytes
        values = 0 if self.reading is None else self.reading.nbytes
        return 16 * 1024 + crops + samples + values


@dataclass(slots=True)
class Description:
    """What a file said of itself while it was read; filled in as it goes.

    `look` is that of a still picture: a file with several pictures has none.
    """

    modality: Modality | None = None
    metadata: Metadata = field(default_factory=Metadata)
    look: bytes | None = None


def load_options(
    encoders: Encoders, options: LoadOptions, *, with_writing: bool = True
) -> LoadOptions:
    """How files are to be decoded for these encoders, within the limits of `options`.

    `with_writing` is whether the writing in pictures is to be read, where the library reads it at
    all. Raises MissingExtra where it does and what reads it is not installed.
    """
    rates_hz = {SPEECH_RATE_HZ, encoders.sound.sample_rate_hz}
    return replace(
        options,
        picture=encoders.image.fit,
        sample_rates_hz=tuple(sorted(rates_hz)),
        legible_px=LEGIBLE_PX if with_writing and encoders.ocr is not None else 0,
    )


def works(
    asset_id: str, contents: Iterable[Content], encoders: Encoders, description: Description
) -> Iterator[Work]:
    """Cut the contents of one asset into segments and prepare each for its encoder.

    Speech is transcribed here. An asset in which nothing can be embedded still gets one segment, so
    that it can be found by its name.
    """
    count = 0
    for work in _works(asset_id, iter(contents), encoders, description):
        count += 1
        yield work
    if count == 0 and description.modality is not None:
        kind = SegmentKind.IMAGE if description.modality is Modality.IMAGE else SegmentKind.TEXT
        yield Work(_segment(asset_id, kind, Place()))


def _works(
    asset_id: str, contents: Iterator[Content], encoders: Encoders, description: Description
) -> Iterator[Work]:
    sound = encoders.sound
    cutter = WindowCutter(
        window_s=sound.window_s, hop_s=sound.hop_s, sample_rate_hz=sound.sample_rate_hz
    )
    speech = SpeechCutter(sample_rate_hz=SPEECH_RATE_HZ)
    has_cues = False
    pictures = 0
    writing = Writing(lambda: encoders.reader, encoders.text.count_tokens, max_tokens=CHUNK_TOKENS)
    for content in contents:
        match content:
            case Described(modality, metadata):
                description.modality, description.metadata = modality, metadata
            case Picture(pixels, place, is_frame, legible):
                kind = SegmentKind.FRAME if is_frame else SegmentKind.IMAGE
                pictures += 1
                is_still = pictures == 1 and description.modality is Modality.IMAGE
                description.look = _look(pixels, description, encoders) if is_still else None
                prepared = encoders.image.prepare(pixels)
                yield Work(_segment(asset_id, kind, place), picture=prepared)
                seen = () if legible is None else (legible.pixels, legible.boxes)
                yield from (_written_in(asset_id, one) for one in writing.feed(place, *seen))
            case Cue(text, place):
                has_cues = True
                yield Work(_segment(asset_id, SegmentKind.SPEECH, place, text))
            case AudioBlock(samples, start_s, rate_hz):
                if rate_hz == sound.sample_rate_hz:
                    for window, span in cutter.push(samples, start_s):
                        yield _sound(asset_id, window, span)
                if rate_hz == SPEECH_RATE_HZ and not has_cues:
                    for stretch, stretch_start_s in speech.push(samples, start_s):
                        yield from _spoken(asset_id, stretch, stretch_start_s, encoders)
            case Reading():
                yield _read(asset_id, content, encoders)
            case Passage():
                passages = (one for one in chain([content], contents) if isinstance(one, Passage))
                yield from _written(asset_id, passages, encoders)
    yield from (_written_in(asset_id, one) for one in writing.finish())
    for window, span in cutter.finish():
        yield _sound(asset_id, window, span)
    for stretch, stretch_start_s in speech.finish():
        yield from _spoken(asset_id, stretch, stretch_start_s, encoders)


def _segment(asset_id: str, kind: SegmentKind, place: Place, text: str | None = None) -> Segment:
    # A lone surrogate cannot be stored.
    text = text and text.encode("utf-8", "replace").decode()
    return Segment(segment_id(asset_id, kind, place), asset_id, kind, place, text)


def _look(pixels: PixelArray, description: Description, encoders: Encoders) -> bytes | None:
    said = description.metadata
    if said.width_px and said.height_px:
        pixels = remove_padding(pixels, encoders.image.fit, said.width_px, said.height_px)
    return compute_thumbprint(pixels)


def _sound(asset_id: str, window: SampleArray, span: Span) -> Work:
    return Work(_segment(asset_id, SegmentKind.SOUND, Place(span=span)), window=window)


def _read(asset_id: str, reading: Reading, encoders: Encoders) -> Work:
    """What the library has no encoder for is kept by its text and its place."""
    segment = _segment(asset_id, SegmentKind.OTHER, reading.place, reading.text)
    if encoders.other(reading.encoder) is None:
        return Work(segment)
    return Work(segment, reading=reading.values, encoder=reading.encoder)


def _spoken(
    asset_id: str, samples: SampleArray, start_s: float, encoders: Encoders
) -> Iterator[Work]:
    for said in encoders.transcriber.transcribe(samples, start_s):
        yield Work(_segment(asset_id, SegmentKind.SPEECH, Place(span=said.span), said.text))


def _written_in(asset_id: str, written: Written) -> Work:
    paragraph = written.paragraph
    segment = _segment(asset_id, SegmentKind.OCR, written.place, paragraph.text)
    return Work(segment, box=paragraph.box)


def _written(asset_id: str, passages: Iterator[Passage], encoders: Encoders) -> Iterator[Work]:
    for chunk in split_chunks(
        passages,
        encoders.text.count_tokens,
        max_tokens=CHUNK_TOKENS,
        overlap_tokens=OVERLAP_TOKENS,
    ):
        yield Work(_segment(asset_id, SegmentKind.TEXT, chunk.place, chunk.text))


def encode(batch: Sequence[Work], encoders: Encoders) -> list[EncodedSegment]:
    """Embed a batch, which may be of many assets; results in the order of the batch."""
    vectors: list[tuple[Vectors, ...]] = [()] * len(batch)
    segments = [work.segment for work in batch]
    pictured = [i for i, work in enumerate(batch) if work.picture is not None]
    if pictured:
        pictures = [picture for work in batch if (picture := work.picture) is not None]
        for i, code in zip(pictured, encoders.image.encode(pictures), strict=True):
            vectors[i] = (Vectors(encoders.image.space.name, code.values, code.boxes),)
            old = segments[i]
            segments[i] = Segment(
                old.id, old.asset_id, old.kind, old.place, old.text, code.tags[:MAX_TAGS]
            )
    heard = [i for i, work in enumerate(batch) if work.window is not None]
    if heard:
        windows = [window for work in batch if (window := work.window) is not None]
        values = encoders.sound.encode(windows)
        for i, value in zip(heard, values, strict=True):
            vectors[i] = (Vectors(encoders.sound.space.name, value[None]),)
    for name in {work.encoder for work in batch if work.reading is not None}:
        encoder = encoders.other(name)
        if encoder is not None:
            read = [i for i, work in enumerate(batch) if work.encoder == name]
            readings = [reading for i in read if (reading := batch[i].reading) is not None]
            for i, value in zip(read, encoder.encode(readings), strict=True):
                vectors[i] = (Vectors(encoder.space.name, value[None]),)
    worded = [i for i, segment in enumerate(segments) if segment.text]
    if worded:
        values = encoders.text.encode([text for segment in segments if (text := segment.text)])
        for i, value in zip(worded, values, strict=True):
            box = batch[i].box
            boxes = None if box is None else (box,)
            vectors[i] += (Vectors(encoders.text.space.name, value[None], boxes),)
    return [EncodedSegment(*pair) for pair in zip(segments, vectors, strict=True)]
