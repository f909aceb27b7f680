"""The metadata of files as columns, which filters compare.

A row is a file with an asset, in the order of `Snapshot.file_rows`: the files of an asset lie
together. A column is read when a filter first asks for it, and kept with the snapshot.
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
from mmsearch.snapshot.array_writers import MODALITIES
from mmsearch.snapshot.snapshot import Snapshot
from mmsearch.store.schema import ASSETS, FILES

NumberArray = NDArray[np.float64]
TimeArray = NDArray[np.datetime64]

_TEXTS = frozenset(
    {"format", "camera", "artist", "title", "album", "description", "language", "keywords"}
    | {"location"}
)
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
"""Lengths of an ISO time without a zone, with and without a fraction of a second."""
_DAY_S = 86_400
_QUARTER_S = 900
"""Clocks are put forward and back at full quarters of an hour."""


@dataclass(frozen=True, slots=True)
class TextColumn:
    """A column of text: row i is `values[codes[i]]`, nothing where the code is -1.

    `values` is an Arrow array of folded texts, not all of them different.
    """

    values: Any
    codes: NDArray[np.int32]

    def select(self, wanted: RowMask) -> RowMask:
        """Returns a mask of the rows whose value is in `wanted`, a mask of `values`."""
        return np.append(wanted, False)[self.codes]


def fold(text: str) -> str:
    """Removes case and accents: 'Zürich' and 'ZURICH' are the same."""
    if text.isascii():
        return text.lower()
    # Twice: folding a capital can leave an accent behind.
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(char for char in plain if not unicodedata.combining(char))


def read_owners(snapshot: Snapshot) -> NDArray[np.int64]:
    """Returns the asset row of each file."""

    def make() -> NDArray[np.int64]:
        counts = np.diff(snapshot.file_offsets)
        return np.repeat(np.arange(len(counts)), counts)

    return snapshot.memoize("files.owner", make)


def read_paths(snapshot: Snapshot) -> Any:
    """Returns the path of each file, as an Arrow array."""

    def make() -> Any:
        whole = snapshot.reader.read_columns(FILES, "path").column("path")
        return whole.take(snapshot.file_rows).combine_chunks()

    return snapshot.memoize("files.path", make)


def read_texts(snapshot: Snapshot, field: str) -> TextColumn:
    """Returns a field of text."""
    return snapshot.memoize(f"text.{field}", lambda: _texts(snapshot, field))


def _texts(snapshot: Snapshot, field: str) -> TextColumn:
    import pyarrow as pa

    if field == "kind":
        codes = snapshot.modalities.astype(np.int32)[read_owners(snapshot)]
        return TextColumn(pa.array([kind.value for kind in MODALITIES]), codes)
    if field in _TEXTS:
        of_assets = _encode(_read_texts_of_assets(snapshot, field))
        return TextColumn(of_assets.values, of_assets.codes[read_owners(snapshot)])
    if field == "path":
        return _encode(read_paths(snapshot))
    return _encode(pa.array(map(_PARTS[field], read_paths(snapshot).to_pylist()), pa.string()))


def _read_texts_of_assets(snapshot: Snapshot, field: str) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    reader = snapshot.reader
    if not reader.select_columns(ASSETS, [field]):  # a library of an older format
        return pa.nulls(reader.count_rows(ASSETS), pa.string())
    column = reader.read_columns(ASSETS, field).column(field)
    return pc.binary_join(column, "; ") if pa.types.is_list(column.type) else column


# What is stored is absolute and tidy: nothing that a Path would mend, at a tenth of its price.
_PARTS: dict[str, Callable[[str], str | None]] = {
    "folder": lambda path: path.rpartition(os.sep)[0] or os.sep,
    "name": lambda path: path.rpartition(os.sep)[2],
    "ext": lambda path: _extension(path.rpartition(os.sep)[2]),
}


def _extension(name: str) -> str | None:
    stem, _, last = name.rpartition(".")
    return last if stem and last else None


def _encode(column: Any) -> TextColumn:
    import pyarrow as pa
    import pyarrow.compute as pc

    encoded = column.dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    codes = np.asarray(encoded.indices.fill_null(-1), dtype=np.int32)
    values = _fold_values(encoded.dictionary)
    is_empty = np.asarray(pc.equal(values, ""))
    if is_empty.any():
        codes = np.where(np.append(is_empty, False)[codes], -1, codes)
    return TextColumn(values, codes)


def _fold_values(values: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    other = pc.invert(pc.string_is_ascii(values))
    folded = [fold(text) for text in values.filter(other).to_pylist()]
    return pc.replace_with_mask(pc.ascii_lower(values), other, pa.array(folded, pa.string()))


def read_numbers(snapshot: Snapshot, field: str) -> NumberArray:
    """Returns a field of numbers, NaN where unknown."""
    return snapshot.memoize(f"number.{field}", lambda: _numbers(snapshot, field))


def _numbers(snapshot: Snapshot, field: str) -> NumberArray:
    if field == "megapixels":
        return read_numbers(snapshot, "width") * read_numbers(snapshot, "height") / 1e6
    name = _NUMBERS[field]
    whole = snapshot.reader.read_columns(ASSETS, name).column(name)
    known = whole.cast("float64").to_numpy()  # nulls become NaN
    return np.asarray(known, dtype=np.float64)[read_owners(snapshot)]


def read_times(snapshot: Snapshot, field: str) -> TimeArray:
    """Returns a field of times, datetime64[us] in local wall time, NaT where unknown."""
    return snapshot.memoize(f"time.{field}", lambda: _times(snapshot, field))


def _times(snapshot: Snapshot, field: str) -> TimeArray:
    if field == "taken":
        taken = snapshot.reader.read_columns(ASSETS, "taken_at").column("taken_at").to_pylist()
        wall_times = np.array([*map(_parse_wall_time, taken)], dtype="datetime64[us]")
        return wall_times[read_owners(snapshot)]
    if field == "modified":
        column = snapshot.reader.read_columns(FILES, "mtime_ns").column("mtime_ns")
        return _convert_to_wall_times(np.asarray(column)[snapshot.file_rows])
    taken, modified = read_times(snapshot, "taken"), read_times(snapshot, "modified")
    # A copy is often younger than what it is a copy of, never older.
    begins = snapshot.file_offsets[:-1][np.diff(snapshot.file_offsets) > 0]
    if not len(begins):
        return modified
    oldest = np.minimum.reduceat(modified, begins)
    counts = np.diff(np.append(begins, len(modified)))
    return np.where(np.isnat(taken), np.repeat(oldest, counts), taken)


def _parse_wall_time(iso_time: str | None) -> str:
    """Converts an ISO time to wall time, "NaT" for None.

    It is that of the place of the picture where the text has a zone. A container that counts in UTC
    tells no place, so it is the local clock.
    """
    if iso_time is None:
        return "NaT"
    if len(iso_time) in _WITHOUT_ZONE:
        return iso_time
    moment = datetime.fromisoformat(iso_time)
    if not moment.utcoffset():
        with contextlib.suppress(OverflowError, ValueError, OSError):  # before or after all clocks
            moment = moment.astimezone()
    return moment.replace(tzinfo=None).isoformat()


def _convert_to_wall_times(since_epoch_ns: NDArray[np.int64]) -> TimeArray:
    """Converts nanoseconds since 1970 in UTC to local wall times."""
    seconds = since_epoch_ns // 10**9
    offsets, is_mixed = _utc_offsets_s(seconds, _DAY_S)
    if is_mixed.any():
        offsets[is_mixed], _ = _utc_offsets_s(seconds[is_mixed], _QUARTER_S)
    return (since_epoch_ns // 1000 + offsets * 10**6).astype("datetime64[us]")


def _utc_offsets_s(seconds: NDArray[np.int64], step_s: int) -> tuple[NDArray[np.int64], RowMask]:
    """Returns the UTC offset at the start of each step, and a mask of steps within it changes."""
    steps, which = np.unique(seconds // step_s, return_inverse=True)
    starts_s = [step * step_s for step in steps.tolist()]
    begins = np.array([_utc_offset_s(start_s) for start_s in starts_s], dtype=np.int64)
    ends = np.array([_utc_offset_s(start_s + step_s) for start_s in starts_s], dtype=np.int64)
    return begins[which], (begins != ends)[which]


def _utc_offset_s(seconds: int) -> int:
    try:
        return time.localtime(seconds).tm_gmtoff
    except (OverflowError, ValueError, OSError):  # a time that no clock here can show
        return 0
