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
from mmsearch.store import duplicates, fulltext
from mmsearch.store import manifest as manifests
from mmsearch.store.location import Location
from mmsearch.store.manifest import Manifest
from mmsearch.store.rows import FileRow, read_asset, read_segment
from mmsearch.store.schema import (
    ASSETS,
    ASSETS_SCHEMA,
    FILES,
    LOOK,
    SEGMENTS,
    vectors_table,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from mmsearch.types import Asset, Segment

INDEX_CACHE_BYTES = 2 << 30
METADATA_CACHE_BYTES = 256 << 20
_FILE_COLUMNS = ("path", "asset_id", "size_bytes", "mtime_ns", "error", "message")
SAME_TIME_NS = 100_000_000
"""File systems tell times apart that are some milliseconds apart."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of a table. Rows are taken out of it; else it never changes until it is merged.

    `key` names its files, which no other fragment has; `id` is the upper half of the address of
    each of its rows. `deletions` names what was taken out of it, empty for nothing.
    """

    table: str
    id: int
    key: str
    deletions: str


class Reader:
    """A snapshot: what is written after it was opened is not seen by it.

    It goes through `lance` alone; `lancedb` costs a second and more to import.
    """

    def __init__(self, location: Path | Location, manifest: Manifest) -> None:
        self.location = Location.parse(location)
        self.manifest = manifest
        self._datasets: dict[str, Any] = {}

    @classmethod
    def open(cls, location: Path | Location) -> Reader:
        """Open; raises LibraryNotFound, FormatVersionError or StoreError."""
        return cls(location, manifests.read(location))

    @property
    def path(self) -> Path:
        """The folder of the library; raises StoreError where it lies on a storage."""
        return self.location.folder

    def dataset(self, table: str) -> Any:
        """The Lance dataset of a table, opened once."""
        if table not in self._datasets:
            self._datasets[table] = self.newest(table)
        return self._datasets[table]

    def newest(self, table: str) -> Any:
        """The Lance dataset of a table as it is now, for who goes on writing to it."""
        import lance

        with self._reading(table):
            return lance.dataset(
                self.location.table_uri(table),
                storage_options=self.location.storage_options,
                session=_session() if self.location.is_remote else None,
            )

    @contextlib.contextmanager
    def _reading(self, table: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, RuntimeError) as exc:  # lance and Arrow raise all three
            raise StoreError(self._trouble(table, exc)) from exc

    def _trouble(self, table: str, error: Exception) -> str:
        if self.location.is_remote:
            return f"table {table}: {self.location.objects.trouble(error)}"
        place = self.location.table_uri(table)
        return f"table {place} cannot be read ({error}); try `mmsearch doctor --repair`"

    @property
    def tables(self) -> list[str]:
        """The names of all tables."""
        return [FILES, ASSETS, SEGMENTS, *map(vectors_table, self.space_names)]

    @property
    def space_names(self) -> list[str]:
        """The names of the spaces."""
        return [space.name for space in self.manifest.spaces]

    def stamp(self) -> tuple[int, ...] | None:
        """What changes with every version of any table: when their folders were written to, in ns.

        None where that cannot tell: on a storage, and so soon after a change that the next could
        have the same time.
        """
        if self.location.is_remote:
            return None
        now = time.time_ns()
        try:
            found = tuple(
                Path(self.location.table_uri(table), "_versions").stat().st_mtime_ns
                for table in self.tables
            )
        except OSError:
            return None
        return None if now - max(found) < SAME_TIME_NS else found

    @cached_property
    def versions(self) -> dict[str, int]:
        """The version of each table in this snapshot."""
        return {table: self.dataset(table).version for table in self.tables}

    def column(self, table: str, *names: str) -> pa.Table:
        """Whole columns of a table, in the order of its rows."""
        with self._reading(table):
            return self.dataset(table).to_table(columns=list(names))

    def batches(self, table: str, *names: str, batch_size: int) -> Iterator[Any]:
        """The same as record batches, of which few are in memory at a time."""
        with self._reading(table):
            found = iter(self.dataset(table).to_batches(columns=list(names), batch_size=batch_size))
        yield from self._read(table, found)

    def _read(self, table: str, found: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        while True:
            with self._reading(table):
                batch = next(found, None)
            if batch is None:
                return
            yield batch

    def fragments(self, table: str) -> list[Fragment]:
        """The parts of a table, in the order of its rows."""
        with self._reading(table):
            return [_fragment(table, one) for one in self.dataset(table).get_fragments()]

    def scan(self, part: Fragment, *names: str, batch_size: int) -> Iterator[pa.RecordBatch]:
        """The rows of a fragment that are still there, with their addresses as `_rowaddr`."""
        with self._reading(part.table):
            fragment = self.dataset(part.table).get_fragment(part.id)
            found = iter(
                fragment.scanner(
                    columns=list(names), with_row_address=True, batch_size=batch_size
                ).to_batches()
            )
        yield from self._read(part.table, found)

    @cached_property
    def has_text_index(self) -> bool:
        """Whether the texts of segments can be searched by their words."""
        with self._reading(SEGMENTS):
            return fulltext.is_there(self.dataset(SEGMENTS))

    def full_text(
        self,
        words: str,
        limit: int,
        *,
        is_phrase: bool = False,
        fuzziness: int = 0,
        among: bytes | None = None,
        has_text: bool = True,
    ) -> pa.Table:
        """The segments whose text has any of the words, best first by BM25.

        Columns are text, where it is wanted, _score and _rowaddr, the address of the row. With
        `is_phrase` all words follow each other; `fuzziness` is how many letters of a word may be
        others; `among` are the only rows that may answer, as `index.addresses` writes them. There
        must be an index; what was written since it was made is searched too.
        """
        from lance.query import MatchQuery, PhraseQuery

        query = (
            PhraseQuery(words, "text")
            if is_phrase
            else MatchQuery(words, "text", fuzziness=fuzziness)
        )
        with self._reading(SEGMENTS):
            return (
                self.dataset(SEGMENTS)
                .scanner(
                    columns=["text", "_score"] if has_text else ["_score"],
                    full_text_query=query,
                    limit=limit,
                    with_row_address=True,
                    disable_scoring_autoprojection=True,
                    row_addr_allowlist=among,
                )
                .to_table()
            )

    def count(self, table: str) -> int:
        """How many rows a table has."""
        with self._reading(table):
            count: int = self.dataset(table).count_rows()
        return count

    def duplicates(self, table: str) -> list[int]:
        """The `_rowid` of all rows but one of those that are stored twice."""
        with self._reading(table):
            return duplicates.row_ids(self.dataset(table), table)

    def files(self) -> list[FileRow]:
        """All rows of `files`."""
        table = self.column(FILES, *_FILE_COLUMNS)
        columns = [column.to_pylist() for column in table.columns]
        return [FileRow(*row) for row in zip(*columns, strict=True)]

    def failed(self) -> list[FileRow]:
        """The rows of `files` that could not be indexed."""
        return [row for row in self.files() if row.error is not None]

    def file_rows(self, rows: Sequence[int]) -> list[FileRow]:
        """These rows of `files`, in the order of `rows`."""
        return [FileRow(**row) for row in self._take(FILES, rows, list(_FILE_COLUMNS))]

    def file_paths(self, rows: Sequence[int]) -> list[str]:
        """The paths in these rows of `files`, in the order of `rows`."""
        return [row["path"] for row in self._take(FILES, rows, ["path"])]

    def assets(self, rows: Sequence[int]) -> list[Asset]:
        """The assets in these rows of `assets`."""
        columns = [name for name in ASSETS_SCHEMA.names if name != LOOK]
        return [read_asset(row) for row in self._take(ASSETS, rows, columns)]

    @property
    def has_looks(self) -> bool:
        """Whether assets have a column for their looks; those of a first version had none."""
        return LOOK in self.dataset(ASSETS).schema.names

    def looks(self, rows: Sequence[int]) -> list[bytes | None]:
        """How the pictures in these rows of `assets` look, None for what has no look."""
        if not self.has_looks:
            return [None] * len(rows)
        return [row[LOOK] for row in self._take(ASSETS, rows, [LOOK])]

    def segments(self, rows: Sequence[int]) -> list[Segment]:
        """The segments in these rows of `segments`."""
        return [read_segment(row) for row in self._take(SEGMENTS, rows)]

    def _take(
        self, table: str, rows: Sequence[int], columns: list[str] | None = None
    ) -> list[dict[str, Any]]:
        if not rows:
            return []
        with self._reading(table):
            taken: list[dict[str, Any]] = (
                self.dataset(table).take(list(rows), columns=columns).to_pylist()
            )
        return taken


@cache
def _session() -> Any:
    """What all readers of this process share of libraries on a storage.

    Parts of an index and of a table's description never change: of a new version only what is new
    is asked for. A query to 100,000 vectors took a new reader 18 requests, and 175 without this.
    """
    import lance

    return lance.Session(
        index_cache_size_bytes=INDEX_CACHE_BYTES, metadata_cache_size_bytes=METADATA_CACHE_BYTES
    )


def _fragment(table: str, fragment: Any) -> Fragment:
    names = json.dumps([file.path for file in fragment.data_files()])
    return Fragment(
        table=table,
        id=fragment.fragment_id,
        key=hashlib.blake2b(names.encode(), digest_size=8).hexdigest(),
        deletions=fragment.deletion_file() or "",
    )
