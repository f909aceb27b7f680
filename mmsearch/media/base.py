"""What a loader is: it turns a file into metadata and a stream of contents."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from mmsearch.types import Box, Metadata, Modality, PictureFit, Place, Span

if TYPE_CHECKING:
    from mmsearch.types import FloatArray, PixelArray, SampleArray

SAMPLE_RATE_HZ = 16_000
"""What sound is resampled to where nothing else is asked for: Whisper was trained on it."""
_RATES_HZ = range(1_000, 192_001)
Track = Literal["both", "pictures", "sound"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that keep one file from taking the machine.

    `stall_s` is how long a decoder may work without handing anything over; it is enforced from
    outside, by the process that watches it. `memory_bytes` bounds what a decoder process may
    allocate, where the operating system can enforce it. `values` bounds one array that a plugin
    hands over, `contents` how many contents it makes of one file.
    """

    pixels: int = 200_000_000
    file_bytes: int = 64 * 1024**3
    text_bytes: int = 256 * 1024**2
    text_chars: int = 4_000_000
    pages: int = 2_000
    duration_s: float = 48 * 3600.0
    stall_s: float = 60.0
    memory_bytes: int = 2 * 1024**3
    values: int = 16 * 1024**2
    contents: int = 200_000


def describe_pixel_excess(width_px: int, height_px: int, limits: Limits) -> str:
    """The reason of a MediaTooLarge, and how to let such a picture in."""
    return (
        f"{width_px}x{height_px} is {width_px * height_px / 1e6:.0f} megapixels, the limit is "
        f"{limits.pixels / 1e6:g}: raise it with --max-megapixels if the picture is meant"
    )


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to decode: the limits, and what the encoders of the library need.

    Pictures and frames arrive fitted as `picture` says: the decoder processes do the scaling.
    Sound arrives once for each of `sample_rates_hz`, each resampled from the source by itself.
    With `legible_px` pictures in which writing may stand come legible besides, at most so long.

    The last three leave most of a file out, for who looks at it again: a loader may pass over them
    and hand over more. `only` is a stretch of what has time, which is sought out. Of sound comes
    what lies in it. Of a video comes, where `only` is the span of a shot, the picture of that shot,
    where it is empty, the frame that is shown at that time, which past the end is the last; no
    subtitles come. `track` leaves out one side of a video then. `page` is one page or frame of an
    image, from 1.

    Raises ValueError for rates outside 1000..192000, and for none, and for what is no stretch of
    time and no page.
    """

    limits: Limits = Limits()
    picture: PictureFit = PictureFit("within", 1024, "lanczos")
    sample_rates_hz: tuple[int, ...] = (SAMPLE_RATE_HZ,)
    animation_frames: int = 4
    tiff_pages: int = 50
    frame_floor_s: float = 1.0
    frame_ceiling_s: float = 10.0
    audio_block_s: float = 30.0
    legible_px: int = 0
    only: Span | None = None
    track: Track = "both"
    page: int | None = None

    def __post_init__(self) -> None:
        span = self.only
        if span is not None and not 0 <= span.start_s <= span.end_s < math.inf:
            raise ValueError(f"no stretch of time: {span.start_s} to {span.end_s} s")
        if self.page is not None and self.page < 1:
            raise ValueError(f"pages count from 1: {self.page}")
        wrong = [rate_hz for rate_hz in self.sample_rates_hz if rate_hz not in _RATES_HZ]
        if wrong or not self.sample_rates_hz:
            asked = f"{wrong[0]} Hz" if wrong else "none"
            raise ValueError(
                f"sound is resampled to rates from {_RATES_HZ[0]} to {_RATES_HZ[-1]} Hz; "
                f"asked for: {asked}"
            )


@dataclass(frozen=True, slots=True)
class Described:
    """Always the first thing a loader yields: what the file is."""

    modality: Modality
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class OcrPicture:
    """A picture as large as reading wants it: (height, width, 3) uint8 RGB, upright.

    `boxes` are where in it writing may stand, as far as a cheap look can tell, the likeliest first.
    """

    pixels: PixelArray
    boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """An image, a page of one, or a video frame: (height, width, 3) uint8 RGB, upright.

    `place` has a page for the later pages or frames of an image, and a span for a video frame.
    `legible` is there where it was asked for and writing may stand in the picture.
    """

    pixels: PixelArray
    place: Place
    is_frame: bool = False
    ocr_picture: OcrPicture | None = None


@dataclass(frozen=True, slots=True)
class AudioBlock:
    """The next stretch of the sound track: (n,) float32 mono, in [-1, 1].

    Blocks of one rate follow each other without gap or overlap from `start_s` on. Where several
    rates are asked for, no rate is more than a block ahead of another.
    """

    samples: SampleArray
    start_s: float
    sample_rate_hz: int = SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class Cue:
    """A line of subtitles: it takes the place of a transcript."""

    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of a document to be cut into chunks; `start_char` is where it begins."""

    text: str
    page: int | None
    start_char: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What only a plugin reads, for the encoder named `encoder`: a stretch of a sensor stream, say.

    `values` is float32 of one to three dimensions. `text`, where there is one, is embedded as words
    too and quoted in results.
    """

    values: FloatArray
    place: Place
    text: str | None = None
    encoder: str = ""


Content = Described | Picture | AudioBlock | Cue | Passage | Reading


class Loader(Protocol):
    """Reads one family of files.

    Stateless and cheap to make: imports of decoders happen in `load`.
    """

    name: str

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yield `Described`, then the contents in order, streaming.

        Raises UnsupportedMedia, DecodeError or MediaTooLarge, each carrying the path, and nothing
        else for a file that is merely bad. What was yielded before an error is discarded.
        """
        ...


class PluginLoader(Loader, Protocol):
    """A loader that a package offers under the entry point `mmsearch.loaders`.

    Made without arguments, once in each decoder process.
    """

    def claims(self, path: Path, head: bytes) -> bool:
        """Whether to read `path`, whose first 8 KiB are `head`; asked before the built-in loaders.

        Called for every file: quick, and True only where the content says so.
        """
        ...
