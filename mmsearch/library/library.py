"""The library: indexes folders, and answers searches over what is in them."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Unpack

from mmsearch.config import own_presets
from mmsearch.encoders.bundle import Encoders
from mmsearch.errors import MmsearchError, QueryError
from mmsearch.index.index_config import DEFAULT_INDEX_CONFIG, IndexConfig
from mmsearch.labels import AT_MOST, MIN_PROBABILITY
from mmsearch.library import assets, library_config
from mmsearch.library.assets import LocatedAsset, OpenFile
from mmsearch.library.examples import DEFAULT_DECODING, Decoding, encode_example
from mmsearch.library.live_snapshot import LiveSnapshot
from mmsearch.library.stats import PartialFile, Status, list_partial_files, read_status
from mmsearch.library.word_timestamps import transcribe_words
from mmsearch.media.files import is_gone, make_absolute, make_storable
from mmsearch.models import presets
from mmsearch.models.provisioning import OnProvisioning, Runtime, ignore_events
from mmsearch.query import algebra as queries
from mmsearch.query.algebra import Query
from mmsearch.query.request import SearchOptions, SearchRequest, as_request
from mmsearch.runtime.closing import Closing
from mmsearch.search import calibration, query_vectors, retrieval
from mmsearch.snapshot import maintenance
from mmsearch.snapshot.snapshot import Snapshot, guess_filled_spaces
from mmsearch.store import manifest as manifests
from mmsearch.store.location import Location
from mmsearch.store.manifest import Manifest
from mmsearch.store.reader import Reader
from mmsearch.store.rows import FileRow
from mmsearch.types import Hit, Moment, Segment

if TYPE_CHECKING:
    from mmsearch_indexers.events import Event, Finished
    from mmsearch_indexers.local import IndexOptions

    from mmsearch.encoders.base import Word
    from mmsearch.labels.classifier import Classification
    from mmsearch.labels.tagging import TaggingReport
    from mmsearch.library.heatmap import HeatMap

RUNTIME = Runtime()


class Library(Closing):
    """A library of indexed files; many threads may search it while one, or a process, writes.

    Open with `mmsearch.open`; close it, or use it as a context manager.
    """

    def __init__(
        self,
        location: Path | Location,
        manifest: Manifest,
        encoders: Encoders,
        wish: IndexConfig = DEFAULT_INDEX_CONFIG,
    ) -> None:
        self.location = Location.parse(location)
        self.manifest = manifest
        self._encoders = encoders
        self._wish = wish
        self._live = LiveSnapshot(self.location, wish)

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
        index: IndexConfig = DEFAULT_INDEX_CONFIG,
        on_provisioning: OnProvisioning = ignore_events,
    ) -> Library:
        """Opens a library, making an empty one where nothing is, unless `create` is False.

        `path` is a folder, or `s3://BUCKET/PREFIX` on an S3-compatible storage (extra `s3`), which
        is reached as the AWS_ variables of the environment say. `models` takes other models into
        places of the preset: `{"image": "ViT-B-32/openai"}`, by the places image, sound, speech and
        text. A library keeps the preset and the models that it was made with; OCR can be added.
        Models that are not on this machine are fetched and converted, which `on_provisioning` is
        told of. `index` is the kind of vector index; by default their number decides.

        Raises ConfigError for an unknown preset or another than its own, LibraryNotFound,
        FormatVersionError, StoreError, WeightsMissing, and WeightsMismatch for other weights here.
        """
        location = Location.parse(path)
        context = runtime.create_context()
        specs = library_config.parse_models(models)
        if not manifests.exists(location) and create:
            wanted = presets.find_preset(preset or presets.DEFAULT_PRESET, own_presets())
            library_config.create_library(
                location, wanted.with_models(specs), context, on_provisioning
            )
        manifest = manifests.read(location)
        library_config.check_request(location, manifest, preset=preset, models=specs)
        if create:
            manifest = library_config.adopt_ocr(location, manifest, context, specs)
        encoders = Encoders(library_config.read_preset(manifest), context)
        library_config.check_weights(location, manifest, encoders)
        return cls(location, manifest, encoders, replace(index.validate(), device=runtime.device))

    def close(self) -> None:
        """Closes what is mapped and loaded; the library can be opened again."""
        self._live.close()

    def index(
        self,
        *paths: str | os.PathLike[str],
        on_event: Callable[[Event], object] = lambda _event: None,
        wishes: IndexOptions | None = None,
    ) -> Finished:
        """Brings the library up to date with folders and files; returns what was done.

        `on_event` is called with every event of `mmsearch_indexers.events`. Only files that cannot
        be read are passed over; another error ends the run, with what was written intact. Where
        there are many vectors, an index over them is built before the end.
        """
        self._live.maintenance.stop()  # it may hold the right to write
        # The composition root: the engine does not know how it is fed. See docs/adr/0002.
        from mmsearch_indexers import local
        from mmsearch_indexers.events import Finished

        finished = Finished()
        run = local.index_paths(
            self.location, list(map(Path, paths)), self._encoders, wishes or local.IndexOptions()
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
        if maintenance.build_due_indexes(self.snapshot(), self._wish, on_event=on_event):
            self._live.reopen()
        if calibration.is_background_due(self.snapshot()):
            calibration.measure_background(self.snapshot(), self._encoders)
        finished = replace(finished, seconds=finished.seconds + time.monotonic() - began)
        on_event(finished)
        return finished

    def search(
        self,
        query: str | Query | SearchRequest,
        *,
        decoding: Decoding = DEFAULT_DECODING,
        **options: Unpack[SearchOptions],
    ) -> list[Hit]:
        """Returns the best hits, best first; empty where nothing passes `min_score`.

        Where nothing is looked for everything is a hit that passes the filters and matches nothing
        that is to be avoided, the newest first, with a score of 1. `options` are `limit` (10),
        `min_score`, `ranking` and filters: `kinds` are among image, audio, video, text; `under` are
        folders; `after` and `before` are dates, as "2024-05" or "7d", from the beginning of which
        or before which something was taken, or last changed where that is not known; `where` is a
        condition such as "ext = jpg and size > 10MB and not camera ~ canon" (docs/filters.md);
        `without` are ids of assets that may not be hits. `decoding` is how examples are decoded.
        Raises QueryError for an empty query without filters, an unknown kind, and a filter or an
        example that cannot be read, and CancelledError where decoding is.
        """
        request = as_request(query, **options).checked()
        snapshot = self.snapshot()
        return retrieval.search(
            snapshot,
            request,
            self._encoders,
            lambda term: encode_example(term, self._encoders, snapshot, decoding),
        )

    def similar(
        self, path: str | os.PathLike[str] | SearchRequest, **options: Unpack[SearchOptions]
    ) -> list[Hit]:
        """Returns the neighbours of a file, indexed or not; the file itself is not among them.

        `path` may be a request whose query is one file; `options` are as for `search`. Raises
        QueryError when the file or a filter cannot be read.
        """
        query = path if isinstance(path, SearchRequest) else queries.file(Path(path).expanduser())
        request = as_request(query, **options).checked()
        snapshot = self.snapshot()
        example = encode_example(request.query.terms[0], self._encoders, snapshot)
        others = replace(request, without=(*request.without, example.asset_id))
        return retrieval.search(snapshot, others, self._encoders, lambda _term: example)

    def words(self, hit: Hit) -> tuple[Word, ...]:
        """Returns the words said in the best moment of a hit, each with its time and probability.

        The moment is listened to again, which takes about as long as a tenth of it. Empty for what
        has no sound; raises QueryError where the file cannot be read any more.
        """
        return transcribe_words(hit, lambda: self._encoders.transcriber)

    def heat_map(
        self, hit: Hit, query: str | Query, *, moment: Moment | None = None, is_quick: bool = False
    ) -> HeatMap:
        """Maps where in the picture of a hit the query matches.

        The picture is that of `moment`, by default the best moment that has one. The file is
        decoded again and looked at in some forty crops, in about a second. `is_quick` makes a
        coarse map of the vectors of the library, in milliseconds, where they stand for parts of
        pictures, as those of `mini` do. Raises QueryError where there is no picture or nothing to
        look for in one, and where the file is gone, has changed or cannot be decoded any more.
        """
        from mmsearch.library import localization

        query = queries.as_query(query).checked()
        moment = moment or localization.find_picture_moment(hit)
        if moment is None:
            raise QueryError(f"{hit.path} has no picture among what was found in it")
        snapshot, encoders = self.snapshot(), self._encoders
        space = encoders.image.space.name
        vectors = query_vectors.encode_query(
            query, encoders, lambda term: encode_example(term, encoders, snapshot), {space}
        )
        return localization.map_hit(hit, moment, vectors, snapshot, encoders, is_quick=is_quick)

    def snapshot(self) -> Snapshot:
        """Returns the newest version of the tables, which is what is searched."""
        return self._live.read()

    def warm_up(self) -> None:
        """Loads what a search by words needs: the encoder in one thread, the index in another."""
        loading = threading.Thread(target=self._warm_encoders, daemon=True)
        loading.start()
        self.snapshot()
        loading.join()

    def _warm_encoders(self) -> None:
        # What goes wrong here goes wrong again, and is told, where the encoder is used.
        with contextlib.suppress(MmsearchError):
            spaces = guess_filled_spaces(self.location.cache_folder)
            self._encoders.encode_query_texts(["warm"], spaces)

    def remove(self, *paths: str | os.PathLike[str]) -> list[str]:
        """Takes files, and all files below folders, out of the library; returns their paths.

        Nothing on disk is touched. Raises LibraryLocked.
        """
        roots = [Path(make_storable(make_absolute(Path(path)))) for path in paths]
        return self._live.remove_files(
            lambda row: any(Path(row.path).is_relative_to(root) for root in roots)
        )

    def prune(self) -> list[str]:
        """Takes out files that are gone from disk; returns their paths. Raises LibraryLocked."""
        return self._live.remove_files(lambda row: is_gone(row.path))

    def tag(
        self,
        labels: Sequence[str],
        *,
        templates: Sequence[str] = (),
        sound_templates: Sequence[str] = (),
        min_probability: float = MIN_PROBABILITY,
        at_most: int = AT_MOST,
    ) -> TaggingReport:
        """Tags pictures, frames and sounds with those of some labels that fit, from their vectors.

        A probability is that of one label against the others. Labels replace those of before, the
        tags of the encoder stay. `templates` are sentences with a `{}` for the label, whose vectors
        are averaged. No file is read. Raises ConfigError for labels or templates that cannot be
        used, or where no model of the library takes words, and LibraryLocked.
        """
        from mmsearch.labels.classifier import Prompts
        from mmsearch.labels.tagging import TaggingThresholds
        from mmsearch.library.labelling import tag_segments

        thresholds = TaggingThresholds(min_probability, at_most).validate()
        prompts = Prompts.create(labels, templates, sound_templates)
        return tag_segments(self._live, self._encoders, prompts, thresholds)

    def untag(self) -> int:
        """Takes away the tags of labels; returns the count of segments. Raises LibraryLocked."""
        from mmsearch.library.labelling import untag_segments

        return untag_segments(self._live)

    def classify(
        self,
        path: str | os.PathLike[str],
        labels: Sequence[str],
        *,
        templates: Sequence[str] = (),
        sound_templates: Sequence[str] = (),
    ) -> Classification:
        """Returns the probability of each of some labels for a file, indexed or not.

        Raises ConfigError as `tag` does, and QueryError where the file cannot be read, or has
        nothing to see or hear that words can be compared with.
        """
        from mmsearch.labels.classifier import Prompts
        from mmsearch.library.labelling import classify_file

        prompts = Prompts.create(labels, templates, sound_templates)
        file = Path(path).expanduser()
        return classify_file(file, self.snapshot(), self._encoders, prompts)

    def asset(self, asset_id: str) -> LocatedAsset | None:
        """Returns an asset and its paths; None where the library has none of that id."""
        return assets.find_asset(self.snapshot(), asset_id)

    def segments(self, asset_id: str) -> list[Segment]:
        """Returns all segments of an asset in their order."""
        return assets.list_segments(self.snapshot(), asset_id)

    def segment(self, segment_id: str) -> Segment | None:
        """Returns a segment; None where the library has none of that id."""
        return assets.find_segment(self.snapshot(), segment_id)

    def open_file(self, asset_id: str) -> OpenFile:
        """Opens a file of an asset, certainly the one that was indexed; raises MediaGone."""
        return assets.open_file(self.snapshot(), asset_id)

    def failed(self) -> list[FileRow]:
        """Returns the files that could not be read, with the reason."""
        return Reader.open(self.location).read_failed_files()

    def partial(self) -> list[PartialFile]:
        """Returns the files of which a part was not read, with the reasons."""
        return list_partial_files(Reader.open(self.location))

    def status(self) -> Status:
        """Counts what is in the library."""
        return read_status(self.location, self.manifest)
