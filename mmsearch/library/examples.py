"""Encodes a file as a query: from the library where it has the file, else decoded now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.errors import MediaError, QueryError
from mmsearch.media.asset_ids import compute_asset_id
from mmsearch.media.base import LoadOptions
from mmsearch.media.isolation import CancelledError, Decoder
from mmsearch.query.algebra import Term, TermKind
from mmsearch.search.query_vectors import ExampleVectors
from mmsearch.segmentation import segmenter
from mmsearch.segmentation.segmenter import AssetDescription
from mmsearch.types import Modality, Tag

if TYPE_CHECKING:
    from mmsearch.encoders.bundle import Encoders
    from mmsearch.snapshot.snapshot import Snapshot
    from mmsearch.types import FloatArray

BATCH_WORKS = 16
_MODALITIES = {TermKind.IMAGE: Modality.IMAGE, TermKind.AUDIO: Modality.AUDIO}


@dataclass(frozen=True, slots=True)
class Decoding:
    """The way to decode an example: its limits, and when to give up.

    `decoder` is one that is open already, and stays so; else one is started, and ended.
    """

    options: LoadOptions = LoadOptions()
    is_stopped: Callable[[], bool] = lambda: False
    decoder: Decoder | None = None


DEFAULT_DECODING = Decoding()


def encode_example(
    term: Term, encoders: Encoders, snapshot: Snapshot, decoding: Decoding = DEFAULT_DECODING
) -> ExampleVectors:
    """Returns the vectors, words and tags of the file or the asset that a term names.

    A file whose content the library has costs no decoding. Raises QueryError when there is no such
    file or asset, when it cannot be read, or when its modality is not that of the term, and
    CancelledError when told to stop.
    """
    if term.kind is TermKind.ASSET:
        _, example = read_stored_example(term.value, snapshot)
        if example is None:
            raise QueryError(f"the library has no asset {term.value}: it may have been taken out")
        return replace(example, asset_id=term.value)
    path = Path(term.value).expanduser()
    if not path.is_file():
        raise QueryError(f"there is no file {path}: name a file to search by")
    try:
        asset_id = compute_asset_id(path, is_stopped=decoding.is_stopped)
        modality, example = read_stored_example(asset_id, snapshot)
        if example is None:
            modality, example = encode_file(path, encoders, decoding)
    except MediaError as exc:
        raise QueryError(f"{path} cannot be searched by: {exc.reason}") from exc
    if term.kind in _MODALITIES and modality is not _MODALITIES[term.kind]:
        raise QueryError(f"{path} is {modality}, not {term.kind}: name another")
    return replace(example, asset_id=asset_id)


def read_stored_example(
    asset_id: str, snapshot: Snapshot
) -> tuple[Modality, ExampleVectors] | tuple[None, None]:
    """Reads an example from the vectors of the library; None where it has no such asset."""
    row = snapshot.asset_row(asset_id)
    if row is None:
        return None, None
    (asset,) = snapshot.reader.read_assets([row])
    segments = snapshot.reader.read_segments(snapshot.segments_of(row).tolist())
    key = snapshot.asset_keys[row]
    vectors = {}
    for name, arrays in snapshot.spaces.items():
        own = arrays.rows_of_asset(key)
        owners = arrays.segments.take(own) if len(own) else own
        values = arrays.matrix.take(own)
        means = [average_directions(values[owners == owner]) for owner in np.unique(owners)]
        if means:
            vectors[name] = np.stack(means)
    texts = [segment.text for segment in segments if segment.text]
    tags = [tag for segment in segments for tag in segment.tags]
    return asset.modality, _make_example(vectors, texts, tags)


def encode_file(
    path: Path, encoders: Encoders, decoding: Decoding = DEFAULT_DECODING
) -> tuple[Modality | None, ExampleVectors]:
    """Decodes and encodes a file, a batch at a time: of a long film only the vectors are kept."""
    description = AssetDescription()
    values: defaultdict[str, list[FloatArray]] = defaultdict(list)
    texts: list[str] = []
    tags: list[Tag] = []
    # An image is an example for what it shows; OCR would take longer than all the rest.
    options = segmenter.make_load_options(encoders, decoding.options, with_ocr=False)
    with ExitStack() as stack:
        decoder = decoding.decoder
        if decoder is None:
            decoder = stack.enter_context(Decoder(is_stopped=decoding.is_stopped))
        contents = decoder.load(path, options)
        works = segmenter.split_into_work_items("query", contents, encoders, description)
        while batch := list(islice(works, BATCH_WORKS)):
            if decoding.is_stopped():
                raise CancelledError
            for part in segmenter.encode_work_items(batch, encoders):
                for vector in part.vectors:
                    values[vector.space].append(average_directions(vector.values))
                tags += part.segment.tags
                if part.segment.text:
                    texts.append(part.segment.text)
    vectors = {name: np.stack(parts) for name, parts in values.items()}
    return description.modality, _make_example(vectors, texts, tags)


def average_directions(values: FloatArray) -> FloatArray:
    """Returns the mean of (n, dim) unit rows as one (dim,) unit vector.

    The crops of an image stand for it together. Matching any crop with any other is no better (mean
    similarity of captions of the first five among 76 photographs 0.424 against 0.426, of the first
    0.523 against 0.510), and makes every corner of sky a match.
    """
    total = values.sum(axis=0)
    unit: FloatArray = (total / max(float(np.linalg.norm(total)), 1e-12)).astype(np.float32)
    return unit


def _make_example(
    vectors: dict[str, FloatArray], texts: list[str], tags: list[Tag]
) -> ExampleVectors:
    ordered = sorted(tags, key=lambda tag: -tag.probability)
    return ExampleVectors(vectors, tuple(texts), tuple(ordered))
