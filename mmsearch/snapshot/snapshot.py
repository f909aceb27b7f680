"""The search side of a library: indexes and look-up arrays for one version of its tables."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path, PurePath
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mmsearch.index import array_folders, index_files
from mmsearch.index.addresses import AddressArray
from mmsearch.index.array_folders import Arrays, Draft
from mmsearch.index.base import NO_ROW, RowArray, RowMask, VectorIndex
from mmsearch.index.index_config import AS_SIZE_ASKS, AUTO, LANCE, Wish
from mmsearch.index.index_files import Kept
from mmsearch.index.lance_index import Effort, LanceIndex
from mmsearch.index.lance_rows import LanceRows, Vectors
from mmsearch.index.live_index import Built, Candidates, LiveIndex
from mmsearch.index.vector_matrix import Column, Matrix
from mmsearch.index.word_index import WordIndex
from mmsearch.runtime.concurrency import Once
from mmsearch.snapshot.names import NamePart, Names
from mmsearch.snapshot.thumbprints import Looks
from mmsearch.store.reader import Fragment, Reader
from mmsearch.store.rows import FileRow
from mmsearch.store.schema import ASSETS, FILES, LOOK, LOOK_BYTES, SEGMENTS, vectors_table
from mmsearch.types import Modality

LOCK = "build.lock"
"""Held by the process that builds an index."""
NPY_HEADER_BYTES = 128
MODALITIES = tuple(Modality)
SCAN_ROWS = 16_384
ID_DIGITS = 32
KEY_DIGITS = 16
"""Ids are known by their first 64 bits: among ten million the chance that two share them is
one in 400,000."""
NO_KEY = np.uint64(0)
T = TypeVar("T")
_HEX_ID = re.compile(r"[0-9a-f]{32}")
_HEX_VALUES = np.full(256, 255, dtype=np.uint8)
_HEX_VALUES[[ord(digit) for digit in "0123456789abcdef"]] = np.arange(16)


@dataclass(frozen=True, slots=True)
class SpaceArrays:
    """The index over the vectors of a space, and what is known of each of its rows.

    `segments` and `assets` have the keys of their owners; `is_there` says which rows are in the
    table still, None where all are. `addresses` makes those of the rows, which only Lance wants.
    """

    index: VectorIndex
    matrix: Vectors
    addresses: Callable[[], AddressArray]
    keys: Column
    segments: Column
    assets: Column
    boxes: Column
    is_there: RowMask | None
    kept: Kept | None = None
    built: Built | None = None

    @property
    def there(self) -> int:
        """How many of the rows are in the table still."""
        return self.keys.count if self.is_there is None else int(np.count_nonzero(self.is_there))

    @property
    def changed(self) -> int:
        """About how many rows came and went since the index was built."""
        if self.kept is None:
            return 0
        if self.built is None or self.built.rows is None:
            return abs(self.there - self.kept.header.count)
        held_out = len(self.kept.keys) - len(self.kept.rows)
        came = max(0, len(self.built.tail) - held_out)
        lost = int(np.count_nonzero(self.built.rows == NO_ROW))
        return came + lost + self.keys.count - self.there

    def rows_of_asset(self, key: np.uint64) -> RowArray:
        """The vectors of an asset, by its key."""
        rows = self.assets.rows_of(key)
        return rows if self.is_there is None else rows[self.is_there[rows]]


class Rows:
    """Which rows of a table have which key."""

    def __init__(
        self, fragments: Sequence[Fragment], parts: Sequence[Arrays], is_there: RowMask | None
    ) -> None:
        self._keys = Column([part["keys"] for part in parts])
        self._owners = Column([part["owners"] for part in parts])
        self._orders = [part["order"] for part in parts]
        self._parts = parts
        self._fragments = fragments
        self._is_there = is_there
        # A table counts only rows that are there still.
        self._positions = None if is_there is None else np.cumsum(is_there) - 1

    @property
    def count(self) -> int:
        """How many rows there are, those that are gone among them."""
        return self._keys.count

    def of(self, keys: NDArray[np.uint64]) -> RowArray:
        """The row of the table for each key, -1 where there is none."""
        found = np.full(len(keys), -1, dtype=np.int64)
        for start, block, order in zip(
            self._keys.starts.tolist(), self._keys.blocks, self._orders, strict=False
        ):
            if len(block):
                at = np.minimum(np.searchsorted(block, keys, sorter=order), len(block) - 1)
                rows = order[at]
                is_it = (block[rows] == keys) & self._there(start + rows)
                found[is_it] = start + rows[is_it]
        return self._counted(found)

    def addresses(self) -> AddressArray:
        """The address of every row, as Lance has it; those that are gone among them."""
        return _addresses(self._fragments, self._parts)

    def at(self, addresses: AddressArray) -> tuple[RowArray, NDArray[np.uint64]]:
        """The row of the table at each address, -1 where there is none, and the key of its owner.

        That of a row that is not there is NO_KEY.
        """
        found = np.full(len(addresses), -1, dtype=np.int64)
        owners = np.full(len(addresses), NO_KEY)
        for start, fragment, part in zip(
            self._keys.starts.tolist(), self._fragments, self._parts, strict=False
        ):
            here = np.flatnonzero(addresses >> np.uint64(32) == fragment.id)
            offsets = part["offsets"]
            if len(here) and len(offsets):
                wanted = (addresses[here] & np.uint64(0xFFFFFFFF)).astype(offsets.dtype)
                rows = np.minimum(np.searchsorted(offsets, wanted), len(offsets) - 1)
                is_it = (offsets[rows] == wanted) & self._there(start + rows)
                found[here[is_it]] = start + rows[is_it]
                owners[here[is_it]] = part["owners"][rows[is_it]]
        return self._counted(found), owners

    def owners(self) -> NDArray[np.uint64]:
        """The key of the owner of every row, those that are gone among them."""
        return np.asarray(_concatenated(self._owners.blocks, np.uint64))

    def owned_by(self, key: np.uint64) -> RowArray:
        """The rows whose owner has that key, rising."""
        rows = self._owners.rows_of(key)
        return self._counted(rows[self._there(rows)])

    def tags(self, owners: Callable[[NDArray[np.uint64]], RowArray]) -> Iterator[NamePart]:
        """The words of tags; `owners` takes the keys of what has them to their rows.

        That of a row that is gone is NO_KEY.
        """
        for start, part in zip(self._keys.starts.tolist(), self._parts, strict=False):
            if len(part["vocabulary"]):
                keys = partial(self._owners_at, start)
                yield NamePart(
                    WordIndex.mapped(part),
                    lambda rows, keys=keys: owners(keys(rows)),  # type: ignore[misc]
                    lambda rows, start=start: self._counted(start + rows),  # type: ignore[misc]
                )

    def _owners_at(self, start: int, rows: RowArray) -> NDArray[np.uint64]:
        keys = np.asarray(self._owners.take(start + rows), dtype=np.uint64)
        return np.where(self._there(start + rows), keys, NO_KEY)

    def _there(self, rows: RowArray) -> RowMask:
        if self._is_there is None:
            return np.ones(len(rows), dtype=np.bool_)
        return self._is_there[rows]

    def _counted(self, rows: RowArray) -> RowArray:
        if self._positions is None:
            return rows
        return np.where(rows >= 0, self._positions[rows], -1)


@dataclass(frozen=True, slots=True)
class AssetRows:
    """Which row of `assets` has which key, for those that a file leads to."""

    keys: NDArray[np.uint64]
    order: NDArray[np.int64]
    file_offsets: NDArray[np.int64]

    def of(self, keys: NDArray[np.uint64]) -> RowArray:
        """The rows of assets; -1 for one that is not there or that no file leads to."""
        if not len(self.keys):
            return np.full(len(keys), -1, dtype=np.int64)
        at = np.searchsorted(self.keys, keys, sorter=self.order)
        rows = self.order[np.minimum(at, len(self.keys) - 1)].astype(np.int64)
        is_it = self.keys[rows] == keys
        is_listed = self.file_offsets[rows + 1] > self.file_offsets[rows]
        return np.where(is_it & is_listed, rows, -1)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a search needs besides the rows it shows, memory-mapped.

    An asset is known by its row in `assets`: `modalities` has one entry for each, and the files of
    asset i are `file_rows[file_offsets[i]:file_offsets[i + 1]]`, rows of `files`. `asset_keys` has
    their keys. `indexes` are the folders of built indexes
    that there were, whole or not.
    """

    reader: Reader
    spaces: dict[str, SpaceArrays]
    segments: Rows
    modalities: NDArray[np.uint8]
    asset_keys: NDArray[np.uint64]
    assets: AssetRows
    file_offsets: NDArray[np.int64]
    file_rows: NDArray[np.int32]
    names: Names
    looks: Looks
    indexes: tuple[str, ...]
    _joined: Once = field(default_factory=Once, compare=False)

    @property
    def filled(self) -> frozenset[str]:
        """The spaces that have vectors."""
        return frozenset(name for name, arrays in self.spaces.items() if arrays.index.count)

    def asset_rows(self, keys: NDArray[np.uint64]) -> RowArray:
        """The rows of assets; -1 for one that is not there or that no file leads to."""
        return self.assets.of(keys)

    def asset_row(self, asset_id: str) -> int | None:
        """The row of an asset, None where it is not there or no file leads to it."""
        (row,) = self.asset_rows(np.array([key_of(asset_id)], dtype=np.uint64)).tolist()
        return None if row < 0 else row

    def owners(self, space: str) -> RowArray:
        """The asset row of each vector of a space, as `asset_rows` gives it; made when wanted."""
        column = self.spaces[space].assets
        return self._joined.get(space, lambda: self.asset_rows(column.whole()))

    def kept(self, name: str, make: Callable[[], T]) -> T:
        """What is made of the tables when it is first wanted, by its name, and kept from then."""
        return self._joined.get(f"kept:{name}", make)

    def segments_of(self, asset: int) -> RowArray:
        """The rows of the segments of an asset, in their order."""
        return self.segments.owned_by(self.asset_keys[asset])

    def files_of(self, asset: int) -> list[FileRow]:
        """The files that lead to an asset, with what was noted of each when it was indexed."""
        places = range(int(self.file_offsets[asset]), int(self.file_offsets[asset + 1]))
        return self.reader.file_rows([int(self.file_rows[at]) for at in places])

    def paths(self, assets: Sequence[int]) -> list[list[str]]:
        """Where each asset lies, in the order of the paths; all are read at once."""
        ranges = [
            range(int(self.file_offsets[asset]), int(self.file_offsets[asset + 1]))
            for asset in assets
        ]
        rows = [int(self.file_rows[at]) for places in ranges for at in places]
        found = iter(self.reader.file_paths(rows))
        return [sorted(islice(found, len(places))) for places in ranges]


