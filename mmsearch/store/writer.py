"""Writes a library through LanceDB: one writer at a time, the rows of files last."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import filelock
import pyarrow as pa

from mmsearch.errors import LibraryLocked, LibraryNotFound, StoreError
from mmsearch.models.presets import NO_OCR, OCR
from mmsearch.store import duplicates, label_tags, lease, rows
from mmsearch.store import manifest as manifests
from mmsearch.store.label_tags import SegmentTags
from mmsearch.store.lease import Lease
from mmsearch.store.location import TABLES, Location
from mmsearch.store.manifest import Manifest
from mmsearch.store.rows import EncodedAsset, FileRow
from mmsearch.store.schema import (
    ADDED_COLUMNS,
    ASSETS,
    ASSETS_SCHEMA,
    FILES,
    FILES_SCHEMA,
    FORMAT_VERSION,
    SEGMENTS,
    SEGMENTS_SCHEMA,
    make_vectors_schema,
    name_vectors_table,
)

LOCK = "write.lock"
DIRTY = "dirty"
IDS_PER_DELETE = 500
KEEP_VERSIONS = timedelta(hours=1)
"""Readers hold a snapshot: files of a version stay at least this long after the next one."""
MANY_FRAGMENTS = 8


def create(path: Path | Location, manifest: Manifest) -> None:
    """Creates an empty library; raises StoreError if the folder holds something else.

    Completes a folder in which this was interrupted. Raises LibraryLocked if another process is
    creating it.
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
        if location.is_remote:
            location.objects.delete(*location.objects.list_names(TABLES))
        else:
            shutil.rmtree(location.folder / TABLES, ignore_errors=True)
        # Tables of LanceDB are datasets of Lance; importing lancedb takes a second more.
        import lance

        for name, schema in _make_schemas(manifest).items():
            with _writing(location):
                lance.write_dataset(
                    schema.empty_table(),
                    location.table_uri(name),
                    storage_options=location.storage_options,
                )
        manifests.write(location, manifest)  # last: without it there is no library


def _make_schemas(manifest: Manifest) -> dict[str, Any]:
    schemas = {FILES: FILES_SCHEMA, ASSETS: ASSETS_SCHEMA, SEGMENTS: SEGMENTS_SCHEMA}
    for space in manifest.spaces:
        schemas[name_vectors_table(space.name)] = make_vectors_schema(space.dim)
    return schemas


def _is_free(location: Location, manifest: Manifest) -> bool:
    """Returns True if there is nothing, or only a library that was never completed."""
    ours = {f"{name}.lance" for name in _make_schemas(manifest)}
    if location.is_remote:
        paths = [name.split("/") for name in location.objects.list_names()]
        return all(
            path == [lease.NAME] or (path[0] == TABLES and path[1] in ours) for path in paths
        )
    folder = location.folder
    tables = folder / TABLES
    return not folder.exists() or (
        _holds_only(folder, {TABLES, LOCK, manifests.PART})
        and (not tables.exists() or _holds_only(tables, ours))
    )


def _holds_only(folder: Path, names: set[str]) -> bool:
    return folder.is_dir() and {path.name for path in folder.iterdir()} <= names


@contextlib.contextmanager
def _writing(location: Location) -> Iterator[None]:
    """Explains the errors of a remote storage; those of a folder need no explanation."""
    if location.is_remote:
        with location.objects.translate_errors():
            yield
    else:
        yield


class Lock:
    """The write lock of a library: a file lock in a folder, a lease on a remote storage."""

    def __init__(self, path: Path | Location) -> None:
        self._location = Location.parse(path)
        self._held: filelock.FileLock | Lease | None = None

    def __enter__(self) -> Lock:
        if self._location.is_remote:
            write_lease = Lease(self._location)
            write_lease.acquire()
            self._held = write_lease
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

    def __exit__(self, *_: object) -> None:
        if self._held is not None:
            self._held.release()
            self._held = None


