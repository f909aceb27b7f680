"""Checks packages, weights, and the tables of a library against each other."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmsearch.encoders.bundle import Encoders
from mmsearch.encoders.speech.transcriber import TINY_EN
from mmsearch.encoders.text.minilm import WEIGHTS
from mmsearch.errors import LibraryLocked, MmsearchError
from mmsearch.library.library import Library
from mmsearch.models import presets
from mmsearch.models.provisioning import Runtime
from mmsearch.snapshot.snapshot import open_snapshot
from mmsearch.store import manifest as manifests
from mmsearch.store.location import Location
from mmsearch.store.reader import Reader
from mmsearch.store.schema import ASSETS, SEGMENTS, name_vectors_table
from mmsearch.store.writer import DIRTY, Lock, Writer

PACKAGES = ("av", "faster_whisper", "lance", "lancedb", "numpy", "onnxruntime", "PIL", "pypdfium2")


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `advice` says what to do where it failed."""

    subject: str
    is_well: bool
    detail: str
    advice: str = ""


def examine_library(path: Path | Location, *, repair: bool = False) -> list[Finding]:
    """Checks everything; with `repair`, first mends what can be mended without the files."""
    findings = [*_check_packages(), *_check_weights(), *_check_stored_models()]
    library = Location.parse(path)
    if not manifests.exists(library):
        findings.append(Finding("library", True, f"none at {library} yet"))
        return findings
    if repair:
        findings.append(_repair_tables(library))
    findings += _check_tables(library)
    return findings


def _check_packages() -> Iterator[Finding]:
    for name in PACKAGES:
        try:
            module = importlib.import_module(name)
        except Exception as exc:
            yield Finding(name, False, str(exc), "pip install --force-reinstall mmsearch")
        else:
            yield Finding(name, True, str(getattr(module, "__version__", "installed")))


def _check_weights() -> Iterator[Finding]:
    for file in (WEIGHTS, *TINY_EN.values()):
        try:
            yield Finding(f"weights {file.relative}", True, file.verify().name + " as pinned")
        except MmsearchError as exc:
            yield Finding(f"weights {file.relative}", False, str(exc), "see the message")
    try:
        Encoders(
            presets.find_preset(presets.DEFAULT_PRESET), Runtime().create_context()
        ).encode_query_texts(["well"])
    except MmsearchError as exc:
        yield Finding("encoders", False, str(exc), "see the message")
    else:
        yield Finding("encoders", True, "load and run")


def _check_stored_models() -> Iterator[Finding]:
    store = Runtime().create_context().store
    for stored in store.list_models():
        wrong = store.verify(stored)
        advice = f"mmsearch models pull {stored.card.encoder}:{stored.card.source}"
        yield Finding(
            f"model {stored.card.source}",
            not wrong,
            "; ".join(wrong) or "as it was pulled",
            advice if wrong else "",
        )


def _repair_tables(library: Location) -> Finding:
    try:
        with Lock(library):
            writer = Writer.open(library)
            twice = writer.remove_duplicates()
            gone = writer.sweep()
            writer.close()
            shutil.rmtree(library.cache_folder, ignore_errors=True)
    except LibraryLocked:
        raise
    except Exception as exc:  # damaged tables make LanceDB raise anything
        advice = "the tables are damaged: index your folders into a new library"
        return Finding("repair", False, str(exc), advice)
    cleared = f"{gone} abandoned assets and {twice} rows stored twice cleared away"
    return Finding("repair", True, f"{cleared}, index dropped")


def _check_tables(library: Location) -> Iterator[Finding]:
    again = "run `mmsearch doctor --repair`, then `mmsearch index` on your folders"
    try:
        Library.open(library, create=False).close()
        reader = Reader.open(library)
        assets = set(reader.read_columns(ASSETS, "asset_id").column(0).to_pylist())
        used = {row.asset_id for row in reader.read_files() if row.asset_id is not None}
        segments = reader.read_columns(SEGMENTS, "segment_id", "asset_id")
        segment_ids = set(segments.column("segment_id").to_pylist())
        counts = {
            "files whose asset is missing": len(used - assets),
            "assets that no file leads to": len(assets - used),
            "segments without an asset": sum(
                one not in assets for one in segments.column("asset_id").to_pylist()
            ),
        }
        for table in reader.tables:
            subject = table.replace("_", " of ", 1)
            counts[f"{subject} stored twice"] = len(reader.find_duplicates(table))
        for space in reader.space_names:
            owners = (
                reader.read_columns(name_vectors_table(space), "segment_id").column(0).to_pylist()
            )
            counts[f"vectors of {space} without a segment"] = sum(
                one not in segment_ids for one in owners
            )
        for subject, count in counts.items():
            yield Finding(subject, count == 0, str(count), again if count else "")
        unfinished = library.exists(DIRTY)
        yield Finding(
            "last writer",
            not unfinished,
            "was stopped half way" if unfinished else "finished",
            "it is cleared away by the next `mmsearch index`" if unfinished else "",
        )
        snapshot = open_snapshot(reader)
        indexed = {name: arrays.index.count for name, arrays in snapshot.spaces.items()}
        yield Finding("index", True, ", ".join(f"{name} {n}" for name, n in indexed.items()))
    except MmsearchError as exc:
        yield Finding("library", False, str(exc), again)