def open_snapshot(
    reader: Reader, wish: Wish = AS_SIZE_ASKS, previous: Snapshot | None = None
) -> Snapshot:
    """Map the arrays for the versions that the reader sees, writing those that are missing.

    What belongs to a part of a table that was not touched since is used again: after an addition
    only what was added is read. A folder that is torn, or of another form, is written anew.
    `previous` is an older snapshot of the library: its indexes are taken over where they are the
    same still.
    """
    cache = _Cache(reader, wish, previous)
    indexes = tuple(index_files.names(reader.location.cache_folder))
    spaces = {space.name: cache.space(space.name, space.dim) for space in reader.manifest.spaces}
    segments = cache.segments()
    joined = cache.made(_name(reader), lambda draft: _write_joined(reader, draft))
    parts = [*cache.file_names(joined["file_assets"]), *cache.titles()]
    looks = cache.looks()
    cache.tidy()
    assets = AssetRows(joined["asset_keys"], joined["asset_order"], joined["file_offsets"])
    parts += segments.tags(assets.of)
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
        looks=looks,
        indexes=indexes,
    )


def has_other_indexes(snapshot: Snapshot) -> bool:
    """Whether an index was built since the snapshot was opened, by whichever process."""
    now = index_files.names(snapshot.reader.location.cache_folder)
    return now != list(snapshot.indexes)


