"""Lance's own index over a table of vectors: it reads what a query needs, from disk or bucket."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.errors import StoreError
from mmsearch.index.addresses import AddressArray, Limit
from mmsearch.index.base import NO_ROW, Nearest, RowArray, RowMask, best_of

if TYPE_CHECKING:
    import pyarrow as pa

    from mmsearch.types import FloatArray

VECTOR = "vector"
OWNER = "asset_id"
NAME = "vector_idx"
OWNER_NAME = "asset_id_idx"
METRIC = "cosine"
HELD = ("segment_id", OWNER, "box")
UNINDEXED_ROWS = 1024
"""Fewer are compared one by one: that is exact, and reads no more than an index would."""
PARTITION_ROWS = 4096
"""Of 100,000 vectors in 24 partitions 16 give recall@10 0.997 and are built in 4 s; in 316 it
takes 40 for 0.984, and 24 s."""
RQ_BITS = 5
"""RaBitQ with 5 bits a dimension. Refined twofold it finds what uncompressed vectors would (recall
0.984 of 0.986 in 316 partitions); product quantisation wants fivefold, and three times as long to
build."""
RQ_STEP = 8
"""What a dimension must be divisible by; others get 8-bit scalars."""
FEW_ASSETS = 10_000
"""The rows of so many assets are looked up; of more, what is found is looked through."""
NAMED_AT_ONCE = 1000
GROWTH = 4


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard an index is searched.

    At least `probes` partitions, and `refine` candidates compared exactly for each row wanted.
    """

    probes: int
    refine: int


def efforts(count: int) -> list[Effort]:
    """The first is the usual one for so many rows, each of the others takes about twice as long."""
    partitions = _partitions(count)
    usual = 16 + math.isqrt(partitions) // 2
    return [Effort(min(usual * more, partitions), 2 * more) for more in (1, 2, 4, 8)]


