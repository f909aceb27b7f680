"""Writes the arrays that a snapshot maps, one fragment of a table at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.index.array_folders import ArrayDraft
from mmsearch.index.word_index import WordIndex
from mmsearch.snapshot.keys import compute_keys, number_vectors
from mmsearch.snapshot.rows import concatenate
from mmsearch.store.reader import Fragment, Reader
from mmsearch.store.schema import ASSETS, FILES, THUMBPRINT, THUMBPRINT_BYTES
from mmsearch.types import Modality

MODALITIES = tuple(Modality)
SCAN_ROWS = 16_384
OFFSET_SCAN_ROWS = 1 << 20


def write_vectors(reader: Reader, draft: ArrayDraft, fragment: Fragment, dim: int) -> None:
    """Writes the vectors of a space, float16, with the keys and boxes of each.

    With a `dim` of 0 the vectors themselves are left out.
    """
    columns = ("segment_id", "asset_id", "box", *(["vector"] if dim else []))
    offsets = read_offsets(reader, fragment)
    draft.save("offsets", offsets)
    vectors = draft.allocate("vectors", np.float16, (len(offsets), dim)) if dim else None
    segments = np.empty(len(offsets), dtype=np.uint64)
    assets = np.empty(len(offsets), dtype=np.uint64)
    boxes = np.full((len(offsets), 4), np.nan, dtype=np.float32)
    start = 0
    for batch in reader.scan_fragment(fragment, *columns, batch_size=SCAN_ROWS):
        end = start + batch.num_rows
        if vectors is not None:
            flat = np.asarray(batch.column("vector").flatten())
            vectors[start:end] = flat.reshape(-1, dim)
        segments[start:end] = compute_keys(batch.column("segment_id"))
        assets[start:end] = compute_keys(batch.column("asset_id"))
        has_box = np.asarray(batch.column("box").is_valid())
        if has_box.any():
            edges = batch.column("box").drop_null()
            boxes[start:end][has_box] = np.asarray(edges.flatten()).reshape(-1, 4)
        start = end
    draft.save("segments", segments)
    draft.save("assets", assets)
    draft.save("boxes", boxes)
    draft.save("keys", number_vectors(segments))


def write_segments(reader: Reader, draft: ArrayDraft, fragment: Fragment) -> None:
    """Writes the keys, owners and tags of segments."""
    batches = list(
        reader.scan_fragment(fragment, "segment_id", "asset_id", "tags", batch_size=SCAN_ROWS)
    )
    keys = concatenate([compute_keys(batch.column("segment_id")) for batch in batches], np.uint64)
    owners = [compute_keys(batch.column("asset_id")) for batch in batches]
    draft.save("keys", keys)
    draft.save("owners", concatenate(owners, np.uint64))
    draft.save("order", np.argsort(keys, kind="stable"))
    draft.save("offsets", concatenate([offsets_of(batch) for batch in batches], np.int32))
    tags = [listed for batch in batches for listed in batch.column("tags").to_pylist()]
    _save_words(draft, _tag_texts(tags))


def write_names(
    reader: Reader, draft: ArrayDraft, fragment: Fragment, columns: tuple[str, ...]
) -> None:
    """Writes the words of some columns of text."""
    batches = list(reader.scan_fragment(fragment, *columns, batch_size=SCAN_ROWS))
    draft.save("offsets", concatenate([offsets_of(batch) for batch in batches], np.int32))
    rows = [row for batch in batches for row in batch.to_pylist()]
    _save_words(draft, _name_texts(rows, columns))


def write_thumbprints(reader: Reader, draft: ArrayDraft, fragment: Fragment) -> None:
    """Writes the thumbprints of assets, and the slot of each row, -1 for a row without one.

    The fragment is read twice: they are too many to be held before their number is known.
    """
    offsets, is_valid = [], []
    for batch in reader.scan_fragment(fragment, THUMBPRINT, batch_size=SCAN_ROWS):
        offsets.append(offsets_of(batch))
        is_valid.append(np.asarray(batch.column(THUMBPRINT).is_valid()))
    has_thumbprint = concatenate(is_valid, np.bool_)
    draft.save("offsets", concatenate(offsets, np.int32))
    draft.save("slots", np.where(has_thumbprint, np.cumsum(has_thumbprint) - 1, -1))
    count = int(np.count_nonzero(has_thumbprint))
    if count == 0:
        draft.save("looks", np.empty((0, THUMBPRINT_BYTES), dtype=np.uint8))
        return
    thumbprints = draft.allocate("looks", np.uint8, (count, THUMBPRINT_BYTES))
    start = 0
    for batch in reader.scan_fragment(fragment, THUMBPRINT, batch_size=SCAN_ROWS):
        flat = b"".join(batch.column(THUMBPRINT).drop_null().to_pylist())
        block = np.frombuffer(flat, dtype=np.uint8).reshape(-1, THUMBPRINT_BYTES)
        thumbprints[start : start + len(block)] = block
        start += len(block)


def write_file_links(reader: Reader, draft: ArrayDraft) -> None:
    """Writes the keys and modalities of all assets, and the files of each."""
    import pyarrow.compute as pc

    assets = reader.read_columns(ASSETS, "asset_id", "modality")
    asset_ids = assets.column("asset_id").combine_chunks()
    files = reader.read_columns(FILES, "asset_id")

    positions = pc.index_in(files.column("asset_id"), value_set=asset_ids)
    file_assets = np.asarray(pc.fill_null(positions, -1), dtype=np.int32)
    order = np.argsort(file_assets, kind="stable").astype(np.int32)
    order = order[file_assets[order] >= 0]
    per_asset = np.bincount(file_assets[order], minlength=len(asset_ids))
    modality_codes = {modality.value: code for code, modality in enumerate(MODALITIES)}
    modalities = [modality_codes[name] for name in assets.column("modality").to_pylist()]
    draft.save("modalities", np.array(modalities, dtype=np.uint8))
    keys = compute_keys(asset_ids)
    draft.save("asset_keys", keys)
    draft.save("asset_order", np.argsort(keys, kind="stable"))
    draft.save("file_assets", file_assets)
    draft.save("file_rows", order)
    draft.save("file_offsets", np.concatenate([[0], np.cumsum(per_asset)]).astype(np.int64))


def read_offsets(reader: Reader, fragment: Fragment) -> NDArray[np.int32]:
    """Returns the places in their fragment of the rows that are not deleted."""
    batches = reader.scan_fragment(fragment, batch_size=OFFSET_SCAN_ROWS)
    return concatenate([offsets_of(batch) for batch in batches], np.int32)


def offsets_of(batch: Any) -> NDArray[np.int32]:
    """Returns the place of each row within its fragment: the lower half of its address."""
    addresses = np.asarray(batch.column("_rowaddr"))
    return (addresses & np.uint64(0xFFFFFFFF)).astype(np.int32)


def _save_words(draft: ArrayDraft, texts: Iterator[tuple[int, str, float]]) -> None:
    for name, array in WordIndex.build(texts).to_arrays().items():
        draft.save(name, array)


def _name_texts(
    rows: Sequence[dict[str, Any]], columns: tuple[str, ...]
) -> Iterator[tuple[int, str, float]]:
    for number, row in enumerate(rows):
        for column in columns:
            if column == "path":
                path = PurePath(row[column])
                yield number, " ".join([*path.parts[:-1], path.stem]), 1.0
            elif isinstance(row[column], list):
                yield number, " ".join(row[column]), 1.0
            elif row[column]:
                yield number, row[column], 1.0


def _tag_texts(
    tags: Sequence[Sequence[dict[str, Any]] | None],
) -> Iterator[tuple[int, str, float]]:
    for number, listed in enumerate(tags):
        for tag in listed or ():
            yield number, tag["name"], tag["probability"]
