"""The library: one folder that knows other folders, and answers what is in them."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any

from mmsearch import charter, presets
from mmsearch import query as queries
from mmsearch.config import own_presets
from mmsearch.encoders.bundle import Encoders
from mmsearch.errors import MmsearchError, QueryError
from mmsearch.example import example
from mmsearch.index.wish import AS_SIZE_ASKS, Wish
from mmsearch.inventory import Status, status_of
from mmsearch.media.files import absolute, is_gone, storable
from mmsearch.query import Query, Term, TermKind
from mmsearch.search import probe, retrieve, upkeep
from mmsearch.search.probe import Example
from mmsearch.search.retrieve import Filter
from mmsearch.search.snapshot import (
    Snapshot,
    filled_spaces,
    has_other_indexes,
    open_snapshot,
)
from mmsearch.search.upkeep import Upkeep
from mmsearch.store import manifest as manifests
from mmsearch.store.location import Location
from mmsearch.store.manifest import Manifest
from mmsearch.store.reader import Reader
from mmsearch.store.rows import FileRow
from mmsearch.store.writer import Lock, Writer
from mmsearch.supply import OnSupply, Runtime, ignore
from mmsearch.types import Hit, Modality
from mmsearch.wording import words_in

if TYPE_CHECKING:
    from indexers.events import Event, Finished
    from indexers.local import Wishes
    from mmsearch.encoders.base import Word

RUNTIME = Runtime()
MIN_SCORE = 0.1
"""The default cut-off: 87 of 100 captions of photographs find their own above it."""


class Library:
    """Open with `mmsearch.open`; close it, or use it as a context manager."""

    def __init__(
        self,
        location: Path | Location,
        manifest: Manifest,
        encoders: Encoders,
        wish: Wish = AS_SIZE_ASKS,
    ) -> None:
        self.location = Location.parse(location)
        self.manifest = manifest
        self._encoders = encoders
        self._wish = wish
        self._snapshot: Snapshot | None = None
        self._upkeep = Upkeep(wish)

    @property
    def path(self) -> Path:
        """Its folder; raises StoreError for a library on a storage, which has none."""
        return self.location.folder

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] | Location,
        *,
        preset: str | None = None,
        models: Mapping[str, str] = MappingProxyType({}),
        create: bool = True,
        runtime: Runtime = RUNTIME,
        index: Wish = AS_SIZE_ASKS,
        on_supply: OnSupply = ignore,
    ) -> Library:
        """Open a library, making an empty one where nothing is, unless `create` is False.

        `path` is a folder, or `s3://BUCKET/PREFIX` on an S3-compatible storage (extra `s3`), which
        is reached as the AWS_ variables of the environment say.

        `models` takes other models into places of the preset: `{"image": "ViT-B-32/openai"}`, by
        the places image, sound, speech and text. A library keeps the preset and the models that it
        was made with. Models that are not on this machine are fetched and converted, which
        `on_supply` is told of. `index` says how vectors are searched; by default as their number
        asks for.

        Raises ConfigError for an unknown preset or another than its own, LibraryNotFound,
        FormatVersionError, StoreError, WeightsMissing, and WeightsMismatch when its vectors were
        made with other weights than those that are here.
        """
        location = Location.parse(path)
        context = runtime.context()
        specs = charter.chosen(models)
        if not manifests.exists(location) and create:
            wanted = presets.find(preset or presets.DEFAULT, own_presets())
            charter.found(location, wanted.with_models(specs), context, on_supply)
        manifest = manifests.read(location)
        charter.check(location, manifest, preset=preset, models=specs)
        encoders = Encoders(charter.preset_of(manifest), context)
        charter.check_weights(location, manifest, encoders)
        wish = replace(index.checked(), device=runtime.device)
        return cls(location, manifest, encoders, wish)

    def __enter__(self) -> Library:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of what is mapped and loaded; the library can be opened again."""
        self._upkeep.stop()
        self._snapshot = None

    def index(
        self,
        *paths: str | os.PathLike[str],
        on_event: Callable[[Event], object] = lambda _event: None,
        wishes: Wishes | None = None,
    ) -> Finished:
        """Bring the library up to date with folders and files; returns what was done.

        `on_event` is called with every event of `indexers.events`. Only files that cannot be read
        are passed over; any other error ends the run, with what was written intact. Where there are
        many vectors, an index over them is built before the end.
        """
        # The composition root: the engine does not know how it is fed. See docs/adr/0002.
        from indexers import local
        from indexers.events import Finished

        finished = Finished()
        run = local.index(
            self.location, [Path(path) for path in paths], self._encoders, wishes or local.Wishes()
        )
        # Closed here and now when `on_event` raises: what is finished is written while it closes.
        with contextlib.closing(run) as events:
            for event in events:
                if isinstance(event, Finished):
                    finished = event
                else:
                    on_event(event)
        began = time.monotonic()
        # What the next search needs is made now.
        if upkeep.bring_up(self.snapshot(), self._wish, on_event=on_event):
            self._snapshot = self._opened()
        finished = replace(finished, seconds=finished.seconds + time.monotonic() - began)
        on_event(finished)
        return finished

    def search(
        self,
        query: str | Query,
        *,
        limit: int = 10,
        kinds: Iterable[str] = (),
        under: Iterable[str | os.PathLike[str]] = (),
        min_score: float = MIN_SCORE,
    ) -> list[Hit]:
        """The best hits, best first; empty where nothing passes `min_score`.

        `kinds` are among image, audio, video, text; `under` are folders. Raises QueryError for an
        empty query, an unknown kind, or an example that cannot be read.
        """
        asked = queries.text(query) if isinstance(query, str) else query
        snapshot = self.snapshot()
        wanted = probe.probes(
            asked,
            self._encoders,
            lambda term: example(term, self._encoders, snapshot),
            snapshot.filled,
        )
        words = " ".join(
            term.value for term in asked.terms if term.kind is TermKind.TEXT and term.weight > 0
        )
        passing = Filter(kinds=parse_kinds(kinds), under=_folders(under))
        return self._rank(snapshot, wanted, words, passing, limit, min_score)

    def similar(
        self,
        path: str | os.PathLike[str],
        *,
        limit: int = 10,
        kinds: Iterable[str] = (),
        under: Iterable[str | os.PathLike[str]] = (),
        min_score: float = MIN_SCORE,
    ) -> list[Hit]:
        """The neighbours of a file, indexed or not; the file itself is not among them.

        Raises QueryError when the file cannot be read.
        """
        file = Path(path).expanduser()
        snapshot = self.snapshot()
        itself: set[str] = set()

        def encode(term: Term) -> Example:
            found = example(term, self._encoders, snapshot)
            itself.add(found.asset_id)
            return found

        wanted = probe.probes(queries.file(file), self._encoders, encode, snapshot.filled)
        passing = Filter(kinds=parse_kinds(kinds), under=_folders(under), without=frozenset(itself))
        return self._rank(snapshot, wanted, "", passing, limit, min_score)

    def words(self, hit: Hit) -> tuple[Word, ...]:
        """The words said in the best moment of a hit, each with its time and probability.

        The moment is listened to again, which takes about as long as a tenth of it. Empty for what
        has no sound; raises QueryError where the file cannot be read any more.
        """
        if hit.segment.span is None or hit.kind not in (Modality.AUDIO, Modality.VIDEO):
            return ()
        return words_in(Path(hit.path), hit.segment.span, self._encoders.transcriber)

    def _rank(
        self,
        snapshot: Snapshot,
        wanted: Sequence[probe.WeightedProbe],
        words: str,
        passing: Filter,
        limit: int,
        min_score: float,
    ) -> list[Hit]:
        if limit < 1:
            raise QueryError(f"the limit must be at least 1, not {limit}")
        return retrieve.rank(
            snapshot,
            wanted,
            self._encoders.preset.calibrations,
            models={space.name: space.provenance for space in self.manifest.spaces},
            name_query=words,
            passing=passing,
            limit=limit,
            min_score=min_score,
        )

    def snapshot(self) -> Snapshot:
        """What is searched: the newest version of the tables."""
        known = self._snapshot
        if known is not None and not _is_stale(known):
            # Not before the second search: who asks once does not want to wait for an index.
            self._upkeep.look_after(known)
            return known
        self._snapshot = self._opened()
        return self._snapshot

    def _opened(self) -> Snapshot:
        return open_snapshot(Reader.open(self.location), self._wish, self._snapshot)

    def warm_up(self) -> None:
        """Load what a search by words needs: the encoder in one thread, the index in another."""
        loading = threading.Thread(target=self._warm_encoders, daemon=True)
        loading.start()
        self.snapshot()
        loading.join()

    def _warm_encoders(self) -> None:
        # What goes wrong here goes wrong again, and is told, where the encoder is used.
        with contextlib.suppress(MmsearchError):
            self._encoders.enter(["warm"], filled_spaces(self.location.cache_folder))

    def remove(self, *paths: str | os.PathLike[str]) -> list[str]:
        """Take files, and all files below folders, out of the library; returns their paths.

        Nothing on disk is touched. Raises LibraryLocked.
        """
        roots = [Path(storable(absolute(Path(path)))) for path in paths]
        return self._take_out(
            lambda row: any(Path(row.path).is_relative_to(root) for root in roots)
        )

    def prune(self) -> list[str]:
        """Take out the files that are gone from disk; returns their paths. Raises LibraryLocked."""
        return self._take_out(lambda row: is_gone(row.path))

    def _take_out(self, is_meant: Callable[[FileRow], bool]) -> list[str]:
        with Lock(self.location):
            gone = [row.path for row in Reader.open(self.location).files() if is_meant(row)]
            if gone:
                writer = Writer.open(self.location)
                writer.remove_files(gone)
                writer.sweep()
                writer.close()
        self.snapshot()
        return gone

    def failed(self) -> list[FileRow]:
        """The files that could not be indexed, with the reason."""
        return Reader.open(self.location).failed()

    def status(self) -> Status:
        """What is in the library."""
        return status_of(self.location, self.manifest)


def parse_kinds(kinds: Iterable[str]) -> frozenset[Modality]:
    """Kinds by their names; raises QueryError for one that there is not."""
    asked = list(kinds)
    unknown = next((kind for kind in asked if kind not in set(Modality)), None)
    if unknown is not None:
        raise QueryError(f"there is no kind {unknown!r}: kinds are {', '.join(Modality)}")
    return frozenset(Modality(kind) for kind in asked)


def _folders(under: Iterable[str | os.PathLike[str]]) -> tuple[str, ...]:
    return tuple(storable(absolute(Path(folder))) for folder in under)


def _is_stale(snapshot: Snapshot) -> bool:
    now: dict[str, Any] = Reader.open(snapshot.reader.location).versions
    return now != snapshot.reader.versions or has_other_indexes(snapshot)
