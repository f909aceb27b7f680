"""The frozen values that the parts of mmsearch pass to each other."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]
    PixelArray = NDArray[np.uint8]
    SampleArray = NDArray[np.float32]

Metric = Literal["cosine"]


class Modality(StrEnum):
    """The kind of an asset, and the `kind` of a hit."""

    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"
    TEXT = "text"
    OTHER = "other"  # what only a plugin reads


class SegmentKind(StrEnum):
    """The kind of a segment."""

    IMAGE = "image"
    FRAME = "frame"
    SOUND = "sound"
    SPEECH = "speech"
    TEXT = "text"
    OCR = "ocr"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open interval of a timed asset, in seconds."""

    start_s: float
    end_s: float

    def overlap_s(self, other: Span) -> float:
        """Returns the seconds that both intervals cover."""
        return max(0.0, min(self.end_s, other.end_s) - max(self.start_s, other.start_s))


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in an image, as fractions of its width and height, origin at the top left."""

    x0: float
    y0: float
    x1: float
    y1: float


FitMode = Literal["within", "shortest", "squash", "letterbox"]
Resampling = Literal["lanczos", "bicubic", "bilinear"]


@dataclass(frozen=True, slots=True)
class PictureFit:
    """The scaling of an image to the size that an image encoder takes.

    `within`: the longer side shrunk to at most `size_px`, never enlarged. The others give
    (size_px, size_px) exactly, enlarging where needed: `shortest` scales the shorter side and cuts
    out the centre, `squash` scales both sides, `letterbox` scales the longer side and pads with
    `fill`.
    """

    mode: FitMode
    size_px: int
    resampling: Resampling
    fill: int = 0


@dataclass(frozen=True, slots=True)
class Tag:
    """A word for the content of an image or sound, and its probability (0..1)."""

    name: str
    probability: float


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a segment in its asset; fields that do not apply are None.

    `page` counts from 1. `chars` is a half-open range of characters in the page, or in the whole
    text where there are no pages. `track` counts the sound tracks of a file with several from 1.
    """

    span: Span | None = None
    page: int | None = None
    chars: tuple[int, int] | None = None
    track: int | None = None

    def key(self) -> str:
        """Returns a text that is equal exactly when the places are (times to the millisecond)."""
        parts = []
        if self.span is not None:
            parts.append(f"t{round(self.span.start_s * 1000)}-{round(self.span.end_s * 1000)}")
        if self.page is not None:
            parts.append(f"p{self.page}")
        if self.chars is not None:
            parts.append(f"c{self.chars[0]}-{self.chars[1]}")
        if self.track is not None:
            parts.append(f"a{self.track}")
        return ",".join(parts)


def segment_id(asset_id: str, kind: SegmentKind, place: Place) -> str:
    """Returns the id of a segment: 32 hex digits of BLAKE2b over asset, kind and place."""
    text = f"{asset_id}/{kind.value}/{place.key()}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class OmissionCause(StrEnum):
    """The reason why a part of a file was not read."""

    LIMIT = "limit"  # a bound on pages, characters, seconds
    DAMAGED = "damaged"
    UNSUPPORTED = "unsupported"  # of a kind that mmsearch does not read
    ENCRYPTED = "encrypted"
    UNHEARD = "unheard"  # a track of sound that was not transcribed
    LANGUAGE = "language"  # speech in a language that the model does not know
    EXTRA = "extra"  # packages that are not installed, or OCR that the library lacks


@dataclass(frozen=True, slots=True)
class Omission:
    """A part of a file that was not read.

    `detail` says which part, in words. With the cause `limit`, `name` is the field of
    `mmsearch.media.base.Limits` that was passed and `value` its value then; with `extra`, `name` is
    the extra that would read it. A later run with a higher limit, or with the extra, reads the file
    again.
    """

    cause: OmissionCause
    detail: str
    name: str = ""
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class Metadata:
    """Facts that a file states about itself: EXIF, IPTC, XMP, ID3, container and document headers.

    `keywords` are tags and the names of people; `location` is a place in words, such as a city and
    a country.
    """

    format: str = ""
    width_px: int | None = None
    height_px: int | None = None
    duration_s: float | None = None
    page_count: int | None = None
    taken_at: datetime | None = None
    latitude: float | None = None
    longitude: float | None = None
    camera: str | None = None
    artist: str | None = None
    title: str | None = None
    album: str | None = None
    language: str | None = None
    description: str | None = None
    keywords: tuple[str, ...] = ()
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Asset:
    """The content of a file, whatever its names: two copies are one asset.

    `indexed_at` is when its segments were embedded; None before they are stored. `omissions` are
    the parts that were not read.
    """

    id: str
    modality: Modality
    size_bytes: int
    metadata: Metadata
    indexed_at: datetime | None = None
    omissions: tuple[Omission, ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of an asset that can be a hit by itself; `language` is that of what is said."""

    id: str
    asset_id: str
    kind: SegmentKind
    place: Place
    text: str | None = None
    tags: tuple[Tag, ...] = ()
    language: str | None = None

    @property
    def span(self) -> Span | None:
        """The interval of a timed segment, else None."""
        return self.place.span


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A file of a model; `name` is relative to the model's folder."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Provenance:
    """The model of some vectors: its name, its revision, and a sha256 over its weight files."""

    model: str
    revision: str
    weights_sha256: str
    files: tuple[WeightFile, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Space:
    """A vector space: vectors of two spaces are never compared.

    `weights_sha256` is over the files that decide what a vector means, so that a library knows
    whether today's weights are those it was built with; `files` names them one by one.
    """

    name: str
    dim: int
    metric: Metric
    model: str
    revision: str
    weights_sha256: str
    files: tuple[WeightFile, ...] = field(default=(), compare=False)

    @property
    def provenance(self) -> Provenance:
        """The model of the vectors of this space."""
        return Provenance(self.model, self.revision, self.weights_sha256, self.files)


@dataclass(frozen=True, slots=True)
class Vectors:
    """The vectors of one segment in one space.

    `values` is (n, dim) float32 with unit rows; `boxes`, where the vectors stand for parts of a
    picture, has one entry a row.
    """

    space: str
    values: FloatArray
    boxes: tuple[Box, ...] | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A segment near a query in an index, before fusion.

    `row` is the segment's row in the index that found it, `similarity` the cosine.
    """

    space: str
    row: int
    rank: int
    similarity: float


@dataclass(frozen=True, slots=True)
class SpaceScore:
    """The rank of a hit in one space (from 1) and its calibrated score (0..1).

    `provenance` is the model that made the vectors; None for names, which need none.
    """

    rank: int
    score: float
    similarity: float
    provenance: Provenance | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """A segment of a hit with its own score, and the matching part of its image.

    `span` is the stretch of time that matches: that of the segment, longer where its neighbours
    match too; None where the asset has no time.
    """

    segment: Segment
    score: float
    box: Box | None = None
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """One asset in a ranking, with the segment that matched best.

    `score` is calibrated to 0..1. `path` is where the asset lies; further copies are in `also_at`.
    `moments` are its matching segments, the best first; `segment` is the first of them.
    `duplicates` are the paths of near-duplicates (resized, re-encoded, cropped a little) that were
    found too and are shown under this one.
    """

    rank: int
    score: float
    path: str
    asset: Asset
    segment: Segment
    spaces: dict[str, SpaceScore] = field(default_factory=dict)
    moments: tuple[Moment, ...] = ()
    also_at: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()
    why: str = ""

    @property
    def kind(self) -> Modality:
        """image, audio, video, text or other."""
        return self.asset.modality
