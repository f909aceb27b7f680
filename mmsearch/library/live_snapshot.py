"""Keeps the newest snapshot of a library open while its tables change, and changes them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from mmsearch.index.index_config import IndexConfig
from mmsearch.snapshot.maintenance import IndexMaintenance
from mmsearch.snapshot.snapshot import Snapshot, has_other_indexes, open_snapshot
from mmsearch.store.location import Location
from mmsearch.store.reader import Reader
from mmsearch.store.rows import FileRow
from mmsearch.store.writer import Lock, Writer


class LiveSnapshot:
    """The newest version of the tables; many threads may read it while another process writes.

    `maintenance` builds indexes that are due in the background.
    """

    def __init__(self, location: Location, index: IndexConfig) -> None:
        self._location = location
        self._index = index
        self._snapshot: Snapshot | None = None
        self._stamp: tuple[int, ...] | None = None
        self._opening = threading.RLock()
        self.maintenance = IndexMaintenance(index)

    def read(self) -> Snapshot:
        """Returns the snapshot, opened again if the tables or their indexes have changed."""
        with self._opening:  # who searches meanwhile wants the same, and need not map it again
            snapshot = self._snapshot
            if snapshot is None or self._is_stale(snapshot):
                return self.reopen()
        # Not before the second search: who asks once does not want to wait for an index.
        self.maintenance.start_if_due(snapshot)
        return snapshot

    def reopen(self) -> Snapshot:
        """Opens the snapshot again; parts that have not changed are mapped as they are."""
        with self._opening:
            self._snapshot = open_snapshot(Reader.open(self._location), self._index, self._snapshot)
            return self._snapshot

    def close(self) -> None:
        """Ends maintenance, and lets go of what is mapped."""
        self.maintenance.stop()
        self._snapshot = None

    @contextlib.contextmanager
    def write(self) -> Iterator[Writer]:
        """Opens the tables for writing, and at the end the snapshot again; raises LibraryLocked."""
        self.maintenance.stop()
        with Lock(self._location):
            writer = Writer.open(self._location)
            yield writer
            writer.close()
        self.read()

    def remove_files(self, is_removed: Callable[[FileRow], bool]) -> list[str]:
        """Takes files out of the tables; returns their paths. Raises LibraryLocked."""
        self.maintenance.stop()
        with Lock(self._location):
            paths = [
                row.path for row in Reader.open(self._location).read_files() if is_removed(row)
            ]
            if paths:
                writer = Writer.open(self._location)
                writer.remove_files(paths)
                writer.sweep()
                writer.close()
        self.read()
        return paths

    def _is_stale(self, snapshot: Snapshot) -> bool:
        if has_other_indexes(snapshot):
            return True
        stamp = snapshot.reader.read_stamp()
        if stamp is not None and stamp == self._stamp:
            return False
        versions = Reader.open(self._location).versions
        # Taken before the versions were read: what changed since has another.
        self._stamp = stamp
        return versions != snapshot.reader.versions
