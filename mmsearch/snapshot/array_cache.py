"""Maps the arrays of a library's fragments, writing those that are missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.index import array_folders, index_files
from mmsearch.index.addresses import AddressArray
from mmsearch.index.array_folders import ArrayDraft, Arrays
from mmsearch.index.base import NO_ROW, RowArray, RowMask, VectorIndex
from mmsearch.index.index_config import AUTO, LANCE, IndexConfig
from mmsearch.index.index_files import StoredIndex
from mmsearch.index.lance_index import Effort, LanceIndex
from mmsearch.index.lance_rows import LanceRows, VectorSource
from mmsearch.index.live_index import BuiltIndex, CandidateIndex, LiveIndex
from mmsearch.index.vector_matrix import Column, Matrix
from mmsearch.index.word_index import WordIndex
from mmsearch.snapshot import array_writers
from mmsearch.snapshot.names import NameIndexPart
from mmsearch.snapshot.rows import SegmentRows, addresses_of
from mmsearch.snapshot.thumbprints import Thumbprints
from mmsearch.store.reader import Fragment, Reader
from mmsearch.store.schema import ASSETS, FILES, SEGMENTS, name_vectors_table

if TYPE_CHECKING:
    from mmsearch.snapshot.snapshot import Snapshot

LOCK = "build.lock"
"""Held by the process that builds an index."""


@dataclass(frozen=True, slots=True)
class SpaceArrays:
    """The index over the vectors of a space, and columns with one entry for each vector.

    `segments` and `assets` have the keys of their owners; `is_there` marks the rows that are not
    deleted, None where none is. `addresses` computes Lance addresses, which only Lance needs.
    """

    index: VectorIndex
    matrix: VectorSource
    addresses: Callable[[], AddressArray]
    keys: Column
    segments: Column
    assets: Column
    boxes: Column
    is_there: RowMask | None
    kept: StoredIndex | None = None
    built: BuiltIndex | None = None

    @property
    def there(self) -> int:
        """The number of rows that are not deleted."""
        return self.keys.count if self.is_there is None else int(np.count_nonzero(self.is_there))

    @property
    def changed(self) -> int:
        """The approximate number of rows added and deleted since the index was built."""
        if self.kept is None:
            return 0
        if self.built is None or self.built.rows is None:
            return abs(self.there - self.kept.header.count)
        held_out = len(self.kept.keys) - len(self.kept.rows)
        came = max(0, len(self.built.tail) - held_out)
        lost = int(np.count_nonzero(self.built.rows == NO_ROW))
        return came + lost + self.keys.count - self.there

    def rows_of_asset(self, key: np.uint64) -> RowArray:
        """Returns the rows of the vectors of an asset, by its key."""
        rows = self.assets.find_rows(key)
        return rows if self.is_there is None else rows[self.is_there[rows]]


TITLE_COLUMNS = ("title", "artist", "album", "camera", "description", "keywords", "location")


class ArrayCache:
    """The folders of arrays of one library; `tidy` drops those that no longer belong to it."""

    def __init__(self, reader: Reader, wish: IndexConfig, previous: Snapshot | None) -> None:
        self._reader = reader
        self._wish = wish
        self._previous = {} if previous is None else previous.spaces
        self._parent = reader.location.cache_folder
        self._used: set[str] = set()
        self._wrote = False

    def map_or_write(self, name: str, write: Callable[[ArrayDraft], None]) -> Arrays:
        """Maps a folder of arrays, written by `write` where it is missing or torn."""
        self._used.add(name)
        arrays, wrote = array_folders.load_or_write(self._parent, name, write)
        self._wrote |= wrote
        return arrays

    def tidy(self) -> None:
        """Drop what belongs to other versions, where something new was written."""
        if self._wrote:
            array_folders.remove_others(
                self._parent, {*self._used, *index_files.list_names(self._parent), LOCK}
            )

    def open_space(self, name: str, dim: int) -> SpaceArrays:
        """Maps the vectors of a space and open its index."""
        table = name_vectors_table(name)
        parts = self._reader.list_fragments(table)
        is_remote = self._reader.location.is_remote
        # What lies on a storage stays there: only the keys are kept here.
        width = 0 if is_remote else dim

        def write(reader: Reader, draft: ArrayDraft, fragment: Fragment) -> None:
            array_writers.write_vectors(reader, draft, fragment, width)

        arrays = self._map("", parts, write)
        is_there = self._is_there(parts, arrays)
        keys = Column([part["keys"] for part in arrays])
        kept = index_files.find(self._parent, name)

        def addresses() -> AddressArray:
            return addresses_of(parts, arrays)

        dataset = self._reader.open_dataset(table)
        built = None
        matrix: VectorSource
        index: VectorIndex
        if is_remote:
            matrix = LanceRows(dataset, dim, is_there, keys.count)
            index = self._lance(dataset, addresses(), kept)
        else:
            matrix = here = Matrix([part["vectors"] for part in arrays], dim)
            if self._wish.kind == LANCE or _is_of(kept, LANCE, self._wish):
                index = self._lance(dataset, addresses(), kept)
            else:
                built = self._built(name, kept, keys) if keys.count else None
                index = LiveIndex(here, is_there=is_there, built=built)
        return SpaceArrays(
            index=index,
            matrix=matrix,
            addresses=addresses,
            keys=keys,
            segments=Column([part["segments"] for part in arrays]),
            assets=Column([part["assets"] for part in arrays]),
            boxes=Column([part["boxes"] for part in arrays]),
            is_there=is_there,
            kept=kept,
            built=built,
        )

    @staticmethod
    def _lance(dataset: Any, addresses: AddressArray, kept: StoredIndex | None) -> LanceIndex:
        effort = Effort(*kept.header.effort) if kept and kept.header.kind == LANCE else None
        return LanceIndex(dataset, addresses, effort)

    def _built(self, name: str, kept: StoredIndex | None, keys: Column) -> BuiltIndex | None:
        """The built index of a space; None where there is none that is good and wanted."""
        recipe = None if kept is None else kept.header.recipe
        if kept is None or recipe is None or self._wish.kind not in (AUTO, recipe.kind):
            return None
        before = self._previous.get(name)
        index: CandidateIndex | None
        if before and before.built and before.kept and before.kept.folder == kept.folder:
            index = before.built.index
        else:
            index = index_files.open_index(kept, device=self._wish.device)
        return None if index is None else index_files.bind_to_rows(kept, index, recipe, keys)

    def map_segments(self) -> SegmentRows:
        """Maps the keys, owners and tags of segments."""
        fragments = self._reader.list_fragments(SEGMENTS)
        arrays = self._map("", fragments, array_writers.write_segments)
        return SegmentRows(fragments, arrays, self._is_there(fragments, arrays))

    def map_file_names(self, file_assets: NDArray[np.int32]) -> list[NameIndexPart]:
        """Maps the words of paths; `file_assets` has the asset row of each file."""
        return [
            NameIndexPart(index, _look_up(np.append(file_assets, -1)[positions]))
            for index, positions in self._names(FILES, ("path",))
        ]

    def map_titles(self) -> list[NameIndexPart]:
        """Maps the words of titles, artists, albums, cameras, descriptions, keywords, places."""
        parts = self._names(ASSETS, tuple(self._reader.select_columns(ASSETS, TITLE_COLUMNS)))
        return [NameIndexPart(index, _look_up(positions)) for index, positions in parts]

    def map_thumbprints(self) -> Thumbprints:
        """Maps the thumbprints of images; a library on a storage reads them when asked."""
        if self._reader.location.is_remote:
            return Thumbprints(reader=self._reader)
        if not self._reader.has_thumbprints:
            return Thumbprints()
        fragments = self._reader.list_fragments(ASSETS)
        arrays = self._map("looks-", fragments, array_writers.write_thumbprints)
        return Thumbprints.from_arrays(arrays, self._is_there(fragments, arrays))

    def _names(
        self, table: str, columns: tuple[str, ...]
    ) -> list[tuple[WordIndex, NDArray[np.int64]]]:
        """Maps the words of a table, fragment by fragment, with the row of the table of each row.

        It is -1 for a row that is deleted.
        """
        fragments = self._reader.list_fragments(table)

        def write(reader: Reader, draft: ArrayDraft, fragment: Fragment) -> None:
            array_writers.write_names(reader, draft, fragment, columns)

        arrays = self._map("words-", fragments, write)
        is_there = self._is_there(fragments, arrays)
        ends = np.cumsum([len(part["offsets"]) for part in arrays], dtype=np.int64)
        positions = np.arange(int(ends[-1]) if len(ends) else 0)
        if is_there is not None:
            positions = np.where(is_there, np.cumsum(is_there) - 1, -1)
        split = np.split(positions, ends[:-1]) if len(ends) else []
        return [
            (WordIndex.from_arrays(part), rows) for part, rows in zip(arrays, split, strict=True)
        ]

    def _map(
        self,
        prefix: str,
        fragments: Sequence[Fragment],
        write: Callable[[Reader, ArrayDraft, Fragment], None],
    ) -> list[Arrays]:
        """Maps the arrays of every fragment, written where they are missing."""

        def map_fragment(fragment: Fragment) -> Arrays:
            name = f"{prefix}{fragment.table}-{fragment.key}"
            return self.map_or_write(name, lambda draft: write(self._reader, draft, fragment))

        return [map_fragment(fragment) for fragment in fragments]

    def _is_there(self, parts: Sequence[Fragment], arrays: Sequence[Arrays]) -> RowMask | None:
        """Returns a mask of the rows that are not deleted; None where none is."""
        if not any(part.deletions for part in parts):
            return None
        masks = []
        for part, columns in zip(parts, arrays, strict=True):
            offsets = columns["offsets"]
            mask = np.ones(len(offsets), dtype=np.bool_)
            if part.deletions:
                left = array_writers.read_offsets(self._reader, part)
                mask = np.isin(offsets, left, assume_unique=True)
            masks.append(mask)
        if all(mask.all() for mask in masks):
            return None
        return np.concatenate(masks)


def _is_of(kept: StoredIndex | None, kind: str, wish: IndexConfig) -> bool:
    return kept is not None and wish.kind == AUTO and kept.header.kind == kind


def _look_up(rows: NDArray[Any]) -> Callable[[RowArray], RowArray]:
    return lambda documents: rows[documents].astype(np.int64)
