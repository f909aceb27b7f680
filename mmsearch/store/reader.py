"""Reads a library through Lance, at one version of each table."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsearch.errors import StoreError
from mmsearch.store import fulltext
from mmsearch.store import manifest as manifests
from mmsearch.store.location import Location
from mmsearch.store.manifest import Manifest
from mmsearch.store.rows import FILE_COLUMNS, FileRow, read_asset, read_omissions, read_segment
from mmsearch.store.schema import (
    ASSETS,
    ASSETS_SCHEMA,
    FILES,
    SEGMENTS,
    THUMBPRINT,
    name_vectors_table,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from mmsearch.types import Asset, Omission, Segment

INDEX_CACHE_BYTES = 2 << 30
METADATA_CACHE_BYTES = 256 << 20
SAME_TIME_NS = 100_000_000
"""Times that are closer than this may be equal: file systems resolve some milliseconds."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """A fragment of a table, which changes only by deletions until it is merged.

    `key` identifies its files, which no other fragment has; `id` is the upper half of the address
    of each of its rows. `deletions` names its deletion file, empty for none.
    """

    table: str
    id: int
    key: str
    deletions: str


class Reader:
    """A snapshot of a library, without anything written after it was opened.

    It uses `lance` alone; `lancedb` takes a second and more to import.
    """

    def __init__(self, location: Path | Location, manifest: Manifest) -> None:
        self.location = Location.parse(location)
        self.manifest = manifest
        self._datasets: dict[str, Any] = {}

    @classmethod
    def open(cls, location: Path | Location) -> Reader:
        """Opens a library; raises LibraryNotFound, FormatVersionError or StoreError."""
        return cls(location, manifests.read(location))

    @property
    def path(self) -> Path:
        """The folder of the library; raises StoreError if it is on a remote storage."""
        return self.location.folder

    def open_dataset(self, table: str) -> Any:
        """Returns the Lance dataset of a table, opened once."""
        if table not in self._datasets:
            self._datasets[table] = self.open_newest(table)
        return self._datasets[table]

    def open_newest(self, table: str) -> Any:
        """Opens the newest version of a table, for a writer."""
        import lance

        with self._reading(table):
            return lance.dataset(
                self.location.table_uri(table),
                storage_options=self.location.storage_options,
                session=_get_session() if self.location.is_remote else None,
            )

    @contextlib.contextmanager
    def _reading(self, table: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, RuntimeError) as exc:  # lance and Arrow raise all three
            if self.location.is_remote:
                message = f"table {table}: {self.location.objects.explain_error(exc)}"
            else:
                uri = self.location.table_uri(table)
                message = f"table {uri} cannot be read ({exc}); try `mmsearch doctor --repair`"
            raise StoreError(message) from exc

    @property
    def tables(self) -> list[str]:
        """The names of all tables."""
        return [FILES, ASSETS, SEGMENTS, *map(name_vectors_table, self.space_names)]

    @property
    def space_names(self) -> list[str]:
        """The names of the spaces."""
        return [space.name for space in self.manifest.spaces]

    def read_stamp(self) -> tuple[int, ...] | None:
        """Returns times that change with every version of any table: of their folders, in ns.

        None if they are not conclusive: on a remote storage, and so soon after a change that the
        next could have the same time.
        """
        if self.location.is_remote:
            return None
        now = time.time_ns()
        try:
            times = tuple(
                Path(self.location.table_uri(table), "_versions").stat().st_mtime_ns
                for table in self.tables
            )
        except OSError:
            return None
        return None if now - max(times) < SAME_TIME_NS else times

    @cached_property
    def versions(self) -> dict[str, int]:
        """The version of each table in this snapshot."""
        return {table: self.open_dataset(table).version for table in self.tables}

    def read_columns(self, table: str, *names: str) -> pa.Table:
        """Returns columns of a table, in the order of its rows."""
        with self._reading(table):
            return self.open_dataset(table).to_table(columns=list(names))

    def iter_batches(self, table: str, *names: str, batch_size: int) -> Iterator[pa.RecordBatch]:
        """Yields the same as record batches, of which few are in memory at a time."""
        yield from self._iter_scan(table, self.open_dataset(table), names, batch_size)

    def list_fragments(self, table: str) -> list[Fragment]:
        """Lists the fragments of a table, in the order of its rows."""
        with self._reading(table):
            return [_describe(table, part) for part in self.open_dataset(table).get_fragments()]

    def scan_fragment(
        self, part: Fragment, *names: str, batch_size: int
    ) -> Iterator[pa.RecordBatch]:
        """Yields the remaining rows of a fragment, with their addresses as `_rowaddr`."""
        with self._reading(part.table):
            fragment = self.open_dataset(part.table).get_fragment(part.id)
        options = {"with_row_address": True}
        yield from self._iter_scan(part.table, fragment, names, batch_size, **options)

    def _iter_scan(
        self, table: str, source: Any, names: Sequence[str], batch_size: int, **options: bool
    ) -> Iterator[pa.RecordBatch]:
        with self._reading(table):
            scanner = source.scanner(columns=list(names), batch_size=batch_size, **options)
            batches = iter(scanner.to_batches())
        while True:
            with self._reading(table):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    @cached_property
    def has_text_index(self) -> bool:
        """True if the texts of segments can be searched by their words."""
        with self._reading(SEGMENTS):
            return fulltext.has_index(self.open_dataset(SEGMENTS))

    def search_text(
        self,
        words: str,
        limit: int,
        *,
        is_phrase: bool = False,
        fuzziness: int = 0,
        among: bytes | None = None,
        has_text: bool = True,
    ) -> pa.Table:
        """Returns the segments whose text has any of the words, best first by BM25.

        The columns are text (with `has_text`), _score and _rowaddr, the address of the row.
        `is_phrase` requires consecutive words; `fuzziness` is the edit distance allowed to a word;
        `among` are the allowed rows, serialized by `index.addresses`. There must be an index; rows
        without it are searched too.
        """
        from lance.query import MatchQuery, PhraseQuery

        if is_phrase:
            query = PhraseQuery(words, "text")
        else:
            query = MatchQuery(words, "text", fuzziness=fuzziness)
        with self._reading(SEGMENTS):
            scanner = self.open_dataset(SEGMENTS).scanner(
                columns=["text", "_score"] if has_text else ["_score"],
                full_text_query=query,
                limit=limit,
                with_row_address=True,
                disable_scoring_autoprojection=True,
                row_addr_allowlist=among,
            )
            return scanner.to_table()

    def count_rows(self, table: str) -> int:
        """Returns the number of rows of a table."""
        with self._reading(table):
            count: int = self.open_dataset(table).count_rows()
        return count

    def find_duplicates(self, table: str) -> list[int]:
        """Returns the `_rowid` of all rows but one of those that are stored twice."""
        from mmsearch.store import duplicates  # here: only a check-up looks for them

        with self._reading(table):
            return duplicates.find_duplicates(self.open_dataset(table), table)

    def read_files(self) -> list[FileRow]:
        """Returns all rows of `files`."""
        names = self.select_columns(FILES, FILE_COLUMNS)
        columns = [column.to_pylist() for column in self.read_columns(FILES, *names).columns]
        return [FileRow(*row) for row in zip(*columns, strict=True)]

    def read_failed_files(self) -> list[FileRow]:
        """Returns the rows of `files` that could not be indexed."""
        return [row for row in self.read_files() if row.error is not None]

    def read_file_rows(self, rows: Sequence[int]) -> list[FileRow]:
        """Returns these rows of `files`, in the order of `rows`."""
        columns = self.select_columns(FILES, FILE_COLUMNS)
        return [FileRow(**row) for row in self._take(FILES, rows, columns)]

    def select_columns(self, table: str, names: Sequence[str]) -> list[str]:
        """Returns those of some columns that the table has: older formats lack the last ones."""
        present = self.open_dataset(table).schema.names
        return [name for name in names if name in present]

    def read_file_paths(self, rows: Sequence[int]) -> list[str]:
        """Returns the paths in these rows of `files`, in the order of `rows`."""
        return [row["path"] for row in self._take(FILES, rows, ["path"])]

    def read_assets(self, rows: Sequence[int]) -> list[Asset]:
        """Returns the assets in these rows of `assets`."""
        names = [name for name in ASSETS_SCHEMA.names if name != THUMBPRINT]
        columns = self.select_columns(ASSETS, names)
        return [read_asset(row) for row in self._take(ASSETS, rows, columns)]

    def read_omissions(self) -> dict[str, tuple[Omission, ...]]:
        """Returns the parts that were not read, by asset id, of the assets that have any."""
        if not self.select_columns(ASSETS, ["omissions"]):
            return {}
        table = self.read_columns(ASSETS, "asset_id", "omissions")
        pairs = zip(*(column.to_pylist() for column in table.columns), strict=True)
        return {asset_id: read_omissions(values) for asset_id, values in pairs if values}

    @property
    def has_thumbprints(self) -> bool:
        """True if assets have a column for thumbprints, which the first format did not have."""
        return THUMBPRINT in self.open_dataset(ASSETS).schema.names

    def read_thumbprints(self, rows: Sequence[int]) -> list[bytes | None]:
        """Returns the thumbprints in these rows of `assets`, None for an asset without one."""
        if not self.has_thumbprints:
            return [None] * len(rows)
        return [row[THUMBPRINT] for row in self._take(ASSETS, rows, [THUMBPRINT])]

    def read_segments(self, rows: Sequence[int]) -> list[Segment]:
        """Returns the segments in these rows of `segments`."""
        return [read_segment(row) for row in self._take(SEGMENTS, rows)]

    def _take(
        self, table: str, rows: Sequence[int], columns: list[str] | None = None
    ) -> list[dict[str, Any]]:
        if not rows:
            return []
        with self._reading(table):
            taken = self.open_dataset(table).take(list(rows), columns=columns)
            values: list[dict[str, Any]] = taken.to_pylist()
        return values


@cache
def _get_session() -> Any:
    """Returns the cache that all readers of this process share for remote storages.

    Parts of an index and of the metadata of a table never change: of a new version only new parts
    are read. A query to 100,000 vectors took a new reader 18 requests, and 175 without this.
    """
    import lance

    return lance.Session(
        index_cache_size_bytes=INDEX_CACHE_BYTES, metadata_cache_size_bytes=METADATA_CACHE_BYTES
    )


def _describe(table: str, fragment: Any) -> Fragment:
    names = json.dumps([file.path for file in fragment.data_files()])
    return Fragment(
        table=table,
        id=fragment.fragment_id,
        key=hashlib.blake2b(names.encode(), digest_size=8).hexdigest(),
        deletions=fragment.deletion_file() or "",
    )
