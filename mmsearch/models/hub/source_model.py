"""Finds the weights of a model: in a folder, in the hub's cache, or on the hub."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from mmsearch.config import cache_dir, hub_settings
from mmsearch.errors import ModelError, WeightsMismatch, WeightsMissing
from mmsearch.models import weights
from mmsearch.models.hash_cache import HashCache
from mmsearch.models.hub import advice
from mmsearch.models.hub.advice import ModelSource
from mmsearch.models.hub.fetching import Download, fetch_files
from mmsearch.models.hub.file_selection import FileSelectionRequest, explain_mismatch
from mmsearch.models.hub.hub_cache import HubCache
from mmsearch.models.hub.repository import (
    Listing,
    check_source,
    describe_missing,
    fetch_listing,
    http_error_class,
    select_names,
)
from mmsearch.types import WeightFile

__all__ = ["Download", "SourceModel", "locate"]


@dataclass(frozen=True, slots=True)
class SourceModel:
    """The checked files of a model.

    `revision` is the commit for a repository of the hub, and empty for a folder.
    """

    folder: Path
    source: str
    revision: str
    files: tuple[WeightFile, ...]

    @property
    def weights_sha256(self) -> str:
        """One sha256 over the files that are weights."""
        return weights.hash_weights(self.files)


def locate(
    source: str,
    *,
    revision: str = "",
    patterns: Sequence[str],
    expected: Sequence[WeightFile] = (),
    on_progress: Callable[[Download], None] | None = None,
    name: str = "",
) -> SourceModel:
    """Finds the files of a model that match a pattern or are expected; fetches absent ones.

    `source` is a folder (absolute, or from . or ~) or a repository of the hub. In patterns * stands
    for slashes too. `revision` "" is the newest, or what was the newest when it was cached. `name`
    is what `mmsearch models pull` calls the model.

    Raises WeightsMissing, which says how to get them, WeightsMismatch where a file is not what the
    hub says or what was expected, ModelError for pickles and full disks.
    """
    settings = hub_settings()
    selection = FileSelectionRequest(
        model=ModelSource(name or source, source, revision, settings),
        cache=HubCache(settings.cache_dir, source),
        patterns=tuple(patterns),
        expected=MappingProxyType({file.name: file for file in expected}),
    )
    folder = weights.parse_folder(source)
    if folder is not None:
        return _find_in_folder(folder, selection)
    check_source(source)
    commit = selection.cache.find_commit(revision)
    listing = Listing.read(_listing_path(selection.cache, commit)) if commit else None
    if listing is not None and not selection.list_absent(listing):
        return _build_model(listing, selection)
    if settings.is_offline:
        return _find_cached(commit, listing, selection, advice.explain_offline(selection.model))
    return _fetch_from_hub(commit, listing, selection, on_progress or (lambda _: None))


def _find_in_folder(folder: Path, selection: FileSelectionRequest) -> SourceModel:
    if not folder.is_dir():
        raise WeightsMissing(
            f"the folder {folder} is not there: name the folder of a model, or a repository of the "
            f"hub (OWNER/NAME)"
        )
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    # `hf download --local-dir` keeps its own notes in .cache.
    return _check_files(folder, "", [one for one in names if not f"/{one}".count("/.")], selection)


def _fetch_from_hub(
    commit: str,
    listing: Listing | None,
    selection: FileSelectionRequest,
    on_progress: Callable[[Download], None],
) -> SourceModel:
    model, cache = selection.model, selection.cache
    from huggingface_hub.errors import OfflineModeIsEnabled

    try:
        if listing is None and commit and cache.list_names(commit):
            # Another program cached it, perhaps in part: what belongs to it only the hub can tell.
            listing = fetch_listing(model.settings, model.source, commit)
            listing.save(_listing_path(cache, commit))
            if not selection.list_absent(listing):
                return _build_model(listing, selection)
        fresh = fetch_listing(model.settings, model.source, model.revision)
    except (http_error_class(), OfflineModeIsEnabled) as exc:
        failure = advice.explain_error(model, exc)
        if advice.is_final_answer(exc):
            raise failure from exc
        return _find_cached(commit, listing, selection, failure, exc)
    fresh.save(_listing_path(cache, fresh.commit))
    try:
        fetch_files(fresh, selection, on_progress)
        cache.save_commit(model.revision, fresh.commit)
    except http_error_class() as exc:
        raise advice.explain_cut_off(model, exc) from exc
    except OSError as exc:
        raise ModelError(
            f"{cache.root} cannot be written to ({exc}): set HF_HOME to a folder that can"
        ) from exc
    return _build_model(fresh, selection)


def _find_cached(
    commit: str,
    listing: Listing | None,
    selection: FileSelectionRequest,
    failure: ModelError,
    cause: Exception | None = None,
) -> SourceModel:
    """Finds what another program cached, where it seems complete and the hub cannot be asked."""
    folder = selection.cache.snapshot_folder(commit) if commit else None
    if folder is None:
        raise failure from cause
    if listing is not None:
        damaged = [f for f in selection.list_absent(listing) if (folder / f.name).is_file()]
        if damaged:
            raise WeightsMismatch(
                f"{folder / damaged[0].name} is not what the hub has under this name: with a "
                f"network, `mmsearch models pull {selection.model.name}` mends it"
            ) from cause
        raise failure from cause
    names = select_names(selection.cache.list_names(commit), selection.patterns, selection.expected)
    if describe_missing(folder, names, selection.patterns):
        raise failure from cause
    return _check_files(folder, commit, names, selection)


def _build_model(listing: Listing, selection: FileSelectionRequest) -> SourceModel:
    names = [file.name for file in selection.select(listing)]
    return _check_files(
        selection.cache.snapshot_folder(listing.commit), listing.commit, names, selection
    )


def _check_files(
    folder: Path, commit: str, names: Iterable[str], selection: FileSelectionRequest
) -> SourceModel:
    """Hashes the files and compares them with the expected ones."""
    present = list(names)
    needed = select_names(present, selection.patterns, selection.expected)
    lacks = describe_missing(folder, needed, selection.patterns)
    if lacks:
        raise advice.explain_unusable(selection.model, str(folder), lacks)
    stamps = HashCache.open(folder, inside=False)
    files = []
    for name in needed:
        path = folder / name
        weights.check_no_pickle(path, name=name, ctranslate2=True)
        files.append(WeightFile(name, stamps.compute_sha256(path, name), path.stat().st_size))
    stamps.save()
    found = {file.name: file.sha256 for file in files}
    for name, file in selection.expected.items():
        if name not in found:
            raise WeightsMissing(f"{folder} has no {name}, but it is pinned: take away the pin")
        if found[name] != file.sha256:
            raise explain_mismatch(selection.model, str(folder / name), found[name], file.sha256)
    return SourceModel(folder, selection.model.source, commit, tuple(files))


def _listing_path(cache: HubCache, commit: str) -> Path:
    """Returns the path of a stored listing, outside the hub's cache, which others clean."""
    return cache_dir() / "hub" / cache.name / f"{commit}.json"
