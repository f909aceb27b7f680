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

from mmsearch.config import own_presets
from mmsearch.encoders.bundle import Encoders
from mmsearch.errors import ConfigError, MmsearchError, QueryError
from mmsearch.index.index_config import AS_SIZE_ASKS, Wish
from mmsearch.labels import AT_MOST, MIN_PROBABILITY
from mmsearch.library import assets, library_config
from mmsearch.library.assets import OpenFile, Shelved
from mmsearch.library.examples import DEFAULT_DECODING, Decoding, encode_example
from mmsearch.library.stats import Status, status_of
from mmsearch.library.word_timestamps import words_in
from mmsearch.media.files import absolute, is_gone, storable
from mmsearch.models import presets
from mmsearch.models.provisioning import OnSupply, Runtime, ignore
from mmsearch.query import algebra as queries
from mmsearch.query.algebra import Query, Term, TermKind
from mmsearch.query.ranking import DEFAULT_RANKING, Ranking, choose_cutoff
from mmsearch.search import calibration, filter_mask, listing, query_vectors, retrieval
from mmsearch.search.filter_mask import Day, Filter
from mmsearch.search.query_vectors import ExampleVectors
from mmsearch.search.retrieval import Asked
from mmsearch.snapshot import maintenance
from mmsearch.snapshot.maintenance import Upkeep
from mmsearch.snapshot.snapshot import Snapshot, filled_spaces, has_other_indexes, open_snapshot
from mmsearch.store import manifest as manifests
from mmsearch.store.location import Location
from mmsearch.store.manifest import Manifest
from mmsearch.store.reader import Reader
from mmsearch.store.rows import FileRow
from mmsearch.store.writer import Lock, Writer
from mmsearch.types import Hit, Modality, Moment, Segment

if TYPE_CHECKING:
    from mmsearch_indexers.events import Event, Finished
    from mmsearch_indexers.local import Wishes

    from mmsearch.encoders.base import Word
    from mmsearch.labels.classifier import Classified
    from mmsearch.labels.tagging import Report as TagReport
    from mmsearch.library.heatmap import HeatMap
    from mmsearch.query.filters.expressions import Expression

RUNTIME = Runtime()


