"""64-bit keys of assets, segments and vectors.

Ids are known by their first 64 bits: among ten million the chance that two share them is one in
400,000.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

ID_DIGITS = 32
KEY_DIGITS = 16
NO_KEY = np.uint64(0)
_HEX_ID = re.compile(r"[0-9a-f]{32}")
_HEX_VALUES = np.full(256, 255, dtype=np.uint8)
_HEX_VALUES[[ord(digit) for digit in "0123456789abcdef"]] = np.arange(16)


def compute_key(asset_or_segment_id: str) -> int:
    """Returns the key of an id: its first 16 hex digits, or a hash of an id of another form."""
    if _HEX_ID.fullmatch(asset_or_segment_id):
        return int(asset_or_segment_id[:KEY_DIGITS], 16)
    digest = hashlib.blake2b(asset_or_segment_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest)


def compute_keys(ids: Any) -> NDArray[np.uint64]:
    """Returns the keys of an Arrow array of ids, (n,) uint64."""
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
    return np.array([compute_key(text_id) for text_id in ids.to_pylist()], dtype=np.uint64)


def number_vectors(segments: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Returns a key for each vector, from the key of its segment and its number within the segment.

    The vectors of a segment follow each other.
    """
    if not len(segments):
        return segments
    begins = np.flatnonzero(np.append(True, segments[1:] != segments[:-1]))
    counts = np.diff(np.append(begins, len(segments)))
    ordinals = np.arange(len(segments)) - np.repeat(begins, counts)
    # An odd constant (the golden ratio's) spreads them over all 64 bits.
    return segments + ordinals.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