class Writer:
    """Writes under a `Lock`. Every method leaves the library readable, even if killed.

    On a remote storage every method raises LibraryLocked if the lease was lost, and StoreError if
    the storage does not answer.
    """

    def __init__(self, location: Location, manifest: Manifest, db: Any) -> None:
        self._location = location
        self._spaces = manifest.spaces
        self._db = db
        self._lease = lease.find_held_lease(location) if location.is_remote else None
        self._tables: dict[str, Any] = {}
        self._changed: set[str] = set()

    @classmethod
    def open(cls, path: Path | Location) -> Writer:
        """Opens a library, and first removes the unfinished rows of a killed writer."""
        location = Location.parse(path)
        manifest = manifests.read(location)
        import lancedb

        db = lancedb.connect(location.tables_uri, storage_options=location.storage_options)
        writer = cls(location, manifest, db)
        if location.exists(DIRTY):
            writer.sweep()
        else:
            location.write(DIRTY, b"")
        if manifest.format_version < FORMAT_VERSION:
            writer._upgrade(manifest)
        return writer

    def _upgrade(self, manifest: Manifest) -> None:
        """Adds the columns that an older library lacks, without reading or writing a row."""
        with self._writing():
            for name, schema, columns in ADDED_COLUMNS:
                table = self._open_table(name)
                present = table.schema.names
                missing = [schema.field(each) for each in columns if each not in present]
                if missing:
                    table.add_columns(pa.schema(missing))
        # An older format did not tell OCR that was declined from OCR that was not installed.
        models = {**({OCR: NO_OCR} if manifest.models else {}), **manifest.models}
        # Last: without it the next writer does this again.
        upgraded = replace(manifest, models=models, format_version=FORMAT_VERSION)
        manifests.write(self._location, upgraded)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        if self._lease is not None:
            self._lease.check()
        with _writing(self._location):
            yield

    @property
    def _vectors_tables(self) -> list[str]:
        return [name_vectors_table(space.name) for space in self._spaces]

    def _open_table(self, name: str) -> Any:
        if name not in self._tables:
            with _writing(self._location):
                self._tables[name] = self._db.open_table(name)
        return self._tables[name]

    def _add(self, name: str, table: Any) -> None:
        if table is not None and table.num_rows:
            with self._writing():
                self._open_table(name).add(table)
            self._changed.add(name)

    def add_assets(self, encoded: Sequence[EncodedAsset]) -> None:
        """Adds assets that are not in the library yet, with their segments and vectors."""
        segments = [segment for asset in encoded for segment in asset.segments]
        for space in self._spaces:
            self._add(
                name_vectors_table(space.name),
                rows.make_vectors_table(segments, space.name, space.dim),
            )
        self._add(SEGMENTS, rows.make_segments_table(segment.segment for segment in segments))
        self._add(ASSETS, rows.make_assets_table(encoded))

    def complete_assets(self, encoded: Sequence[EncodedAsset]) -> None:
        """Adds assets whose rows were partly written before an error."""
        stored = self._read_asset_ids(ASSETS)  # the rows of assets are written last
        missing = [asset for asset in encoded if asset.asset.id not in stored]
        for table in (*self._vectors_tables, SEGMENTS):
            self._delete(table, "asset_id", [asset.asset.id for asset in missing])
        self.add_assets(missing)

    def replace_assets(self, encoded: Sequence[EncodedAsset]) -> None:
        """Writes assets that were read again in place of their rows, if there are any.

        After a kill in between, `sweep` finds files without their assets: they are indexed again.
        """
        self._delete(ASSETS, "asset_id", [asset.asset.id for asset in encoded])
        self.complete_assets(encoded)

    def add_files(self, files: Sequence[FileRow]) -> None:
        """Adds paths that have no row yet."""
        self._add(FILES, rows.make_files_table(files))

    def replace_files(self, files: Sequence[FileRow]) -> None:
        """Writes the rows of paths that may have one already."""
        if files:
            merge = self._open_table(FILES).merge_insert("path")
            with self._writing():
                merge.when_matched_update_all().when_not_matched_insert_all().execute(
                    rows.make_files_table(files)
                )
            self._changed.add(FILES)

    def remove_files(self, paths: Sequence[str]) -> None:
        """Removes paths; `sweep` removes the assets that are left without a path."""
        self._delete(FILES, "path", paths)

    def _delete(self, table: str, column: str, values: Sequence[str] | Sequence[int]) -> None:
        quoted = [
            str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"
            for value in values
        ]
        for begin in range(0, len(quoted), IDS_PER_DELETE):
            listed = ", ".join(quoted[begin : begin + IDS_PER_DELETE])
            with self._writing():
                self._open_table(table).delete(f"{column} IN ({listed})")
            self._changed.add(table)

    def replace_tags(self, segments: Sequence[SegmentTags]) -> None:
        """Replaces the tags of stored segments, in one write."""
        if not segments:
            return
        table = self._open_table(SEGMENTS)
        with self._writing():
            if label_tags.LABELS not in table.schema.names:
                table.add_columns(label_tags.LABELS_FIELD)
            merge = table.merge_insert("segment_id").when_matched_update_all()
            merge.execute(label_tags.make_tags_table(segments))
        self._changed.add(SEGMENTS)

    def sweep(self) -> int:
        """Removes assets without a file, and rows without an asset; returns the assets removed."""
        used = self._read_asset_ids(FILES)
        stored = self._read_asset_ids(ASSETS)
        abandoned = stored - used
        live = stored & used
        for table in (*self._vectors_tables, SEGMENTS):
            self._delete(table, "asset_id", sorted(self._read_asset_ids(table) - live))
        self._delete(ASSETS, "asset_id", sorted(abandoned))
        missing = used - stored
        if missing:  # files without their assets: they will be indexed again
            self._delete(FILES, "asset_id", sorted(missing))
        return len(abandoned)

    def remove_duplicates(self) -> int:
        """Removes all rows but one of those stored twice; returns the number of rows removed."""
        count = 0
        for table in (*self._vectors_tables, SEGMENTS, ASSETS, FILES):
            with self._writing():
                extra = duplicates.find_duplicates(self._open_table(table).to_lance(), table)
            self._delete(table, "_rowid", extra)
            count += len(extra)
        return count

    def _read_asset_ids(self, table: str) -> set[str]:
        import pyarrow.compute as pc

        with self._writing():
            dataset = self._open_table(table).to_lance()
            column = dataset.to_table(columns=["asset_id"]).column("asset_id")
        ids: Iterable[str | None] = pc.unique(column).to_pylist()
        return {asset_id for asset_id in ids if asset_id is not None}

    def close(self, *, tidy: bool = True, is_unfinished: bool = False) -> None:
        """Closes the library; `tidy` merges small fragments if there are many.

        `is_unfinished` makes the next writer sweep.
        """
        for name in sorted(self._changed) if tidy else ():
            table = self._open_table(name)
            with self._writing():
                if len(table.to_lance().get_fragments()) > MANY_FRAGMENTS:
                    table.optimize(cleanup_older_than=KEEP_VERSIONS)
        if not is_unfinished:
            self._location.delete(DIRTY)
