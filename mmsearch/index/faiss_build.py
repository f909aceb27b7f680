"""How FAISS builds an index over a matrix: learnt from a sample, filled in batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.index.base import RowArray
from mmsearch.index.faiss_library import library
from mmsearch.index.recipes import FLAT_KINDS, GRAPH_KINDS, Recipe
from mmsearch.index.vector_matrix import Matrix

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

LEARNING = 0.35
"""The share of a build that learning is told to take; what is added takes the rest."""
ADDED_ROWS = 8192
GRAPH_ROWS = 2048
"""Rows added to a graph at a time: some seconds of work, after which a build can be stopped."""
LEAST_SAMPLE = 256
"""Product quantisers learn so many centroids for each part, and refuse fewer vectors."""
ROUNDS_WITHIN = 6
"""Rounds of k-means that the coarse partition gets, and each of its parts."""

ROUNDS_OF_CODES = 10
"""Rounds of k-means for each part of a product quantiser; 25 take a minute at 512 dimensions."""


class BuildStopped(Exception):
    """The build was stopped before its end: there is no index."""


class Watch:
    """Tells how far a build is, and stops it where that is wanted."""

    def __init__(
        self, on_progress: Callable[[float], object] | None, is_stopped: Callable[[], bool] | None
    ) -> None:
        self.on_progress = on_progress
        self.is_stopped = is_stopped

    def reached(self, share: float) -> None:
        """Tell it; raises BuildStopped where no more is wanted."""
        if self.is_stopped is not None and self.is_stopped():
            raise BuildStopped
        if self.on_progress is not None:
            self.on_progress(share)


def metric(recipe: Recipe) -> Any:
    """By what FAISS compares: distance ranks unit vectors as their cosine does, codes better.

    The error of a code is multiplied by the length of the query in an inner product, but by that
    of its small difference from the vector in a distance: with 8-bit scalars in tight clusters
    recall@10 was 0.61 and 0.94.
    """
    faiss = library()
    is_exact = recipe.kind in FLAT_KINDS
    return faiss.METRIC_INNER_PRODUCT if is_exact else faiss.METRIC_L2


def empty(recipe: Recipe, dim: int) -> Any:
    """The index of a recipe before it has learnt anything."""
    faiss = library()
    index = faiss.index_factory(dim, recipe.factory, metric(recipe))
    if recipe.kind in GRAPH_KINDS:
        index.hnsw.efConstruction = recipe.build_effort
    return index


def sampled(matrix: Matrix, recipe: Recipe, rows: RowArray | None) -> FloatArray:
    """(n, dim) float32 from `rows` of the matrix, all by default, for an index to learn from.

    Fewer vectors than FAISS asks for are taken several times over.
    """
    count = matrix.count if rows is None else len(rows)
    random = np.random.default_rng(recipe.seed)
    chosen = np.sort(random.choice(count, min(count, recipe.train_rows), replace=False))
    sample = matrix.take(chosen if rows is None else rows[chosen])
    least = max(LEAST_SAMPLE, recipe.lists)
    return sample if len(sample) >= least else np.resize(sample, (least, matrix.dim))


def learn(index: Any, sample: FloatArray, recipe: Recipe, watch: Watch) -> None:
    """Train an index on (n, dim) float32."""
    if recipe.lists:
        faiss = library()
        lists = faiss.extract_index_ivf(index)
        turned = sample
        if isinstance(index, faiss.IndexPreTransform):
            transform = index.chain.at(0)
            transform.train(sample)
            turned = transform.apply(sample)
        if hasattr(lists, "pq"):
            lists.pq.cp.niter = ROUNDS_OF_CODES
        coarse = faiss.downcast_index(lists.quantizer)
        coarse.add(centroids(turned, recipe, watch))
        if isinstance(coarse, faiss.IndexHNSW):
            coarse.hnsw.efSearch = recipe.build_effort
    watch.reached(LEARNING)
    index.train(sample)


def fill(index: Any, matrix: Matrix, recipe: Recipe, rows: RowArray | None, watch: Watch) -> None:
    """Add `rows` of the matrix to a trained index, all by default, in their order."""
    step = GRAPH_ROWS if recipe.kind in GRAPH_KINDS else ADDED_ROWS
    count = matrix.count if rows is None else len(rows)
    for values in _batches(matrix, rows, step):
        index.add(values)
        watch.reached(LEARNING + (1 - LEARNING) * index.ntotal / max(1, count))


def _batches(matrix: Matrix, rows: RowArray | None, step: int) -> Iterator[FloatArray]:
    if rows is None:
        yield from (values for _, values in matrix.batches(rows=step))
    else:
        for begin in range(0, len(rows), step):
            yield matrix.take(rows[begin : begin + step])


def centroids(sample: FloatArray, recipe: Recipe, watch: Watch) -> FloatArray:
    """(lists, dim) float32 by k-means, of parts of the sample first.

    The sample is parted into about sqrt(lists) groups, and each of them into lists by its share;
    then `iterations` rounds over all of it. That costs a fraction of rounds over all from the
    start, whose every round compares each vector with each centroid.
    """
    groups = max(1, round(math.sqrt(recipe.lists)))
    first = _clustered(sample, groups, ROUNDS_WITHIN, recipe.seed, None)
    of = _nearest(sample, first)
    found = []
    for group, lists in enumerate(_shares(np.bincount(of, minlength=groups), recipe.lists)):
        watch.reached(LEARNING / 2 * group / groups)
        if lists:
            found.append(_clustered(sample[of == group], lists, ROUNDS_WITHIN, recipe.seed, None))
    learnt = np.concatenate(found)
    for done in range(recipe.iterations):
        watch.reached(LEARNING / 2 * (1 + done / recipe.iterations))
        learnt = _clustered(sample, recipe.lists, 1, recipe.seed, learnt)
    return learnt


def _shares(sizes: RowArray, lists: int) -> list[int]:
    """How many lists each group gets: by its size, none more than it has vectors."""
    shares = np.minimum(sizes, np.floor(sizes * (lists / sizes.sum())).astype(np.int64))
    while (missing := lists - int(shares.sum())) > 0:
        wanting = np.argsort(shares / np.maximum(sizes, 1), kind="stable")
        open_ = wanting[shares[wanting] < sizes[wanting]]
        shares[open_[:missing]] += 1
    return [int(share) for share in shares]


def _clustered(
    sample: FloatArray, lists: int, rounds: int, seed: int, start: FloatArray | None
) -> FloatArray:
    faiss = library()
    dim = sample.shape[1]
    settings = faiss.ClusteringParameters()
    settings.niter = rounds
    settings.seed = seed
    settings.min_points_per_centroid = 1  # fewer are warned of on stderr
    settings.max_points_per_centroid = len(sample)
    clustering = faiss.Clustering(dim, lists, settings)
    if start is not None:
        faiss.copy_array_to_vector(start.ravel(), clustering.centroids)
    clustering.train(sample, faiss.IndexFlatL2(dim))
    learnt: FloatArray = faiss.vector_to_array(clustering.centroids).reshape(lists, dim)
    return learnt


def _nearest(sample: FloatArray, learnt: FloatArray) -> RowArray:
    faiss = library()
    _, found = faiss.knn(sample, learnt, 1)
    nearest: RowArray = found[:, 0]
    return nearest
