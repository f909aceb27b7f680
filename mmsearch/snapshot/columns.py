"""What is known of each file of a snapshot, field by field, ready to be compared.

A row is a file that leads to an asset, in the order of `Snapshot.file_rows`: those of one asset lie
together. A column is read and made when a filter first asks for it, and kept with the snapshot.
"""

from __future__ import annotations

import contextlib
import os
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.index.base import RowMask
from mmsearch.snapshot.snapshot import MODALITIES, Snapshot
from mmsearch.store.schema import ASSETS, FILES

NumberArray = NDArray[np.float64]
TimeArray = NDArray[np.datetime64]

_TEXTS = frozenset({"format", "camera", "artist", "title", "album", "description", "language"})
_NUMBERS = {
    "size": "size_bytes",
    "duration": "duration_s",
    "width": "width_px",
    "height": "height_px",
    "pages": "page_count",
    "lat": "latitude",
    "lon": "longitude",
}
_WITHOUT_ZONE = (19, 26)
"""How long an ISO text is that has no zone, with and without a fraction of a second."""
_DAY_S = 86_400
_QUARTER_S = 900
"""Clocks are put forward and back at full quarters of an hour."""


@dataclass(frozen=True, slots=True)
class Texts:
    """A column of text: row i has `values[codes[i]]`, nothing where the code is -1.

    `values` is an Arrow array of folded texts, not all of them different.
    """

    values: Any
    codes: NDArray[np.int32]

    def having(self, wanted: RowMask) -> RowMask:
        """Which rows have one of the wanted values, by an entry for each of `values`."""
        return np.append(wanted, False)[self.codes]


def fold(text: str) -> str:
    """A text without case and accents: 'Zürich' and 'ZURICH' are the same."""
    if text.isascii():
        return text.lower()
    # Twice: folding a capital can leave an accent behind.
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(char for char in plain if not unicodedata.combining(char))


def owners(snapshot: Snapshot) -> NDArray[np.int64]:
    """The asset row of each file."""

    def make() -> NDArray[np.int64]:
        counts = np.diff(snapshot.file_offsets)
        return np.repeat(np.arange(len(counts)), counts)

    return snapshot.kept("files.owner", make)


def paths(snapshot: Snapshot) -> Any:
    """The path of each file, to the letter, as an Arrow array."""

    def make() -> Any:
        whole = snapshot.reader.column(FILES, "path").column("path")
        return whole.take(snapshot.file_rows).combine_chunks()

    return snapshot.kept("files.path", make)


def texts(snapshot: Snapshot, field: str) -> Texts:
    """A field that holds text."""
    return snapshot.kept(f"text.{field}", lambda: _texts(snapshot, field))


def _texts(snapshot: Snapshot, field: str) -> Texts:
    import pyarrow as pa

    if field == "kind":
        codes = snapshot.modalities.astype(np.int32)
        return Texts(pa.array([kind.value for kind in MODALITIES]), codes[owners(snapshot)])
    if field in _TEXTS:
        whole = snapshot.reader.column(ASSETS, field).column(field)
        known = _encoded(whole)
        return Texts(known.values, known.codes[owners(snapshot)])
    if field == "path":
        return _encoded(paths(snapshot))
    return _encoded(pa.array(map(_PARTS[field], paths(snapshot).to_pylist()), pa.string()))


# What is stored is absolute and tidy: nothing that a Path would mend, at a tenth of its price.
_PARTS: dict[str, Callable[[str], str | None]] = {
    "folder": lambda path: path.rpartition(os.sep)[0] or os.sep,
    "name": lambda path: path.rpartition(os.sep)[2],
    "ext": lambda path: _extension(path.rpartition(os.sep)[2]),
}


def _extension(name: str) -> str | None:
    stem, _, last = name.rpartition(".")
    return last if stem and last else None


def _encoded(column: Any) -> Texts:
    import pyarrow as pa
    import pyarrow.compute as pc

    encoded = column.dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    codes = np.asarray(encoded.indices.fill_null(-1), dtype=np.int32)
    values = _folded(encoded.dictionary)
    is_empty = np.asarray(pc.equal(values, ""))
    if is_empty.any():
        codes = np.where(np.append(is_empty, False)[codes], -1, codes)
    return Texts(values, codes)


