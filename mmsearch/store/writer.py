"""Writes a library through LanceDB: one writer at a time, the rows of files last."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import filelock

from mmsearch.errors import LibraryLocked, LibraryNotFound, StoreError
from mmsearch.store import duplicates, label_tags, lease, rows
from mmsearch.store import manifest as manifests
from mmsearch.store.label_tags import Tagged
from mmsearch.store.lease import Lease
from mmsearch.store.location import TABLES, Location
from mmsearch.store.manifest import Manifest
from mmsearch.store.rows import EncodedAsset, FileRow
from mmsearch.store.schema import (
    ASSETS,
    ASSETS_SCHEMA,
    FILES,
    FILES_SCHEMA,
    FORMAT_VERSION,
    LOOK,
    SEGMENTS,
    SEGMENTS_SCHEMA,
    vectors_schema,
    vectors_table,
)

LOCK = "write.lock"
DIRTY = "dirty"
IDS_PER_DELETE = 500
KEEP_VERSIONS = timedelta(hours=1)
"""Readers hold a snapshot; files of a version are kept at least this long after the next one."""
MANY_FRAGMENTS = 8


def create(path: Path | Location, manifest: Manifest) -> None:
    """Make an empty library; raises StoreError where the folder holds something else.

    A folder in which this was cut short is finished. Raises LibraryLocked when another process is
    at it.
    """
    location = Location.parse(path)
    if not _is_free(location, manifest):
        if manifests.exists(location):  # another process was quicker
            return
        raise StoreError(f"{path} is there and is no library: name an empty or a new folder")
    if not location.is_remote:
        location.folder.mkdir(parents=True, exist_ok=True)
    with Lock(location):
        if manifests.exists(location):
            return
        _drop_tables(location)
        # Tables of LanceDB are datasets of Lance; to import lancedb takes a second more.
        import lance

        for name, schema in _schemas(manifest).items():
            with _writing(location):
                lance.write_dataset(
                    schema.empty_table(),
                    location.table_uri(name),
                    storage_options=location.storage_options,
                )
        manifests.write(location, manifest)  # last: what has none is not yet a library


def _schemas(manifest: Manifest) -> dict[str, Any]:
    schemas = {FILES: FILES_SCHEMA, ASSETS: ASSETS_SCHEMA, SEGMENTS: SEGMENTS_SCHEMA}
    vectors = {vectors_table(space.name): vectors_schema(space.dim) for space in manifest.spaces}
    return schemas | vectors


def _is_free(location: Location, manifest: Manifest) -> bool:
    """Whether nothing is there, or nothing but a library that was never finished."""
    ours = {f"{name}.lance" for name in _schemas(manifest)}
    if location.is_remote:
        parts = [name.split("/") for name in location.objects.names()]
        return all(
            part == [lease.NAME] or (part[0] == TABLES and part[1] in ours) for part in parts
        )
    path = location.folder
    if not path.exists():
        return True
    if not path.is_dir():
        return False
    tables = path / TABLES
    return {one.name for one in path.iterdir()} <= {TABLES, LOCK, manifests.PART} and (
        not tables.exists() or (tables.is_dir() and {one.name for one in tables.iterdir()} <= ours)
    )


def _drop_tables(location: Location) -> None:
    if location.is_remote:
        objects = location.objects
        objects.delete(*objects.names(TABLES))
    else:
        shutil.rmtree(location.folder / TABLES, ignore_errors=True)


@contextlib.contextmanager
def _writing(location: Location) -> Iterator[None]:
    """Say of what goes wrong on a storage what it was; the errors of a folder say it themselves."""
    if location.is_remote:
        with location.objects.reaching():
            yield
    else:
        yield


class Lock:
    """The right to write to a library, held by one process at a time.

    In a folder it is the lock of a file, on a storage a lease.
    """

    def __init__(self, path: Path | Location) -> None:
        self._location = Location.parse(path)
        self._held: filelock.FileLock | Lease | None = None

    def __enter__(self) -> Lock:
        if self._location.is_remote:
            found = Lease(self._location)
            found.acquire()
            self._held = found
            return self
        folder = self._location.folder
        if not folder.is_dir():
            raise LibraryNotFound(f"there is no library at {folder}")
        lock = filelock.FileLock(folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout as exc:
            raise LibraryLocked(
                f"{folder} is being written to by another process: wait until it is done"
            ) from exc
        self._held = lock
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._held is not None:
            self._held.release()
            self._held = None


class Writer:
    """Open under a `Lock`. Every method leaves the library readable, also when it is killed.

    On a storage every method raises LibraryLocked where the right to write was lost, and
    StoreError where the storage does not answer.
    """

    def __init__(self, location: Location, manifest: Manifest, db: Any) -> None:
        self._location = location
        self._spaces = manifest.spaces
        self._db = db
        self._lease = lease.held(location) if location.is_remote else None
        self._tables: dict[str, Any] = {}
        self._changed: set[str] = set()

    @classmethod
    def open(cls, path: Path | Location) -> Writer:
        """Open, clearing away first what a killed writer left unfinished."""
        location = Location.parse(path)
        manifest = manifests.read(location)
        import lancedb

        db = lancedb.connect(location.tables_uri, storage_options=location.storage_options)
        writer = cls(location, manifest, db)
        unfinished = location.exists(DIRTY)
        if not unfinished:
            location.write(DIRTY, b"")
        else:
            writer.sweep()
        if manifest.format_version < FORMAT_VERSION:
            writer._bring_up(manifest)
        return writer

    def _bring_up(self, manifest: Manifest) -> None:
        """Add the column that an older library lacks; no row is read or written for it."""
        table = self._table(ASSETS)
        with self._writing():
            if LOOK not in table.schema.names:
                table.add_columns(ASSETS_SCHEMA.field(LOOK))
        # Last: without it the next writer does this again.
        manifests.write(self._location, replace(manifest, format_version=FORMAT_VERSION))

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        if self._lease is not None:
            self._lease.check()
        with _writing(self._location):
            yield

    @property
    def _vectors_tables(self) -> list[str]:
        return [vectors_table(space.name) for space in self._spaces]

    def _table(self, name: str) -> Any:
        if name not in self._tables:
            with _writing(self._location):
                self._tables[name] = self._db.open_table(name)
        return self._tables[name]

    def _add(self, name: str, table: Any) -> None:
        if table is not None and table.num_rows:
            with self._writing():
                self._table(name).add(table)
            self._changed.add(name)

    def add_assets(self, encoded: Sequence[EncodedAsset]) -> None:
        """Add assets that are not in the library yet, with their segments and vectors."""
        segments = [segment for asset in encoded for segment in asset.segments]
        for space in self._spaces:
            self._add(
                vectors_table(space.name), rows.vectors_table(segments, space.name, space.dim)
            )
        self._add(SEGMENTS, rows.segments_table(one.segment for one in segments))
        self._add(ASSETS, rows.assets_table(encoded))

    def complete_assets(self, encoded: Sequence[EncodedAsset]) -> None:
        """Add assets of which all, some or none of the rows were written before an error."""
        stored = self._ids(ASSETS)  # the rows of assets are written last
        missing = [one for one in encoded if one.asset.id not in stored]
        for table in (*self._vectors_tables, SEGMENTS):
            self._delete(table, "asset_id", [one.asset.id for one in missing])
        self.add_assets(missing)

    def add_files(self, files: Sequence[FileRow]) -> None:
        """Add paths that have no row yet."""
        self._add(FILES, rows.files_table(files))

    def replace_files(self, files: Sequence[FileRow]) -> None:
        """Write the rows of paths that may have one already."""
        if files:
            merge = self._table(FILES).merge_insert("path")
            with self._writing():
                merge.when_matched_update_all().when_not_matched_insert_all().execute(
                    rows.files_table(files)
                )
            self._changed.add(FILES)

    def remove_files(self, paths: Sequence[str]) -> None:
        """Take paths out; the assets that nothing leads to any more go with `sweep`."""
        self._delete(FILES, "path", paths)

    def _delete(self, table: str, column: str, values: Sequence[str]) -> None:
        for begin in range(0, len(values), IDS_PER_DELETE):
            quoted = ", ".join(
                "'" + value.replace("'", "''") + "'"
                for value in values[begin : begin + IDS_PER_DELETE]
            )
            with self._writing():
                self._table(table).delete(f"{column} IN ({quoted})")
            self._changed.add(table)

    def replace_tags(self, segments: Sequence[Tagged]) -> None:
        """Write the tags of segments that are there, in one go; all else of them stays."""
        if not segments:
            return
        table = self._table(SEGMENTS)
        with self._writing():
            if label_tags.LABELS not in table.schema.names:
                table.add_columns(label_tags.LABELS_FIELD)
            merge = table.merge_insert("segment_id").when_matched_update_all()
            merge.execute(label_tags.tags_table(segments))
        self._changed.add(SEGMENTS)

    def sweep(self) -> int:
        """Remove every asset that no file leads to, and all rows without an asset.

        Returns the number of assets that went.
        """
        used = self._ids(FILES)
        stored = self._ids(ASSETS)
        abandoned = stored - used
        live = stored & used
        for table in (*self._vectors_tables, SEGMENTS):
            self._delete(table, "asset_id", sorted(self._ids(table) - live))
        self._delete(ASSETS, "asset_id", sorted(abandoned))
        missing = used - stored
        if missing:  # a file row was written, its asset is gone: index the file again
            self._delete(FILES, "asset_id", sorted(missing))
        return len(abandoned)

    def remove_duplicates(self) -> int:
        """Remove rows that are stored twice, but for one of each; returns how many went."""
        count = 0
        for table in (*self._vectors_tables, SEGMENTS, ASSETS, FILES):
            with self._writing():
                extra = duplicates.row_ids(self._table(table).to_lance(), table)
            for begin in range(0, len(extra), IDS_PER_DELETE):
                listed = ", ".join(map(str, extra[begin : begin + IDS_PER_DELETE]))
                with self._writing():
                    self._table(table).delete(f"_rowid IN ({listed})")
                self._changed.add(table)
            count += len(extra)
        return count

    def _ids(self, table: str) -> set[str]:
        import pyarrow.compute as pc

        with self._writing():
            dataset = self._table(table).to_lance()
            column = dataset.to_table(columns=["asset_id"]).column("asset_id")
        ids: Iterable[str | None] = pc.unique(column).to_pylist()
        return {one for one in ids if one is not None}

    def close(self, *, tidy: bool = True, is_unfinished: bool = False) -> None:
        """Let go; with `tidy`, merge small fragments if they are many.

        `is_unfinished` leaves a note to the next writer to sweep.
        """
        for name in sorted(self._changed) if tidy else ():
            table = self._table(name)
            with self._writing():
                if len(table.to_lance().get_fragments()) > MANY_FRAGMENTS:
                    table.optimize(cleanup_older_than=KEEP_VERSIONS)
        if not is_unfinished:
            self._location.delete(DIRTY)