def filled_spaces(cache: Path) -> frozenset[str] | None:
    """Which spaces had vectors when the arrays were last written; None where that is not known.

    Told by the sizes of files, before anything of the library is opened: good for a guess at which
    models a query will need.
    """
    prefix = vectors_table("")
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


class _Cache:
    """The folders of one library while they are looked up."""

    def __init__(self, reader: Reader, wish: Wish, previous: Snapshot | None) -> None:
        self._reader = reader
        self._wish = wish
        self._previous = {} if previous is None else previous.spaces
        self._parent = reader.location.cache_folder
        self._used: set[str] = set()
        self._wrote = False

    def made(self, name: str, write: Any) -> Arrays:
        self._used.add(name)
        arrays, wrote = array_folders.made(self._parent, name, write)
        self._wrote |= wrote
        return arrays

    def tidy(self) -> None:
        """Drop what belongs to other versions, where something new was written."""
        if self._wrote:
            array_folders.drop_others(
                self._parent, {*self._used, *index_files.names(self._parent), LOCK}
            )

    def space(self, name: str, dim: int) -> SpaceArrays:
        table = vectors_table(name)
        parts = self._reader.fragments(table)
        is_remote = self._reader.location.is_remote
        # What lies on a storage stays there: only the keys are kept here.
        width = 0 if is_remote else dim
        arrays = [
            self.made(_part_name(part), lambda draft, part=part: self._vectors(draft, part, width))
            for part in parts
        ]
        is_there = self._is_there(parts, arrays)
        keys = Column([one["keys"] for one in arrays])
        kept = index_files.find(self._parent, name)

        def addresses() -> AddressArray:
            return _addresses(parts, arrays)

        dataset = self._reader.dataset(table)
        built = None
        matrix: Vectors
        index: VectorIndex
        if is_remote:
            matrix = LanceRows(dataset, dim, is_there, keys.count)
            index = self._lance(dataset, addresses(), kept)
        else:
            matrix = here = Matrix([one["vectors"] for one in arrays], dim)
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
            segments=Column([one["segments"] for one in arrays]),
            assets=Column([one["assets"] for one in arrays]),
            boxes=Column([one["boxes"] for one in arrays]),
            is_there=is_there,
            kept=kept,
            built=built,
        )

    @staticmethod
    def _lance(dataset: Any, addresses: AddressArray, kept: Kept | None) -> LanceIndex:
        effort = Effort(*kept.header.effort) if kept and kept.header.kind == LANCE else None
        return LanceIndex(dataset, addresses, effort)

    def _built(self, name: str, kept: Kept | None, keys: Column) -> Built | None:
        """The built index of a space; None where there is none that is good and wanted."""
        recipe = None if kept is None else kept.header.recipe
        if kept is None or recipe is None or self._wish.kind not in (AUTO, recipe.kind):
            return None
        before = self._previous.get(name)
        index: Candidates | None
        if before and before.built and before.kept and before.kept.folder == kept.folder:
            index = before.built.index
        else:
            index = index_files.opened(kept, device=self._wish.device)
        return None if index is None else index_files.bound(kept, index, recipe, keys)

    def segments(self) -> Rows:
        parts = self._reader.fragments(SEGMENTS)

        def write(draft: Draft, part: Fragment) -> None:
            columns = ("segment_id", "asset_id", "tags")
            found = list(self._reader.scan(part, *columns, batch_size=SCAN_ROWS))
            keys = _concatenated([keys_of(one.column("segment_id")) for one in found], np.uint64)
            owners = [keys_of(one.column("asset_id")) for one in found]
            draft.save("keys", keys)
            draft.save("owners", _concatenated(owners, np.uint64))
            draft.save("order", np.argsort(keys, kind="stable"))
            draft.save("offsets", _concatenated([_offsets(one) for one in found], np.int32))
            tags = [tag for one in found for tag in one.column("tags").to_pylist()]
            _save_words(draft, _tag_texts(tags))

        arrays = [
            self.made(_part_name(part), lambda draft, part=part: write(draft, part))
            for part in parts
        ]
        return Rows(parts, arrays, self._is_there(parts, arrays))

    def file_names(self, file_assets: NDArray[np.int32]) -> list[NamePart]:
        """The words of paths; `file_assets` has the asset row of each file."""
        return [
            NamePart(index, _looked_up(np.append(file_assets, -1)[positions]))
            for index, positions in self._named(FILES, ("path",))
        ]

    def titles(self) -> list[NamePart]:
        """The words of what files say of themselves."""
        found = self._named(ASSETS, ("title", "artist", "album", "camera", "description"))
        return [NamePart(index, _looked_up(positions)) for index, positions in found]

    def looks(self) -> Looks:
        """How pictures look."""
        if self._reader.location.is_remote:
            return Looks(reader=self._reader)
        if not self._reader.has_looks:
            return Looks()
        parts = self._reader.fragments(ASSETS)
        arrays = [
            self.made(
                f"looks-{_part_name(part)}", lambda draft, part=part: self._looks(draft, part)
            )
            for part in parts
        ]
        return Looks.mapped(arrays, self._is_there(parts, arrays))

    def _looks(self, draft: Draft, part: Fragment) -> None:
        """Write the looks of one part of `assets`, and which of them each of its rows has.

        Gone through twice, for they are too many to be held before it is known how many they are.
        """
        offsets, is_known = [], []
        for batch in self._reader.scan(part, LOOK, batch_size=SCAN_ROWS):
            offsets.append(_offsets(batch))
            is_known.append(np.asarray(batch.column(LOOK).is_valid()))
        known = _concatenated(is_known, np.bool_)
        draft.save("offsets", _concatenated(offsets, np.int32))
        draft.save("slots", np.where(known, np.cumsum(known) - 1, -1))
        count = int(np.count_nonzero(known))
        if count == 0:
            draft.save("looks", np.empty((0, LOOK_BYTES), dtype=np.uint8))
            return
        looks = draft.room("looks", np.uint8, (count, LOOK_BYTES))
        at = 0
        for batch in self._reader.scan(part, LOOK, batch_size=SCAN_ROWS):
            flat = b"".join(batch.column(LOOK).drop_null().to_pylist())
            found = np.frombuffer(flat, dtype=np.uint8).reshape(-1, LOOK_BYTES)
            looks[at : at + len(found)] = found
            at += len(found)

    def _named(
        self, table: str, columns: tuple[str, ...]
    ) -> list[tuple[WordIndex, NDArray[np.int64]]]:
        """For each part of a table its words, and the row of the table for each of its rows.

        -1 stands for a row that is gone.
        """
        parts = self._reader.fragments(table)

        def write(draft: Draft, part: Fragment) -> None:
            found = list(self._reader.scan(part, *columns, batch_size=SCAN_ROWS))
            draft.save("offsets", _concatenated([_offsets(one) for one in found], np.int32))
            rows = [row for one in found for row in one.to_pylist()]
            _save_words(draft, _name_texts(rows, columns))

        arrays = [
            self.made(f"words-{_part_name(part)}", lambda draft, part=part: write(draft, part))
            for part in parts
        ]
        is_there = self._is_there(parts, arrays)
        ends = np.cumsum([len(one["offsets"]) for one in arrays], dtype=np.int64)
        count = int(ends[-1]) if len(ends) else 0
        positions = np.arange(count)
        if is_there is not None:
            positions = np.where(is_there, np.cumsum(is_there) - 1, -1)
        split = np.split(positions, ends[:-1]) if len(ends) else []
        return [(WordIndex.mapped(one), at) for one, at in zip(arrays, split, strict=True)]

    def _vectors(self, draft: Draft, part: Fragment, dim: int) -> None:
        """Write what is known of the vectors of one part of the table of a space.

        They themselves are left out where `dim` is 0.
        """
        columns = ("segment_id", "asset_id", "box", *(["vector"] if dim else []))
        addresses = [_offsets(one) for one in self._reader.scan(part, batch_size=1 << 20)]
        offsets = _concatenated(addresses, np.int32)
        draft.save("offsets", offsets)
        vectors = draft.room("vectors", np.float16, (len(offsets), dim)) if dim else None
        segments = np.empty(len(offsets), dtype=np.uint64)
        assets = np.empty(len(offsets), dtype=np.uint64)
        boxes = np.full((len(offsets), 4), np.nan, dtype=np.float32)
        at = 0
        for batch in self._reader.scan(part, *columns, batch_size=SCAN_ROWS):
            end = at + batch.num_rows
            if vectors is not None:
                flat = np.asarray(batch.column("vector").flatten())
                vectors[at:end] = flat.reshape(-1, dim)
            segments[at:end] = keys_of(batch.column("segment_id"))
            assets[at:end] = keys_of(batch.column("asset_id"))
            has_box = np.asarray(batch.column("box").is_valid())
            if has_box.any():
                kept = batch.column("box").drop_null()
                boxes[at:end][has_box] = np.asarray(kept.flatten()).reshape(-1, 4)
            at = end
        draft.save("segments", segments)
        draft.save("assets", assets)
        draft.save("boxes", boxes)
        draft.save("keys", _numbered(segments))

    def _is_there(self, parts: Sequence[Fragment], arrays: Sequence[Arrays]) -> RowMask | None:
        """Which rows are in the table still; None where all are."""
        if not any(part.deletions for part in parts):
            return None
        masks = []
        for part, one in zip(parts, arrays, strict=True):
            offsets = one["offsets"]
            mask = np.ones(len(offsets), dtype=np.bool_)
            if part.deletions:
                left = [_offsets(batch) for batch in self._reader.scan(part, batch_size=1 << 20)]
                mask = np.isin(offsets, _concatenated(left, np.int32), assume_unique=True)
            masks.append(mask)
        if all(mask.all() for mask in masks):
            return None
        return np.concatenate(masks)