def _partitions(count: int) -> int:
    return max(1, count // PARTITION_ROWS)


def build(dataset: Any) -> Any:
    """Build the indexes of a table of vectors, in the place of older ones; returns it with them.

    They are a new version of the table, made of the newest: the caller must have the right to write
    to it, and `dataset` stays at its own. What is added later is found without them, until
    `extend`. The asset ids get an index too, by which a search that is limited to a few assets
    finds their rows. Raises StoreError.
    """
    newest = _newest(dataset)
    count = newest.count_rows()
    if count < UNINDEXED_ROWS:
        return newest
    dim = newest.schema.field(VECTOR).type.list_size
    kind, bits = ("IVF_RQ", {"num_bits": RQ_BITS}) if dim % RQ_STEP == 0 else ("IVF_SQ", {})
    with _asking(dataset):
        newest.create_scalar_index(OWNER, "BTREE", name=OWNER_NAME, replace=True)
        return newest.create_index(
            VECTOR,
            kind,
            name=NAME,
            metric=METRIC,
            replace=True,
            num_partitions=_partitions(count),
            **bits,
        )


def extend(dataset: Any) -> Any:
    """Take the rows that came since into the indexes; returns the table, as `build` does."""
    newest = _newest(dataset)
    with _asking(dataset):
        newest.optimize.optimize_indices()
    return newest


def _newest(dataset: Any) -> Any:
    """The newest version of a table. Lance changes the object through which a version is made."""
    with _asking(dataset):
        newest = dataset.checkout_version(dataset.version)
        newest.checkout_latest()
    return newest


def unindexed_rows(dataset: Any) -> int | None:
    """How many rows are searched one by one; None where there is no index at all."""
    with _asking(dataset):
        built = [one for one in dataset.describe_indices() if one.name == NAME]
        if not built:
            return None
        within = {number for part in built[0].segments for number in part.fragment_ids}
        fragments = dataset.get_fragments()
        return sum(int(one.count_rows()) for one in fragments if one.fragment_id not in within)


class LanceIndex:
    """Fulfils `VectorIndex` for rows that are known by their addresses in a Lance dataset.

    `addresses` is (n,) uint64, none twice: the fragment of row i in the upper half, its place
    there in the lower. A row whose address is no longer in the dataset is not found; what is in
    the dataset and has no row is passed over.
    """

    def __init__(self, dataset: Any, addresses: AddressArray, effort: Effort | None = None) -> None:
        self._dataset = dataset
        self._addresses = addresses
        self.effort = effort or efforts(len(addresses))[0]
        is_rising = bool((addresses[1:] > addresses[:-1]).all())
        self._order = None if is_rising else np.argsort(addresses, kind="stable")

    @property
    def count(self) -> int:
        """How many rows there are, those that are gone among them."""
        return len(self._addresses)

    def at(self, effort: Effort) -> LanceIndex:
        """The same index, searched with another effort."""
        other = copy.copy(self)
        other.effort = effort
        return other

    def nearest(self, queries: FloatArray, k: int, *, allowed: RowMask | None = None) -> Nearest:
        """The k rows nearest to each of `queries` ((q, dim) float32 unit rows).

        Raises StoreError where the table cannot be read.
        """
        empty = np.full((len(queries), 0), NO_ROW, dtype=np.int64)
        if not queries.size or (allowed is not None and not allowed.any()) or not self.count:
            return best_of(empty, empty.astype(np.float32), k)
        wanted = min(k, self.count)
        among = None
        if allowed is not None and not allowed.all():
            among = Limit.to(self._addresses, allowed)
        found = _scan(self._dataset, queries, wanted, self.effort, columns=[], among=among)
        rows = self._rows(found.column("_rowaddr").to_numpy())
        asked = found.column("query_index").to_numpy()
        similarities = (1.0 - found.column("_distance").to_numpy()).astype(np.float32)
        by_query = np.full((len(queries), wanted), NO_ROW, dtype=np.int64)
        scores = np.full((len(queries), wanted), -np.inf, dtype=np.float32)
        places = _places(asked, len(queries))
        by_query[asked, places] = rows
        scores[asked, places] = similarities
        return best_of(by_query, scores, k)

    def candidates(
        self, queries: FloatArray, count: int, *, allowed: RowMask | None = None
    ) -> RowArray:
        """(q, count) int64: rows near each of `queries`, none twice; padded with NO_ROW."""
        return self.nearest(queries, count, allowed=allowed).rows

    def _rows(self, addresses: AddressArray) -> RowArray:
        at = np.searchsorted(self._addresses, addresses, sorter=self._order)
        at = np.minimum(at, self.count - 1)
        rows: RowArray = at if self._order is None else self._order[at]
        return np.where(self._addresses[rows] == addresses, rows, NO_ROW).astype(np.int64)


def search_rows(
    dataset: Any,
    queries: FloatArray,
    k: int,
    *,
    asset_ids: Sequence[str] | None = None,
    effort: Effort | None = None,
) -> pa.Table:
    """The k rows of a table of vectors that are nearest to each of `queries`, and what they hold.

    `queries` are (q, dim) float32 unit rows; `asset_ids` limits the rows to those of these assets.
    Nothing of the table needs to be here: only the partitions of the index that are searched and
    the rows that are found are read. Returns the columns `query` (int32), `address` (uint64),
    `segment_id`, `asset_id`, `box` (four float32 or null) and `similarity` (float32), by query and
    falling similarity. Raises StoreError where the table cannot be read.
    """
    with _asking(dataset):
        count = dataset.count_rows()
    effort = effort or efforts(count)[0]
    wanted = min(k, count)
    if not queries.size or not wanted or (asset_ids is not None and not asset_ids):
        return _listed(dataset.schema, None)
    if asset_ids is None:
        return _listed(dataset.schema, _scan(dataset, queries, wanted, effort, columns=HELD))
    if len(asset_ids) > FEW_ASSETS:
        found = _looked_through(dataset, queries, wanted, effort, asset_ids)
        return _listed(dataset.schema, found)
    rows = _addresses_of(dataset, asset_ids)
    if not len(rows):
        return _listed(dataset.schema, None)
    among = Limit(rows, share=len(rows) / count)
    found = _scan(dataset, queries, wanted, effort, columns=HELD, among=among)
    return _listed(dataset.schema, found)


def _addresses_of(dataset: Any, asset_ids: Sequence[str]) -> AddressArray:
    """The rows of these assets, by the index of their ids."""
    found = [np.empty(0, dtype=np.uint64)]
    for begin in range(0, len(asset_ids), NAMED_AT_ONCE):
        some = asset_ids[begin : begin + NAMED_AT_ONCE]
        quoted = ", ".join("'" + one.replace("'", "''") + "'" for one in some)
        with _asking(dataset):
            rows = dataset.scanner(
                columns=[], filter=f"{OWNER} IN ({quoted})", with_row_address=True
            ).to_table()
        found.append(rows.column("_rowaddr").to_numpy())
    return np.unique(np.concatenate(found))


def _looked_through(
    dataset: Any, queries: FloatArray, k: int, effort: Effort, asset_ids: Sequence[str]
) -> pa.Table:
    """Ask for more and more rows, until k of each query are of these assets."""
    import pyarrow as pa
    import pyarrow.compute as pc

    known = pa.array(asset_ids, pa.string())
    count = dataset.count_rows()
    asked = k
    while True:
        asked = min(asked * GROWTH, count)
        found = _scan(dataset, queries, asked, effort, columns=HELD)
        passing = found.filter(pc.is_in(found.column(OWNER), value_set=known))
        index = passing.column("query_index").to_numpy()
        having = np.bincount(index, minlength=len(queries))
        if asked == count or bool((having >= k).all()):
            return passing.filter(pa.array(_places(index, len(queries)) < k))


def _scan(
    dataset: Any,
    queries: FloatArray,
    k: int,
    effort: Effort,
    *,
    columns: Sequence[str],
    among: Limit | None = None,
) -> pa.Table:
    """Rows by query and rising distance, with `_distance` and `_rowaddr`.

    Rows of fragments that are in no index are compared one by one. Of a share of the rows the
    nearest lie in more partitions: as many more are searched. Where fewer than k are found in
    them, Lance goes on to further ones.
    """
    share = 1.0 if among is None else among.share
    nearest = {
        "column": VECTOR,
        "q": np.ascontiguousarray(queries, dtype=np.float32),
        "k": k,
        "metric": METRIC,
        "minimum_nprobes": math.ceil(effort.probes / share),
        "refine_factor": effort.refine,  # with the vectors themselves: distances are exact
        "use_index": among is None or not among.is_few,
    }
    with _asking(dataset):
        return dataset.scanner(
            columns=[*columns, "_distance"],
            nearest=nearest,
            with_row_address=True,
            disable_scoring_autoprojection=True,
            **({} if among is None else among.options()),
        ).to_table()


def _listed(schema: pa.Schema, found: pa.Table | None) -> pa.Table:
    import pyarrow as pa

    columns = {
        "query": pa.int32(),
        "address": pa.uint64(),
        "segment_id": pa.string(),
        "asset_id": pa.string(),
        "box": schema.field("box").type,
        "similarity": pa.float32(),
    }
    wanted = pa.schema(list(columns.items()))
    if found is None:
        return wanted.empty_table()
    similarities = 1.0 - found.column("_distance").to_numpy()
    arrays = [
        found.column("query_index"),
        found.column("_rowaddr"),
        found.column("segment_id"),
        found.column("asset_id"),
        found.column("box"),
        pa.array(similarities.astype(np.float32)),
    ]
    listed = pa.Table.from_arrays(arrays, names=list(columns)).cast(wanted)
    return listed.sort_by([("query", "ascending"), ("similarity", "descending")])


def _places(queries: NDArray[Any], count: int) -> NDArray[np.int64]:
    """The how manieth of its query each row is, where all rows of a query follow each other."""
    per_query = np.bincount(queries, minlength=count)
    begins = np.cumsum(per_query) - per_query
    places: NDArray[np.int64] = np.arange(len(queries)) - begins[queries]
    return places


@contextlib.contextmanager
def _asking(dataset: Any) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, RuntimeError) as exc:  # lance and Arrow raise all three
        raise StoreError(f"the index of {dataset.uri} cannot be used: {exc}") from exc
