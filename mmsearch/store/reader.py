"""Reads a library through Lance, at one version of each table."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsearch.errors import StoreError
from mmsearch.store import manifest as manifests
from mmsearch.store.manifest import Manifest
from mmsearch.store.rows import FileRow, read_asset, read_segment
from mmsearch.store.schema import ASSETS, FILES, SEGMENTS, vectors_table

if TYPE_CHECKING:
    import pyarrow as pa

    from mmsearch.types import Asset, Segment

TABLES = "tables"


class Reader:
    """A snapshot: what is written after it was opened is not seen by it.

    It goes through `lance` alone; `lancedb` costs a second and more to import.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._datasets: dict[str, Any] = {}

    @classmethod
    def open(cls, path: Path) -> Reader:
        """Open; raises LibraryNotFound, FormatVersionError or StoreError."""
        return cls(path, manifests.read(path))

    def dataset(self, table: str) -> Any:
        """The Lance dataset of a table, opened once."""
        if table not in self._datasets:
            import lance

            with self._reading(table):
                self._datasets[table] = lance.dataset(str(self._uri(table)))
        return self._datasets[table]

    def _uri(self, table: str) -> Path:
        return self.path / TABLES / f"{table}.lance"

    @contextlib.contextmanager
    def _reading(self, table: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, RuntimeError) as exc:  # lance and Arrow raise all three
            raise StoreError(
                f"table {self._uri(table)} cannot be read ({exc}); try `mmsearch doctor --repair`"
            ) from exc

    @property
    def tables(self) -> list[str]:
        """The names of all tables."""
        return [FILES, ASSETS, SEGMENTS, *map(vectors_table, self.space_names)]

    @property
    def space_names(self) -> list[str]:
        """The names of the spaces."""
        return [space.name for space in self.manifest.spaces]

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
        while True:
            with self._reading(table):
                batch = next(found, None)
            if batch is None:
                return
            yield batch

    def count(self, table: str) -> int:
        """How many rows a table has."""
        with self._reading(table):
            count: int = self.dataset(table).count_rows()
        return count

    def files(self) -> list[FileRow]:
        """All rows of `files`."""
        table = self.column(FILES, "path", "asset_id", "size_bytes", "mtime_ns", "error", "message")
        columns = [column.to_pylist() for column in table.columns]
        return [FileRow(*row) for row in zip(*columns, strict=True)]

    def failed(self) -> list[FileRow]:
        """The rows of `files` that could not be indexed."""
        return [row for row in self.files() if row.error is not None]

    def file_paths(self, rows: Sequence[int]) -> list[str]:
        """The paths in these rows of `files`, in the order of `rows`."""
        return [row["path"] for row in self._take(FILES, rows, ["path"])]

    def assets(self, rows: Sequence[int]) -> list[Asset]:
        """The assets in these rows of `assets`."""
        return [read_asset(row) for row in self._take(ASSETS, rows)]

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