def _is_of(kept: Kept | None, kind: str, wish: Wish) -> bool:
    return kept is not None and wish.kind == AUTO and kept.header.kind == kind


def _part_name(part: Fragment) -> str:
    return f"{part.table}-{part.key}"


def _name(reader: Reader) -> str:
    versions = {table: reader.versions[table] for table in (ASSETS, FILES)}
    text = json.dumps(versions, sort_keys=True)
    return f"assets-{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"


def _offsets(batch: Any) -> NDArray[np.int32]:
    """The place of each row within its part: the lower half of its address."""
    addresses = np.asarray(batch.column("_rowaddr"))
    return (addresses & np.uint64(0xFFFFFFFF)).astype(np.int32)


def _addresses(fragments: Sequence[Fragment], arrays: Sequence[Arrays]) -> AddressArray:
    whole = [
        one["offsets"].astype(np.uint64) | np.uint64(part.id << 32)
        for part, one in zip(fragments, arrays, strict=True)
    ]
    return _concatenated(whole, np.uint64)


def _concatenated(parts: Sequence[NDArray[Any]], dtype: type[Any]) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype=dtype), *parts])


def key_of(one_id: str) -> int:
    """64 bits for an id: the first of 32 hex digits, or a hash of what is written otherwise."""
    if _HEX_ID.fullmatch(one_id):
        return int(one_id[:KEY_DIGITS], 16)
    return int.from_bytes(hashlib.blake2b(one_id.encode(), digest_size=8).digest())


