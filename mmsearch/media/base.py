"""The loader protocol: a loader reads a file as metadata and a stream of contents."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from mmsearch.types import Box, Metadata, Modality, Omission, PictureFit, Place, Span

if TYPE_CHECKING:
    from mmsearch.types import FloatArray, PixelArray, SampleArray

SAMPLE_RATE_HZ = 16_000
"""The default rate of sound: Whisper was trained on it."""
_RATES_HZ = range(1_000, 192_001)
Track = Literal["both", "pictures", "sound"]
CueRole = Literal["full", "partial", "chapter"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on the work and memory that one file may cost.

    `pages` is of documents, `picture_pages` of pictures such as TIFF. `stall_s` is the longest time
    between two contents; the parent of the decoder process enforces it. `memory_bytes` bounds the
    allocations of a decoder process, where the operating system can. `values` bounds one array of a
    plugin, `contents` the number of its contents of one file.
    """

    pixels: int = 200_000_000
    file_bytes: int = 64 * 1024**3
    text_bytes: int = 256 * 1024**2
    text_chars: int = 4_000_000
    pages: int = 2_000
    picture_pages: int = 50
    duration_s: float = 48 * 3600.0
    stall_s: float = 60.0
    memory_bytes: int = 2 * 1024**3
    values: int = 16 * 1024**2
    contents: int = 200_000


def describe_pixel_excess(width_px: int, height_px: int, limits: Limits) -> str:
    """Returns the reason of a MediaTooLarge, and the option that admits such a picture."""
    return (
        f"{width_px}x{height_px} is {width_px * height_px / 1e6:.0f} megapixels, the limit is "
        f"{limits.pixels / 1e6:g}: raise it with --max-megapixels if the picture is meant"
    )


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Options of decoding: the limits, and the inputs that the encoders of a library need.

    Pictures and frames are scaled as `picture` says, in the decoder process. Sound is resampled
    from the source to each of `sample_rates_hz`. With `legible_px` above 0, a picture that may
    contain text also has an `OcrPicture` whose longer side is at most so many pixels.

    `only`, `track` and `page` select a part of a file; a loader may ignore them and yield more.
    `only` is a span: of sound it selects the samples in it; of a video the picture of the shot
    with that span or, where the span is empty, the frame shown at that time (past the end, the
    last), without subtitles. `track` then leaves out the pictures or the sound of a video, and
    `sound_track` selects one of several sound tracks, from 1. `page` is a page or frame of an
    image, from 1.

    Raises ValueError for no rate, a rate outside 1000..192000, and an impossible span or page.
    """

    limits: Limits = Limits()
    picture: PictureFit = PictureFit("within", 1024, "lanczos")
    sample_rates_hz: tuple[int, ...] = (SAMPLE_RATE_HZ,)
    animation_frames: int = 4
    frame_floor_s: float = 1.0
    frame_ceiling_s: float = 10.0
    audio_block_s: float = 30.0
    legible_px: int = 0
    only: Span | None = None
    track: Track = "both"
    sound_track: int | None = None
    page: int | None = None

    def __post_init__(self) -> None:
        span = self.only
        if span is not None and not 0 <= span.start_s <= span.end_s < math.inf:
            raise ValueError(f"no stretch of time: {span.start_s} to {span.end_s} s")
        if self.page is not None and self.page < 1:
            raise ValueError(f"pages count from 1: {self.page}")
        invalid = [f"{rate} Hz" for rate in self.sample_rates_hz if rate not in _RATES_HZ]
        if invalid or not self.sample_rates_hz:
            raise ValueError(
                f"sound is resampled to rates from {_RATES_HZ[0]} to {_RATES_HZ[-1]} Hz; "
                f"asked for: {invalid[0] if invalid else 'none'}"
            )


@dataclass(frozen=True, slots=True)
class Described:
    """The modality and metadata of a file; the first content that a loader yields."""

    modality: Modality
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class OcrPicture:
    """A picture at the size that OCR needs: (height, width, 3) uint8 RGB, upright.

    `boxes` are the places of possible text, by `mmsearch.media.pictures.text_detection`, the
    likeliest first.
    """

    pixels: PixelArray
    boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """An image, a page of one, or a video frame: (height, width, 3) uint8 RGB, upright.

    `place` has a page for the later pages or frames of an image, and a span for a video frame.
    `ocr_picture` is there if `LoadOptions.legible_px` is set and the picture may contain text.
    """

    pixels: PixelArray
    place: Place
    is_frame: bool = False
    ocr_picture: OcrPicture | None = None


@dataclass(frozen=True, slots=True)
class AudioBlock:
    """A block of a sound track: (n,) float32 mono, in [-1, 1].

    Blocks of one rate and track follow each other without overlap, and without gap except where
    the recording has a long one. With several rates, no rate is more than a block ahead of another.
    `track` counts from 1 in a file with several; `language` is the tag in the container.
    """

    samples: SampleArray
    start_s: float
    sample_rate_hz: int = SAMPLE_RATE_HZ
    track: int | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Cue:
    """A line of subtitles, or the title of a chapter.

    `full` subtitles are a transcript where they cover the voice; `partial` ones never are: forced
    lines, comments, captions of sounds. `language` is a code of ISO 639 such as en, if known.
    """

    text: str
    place: Place
    language: str | None = None
    role: CueRole = "full"


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a document, not yet cut into chunks; `start_char` is its offset."""

    text: str
    page: int | None
    start_char: int


@dataclass(frozen=True, slots=True)
class Reading:
    """Values of a plugin's own modality, for the encoder named `encoder`: sensor data, say.

    `values` is float32 of one to three dimensions. `text`, if any, is also embedded as text and
    quoted in results.
    """

    values: FloatArray
    place: Place
    text: str | None = None
    encoder: str = ""


Content = Described | Picture | AudioBlock | Cue | Passage | Reading | Omission


class Loader(Protocol):
    """Reads one family of files.

    Stateless and cheap to make: imports of decoders happen in `load`.
    """

    name: str

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yields `Described`, then the contents in order, as a stream.

        Raises UnsupportedMedia, DecodeError or MediaTooLarge with the path, and nothing else for a
        bad file. Contents yielded before an error are discarded.
        """
        ...


class PluginLoader(Loader, Protocol):
    """A loader that a package offers under the entry point `mmsearch.loaders`.

    Made without arguments, once in each decoder process.
    """

    def claims(self, path: Path, head: bytes) -> bool:
        """Returns True if this loader reads `path`, whose first 8 KiB are `head`.

        Called for every file, before the built-in loaders: it must be quick, and judge by content.
        """
        ...
