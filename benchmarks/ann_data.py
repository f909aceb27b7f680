"""Vectors that indexes are compared on, with queries that are held out and their exact answers.

`text` is all-MiniLM-L6-v2 over real sentences: see `ann_text`. `made` is a mixture of clusters at
512 dimensions, for sizes that no text at hand has:

- 20,000 clusters in 256 topics, and how many rows a cluster has falls with its rank (Zipf), to a
  two hundredth of the largest;
- centres share a common direction, as those of trained encoders do, and lie near their topic's;
  topics lie in 24 directions, so that some are neighbours;
- within a cluster rows vary along 8 to 32 directions of its topic, each less than the one before,
  with noise along all 512, and each is drawn towards some other cluster, mostly by little: there
  are rows between all clusters, as between the subjects of real texts and pictures;
- rows are of unit length, as float16. The first n of a larger set are the set of n.

Queries are other draws; a fifth of them lies between two clusters. At 100,000 rows the local
intrinsic dimension about a query (10th, 50th and 90th percentile) and the cosine of its tenth
neighbour are close to those of `text`: 11, 24, 37 to 15, 24, 36, and 0.55 to 0.51. Clusters that
lie apart would be no test: then a graph falls into islands, and HNSW stays below recall 0.95 at any
effort, which it does not on text. Uniform noise would be none either: in 512 dimensions all rows
are equally far from a query, and what were tuned for it would be bad at everything else.

MMSEARCH_ANN_DATA names the folder where all is kept; it is below the temporary folder otherwise.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]

DIM = 512
QUERIES = 1000
ADDITIONS = 1000
TRUE_NEIGHBOURS = 100
MASKS = tuple(f"{how}-{share}" for how in ("scattered", "clumped") for share in (1, 10, 50))
"""Filters by how many percent they leave: of rows at random, or of rows that are alike."""

TIE = 1e-5
"""Similarities that differ by less are equal: float16 rows are of unit length to about that."""

_SEED = 20_260
_TOPICS, _CLUSTERS, _DIRECTIONS, _MEANINGS = 256, 20_000, 64, 24
_CHUNK = 65_536
_ROWS, _QUERIES, _ADDITIONS, _MASKS = range(4)  # streams of random numbers
_BLOCK = 16_384


def folder() -> Path:
    """Where vectors, answers, indexes and results are kept."""
    named = os.environ.get("MMSEARCH_ANN_DATA")
    found = Path(named) if named else Path(tempfile.gettempdir()) / "mmsearch-ann"
    found.mkdir(parents=True, exist_ok=True)
    return found


@dataclass(frozen=True, slots=True)
class Truth:
    """The true neighbours of each query: (q, 100) rows and similarities, the nearest first."""

    rows: NDArray[np.int64]
    similarities: FloatArray

    def first(self, queries: int) -> Truth:
        """Of so many queries."""
        return Truth(self.rows[:queries], self.similarities[:queries])

    def recall(self, found: NDArray[np.int64], k: int = 10) -> float:
        """Recall@k of (q, k) rows; what is as near as the k-th counts as if it were it."""
        edge = self.similarities[:, min(k, self.rows.shape[1]) - 1, None] - TIE
        good = np.where((self.similarities >= edge) & (self.rows >= 0), self.rows, -2)
        hits = sum(np.isin(one[:k], true).sum() for one, true in zip(found, good, strict=True))
        wanted = np.minimum((self.rows >= 0).sum(axis=1), k).sum()
        return float(min(hits, wanted) / wanted)


@dataclass(frozen=True, slots=True)
class Dataset:
    """`rows` vectors of a kind; all parts are made when they are first asked for, then kept."""

    kind: str
    rows: int

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.rows}"

    @property
    def place(self) -> Path:
        found = folder() / self.name
        found.mkdir(exist_ok=True)
        return found

    def vectors(self) -> NDArray[np.float16]:
        """(rows, dim) float16, memory-mapped."""
        return self._kept("vectors.npy", self._make)

    def queries(self) -> FloatArray:
        """(1000, dim) float32 unit rows."""
        return np.asarray(self._kept("queries.npy", self._make), dtype=np.float32)

    def additions(self) -> FloatArray:
        """(1000, dim) float32 unit rows that are neither stored nor asked."""
        return np.asarray(self._kept("additions.npy", self._make), dtype=np.float32)

    def raw_bytes(self) -> int:
        """What the vectors take as float32."""
        return self.vectors().size * 4

    def mask(self, name: str) -> Mask:
        """(rows,) bool: which rows the filter `name`, one of MASKS, leaves."""
        path = f"mask-{name}.npy"
        return np.asarray(self._kept(path, lambda: self._save(path, self._make_mask(name))))

    def truth(self, mask: str = "") -> Truth:
        """The exact answers, under a filter of MASKS or without."""
        path = self.place / f"truth-{mask or 'all'}.npz"
        if not path.exists():
            allowed = self.mask(mask) if mask else None
            found = nearest(self.vectors(), self.queries(), TRUE_NEIGHBOURS, allowed=allowed)
            aside = path.with_suffix(".part.npz")
            np.savez(aside, rows=found.rows, similarities=found.similarities)
            aside.replace(path)
        with np.load(path) as kept:
            return Truth(kept["rows"], kept["similarities"])

    def _kept(self, name: str, make: Callable[[], None]) -> NDArray[Any]:
        path = self.place / name
        if not path.exists():
            make()
        mapped: NDArray[Any] = np.load(path, mmap_mode="r")
        return mapped

    def _save(self, name: str, values: NDArray[np.generic]) -> None:
        aside = self.place / f"{name}.part.npy"
        np.save(aside, values)
        aside.replace(self.place / name)

    def _make(self) -> None:
        if self.kind == "text":
            from benchmarks import ann_text

            queries, additions, stored = ann_text.embeddings(
                self.rows, held_out=(QUERIES, ADDITIONS), cache=folder() / "text"
            )
            if len(stored) < self.rows:
                raise SystemExit(f"the text at hand gives only {len(stored)} sentences: --rows")
        else:
            mixture = Mixture.draw()
            queries, additions = mixture.queries(QUERIES), mixture.additions(ADDITIONS)
            stored = None
        self._save("queries.npy", queries)
        self._save("additions.npy", additions)
        if stored is not None:
            self._save("vectors.npy", stored)
            return
        aside = self.place / "vectors.npy.part"
        mapped = np.lib.format.open_memmap(
            aside, mode="w+", dtype=np.float16, shape=(self.rows, DIM)
        )
        for begin, part in mixture.stored(self.rows):
            mapped[begin : begin + len(part)] = part
        mapped.flush()
        aside.replace(self.place / "vectors.npy")

    def _make_mask(self, name: str) -> Mask:
        how, share = name.split("-")
        random = np.random.default_rng((_SEED, _MASKS, MASKS.index(name)))
        if how == "scattered":
            scores = random.random(self.rows, dtype=np.float32)
        else:  # what lies towards some direction, as the files of one folder do
            vectors = self.vectors()
            towards = vectors[random.integers(self.rows)].astype(np.float32)
            scores = np.concatenate([block @ towards for _, block in _blocks(vectors)])
        kept = max(1, self.rows * int(share) // 100)
        mask = np.zeros(self.rows, dtype=np.bool_)
        mask[np.argpartition(-scores, kept - 1)[:kept]] = True
        return mask


@dataclass(frozen=True, slots=True)
class Mixture:
    """The clusters that rows are drawn from."""

    share: NDArray[np.float64]
    """(clusters,) how probable each is."""
    topic: NDArray[np.int64]
    centre: FloatArray
    """(clusters, dim)."""
    weight: FloatArray
    """(clusters, directions): how far rows go along each direction of the topic."""
    basis: FloatArray
    """(topics, directions, dim)."""

    @classmethod
    def draw(cls) -> Mixture:
        random = np.random.default_rng(_SEED)
        rank = np.arange(_CLUSTERS)
        falling = 1.0 / (rank + 100.0)
        share: NDArray[np.float64] = falling / falling.sum()
        topic = random.integers(_TOPICS, size=_CLUSTERS)
        basis = random.standard_normal((_TOPICS, _DIRECTIONS, DIM), dtype=np.float32) / DIM**0.5
        common = _directions(random, 1)
        meaning = random.standard_normal((_MEANINGS, DIM), dtype=np.float32) / DIM**0.5
        topics = random.standard_normal((_TOPICS, _MEANINGS), dtype=np.float32) @ meaning
        inside = random.standard_normal((_CLUSTERS, _DIRECTIONS), dtype=np.float32)
        within = _along(inside / _DIRECTIONS**0.5, basis, topic)
        centre = 0.5 * common + 0.6 * _unit(topics)[topic] + 0.6 * within
        weight = np.zeros((_CLUSTERS, _DIRECTIONS), dtype=np.float32)
        for cluster in range(_CLUSTERS):
            count = int(random.integers(8, 33))
            falling = (1.0 + np.arange(count)) ** -0.5
            falling *= random.lognormal(-0.1, 0.3) / np.linalg.norm(falling)
            weight[cluster, random.choice(_DIRECTIONS, count, replace=False)] = falling
        return cls(share, topic, centre.astype(np.float32), weight, basis)

    def stored(self, rows: int) -> Iterator[tuple[int, FloatArray]]:
        """(first row, vectors) in chunks; a chunk does not depend on how many follow."""
        for number, begin in enumerate(range(0, rows, _CHUNK)):
            random = np.random.default_rng((_SEED, _ROWS, number))
            yield begin, self._rows(random, _CHUNK)[: rows - begin]

    def queries(self, count: int) -> FloatArray:
        random = np.random.default_rng((_SEED, _QUERIES))
        found = self._rows(random, count)
        lost = count // 5
        share = random.uniform(0.3, 0.7, (lost, 1)).astype(np.float32)
        found[:lost] = share * found[:lost] + (1 - share) * self._rows(random, lost)
        return _unit(random.permutation(found))

    def additions(self, count: int) -> FloatArray:
        return self._rows(np.random.default_rng((_SEED, _ADDITIONS)), count)

    def _rows(self, random: np.random.Generator, count: int) -> FloatArray:
        cluster, other = random.choice(_CLUSTERS, (2, count), p=self.share)
        along = random.standard_normal((count, _DIRECTIONS), dtype=np.float32)
        rows = random.standard_normal((count, DIM), dtype=np.float32)
        rows *= 0.5 / DIM**0.5
        rows += self.centre[cluster]
        rows += random.beta(1.0, 2.0, (count, 1)).astype(np.float32) * self.centre[other]
        rows += _along(along * self.weight[cluster], self.basis, self.topic[cluster])
        return _unit(rows)


def nearest(
    vectors: NDArray[np.float16], queries: FloatArray, k: int, *, allowed: Mask | None = None
) -> Truth:
    """The k rows nearest to each query, compared with all, block by block.

    Only what passes the k-th best so far is kept: sorting would cost more than comparing.
    """
    count = len(queries)
    rows = np.full((count, k), -1, dtype=np.int64)
    best = np.full((count, k), -np.inf, dtype=np.float32)
    turned = np.ascontiguousarray(queries.T)
    for begin, block in _blocks(vectors):
        scores = (block @ turned).T
        if allowed is not None:
            scores[:, ~allowed[begin : begin + len(block)]] = -np.inf
        better = scores > best[:, -1, None]
        for query in np.flatnonzero(better.any(axis=1)):
            at = np.flatnonzero(better[query])
            joined = np.concatenate([best[query], scores[query, at]])
            numbers = np.concatenate([rows[query], at + begin])
            order = np.argsort(-joined, kind="stable")[:k]
            best[query], rows[query] = joined[order], numbers[order]
    return Truth(rows, best)


def _blocks(vectors: NDArray[np.float16]) -> Iterator[tuple[int, FloatArray]]:
    for begin in range(0, len(vectors), _BLOCK):
        yield begin, vectors[begin : begin + _BLOCK].astype(np.float32)


def _along(weights: FloatArray, basis: FloatArray, topic: NDArray[np.int64]) -> FloatArray:
    """(n, dim): each row's weights along the directions of its topic."""
    found = np.empty((len(weights), basis.shape[2]), dtype=np.float32)
    order = np.argsort(topic, kind="stable")
    edges = np.searchsorted(topic[order], np.arange(len(basis) + 1))
    for number, directions in enumerate(basis):
        here = order[edges[number] : edges[number + 1]]
        found[here] = weights[here] @ directions
    return found


def _directions(random: np.random.Generator, count: int) -> FloatArray:
    return _unit(random.standard_normal((count, DIM), dtype=np.float32))


def _unit(vectors: FloatArray) -> FloatArray:
    found: FloatArray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found
