"""A map of one space: each asset a point, those that are alike near each other."""

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
"""Vectors of an asset that its place is the mean of; of a long film every so many are taken."""
BATCH_ROWS = 8_192
SEED = 0


class Method(StrEnum):
    """How vectors become places: PCA, or UMAP (McInnes et al., 2018), which is an extra."""

    PCA = "pca"
    UMAP = "umap"


@dataclass(frozen=True, slots=True)
class Point:
    """An asset on a map; `x` and `y` are in -1..1."""

    asset_id: str
    x: float
    y: float
    kind: Modality
    title: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A map of the assets of a space.

    `assets` is how many have vectors there, of which `points` are all or a sample. `explained` is
    the share of the variance that lies in the plane, None where it means nothing.
    """

    space: str
    method: Method
    points: tuple[Point, ...]
    assets: int
    explained: float | None


def charted_spaces(snapshot: Snapshot) -> list[str]:
    """The spaces that a map can be made of, that with most vectors first."""
    counts = {name: arrays.there for name, arrays in snapshot.spaces.items()}
    return sorted((name for name, count in counts.items() if count), key=lambda one: -counts[one])


def chart(
    snapshot: Snapshot, space: str, *, method: Method = Method.PCA, at_most: int = AT_MOST
) -> Chart:
    """The map of a space, the same for the same library; of at most so many assets.

    Raises QueryError for a space without vectors, MissingExtra where UMAP is not installed.
    """
    if space not in snapshot.filled:
        known = ", ".join(charted_spaces(snapshot)) or "none: index something first"
        raise QueryError(f"space {space[:40]!r} has no vectors to draw: there are {known}")
    if at_most < 1:
        raise QueryError(f"a map has at least one point, not {at_most}")
    return snapshot.kept(
        f"survey.chart.{space}.{method}.{at_most}",
        lambda: _chart(snapshot, space, method, at_most),
    )


def _chart(snapshot: Snapshot, space: str, method: Method, at_most: int) -> Chart:
    owners = snapshot.owners(space)
    there = snapshot.spaces[space].is_there
    if there is not None:
        owners = np.where(there, owners, -1)
    known = np.unique(owners[owners >= 0])
    assets = asset_rows.sampled(snapshot, known, at_most)
    vectors = _means(snapshot, space, owners, assets)
    places, explained = _pca(vectors) if method is Method.PCA else (_umap(vectors), None)
    ids = asset_rows.column(snapshot, "asset_id", assets).to_pylist()
    rows = zip(
        ids,
        _framed(places).tolist(),
        assets.tolist(),
        asset_rows.titles(snapshot, assets),
        strict=True,
    )
    points = tuple(
        Point(asset_id, x, y, asset_rows.kind(snapshot, asset), title)
        for asset_id, (x, y), asset, title in rows
    )
    return Chart(space, method, points, len(known), explained)


def _means(snapshot: Snapshot, space: str, owners: RowArray, assets: RowArray) -> FloatArray:
    """(n, dim) float32 unit rows: the mean of the vectors of each of these assets."""
    slots = np.full(len(snapshot.modalities) + 1, -1, dtype=np.int64)
    slots[assets] = np.arange(len(assets))
    rows = np.flatnonzero(slots[owners] >= 0)
    rows = rows[np.argsort(slots[owners[rows]], kind="stable")]
    mine = slots[owners[rows]]
    begins = np.searchsorted(mine, np.arange(len(assets)))
    counts = np.diff(np.append(begins, len(rows)))
    # The n-th of an asset's vectors is taken where it begins another of so many equal parts.
    ordinals = np.arange(len(rows)) - np.repeat(begins, counts)
    shares = np.repeat(np.minimum(counts, VECTORS_EACH), counts)
    totals = np.repeat(counts, counts)
    part = ordinals * shares // totals
    is_taken = (ordinals == 0) | (part != (ordinals - 1) * shares // totals)
    rows, mine = rows[is_taken], mine[is_taken]
    arrays = snapshot.spaces[space]
    sums = np.zeros((len(assets), arrays.matrix.dim), dtype=np.float32)
    for begin in range(0, len(rows), BATCH_ROWS):
        batch = slice(begin, begin + BATCH_ROWS)
        np.add.at(sums, mine[batch], arrays.matrix.take(rows[batch]))
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    means: FloatArray = sums / np.maximum(norms, 1e-12)
    return means


def _pca(vectors: FloatArray) -> tuple[FloatArray, float]:
    """(n, 2): coordinates along the two directions of most variance, and their share of it.

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


def _umap(vectors: FloatArray) -> FloatArray:
    if len(vectors) < 4:  # a spectral layout in two dimensions asks for more
        return _pca(vectors)[0]
    try:
        umap: Any = importlib.import_module("umap")
    except ImportError as exc:
        raise MissingExtra(
            "a map by UMAP needs the package umap-learn: pip install 'mmsearch[umap]'; "
            "a map by PCA needs nothing"
        ) from exc
    # One thread, which a seed asks for; the start is that of PCA, so that both maps are akin.
    start = _framed(_pca(vectors)[0]) * 10
    model = umap.UMAP(
        n_neighbors=min(15, len(vectors) - 1),
        min_dist=0.1,
        metric="cosine",
        init=start,
        random_state=SEED,
        n_jobs=1,
    )
    return np.asarray(model.fit_transform(vectors), dtype=np.float32)


def _framed(places: FloatArray) -> FloatArray:
    """The same in -1..1, with one scale for both directions; a few far out lie on the edge."""
    if not len(places):
        return places
    low, high = np.percentile(places, [1, 99], axis=0)
    # Outliers must not press all others together, nor fall out.
    spread = np.maximum(high - low, 1e-9)
    low, high = (
        np.maximum(places.min(axis=0), low - 0.2 * spread),
        np.minimum(places.max(axis=0), high + 0.2 * spread),
    )
    scale = max(float((high - low).max()), 1e-9) / 2
    framed: FloatArray = ((places - (low + high) / 2) / scale).clip(-1, 1)
    return framed.astype(np.float32)
