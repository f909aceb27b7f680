"""What a loader is: it turns a file into metadata and a stream of contents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mmsearch.types import Metadata, Modality, Place

if TYPE_CHECKING:
    from mmsearch.types import PixelArray, SampleArray

SAMPLE_RATE_HZ = 16_000
"""Audio is resampled once, to what Whisper was trained on."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that keep one file from taking the machine.

    `stall_s` is how long a decoder may work without handing anything over; it is enforced from
    outside, by the process that watches it. `memory_bytes` bounds what a decoder process may
    allocate, where the operating system can enforce it.
    """

    pixels: int = 200_000_000
    file_bytes: int = 64 * 1024**3
    text_bytes: int = 256 * 1024**2
    text_chars: int = 4_000_000
    pages: int = 2_000
    duration_s: float = 48 * 3600.0
    stall_s: float = 60.0
    memory_bytes: int = 2 * 1024**3


def too_many_pixels(width_px: int, height_px: int, limits: Limits) -> str:
    """The reason of a MediaTooLarge, and how to let such a picture in."""
    return (
        f"{width_px}x{height_px} is {width_px * height_px / 1e6:.0f} megapixels, the limit is "
        f"{limits.pixels / 1e6:g}: raise it with --max-megapixels if the picture is meant"
    )


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to decode: the limits, and what the encoders of the library need.

    Pictures are handed over with their longer side at most `picture_px`, never enlarged.
    `speech` and `frames` switch off what the library does not keep.
    """

    limits: Limits = Limits()
    picture_px: int = 1024
    animation_frames: int = 4
    tiff_pages: int = 50
    frame_floor_s: float = 1.0
    frame_ceiling_s: float = 10.0
    audio_block_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Described:
    """Always the first thing a loader yields: what the file is."""

    modality: Modality
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class Picture:
    """An image, a page of one, or a video frame: (height, width, 3) uint8 RGB, upright.

    `place` has a page for the later pages or frames of an image, and a span for a video frame.
    """

    pixels: PixelArray
    place: Place
    is_frame: bool = False


@dataclass(frozen=True, slots=True)
class AudioBlock:
    """The next stretch of the sound track: (n,) float32 mono at `SAMPLE_RATE_HZ`, in [-1, 1].

    Blocks follow each other without gap or overlap from `start_s` on.
    """

    samples: SampleArray
    start_s: float


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


Content = Described | Picture | AudioBlock | Cue | Passage


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
