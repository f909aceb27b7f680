"""Projects one space to a map on which similar assets lie near each other."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.analytics import asset_rows
from mmsearch.errors import MissingExtra, QueryError
from mmsearch.types import Modality

if TYPE_CHECKING:
    from mmsearch.index.base import RowArray
    from mmsearch.snapshot.snapshot import Snapshot
    from mmsearch.types import FloatArray

AT_MOST = 5_000
"""Points of a map, by default: as many as a person can tell apart, and 0.6 MB for a browser."""
VECTORS_EACH = 16
"""The most vectors that are averaged for an asset; those of a long film are sampled evenly."""
BATCH_ROWS = 8_192
SEED = 0


class ProjectionMethod(StrEnum):
    """The projection: PCA, or UMAP (McInnes et al., 2018), which is an extra."""

    PCA = "pca"
    UMAP = "umap"


@dataclass(frozen=True, slots=True)
class MapPoint:
    """An asset on a map; `x` and `y` are in -1..1."""

    asset_id: str
    x: float
    y: float
    kind: Modality
    title: str


@dataclass(frozen=True, slots=True)
class Projection:
    """A map of the assets of a space.

    `assets` is the number of assets with vectors, and `points` are all or a sample of them.
    `explained` is the share of the variance that lies in the plane, None for UMAP.
    """

    space: str
    method: ProjectionMethod
    points: tuple[MapPoint, ...]
    assets: int
    explained: float | None


def list_spaces(snapshot: Snapshot) -> list[str]:
    """Returns the spaces that can be projected, the one with most vectors first."""
    counts = {name: arrays.there for name, arrays in snapshot.spaces.items()}
    return sorted(
        (name for name, count in counts.items() if count), key=counts.__getitem__, reverse=True
    )


def project_space(
    snapshot: Snapshot,
    space: str,
    *,
    method: ProjectionMethod = ProjectionMethod.PCA,
    at_most: int = AT_MOST,
) -> Projection:
    """Projects at most `at_most` assets of a space; the same for the same library.

    Raises QueryError for a space without vectors, MissingExtra where UMAP is not installed.
    """
    if space not in snapshot.filled_spaces:
        available = ", ".join(list_spaces(snapshot)) or "none: index something first"
        raise QueryError(f"space {space[:40]!r} has no vectors to draw: there are {available}")
    if at_most < 1:
        raise QueryError(f"a map has at least one point, not {at_most}")
    return snapshot.memoize(
        f"survey.chart.{space}.{method}.{at_most}",
        lambda: _project(snapshot, space, method, at_most),
    )


def _project(snapshot: Snapshot, space: str, method: ProjectionMethod, at_most: int) -> Projection:
    owners = snapshot.owners(space)
    is_there = snapshot.spaces[space].is_there
    if is_there is not None:
        owners = np.where(is_there, owners, -1)
    owning_assets = np.unique(owners[owners >= 0])
    assets = asset_rows.sample_rows(snapshot, owning_assets, at_most)
    vectors = _mean_vectors(snapshot, space, owners, assets)
    places, explained = (
        _project_pca(vectors) if method is ProjectionMethod.PCA else (_project_umap(vectors), None)
    )
    ids = asset_rows.read_column(snapshot, "asset_id", assets).to_pylist()
    rows = zip(
        ids,
        _scale_to_frame(places).tolist(),
        assets.tolist(),
        asset_rows.list_titles(snapshot, assets),
        strict=True,
    )
    points = tuple(
        MapPoint(asset_id, x, y, asset_rows.kind_of(snapshot, asset), title)
        for asset_id, (x, y), asset, title in rows
    )
    return Projection(space, method, points, len(owning_assets), explained)


def _mean_vectors(snapshot: Snapshot, space: str, owners: RowArray, assets: RowArray) -> FloatArray:
    """Returns (n, dim) float32 unit rows: the mean of the vectors of each asset."""
    slots = np.full(len(snapshot.modalities) + 1, -1, dtype=np.int64)
    slots[assets] = np.arange(len(assets))
    rows = np.flatnonzero(slots[owners] >= 0)
    rows = rows[np.argsort(slots[owners[rows]], kind="stable")]
    own_slots = slots[owners[rows]]
    begins = np.searchsorted(own_slots, np.arange(len(assets)))
    counts = np.diff(np.append(begins, len(rows)))
    # The vectors of an asset are cut into equal parts, and the first of each part is taken.
    ordinals = np.arange(len(rows)) - np.repeat(begins, counts)
    shares = np.repeat(np.minimum(counts, VECTORS_EACH), counts)
    totals = np.repeat(counts, counts)
    part = ordinals * shares // totals
    is_taken = (ordinals == 0) | (part != (ordinals - 1) * shares // totals)
    rows, own_slots = rows[is_taken], own_slots[is_taken]
    arrays = snapshot.spaces[space]
    sums = np.zeros((len(assets), arrays.matrix.dim), dtype=np.float32)
    for begin in range(0, len(rows), BATCH_ROWS):
        batch = slice(begin, begin + BATCH_ROWS)
        np.add.at(sums, own_slots[batch], arrays.matrix.take(rows[batch]))
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    means: FloatArray = sums / np.maximum(norms, 1e-12)
    return means


def _project_pca(vectors: FloatArray) -> tuple[FloatArray, float]:
    """Returns (n, 2) coordinates along the two directions of most variance, and their share of it.

    The sign of a direction is that which makes its largest component positive.
    """
    centred = vectors - vectors.mean(axis=0)
    values, directions = np.linalg.eigh(centred.T @ centred)
    plane = directions[:, ::-1][:, :2]
    plane = plane * np.where(plane[np.abs(plane).argmax(axis=0), range(plane.shape[1])] < 0, -1, 1)
    places = np.zeros((len(vectors), 2), dtype=np.float32)
    places[:, : plane.shape[1]] = centred @ plane
    total = float(values.clip(min=0).sum())
    return places, float(values[::-1][:2].clip(min=0).sum()) / total if total > 0 else 0.0


def _project_umap(vectors: FloatArray) -> FloatArray:
    if len(vectors) < 4:  # a spectral layout in two dimensions asks for more
        return _project_pca(vectors)[0]
    try:
        umap: Any = importlib.import_module("umap")
    except ImportError as exc:
        raise MissingExtra(
            "a map by UMAP needs the package umap-learn: pip install 'mmsearch[umap]'; "
            "a map by PCA needs nothing"
        ) from exc
    # A seed requires one thread; it starts from the PCA map, so that both maps look alike.
    start = _scale_to_frame(_project_pca(vectors)[0]) * 10
    model = umap.UMAP(
        n_neighbors=min(15, len(vectors) - 1),
        min_dist=0.1,
        metric="cosine",
        init=start,
        random_state=SEED,
        n_jobs=1,
    )
    return np.asarray(model.fit_transform(vectors), dtype=np.float32)


def _scale_to_frame(places: FloatArray) -> FloatArray:
    """Scales to -1..1, both directions alike; a few outliers are put on the edge."""
    if not len(places):
        return places
    low, high = np.percentile(places, [1, 99], axis=0)
    # Outliers must neither compress all others nor be left out.
    spread = np.maximum(high - low, 1e-9)
    low, high = (
        np.maximum(places.min(axis=0), low - 0.2 * spread),
        np.minimum(places.max(axis=0), high + 0.2 * spread),
    )
    scale = max(float((high - low).max()), 1e-9) / 2
    framed: FloatArray = ((places - (low + high) / 2) / scale).clip(-1, 1)
    return framed.astype(np.float32)
