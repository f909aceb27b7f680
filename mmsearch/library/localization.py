"""Localization: maps where a query matches in the picture of one hit; no search does it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.encoders.base import PreparedPicture
from mmsearch.errors import MediaError, QueryError
from mmsearch.library.heatmap import HeatMap, spread_heat
from mmsearch.media.asset_ids import compute_asset_id
from mmsearch.media.base import Content, LoadOptions, Picture
from mmsearch.media.isolation import Decoder
from mmsearch.snapshot.keys import compute_key
from mmsearch.types import Box, PictureFit, Place, SegmentKind

if TYPE_CHECKING:
    from mmsearch.encoders.base import ImageEncoder
    from mmsearch.encoders.bundle import Encoders
    from mmsearch.models.calibration import Calibration
    from mmsearch.search.query_vectors import WeightedQueryVector
    from mmsearch.snapshot.snapshot import Snapshot
    from mmsearch.types import FloatArray, Hit, Moment, PixelArray

DECODED_PX = 1024
"""The longer side of the picture that is looked at: a crop of a third is still 340 pixels."""
SCALES = (1 / 2, 1 / 3)
"""Sides of the crops, as fractions of the side of a square that is as large as the picture.

In pictures composed of four photographs the hottest place lies in the right one for 0.92 of the
captions where they are cut at the middle, for 0.88 where anywhere; with a third alone for 0.91 and
0.90, with a quarter besides for 0.92 and 0.90 (`python -m benchmarks.heatmaps`).
"""
OVERLAP = 0.5
MAX_ACROSS = 16
"""Crops in a row, whatever the ratio of the sides."""
BATCH = 16
SPARE_RATE_HZ = 1_000
"""The sound of a video comes with its pictures, and is not listened to."""
_PICTURES = (SegmentKind.IMAGE, SegmentKind.FRAME)


def find_picture_moment(hit: Hit) -> Moment | None:
    """Returns the best moment of a hit that is an image or a frame of a video, else None."""
    return next((moment for moment in hit.moments if moment.segment.kind in _PICTURES), None)


def map_hit(
    hit: Hit,
    moment: Moment,
    query: Sequence[WeightedQueryVector],
    snapshot: Snapshot,
    encoders: Encoders,
    *,
    is_quick: bool,
) -> HeatMap:
    """Maps a moment by its pixels, or quickly by stored vectors where these stand for parts.

    Raises QueryError where the query cannot be looked for in a picture, or the file not be read.
    """
    image, curves = encoders.image, encoders.preset.calibrations
    vectors = [one for one in query if one.vector.space == image.space.name]
    if not any(one.weight > 0 for one in vectors):
        raise QueryError("nothing in the query can be looked for in a picture")
    stored = map_stored_vectors(hit, moment, vectors, snapshot, curves) if is_quick else None
    return stored or map_pixels(read_picture(hit, moment), vectors, image, curves)


def compute_heat(
    values: FloatArray, query: Sequence[WeightedQueryVector], curves: Mapping[str, Calibration]
) -> FloatArray:
    """Scores (n, dim) unit rows against query vectors: (n,) float32, in logits.

    A term of several rows is as near as the nearest of them; terms are summed by their weights, so
    that a term to be avoided cools. `curves` are the calibrations of a preset.
    """
    total = np.zeros(len(values), dtype=np.float32)
    for one in query:
        curve = curves.get(f"{one.vector.source}>{one.vector.space}")
        if curve is not None:
            nearest = (values @ one.vector.values.T).max(axis=1)
            total += np.float32(one.weight * curve.steepness) * nearest
    return total


def cut_into_boxes(width: int, height: int, scales: Sequence[float] = SCALES) -> tuple[Box, ...]:
    """Cuts a picture into squares of each scale that overlap by half, 28 to 47 of them.

    In a long picture they are no longer than its shorter side, and at most `MAX_ACROSS` in a row.
    """
    boxes = []
    for scale in scales:
        side = scale * math.sqrt(width * height)
        across, down = _steps(width, side), _steps(height, side)
        boxes += [Box(x0, y0, x1, y1) for y0, y1 in down for x0, x1 in across]
    return tuple(boxes)


def _steps(length: int, side: float) -> list[tuple[float, float]]:
    """Returns equal steps along one side of a picture, as fractions of its length."""
    part = min(1.0, max(side, 1.0) / length)
    count = math.ceil((1 - part) / (part * (1 - OVERLAP)) - 1e-9) + 1
    if count > MAX_ACROSS:
        count = MAX_ACROSS
        part = 1 / (1 + (count - 1) * (1 - OVERLAP))
    return [(start, start + part) for start in np.linspace(0.0, 1.0 - part, count).tolist()]


def map_pixels(
    pixels: PixelArray,
    query: Sequence[WeightedQueryVector],
    encoder: ImageEncoder,
    curves: Mapping[str, Calibration],
) -> HeatMap:
    """Maps (height, width, 3) uint8 RGB by crops that the encoder embeds one by one."""
    height, width = pixels.shape[:2]
    boxes = cut_into_boxes(width, height)
    heat = compute_heat(embed_crops(pixels, boxes, encoder), query, curves)
    return HeatMap(spread_heat(heat, boxes, (width, height)), (width, height), pixels)


def embed_crops(pixels: PixelArray, boxes: Sequence[Box], encoder: ImageEncoder) -> FloatArray:
    """Embeds n crops of (height, width, 3) uint8 RGB as (n, dim) unit rows."""
    crops = [_prepare_crop(pixels, box, encoder) for box in boxes]
    codes = [
        code
        for start in range(0, len(crops), BATCH)
        for code in encoder.encode(crops[start : start + BATCH])
    ]
    return np.concatenate([code.values for code in codes])


def _prepare_crop(pixels: PixelArray, box: Box, encoder: ImageEncoder) -> PreparedPicture:
    """Prepares a crop for the network: of the windows that an encoder cuts, the largest."""
    height, width = pixels.shape[:2]
    left, top = int(box.x0 * width), int(box.y0 * height)
    right = max(left + 1, round(box.x1 * width))
    bottom = max(top + 1, round(box.y1 * height))
    prepared = encoder.prepare(np.ascontiguousarray(pixels[top:bottom, left:right]))
    at = max(range(len(prepared.boxes)), key=lambda i: _area(prepared.boxes[i]))
    return PreparedPicture(prepared.crops[at : at + 1], (prepared.boxes[at],))


def _area(box: Box) -> float:
    return (box.x1 - box.x0) * (box.y1 - box.y0)


def map_stored_vectors(
    hit: Hit,
    moment: Moment,
    query: Sequence[WeightedQueryVector],
    snapshot: Snapshot,
    curves: Mapping[str, Calibration],
) -> HeatMap | None:
    """Makes a coarse map of the vectors of the library; None where they stand for no parts.

    `mini` has five a picture, four corners and the middle: in the benchmark above they point right
    for 0.80 and 0.85 of the captions.
    """
    row = snapshot.asset_row(hit.asset.id)
    arrays = snapshot.spaces.get(query[0].vector.space) if query else None
    if row is None or arrays is None:
        return None
    rows = arrays.rows_of_asset(snapshot.asset_keys[row])
    rows = rows[arrays.segments.take(rows) == np.uint64(compute_key(moment.segment.id))]
    edges = arrays.boxes.take(rows)
    # The whole picture says nothing of places. A row without a box has NaN.
    is_part = np.prod(edges[:, 2:] - edges[:, :2], axis=1) < 0.99
    if np.count_nonzero(is_part) < 2:
        return None
    boxes = [Box(*edge) for edge in edges[is_part].tolist()]
    heat = compute_heat(arrays.matrix.take(rows[is_part]), query, curves)
    metadata = hit.asset.metadata
    size = (metadata.width_px or 1, metadata.height_px or 1)
    return HeatMap(spread_heat(heat, boxes, size), size)


def read_picture(hit: Hit, moment: Moment) -> PixelArray:
    """Reads the picture of a moment as (height, width, 3) uint8 RGB, at most `DECODED_PX` long.

    It is the very picture that was indexed: in a video its shot is sought, and only where the shot
    is not found again is the video decoded from its start. Raises QueryError when no copy of the
    file is there as it was, or when it cannot be decoded any more.
    """
    path = _find_unchanged_copy(hit)
    options = LoadOptions(
        picture=PictureFit("within", DECODED_PX, "lanczos"), sample_rates_hz=(SPARE_RATE_HZ,)
    )
    place = moment.segment.place
    with Decoder() as decoder:
        if place.span is not None:
            quick = replace(options, only=place.span, track="pictures")
            # What cannot be entered may well be read.
            with contextlib.suppress(MediaError):
                if (pixels := _find_picture(place, decoder.load(path, quick))) is not None:
                    return pixels
        try:
            pixels = _find_picture(place, decoder.load(path, options))
        except MediaError as exc:
            raise QueryError(f"{path} cannot be looked at: {exc.reason}") from exc
    if pixels is None:
        raise QueryError(f"{path} has no picture any more where one was: index it again")
    return pixels


def _find_picture(place: Place, contents: Iterable[Content]) -> PixelArray | None:
    pictures = (one for one in contents if isinstance(one, Picture))
    return next((one.pixels for one in pictures if one.place.key() == place.key()), None)


def _find_unchanged_copy(hit: Hit) -> Path:
    """Returns a copy of the file that still has the content that was indexed."""
    try:
        copies = [path for path in map(Path, (hit.path, *hit.also_at)) if path.is_file()]
        for path in copies:
            has_size = path.stat().st_size == hit.asset.size_bytes
            if has_size and compute_asset_id(path) == hit.asset.id:
                return path
    except (MediaError, OSError) as exc:
        reason = exc.reason if isinstance(exc, MediaError) else str(exc.strerror or exc)
        raise QueryError(f"{hit.path} cannot be looked at: {reason}") from exc
    if not copies:
        raise QueryError(f"{hit.path} is gone: bring it back, or take it out with mmsearch prune")
    raise QueryError(f"{hit.path} has changed since it was indexed: index it again")
