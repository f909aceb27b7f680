"""A snapshot: the indexes and arrays of a library for one version of its tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mmsearch.index import index_files
from mmsearch.index.base import RowArray
from mmsearch.index.index_config import DEFAULT_INDEX_CONFIG, IndexConfig
from mmsearch.runtime.concurrency import LazyValues
from mmsearch.snapshot.array_cache import ArrayCache, SpaceArrays
from mmsearch.snapshot.array_writers import write_file_links
from mmsearch.snapshot.keys import compute_key
from mmsearch.snapshot.names import Names
from mmsearch.snapshot.rows import AssetRows, SegmentRows
from mmsearch.snapshot.thumbprints import Thumbprints
from mmsearch.store.reader import Reader
from mmsearch.store.rows import FileRow
from mmsearch.store.schema import ASSETS, FILES, name_vectors_table

NPY_HEADER_BYTES = 128
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a search needs besides the rows it shows, memory-mapped.

    An asset is known by its row in `assets`: `modalities` has one entry for each, and the files of
    asset i are `file_rows[file_offsets[i]:file_offsets[i + 1]]`, rows of `files`. `asset_keys` has
    their keys. `indexes` names the folders of built indexes when it was opened.
    """

    reader: Reader
    spaces: dict[str, SpaceArrays]
    segments: SegmentRows
    modalities: NDArray[np.uint8]
    asset_keys: NDArray[np.uint64]
    assets: AssetRows
    file_offsets: NDArray[np.int64]
    file_rows: NDArray[np.int32]
    names: Names
    thumbprints: Thumbprints
    indexes: tuple[str, ...]
    _joined: LazyValues = field(default_factory=LazyValues, compare=False)

    @property
    def filled_spaces(self) -> frozenset[str]:
        """The names of the spaces with vectors."""
        return frozenset(name for name, arrays in self.spaces.items() if arrays.index.count)

    def asset_rows(self, keys: NDArray[np.uint64]) -> RowArray:
        """Returns the row of each asset; -1 for one that is unknown or has no file."""
        return self.assets.find(keys)

    def asset_row(self, asset_id: str) -> int | None:
        """Returns the row of an asset; None if it is unknown or has no file."""
        (row,) = self.asset_rows(np.array([compute_key(asset_id)], dtype=np.uint64)).tolist()
        return None if row < 0 else row

    def owners(self, space: str) -> RowArray:
        """Returns the asset row of each vector of a space, as `asset_rows` does; computed once."""
        column = self.spaces[space].assets
        return self._joined.get(space, lambda: self.asset_rows(column.to_array()))

    def memoize(self, name: str, make: Callable[[], T]) -> T:
        """Returns the value of a name, made at the first call and kept with the snapshot."""
        return self._joined.get(f"kept:{name}", make)

    def segments_of(self, asset: int) -> RowArray:
        """Returns the rows of the segments of an asset, in order."""
        return self.segments.owned_by(self.asset_keys[asset])

    def files_of(self, asset: int) -> list[FileRow]:
        """Returns the files of an asset, as they were when indexed."""
        places = range(int(self.file_offsets[asset]), int(self.file_offsets[asset + 1]))
        return self.reader.read_file_rows([int(self.file_rows[at]) for at in places])

    def paths(self, assets: Sequence[int]) -> list[list[str]]:
        """Returns the sorted paths of each asset, in one read."""
        ranges = [
            range(int(self.file_offsets[asset]), int(self.file_offsets[asset + 1]))
            for asset in assets
        ]
        rows = [int(self.file_rows[at]) for places in ranges for at in places]
        found = iter(self.reader.read_file_paths(rows))
        return [sorted(islice(found, len(places))) for places in ranges]


def open_snapshot(
    reader: Reader, wish: IndexConfig = DEFAULT_INDEX_CONFIG, previous: Snapshot | None = None
) -> Snapshot:
    """Maps the arrays for the versions that the reader sees, writing those that are missing.

    The arrays of unchanged fragments are used again: after an addition only what was added is read.
    A folder that is torn, or of another format, is written anew. `previous` is an older snapshot,
    whose open indexes are taken over where they are the same.
    """
    cache = ArrayCache(reader, wish, previous)
    indexes = tuple(index_files.list_names(reader.location.cache_folder))
    spaces = {
        space.name: cache.open_space(space.name, space.dim) for space in reader.manifest.spaces
    }
    segments = cache.map_segments()
    joined = cache.map_or_write(
        _file_links_name(reader), lambda draft: write_file_links(reader, draft)
    )
    parts = [*cache.map_file_names(joined["file_assets"]), *cache.map_titles()]
    thumbprints = cache.map_thumbprints()
    cache.tidy()
    assets = AssetRows(joined["asset_keys"], joined["asset_order"], joined["file_offsets"])
    parts += segments.tags(assets.find)
    return Snapshot(
        reader=reader,
        spaces=spaces,
        segments=segments,
        modalities=joined["modalities"],
        asset_keys=joined["asset_keys"],
        file_offsets=joined["file_offsets"],
        assets=assets,
        file_rows=joined["file_rows"],
        names=Names(parts, len(joined["modalities"])),
        thumbprints=thumbprints,
        indexes=indexes,
    )


def has_other_indexes(snapshot: Snapshot) -> bool:
    """Tests if any process built an index since the snapshot was opened."""
    now = index_files.list_names(snapshot.reader.location.cache_folder)
    return now != list(snapshot.indexes)


def guess_filled_spaces(cache: Path) -> frozenset[str] | None:
    """Guesses the spaces with vectors from the sizes of array files; None if there are none yet.

    It opens nothing of the library: good enough to start loading the models of a query.
    """
    prefix = name_vectors_table("")
    if not cache.is_dir():
        return None
    try:
        return frozenset(
            folder.name.removeprefix(prefix).rpartition("-")[0]
            for folder in cache.glob(f"{prefix}*")
            if (folder / "keys.npy").stat().st_size > NPY_HEADER_BYTES
        )
    except OSError:  # another process has just put new ones in their place
        return None


def _file_links_name(reader: Reader) -> str:
    versions = {table: reader.versions[table] for table in (ASSETS, FILES)}
    text = json.dumps(versions, sort_keys=True)
    return f"assets-{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"