def _folded(values: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    other = pc.invert(pc.string_is_ascii(values))
    folded = [fold(text) for text in values.filter(other).to_pylist()]
    return pc.replace_with_mask(pc.ascii_lower(values), other, pa.array(folded, pa.string()))


def numbers(snapshot: Snapshot, field: str) -> NumberArray:
    """A field that holds a number, NaN where it is not known."""
    return snapshot.kept(f"number.{field}", lambda: _numbers(snapshot, field))


def _numbers(snapshot: Snapshot, field: str) -> NumberArray:
    if field == "megapixels":
        return numbers(snapshot, "width") * numbers(snapshot, "height") / 1e6
    name = _NUMBERS[field]
    whole = snapshot.reader.column(ASSETS, name).column(name)
    known = whole.cast("float64").to_numpy()  # nulls become NaN
    return np.asarray(known, dtype=np.float64)[owners(snapshot)]


def times(snapshot: Snapshot, field: str) -> TimeArray:
    """A field that holds a time, datetime64[us] of the clock on the wall, NaT where not known."""
    return snapshot.kept(f"time.{field}", lambda: _times(snapshot, field))


def _times(snapshot: Snapshot, field: str) -> TimeArray:
    if field == "taken":
        said = snapshot.reader.column(ASSETS, "taken_at").column("taken_at").to_pylist()
        return np.array([*map(_wall_time, said)], dtype="datetime64[us]")[owners(snapshot)]
    if field == "modified":
        column = snapshot.reader.column(FILES, "mtime_ns").column("mtime_ns")
        return _wall_times(np.asarray(column)[snapshot.file_rows])
    taken, modified = times(snapshot, "taken"), times(snapshot, "modified")
    # A copy is often younger than what it is a copy of, never older.
    begins = snapshot.file_offsets[:-1][np.diff(snapshot.file_offsets) > 0]
    if not len(begins):
        return modified
    oldest = np.minimum.reduceat(modified, begins)
    counts = np.diff(np.append(begins, len(modified)))
    return np.where(np.isnat(taken), np.repeat(oldest, counts), taken)


def _wall_time(said: str | None) -> str:
    """What the clock on the wall showed at the moment of an ISO text, "NaT" for none.

    That of the place where it was taken, as far as the text says; a container that counts in UTC
    says nothing of the place, so that it is the clock here.
    """
    if said is None:
        return "NaT"
    if len(said) in _WITHOUT_ZONE:
        return said
    moment = datetime.fromisoformat(said)
    if not moment.utcoffset():
        with contextlib.suppress(OverflowError, ValueError, OSError):  # before or after all clocks
            moment = moment.astimezone()
    return moment.replace(tzinfo=None).isoformat()


def _wall_times(since_epoch_ns: NDArray[np.int64]) -> TimeArray:
    """What the clock here showed so many nanoseconds after 1970 began in UTC."""
    seconds = since_epoch_ns // 10**9
    shifts, is_other = _shifts_s(seconds, _DAY_S)
    if is_other.any():
        shifts[is_other], _ = _shifts_s(seconds[is_other], _QUARTER_S)
    return (since_epoch_ns // 1000 + shifts * 10**6).astype("datetime64[us]")


def _shifts_s(seconds: NDArray[np.int64], step_s: int) -> tuple[NDArray[np.int64], RowMask]:
    """How far the clock here was ahead of UTC as the step of each began, and if that changed."""
    steps, which = np.unique(seconds // step_s, return_inverse=True)
    begins = np.array([_shift_s(step * step_s) for step in steps.tolist()], dtype=np.int64)
    ends = np.array([_shift_s(step * step_s + step_s) for step in steps.tolist()], dtype=np.int64)
    return begins[which], (begins != ends)[which]


def _shift_s(seconds: int) -> int:
    try:
        return time.localtime(seconds).tm_gmtoff
    except (OverflowError, ValueError, OSError):  # a time that no clock here can show
        return 0
