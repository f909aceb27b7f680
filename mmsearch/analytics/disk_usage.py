"""The sizes of the parts of a library on disk."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.store.location import INDEX, TABLES

if TYPE_CHECKING:
    from mmsearch.store.location import Location


_CACHES = {INDEX: "arrays and indexes", "previews": "pictures that were drawn small"}
"""The names of the parts that can be made again, by folder."""


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """The size of a part of a library; with `is_cache` it can be made again."""

    name: str
    size_bytes: int
    is_cache: bool


def measure_disk_usage(location: Location) -> list[DiskUsage]:
    """Returns the parts, the largest first; a remote library is one part.

    Raises StoreError.
    """
    if location.is_remote:
        return [DiskUsage("library", location.measure_bytes(), False)]
    sizes: Counter[tuple[str, bool]] = Counter()
    root = str(location.folder)
    for folder, _, names in os.walk(root):
        first, *below = Path(folder).relative_to(root).parts or ("",)
        name, is_cache = "settings and locks", False
        if first == TABLES and below:
            name = f"table {below[0].removesuffix('.lance')}"
        elif first in _CACHES:
            name, is_cache = _CACHES[first], True
        for file in names:
            with contextlib.suppress(OSError):  # a writer beside us replaces files all the time
                info = os.lstat(os.path.join(folder, file))  # noqa: PTH118
                sizes[name, is_cache] += info.st_size
    return [
        DiskUsage(name, size_bytes, is_cache)
        for (name, is_cache), size_bytes in sizes.most_common()
    ]
