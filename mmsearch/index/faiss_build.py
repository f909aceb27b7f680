"""Builds FAISS indexes over a matrix: trains on a sample, adds vectors in batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmsearch.index.base import FloatArray, RowArray
from mmsearch.index.faiss_library import load_faiss
from mmsearch.index.recipes import FLAT_KINDS, GRAPH_KINDS, Recipe
from mmsearch.index.vector_matrix import Matrix

TRAINING_SHARE = 0.35
"""The share of a build that is reported for training; adding vectors takes the rest."""
ADDED_ROWS = 8192
GRAPH_ROWS = 2048
"""Rows added to a graph at a time: some seconds, after which a build can be stopped."""
MIN_SAMPLE = 256
"""Product quantisers learn so many centroids for each part, and refuse fewer vectors."""
GROUP_ROUNDS = 6
"""Rounds of k-means for the groups of lists, and for the lists of each group."""
CODE_ROUNDS = 10
"""Rounds of k-means for each part of a product quantiser; 25 take a minute at 512 dimensions."""


class BuildStopped(Exception):
    """The build was stopped before its end: there is no index."""


@dataclass(frozen=True, slots=True)
class BuildMonitor:
    """Reports the progress of a build, and stops it on request."""

    on_progress: Callable[[float], object] | None = None
    is_stopped: Callable[[], bool] | None = None

    def report(self, share: float) -> None:
        """Reports the share that is done; raises BuildStopped after a request to stop."""
        if self.is_stopped is not None and self.is_stopped():
            raise BuildStopped
        if self.on_progress is not None:
            self.on_progress(share)


def choose_metric(recipe: Recipe) -> Any:
    """Returns the metric of FAISS: distance ranks unit vectors as cosine does, codes better.

    The error of a code is multiplied by the length of the query in an inner product, but by that
    of its small difference from the vector in a distance: with 8-bit scalars in tight clusters
    recall@10 was 0.61 and 0.94.
    """
    faiss = load_faiss()
    return faiss.METRIC_INNER_PRODUCT if recipe.kind in FLAT_KINDS else faiss.METRIC_L2


def create_empty(recipe: Recipe, dim: int) -> Any:
    """Creates the untrained index of a recipe."""
    index = load_faiss().index_factory(dim, recipe.factory, choose_metric(recipe))
    if recipe.kind in GRAPH_KINDS:
        index.hnsw.efConstruction = recipe.build_effort
    return index


def draw_sample(matrix: Matrix, recipe: Recipe, rows: RowArray | None) -> FloatArray:
    """Returns (n, dim) float32 from `rows` of the matrix (None: all) to train an index on.

    Vectors are repeated if there are fewer than FAISS requires.
    """
    count = matrix.count if rows is None else len(rows)
    random = np.random.default_rng(recipe.seed)
    chosen = np.sort(random.choice(count, min(count, recipe.train_rows), replace=False))
    sample = matrix.take(chosen if rows is None else rows[chosen])
    least = max(MIN_SAMPLE, recipe.lists)
    return sample if len(sample) >= least else np.resize(sample, (least, matrix.dim))


def train(index: Any, sample: FloatArray, recipe: Recipe, monitor: BuildMonitor) -> None:
    """Trains an index on (n, dim) float32."""
    if recipe.lists:
        faiss = load_faiss()
        lists = faiss.extract_index_ivf(index)
        rotated = sample
        if isinstance(index, faiss.IndexPreTransform):
            transform = index.chain.at(0)
            transform.train(sample)
            rotated = transform.apply(sample)
        if hasattr(lists, "pq"):
            lists.pq.cp.niter = CODE_ROUNDS
        coarse = faiss.downcast_index(lists.quantizer)
        coarse.add(find_centroids(rotated, recipe, monitor))
        if isinstance(coarse, faiss.IndexHNSW):
            coarse.hnsw.efSearch = recipe.build_effort
    monitor.report(TRAINING_SHARE)
    index.train(sample)


def add_rows(
    index: Any, matrix: Matrix, recipe: Recipe, rows: RowArray | None, monitor: BuildMonitor
) -> None:
    """Adds `rows` of the matrix (None: all) to a trained index, in their order."""
    step = GRAPH_ROWS if recipe.kind in GRAPH_KINDS else ADDED_ROWS
    count = matrix.count if rows is None else len(rows)
    for values in _batches(matrix, rows, step):
        index.add(values)
        monitor.report(TRAINING_SHARE + (1 - TRAINING_SHARE) * index.ntotal / max(1, count))


def _batches(matrix: Matrix, rows: RowArray | None, step: int) -> Iterator[FloatArray]:
    if rows is None:
        yield from (values for _, values in matrix.iter_batches(rows=step))
    else:
        for begin in range(0, len(rows), step):
            yield matrix.take(rows[begin : begin + step])


def find_centroids(sample: FloatArray, recipe: Recipe, monitor: BuildMonitor) -> FloatArray:
    """Returns (lists, dim) float32 by two-level k-means.

    The sample is divided into about sqrt(lists) groups, each of them into lists in proportion to
    its size; then follow `iterations` rounds over all lists. That costs a fraction of rounds over
    all lists from the start, each of which compares every vector with every centroid.
    """
    groups = max(1, round(math.sqrt(recipe.lists)))
    group_centroids = _run_kmeans(sample, groups, GROUP_ROUNDS, recipe.seed)
    group_of: RowArray = load_faiss().knn(sample, group_centroids, 1)[1][:, 0]
    parts = []
    sizes = np.bincount(group_of, minlength=groups)
    for group, lists in enumerate(_distribute_lists(sizes, recipe.lists)):
        monitor.report(TRAINING_SHARE / 2 * group / groups)
        if lists:
            part = sample[group_of == group]
            parts.append(_run_kmeans(part, lists, GROUP_ROUNDS, recipe.seed))
    centroids = np.concatenate(parts)
    for done in range(recipe.iterations):
        monitor.report(TRAINING_SHARE / 2 * (1 + done / recipe.iterations))
        centroids = _run_kmeans(sample, recipe.lists, 1, recipe.seed, centroids)
    return centroids


def _distribute_lists(sizes: RowArray, lists: int) -> list[int]:
    """Returns the lists of each group: by its size, none more than it has vectors."""
    shares = np.minimum(sizes, np.floor(sizes * (lists / sizes.sum())).astype(np.int64))
    while (missing := lists - int(shares.sum())) > 0:
        order = np.argsort(shares / np.maximum(sizes, 1), kind="stable")
        extensible = order[shares[order] < sizes[order]]
        shares[extensible[:missing]] += 1
    return [int(share) for share in shares]


def _run_kmeans(
    sample: FloatArray, lists: int, rounds: int, seed: int, start: FloatArray | None = None
) -> FloatArray:
    faiss = load_faiss()
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
    centroids: FloatArray = faiss.vector_to_array(clustering.centroids).reshape(lists, dim)
    return centroids
