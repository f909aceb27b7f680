"""Where in a picture what was asked for lies: worked out for one hit, never by a search."""

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
from mmsearch.library.heatmap import HeatMap, spread
from mmsearch.media.base import Content, LoadOptions, Picture
from mmsearch.media.files import content_hash
from mmsearch.media.isolation import Decoder
from mmsearch.snapshot.snapshot import key_of
from mmsearch.types import Box, PictureFit, Place, SegmentKind

if TYPE_CHECKING:
    from mmsearch.encoders.base import ImageEncoder
    from mmsearch.models.presets import Calibration
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
    """The best moment of a hit that is a picture or a frame of a video; None where none is."""
    return next((one for one in hit.moments if one.segment.kind in _PICTURES), None)


def compute_heat(
    values: FloatArray, wanted: Sequence[WeightedQueryVector], curves: Mapping[str, Calibration]
) -> FloatArray:
    """How much each of (n, dim) unit rows is what was asked for: (n,) float32, in logits.

    A term of several vectors is as near as the nearest of them; terms are summed by their weights,
    so that what is to be avoided cools. `curves` are those of a preset.
    """
    total = np.zeros(len(values), dtype=np.float32)
    for one in wanted:
        curve = curves.get(f"{one.vector.source}>{one.vector.space}")
        if curve is not None:
            nearest = (values @ one.vector.values.T).max(axis=1)
            total += np.float32(one.weight * curve.steepness) * nearest
    return total


def cut_into_boxes(width: int, height: int, scales: Sequence[float] = SCALES) -> tuple[Box, ...]:
    """The crops of a picture: squares of each scale that overlap by half, 28 to 47 of them.

    In a long picture they are no longer than its shorter side, and at most `MAX_ACROSS` in a row.
    """
    boxes = []
    for scale in scales:
        side = scale * math.sqrt(width * height)
        across, down = _steps(width, side), _steps(height, side)
        boxes += [Box(x0, y0, x1, y1) for y0, y1 in down for x0, x1 in across]
    return tuple(boxes)


def _steps(length: int, side: float) -> list[tuple[float, float]]:
    """Equal steps along one side of a picture, as fractions of its length."""
    part = min(1.0, max(side, 1.0) / length)
    count = math.ceil((1 - part) / (part * (1 - OVERLAP)) - 1e-9) + 1
    if count > MAX_ACROSS:
        count = MAX_ACROSS
        part = 1 / (1 + (count - 1) * (1 - OVERLAP))
    return [(start, start + part) for start in np.linspace(0.0, 1.0 - part, count).tolist()]


def map_pixels(
    pixels: PixelArray,
    wanted: Sequence[WeightedQueryVector],
    encoder: ImageEncoder,
    curves: Mapping[str, Calibration],
) -> HeatMap:
    """The map of (height, width, 3) uint8 RGB, from crops that the encoder embeds one by one."""
    height, width = pixels.shape[:2]
    boxes = cut_into_boxes(width, height)
    heat = compute_heat(embed_crops(pixels, boxes, encoder), wanted, curves)
    return HeatMap(spread(heat, boxes, (width, height)), (width, height), pixels)


def embed_crops(pixels: PixelArray, boxes: Sequence[Box], encoder: ImageEncoder) -> FloatArray:
    """(n, dim) unit rows for n crops of (height, width, 3) uint8 RGB."""
    crops = [_prepared(pixels, box, encoder) for box in boxes]
    codes = [
        code
        for start in range(0, len(crops), BATCH)
        for code in encoder.encode(crops[start : start + BATCH])
    ]
    return np.concatenate([code.values for code in codes])


def _prepared(pixels: PixelArray, box: Box, encoder: ImageEncoder) -> PreparedPicture:
    """One crop for the network: of the windows that an encoder cuts, the largest."""
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
    wanted: Sequence[WeightedQueryVector],
    snapshot: Snapshot,
    curves: Mapping[str, Calibration],
) -> HeatMap | None:
    """A coarse map from the vectors of the library; None where they stand for no parts.

    `mini` has five a picture, four corners and the middle: in the benchmark above they point right
    for 0.80 and 0.85 of the captions.
    """
    row = snapshot.asset_row(hit.asset.id)
    arrays = snapshot.spaces.get(wanted[0].vector.space) if wanted else None
    if row is None or arrays is None:
        return None
    rows = arrays.rows_of_asset(snapshot.asset_keys[row])
    rows = rows[arrays.segments.take(rows) == np.uint64(key_of(moment.segment.id))]
    edges = arrays.boxes.take(rows)
    # The whole picture is everywhere: it says nothing of where. No box is one of NaN.
    is_part = np.prod(edges[:, 2:] - edges[:, :2], axis=1) < 0.99
    if np.count_nonzero(is_part) < 2:
        return None
    boxes = [Box(*edge) for edge in edges[is_part].tolist()]
    heat = compute_heat(arrays.matrix.take(rows[is_part]), wanted, curves)
    metadata = hit.asset.metadata
    size = (metadata.width_px or 1, metadata.height_px or 1)
    return HeatMap(spread(heat, boxes, size), size)


def read_picture(hit: Hit, moment: Moment) -> PixelArray:
    """The picture of a moment as (height, width, 3) uint8 RGB, at most `DECODED_PX` long.

    It is the very picture that was indexed: of a video its shot is sought, and only where it cannot
    be told again where that began is the video decoded from its start. Raises QueryError when no
    copy of the file is there as it was, or when it cannot be decoded any more.
    """
    path = _unchanged(hit)
    options = LoadOptions(
        picture=PictureFit("within", DECODED_PX, "lanczos"), sample_rates_hz=(SPARE_RATE_HZ,)
    )
    place = moment.segment.place
    with Decoder() as decoder:
        if place.span is not None:
            quick = replace(options, only=place.span, track="pictures")
            # What cannot be entered may well be read.
            with contextlib.suppress(MediaError):
                if (found := _picture_at(place, decoder.load(path, quick))) is not None:
                    return found
        try:
            found = _picture_at(place, decoder.load(path, options))
        except MediaError as exc:
            raise QueryError(f"{path} cannot be looked at: {exc.reason}") from exc
    if found is None:
        raise QueryError(f"{path} has no picture any more where one was: index it again")
    return found


def _picture_at(place: Place, contents: Iterable[Content]) -> PixelArray | None:
    wanted = place.key()
    for content in contents:
        if isinstance(content, Picture) and content.place.key() == wanted:
            return content.pixels
    return None


def _unchanged(hit: Hit) -> Path:
    """A copy of the file that still has the content that was indexed."""
    try:
        copies = [path for path in map(Path, (hit.path, *hit.also_at)) if path.is_file()]
        for path in copies:
            has_size = path.stat().st_size == hit.asset.size_bytes
            if has_size and content_hash(path) == hit.asset.id:
                return path
    except (MediaError, OSError) as exc:
        reason = exc.reason if isinstance(exc, MediaError) else str(exc.strerror or exc)
        raise QueryError(f"{hit.path} cannot be looked at: {reason}") from exc
    if not copies:
        raise QueryError(f"{hit.path} is gone: bring it back, or take it out with mmsearch prune")
    raise QueryError(f"{hit.path} has changed since it was indexed: index it again")