def keys_of(ids: Any) -> NDArray[np.uint64]:
    """The same for an Arrow array of strings, as (n,) uint64."""
    if len(ids) == 0:
        return np.empty(0, dtype=np.uint64)
    _, edges, data = ids.buffers()
    offsets = np.frombuffer(edges, dtype=np.int32)[ids.offset : ids.offset + len(ids) + 1]
    if (np.diff(offsets) == ID_DIGITS).all():
        text = np.frombuffer(data, dtype=np.uint8)[offsets[0] : offsets[-1]]
        values = _HEX_VALUES[text].reshape(len(ids), ID_DIGITS)
        if values.max() < 16:
            first = values[:, :KEY_DIGITS]
            pairs = np.ascontiguousarray((first[:, ::2] << 4) | first[:, 1::2])
            return pairs.view(">u8").ravel().astype(np.uint64)
    return np.array([key_of(one) for one in ids.to_pylist()], dtype=np.uint64)


def _numbered(segments: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A key for each vector: that of its segment, and how many of the segment came before it.

    Vectors of one segment follow each other.
    """
    if not len(segments):
        return segments
    begins = np.flatnonzero(np.append(True, segments[1:] != segments[:-1]))
    counts = np.diff(np.append(begins, len(segments)))
    ordinals = np.arange(len(segments)) - np.repeat(begins, counts)
    # An odd constant (the golden ratio's) spreads them over all 64 bits.
    return segments + ordinals.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def _write_joined(reader: Reader, draft: Draft) -> None:
    """Which files lead to which assets, and what they are called."""
    import pyarrow.compute as pc

    assets = reader.column(ASSETS, "asset_id", "modality")
    asset_ids = assets.column("asset_id").combine_chunks()
    files = reader.column(FILES, "asset_id")

    found = pc.index_in(files.column("asset_id"), value_set=asset_ids)
    file_assets = np.asarray(pc.fill_null(found, -1), dtype=np.int32)
    order = np.argsort(file_assets, kind="stable").astype(np.int32)
    order = order[file_assets[order] >= 0]
    per_asset = np.bincount(file_assets[order], minlength=len(asset_ids))
    modality_of = {modality.value: code for code, modality in enumerate(MODALITIES)}
    modalities = [modality_of[name] for name in assets.column("modality").to_pylist()]
    draft.save("modalities", np.array(modalities, dtype=np.uint8))
    keys = keys_of(asset_ids)
    draft.save("asset_keys", keys)
    draft.save("asset_order", np.argsort(keys, kind="stable"))
    draft.save("file_assets", file_assets)
    draft.save("file_rows", order)
    draft.save("file_offsets", np.concatenate([[0], np.cumsum(per_asset)]).astype(np.int64))


def _save_words(draft: Draft, texts: Iterator[tuple[int, str, float]]) -> None:
    for name, array in WordIndex.build(texts).arrays().items():
        draft.save(name, array)


def _name_texts(
    rows: Sequence[dict[str, Any]], columns: tuple[str, ...]
) -> Iterator[tuple[int, str, float]]:
    for number, row in enumerate(rows):
        for column in columns:
            if column == "path":
                pure = PurePath(row[column])
                yield number, " ".join([*pure.parts[:-1], pure.stem]), 1.0
            elif row[column]:
                yield number, row[column], 1.0


def _tag_texts(
    tags: Sequence[Sequence[dict[str, Any]] | None],
) -> Iterator[tuple[int, str, float]]:
    for number, listed in enumerate(tags):
        for tag in listed or ():
            yield number, tag["name"], tag["probability"]


def _looked_up(rows: NDArray[Any]) -> Callable[[RowArray], RowArray]:
    return lambda documents: rows[documents].astype(np.int64)