class Library:
    """Open with `mmsearch.open`; close it, or use it as a context manager.

    Many threads may search at once, while one of them, or another process, writes.
    """

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
        self._stamp: tuple[int, ...] | None = None
        self._opening = threading.RLock()
        self._upkeep = Upkeep(wish)

    @property
    def path(self) -> Path:
        """Its folder; raises StoreError for a library on a storage, which has none."""
        return self.location.folder

    @property
    def encoders(self) -> Encoders:
        """The encoders that it was made with, each loaded when it is first used."""
        return self._encoders

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
        specs = library_config.chosen(models)
        if not manifests.exists(location) and create:
            wanted = presets.find(preset or presets.DEFAULT, own_presets())
            library_config.found(location, wanted.with_models(specs), context, on_supply)
        manifest = manifests.read(location)
        library_config.check(location, manifest, preset=preset, models=specs)
        encoders = Encoders(library_config.preset_of(manifest), context)
        library_config.check_weights(location, manifest, encoders)
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

        `on_event` is called with every event of `mmsearch_indexers.events`. Only files that
        cannot be read are passed over; any other error ends the run, with what was written intact.
        Where there are many vectors, an index over them is built before the end.
        """
        self._upkeep.stop()  # it may hold the right to write
        # The composition root: the engine does not know how it is fed. See docs/adr/0002.
        from mmsearch_indexers import local
        from mmsearch_indexers.events import Finished

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
        if maintenance.bring_up(self.snapshot(), self._wish, on_event=on_event):
            self._anew()
        if calibration.is_due(self.snapshot()):
            calibration.measure(self.snapshot(), self._encoders)
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
        after: Day | None = None,
        before: Day | None = None,
        where: str | Expression | None = None,
        without: Iterable[str] = (),
        min_score: float | None = None,
        ranking: Ranking = DEFAULT_RANKING,
        decoding: Decoding = DEFAULT_DECODING,
    ) -> list[Hit]:
        """The best hits, best first; empty where nothing passes `min_score`.

        Where nothing is looked for everything is a hit that passes the filters and matches nothing
        that is to be avoided, the newest first, with a score of 1.

        `kinds` are among image, audio, video, text; `under` are folders. `after` and `before` are
        dates, as "2024-05" or "7d", from the beginning of which or before which something was
        taken, or last changed where that is not known. `where` is a condition such as
        "ext = jpg and size > 10MB and not camera ~ canon": docs/filters.md has the language.
        `without` are ids of assets that are not wanted among the hits. `decoding` is how files
        that are asked with are decoded. Raises QueryError for an empty query without filters, an
        unknown kind, a filter that cannot be read, or an example that cannot be read, and Stopped
        where decoding is.
        """
        condition = filter_mask.condition(where, after=after, before=before)
        asked = queries.as_query(query)
        snapshot = self.snapshot()
        passing = Filter(
            kinds=parse_kinds(kinds),
            under=_folders(under),
            without=frozenset(without),
            where=condition,
        )
        asked.checked(is_narrowed=passing.is_narrow)

        def encode() -> list[query_vectors.WeightedQueryVector]:
            return query_vectors.encode_query(
                asked,
                self._encoders,
                lambda term: encode_example(term, self._encoders, snapshot, decoding),
                snapshot.filled,
            )

        return self._rank(snapshot, asked, encode, passing, limit, min_score, ranking)

    def similar(
        self,
        path: str | os.PathLike[str],
        *,
        limit: int = 10,
        kinds: Iterable[str] = (),
        under: Iterable[str | os.PathLike[str]] = (),
        after: Day | None = None,
        before: Day | None = None,
        where: str | Expression | None = None,
        min_score: float | None = None,
        ranking: Ranking = DEFAULT_RANKING,
    ) -> list[Hit]:
        """The neighbours of a file, indexed or not; the file itself is not among them.

        What narrows the answer is as for `search`. Raises QueryError when the file or a filter
        cannot be read.
        """
        condition = filter_mask.condition(where, after=after, before=before)
        file = Path(path).expanduser()
        snapshot = self.snapshot()
        itself: set[str] = set()

        def encode(term: Term) -> ExampleVectors:
            found = encode_example(term, self._encoders, snapshot)
            itself.add(found.asset_id)
            return found

        asked = queries.file(file)
        wanted = query_vectors.encode_query(asked, self._encoders, encode, snapshot.filled)
        passing = Filter(
            kinds=parse_kinds(kinds),
            under=_folders(under),
            without=frozenset(itself),
            where=condition,
        )
        return self._rank(snapshot, asked, lambda: wanted, passing, limit, min_score, ranking)

    def words(self, hit: Hit) -> tuple[Word, ...]:
        """The words said in the best moment of a hit, each with its time and probability.

        The moment is listened to again, which takes about as long as a tenth of it. Empty for what
        has no sound; raises QueryError where the file cannot be read any more.
        """
        if hit.segment.span is None or hit.kind not in (Modality.AUDIO, Modality.VIDEO):
            return ()
        return words_in(Path(hit.path), hit.segment.span, self._encoders.transcriber)

    def heat_map(
        self,
        hit: Hit,
        query: str | Query,
        *,
        moment: Moment | None = None,
        is_quick: bool = False,
    ) -> HeatMap:
        """Where in the picture of a hit lies what was asked for.

        The picture is that of `moment`, by default the best moment that has one. The file is
        decoded again and looked at in some forty crops, which takes about a second. `is_quick`
        makes a coarse map of the vectors that the library has, in milliseconds, where they stand
        for parts of pictures, as those of `mini` do. Raises QueryError where there is no picture or
        nothing that can be looked for in one, and where the file is gone, has changed or cannot be
        decoded any more.
        """
        # Here, so that a search that asks for no map imports nothing for it.
        from mmsearch.library import localization

        asked = queries.as_query(query).checked()
        seen = moment or localization.find_picture_moment(hit)
        if seen is None:
            raise QueryError(f"{hit.path} has no picture among what was found in it")
        snapshot = self.snapshot()
        image = self._encoders.image
        found = query_vectors.encode_query(
            asked,
            self._encoders,
            lambda term: encode_example(term, self._encoders, snapshot),
            {image.space.name},
        )
        wanted = [one for one in found if one.vector.space == image.space.name]
        if not any(one.weight > 0 for one in wanted):
            raise QueryError("nothing in the query can be looked for in a picture")
        curves = self._encoders.preset.calibrations
        if is_quick and (
            quick := localization.map_stored_vectors(hit, seen, wanted, snapshot, curves)
        ):
            return quick
        return localization.map_pixels(localization.read_picture(hit, seen), wanted, image, curves)

    def _rank(
        self,
        snapshot: Snapshot,
        asked: Query,
        encode: Callable[[], Sequence[query_vectors.WeightedQueryVector]],
        passing: Filter,
        limit: int,
        min_score: float | None,
        ranking: Ranking,
    ) -> list[Hit]:
        if limit < 1:
            raise QueryError(f"the limit must be at least 1, not {limit}")
        texts = {at: one.value for at, one in enumerate(asked.terms) if one.kind is TermKind.TEXT}
        meant = Asked(encode, texts, tuple(term.weight for term in asked.terms))
        curves = self._encoders.preset.calibrations
        if not asked.seeks:
            return listing.newest(
                snapshot, meant, curves, where=passing, limit=limit, ranking=ranking.checked()
            )
        return retrieval.rank(
            snapshot,
            meant,
            curves,
            models={space.name: space.provenance for space in self.manifest.spaces},
            where=passing,
            limit=limit,
            cutoff=choose_cutoff(
                min_score, is_by_words=any(asked.terms[at].weight > 0 for at in texts)
            ),
            ranking=ranking.checked(),
        )

    def snapshot(self) -> Snapshot:
        """What is searched: the newest version of the tables."""
        with self._opening:  # who searches meanwhile wants the same, and need not map it again
            known = self._snapshot
            if known is None or self._is_stale(known):
                return self._anew()
        # Not before the second search: who asks once does not want to wait for an index.
        self._upkeep.look_after(known)
        return known

    def _is_stale(self, snapshot: Snapshot) -> bool:
        if has_other_indexes(snapshot):
            return True
        stamp = snapshot.reader.stamp()
        if stamp is not None and stamp == self._stamp:
            return False
        now: dict[str, Any] = Reader.open(self.location).versions
        # Taken before the versions were read: what changed since has another.
        self._stamp = stamp
        return now != snapshot.reader.versions

    def _anew(self) -> Snapshot:
        with self._opening:
            found = open_snapshot(Reader.open(self.location), self._wish, self._snapshot)
            self._snapshot = found
        return found

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
        self._upkeep.stop()
        with Lock(self.location):
            gone = [row.path for row in Reader.open(self.location).files() if is_meant(row)]
            if gone:
                writer = Writer.open(self.location)
                writer.remove_files(gone)
                writer.sweep()
                writer.close()
        self.snapshot()
        return gone

    def tag(
        self,
        labels: Sequence[str],
        *,
        templates: Sequence[str] = (),
        sound_templates: Sequence[str] = (),
        min_probability: float = MIN_PROBABILITY,
        at_most: int = AT_MOST,
    ) -> TagReport:
        """Tag pictures, frames and sounds with those of some labels that fit, from their vectors.

        A probability is that of one label against the others. What the labels gave before is
        replaced, the tags that the encoder made stay. `templates` are sentences with a `{}` for
        the label, whose vectors are averaged. No file is read. Raises ConfigError for labels or
        templates that cannot be used, or where no model of the library takes words, and
        LibraryLocked.
        """
        from mmsearch.labels import tagging
        from mmsearch.labels.classifier import Prompts, classifiers

        keep = tagging.Keep(min_probability, at_most).checked()
        prompts = Prompts.of(labels, templates, sound_templates)
        found, left_out = classifiers(prompts, self._encoders, self.snapshot().filled)
        if left_out and not found:
            raise ConfigError("; ".join(left_out))
        self._upkeep.stop()
        with Lock(self.location):
            writer = Writer.open(self.location)
            report = tagging.tag(found, self._anew, writer.replace_tags, keep)
            writer.close()
        self.snapshot()
        return replace(report, left_out=tuple(left_out))

    def untag(self) -> int:
        """Take away all tags that labels gave; returns from how many segments.

        Raises LibraryLocked.
        """
        self._upkeep.stop()
        from mmsearch.labels import tagging

        with Lock(self.location):
            writer = Writer.open(self.location)
            count = tagging.untag(self._anew(), writer.replace_tags)
            writer.close()
        self.snapshot()
        return count

    def classify(
        self,
        path: str | os.PathLike[str],
        labels: Sequence[str],
        *,
        templates: Sequence[str] = (),
        sound_templates: Sequence[str] = (),
    ) -> Classified:
        """How probable each of some labels is for a file, indexed or not.

        Raises ConfigError as `tag` does, and QueryError where the file cannot be read, or has
        nothing to see or hear that words can be compared with.
        """
        from mmsearch.labels.classifier import Prompts, classified, classifiers

        prompts = Prompts.of(labels, templates, sound_templates)
        file = str(Path(path).expanduser())
        seen = encode_example(Term(TermKind.FILE, file), self._encoders, self.snapshot())
        found, left_out = classifiers(prompts, self._encoders, frozenset(seen.vectors))
        if not found:
            reason = "; ".join(left_out) or "there is nothing to see or hear in it"
            raise QueryError(f"{file} cannot be classified: {reason}")
        return classified(found, seen.vectors, left_out)

    def asset(self, asset_id: str) -> Shelved | None:
        """An asset and where it lies; None where the library has none of that id."""
        return assets.asset(self.snapshot(), asset_id)

    def segments(self, asset_id: str) -> list[Segment]:
        """All segments of an asset in their order: what is said, seen, heard and written in it."""
        return assets.segments(self.snapshot(), asset_id)

    def segment(self, segment_id: str) -> Segment | None:
        """A segment; None where the library has none of that id."""
        return assets.segment(self.snapshot(), segment_id)

    def open_file(self, asset_id: str) -> OpenFile:
        """A file of an asset, opened, and certainly the one that was indexed; raises MediaGone."""
        return assets.open_file(self.snapshot(), asset_id)

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
