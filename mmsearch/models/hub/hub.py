"""Finds the weights of a model: in a folder, in the hub's cache, or on the hub."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from mmsearch.config import cache_dir, hub_settings
from mmsearch.errors import ModelError, WeightsMismatch, WeightsMissing
from mmsearch.models import weights
from mmsearch.models.hash_cache import Stamps
from mmsearch.models.hub import advice
from mmsearch.models.hub.advice import Asked
from mmsearch.models.hub.fetching import Download, bring
from mmsearch.models.hub.hub_cache import HubCache
from mmsearch.models.hub.repository import Listing, ask, check_source, chosen, http_error, lacking
from mmsearch.models.hub.wanted import Wanted, mismatch
from mmsearch.types import WeightFile

__all__ = ["Download", "SourceModel", "locate"]


@dataclass(frozen=True, slots=True)
class SourceModel:
    """The files that a model is made from; each was checked.

    `revision` is the commit for a repository of the hub, and empty for a folder.
    """

    folder: Path
    source: str
    revision: str
    files: tuple[WeightFile, ...]

    @property
    def weights_sha256(self) -> str:
        """One sha256 over those of its files that are weights."""
        return weights.weights_sha256(self.files)


def locate(
    source: str,
    *,
    revision: str = "",
    patterns: Sequence[str],
    expected: Sequence[WeightFile] = (),
    on_progress: Callable[[Download], None] | None = None,
    name: str = "",
) -> SourceModel:
    """The files of a model that match a pattern, or are expected; fetched where they are not here.

    `source` is a folder (absolute, or from . or ~) or a repository of the hub. In patterns * stands
    for slashes too. `revision` "" is the newest, or what was the newest when it was cached. `name`
    is what `mmsearch models pull` calls the model.

    Raises WeightsMissing, which says how to get them, WeightsMismatch where a file is not what the
    hub says or what was expected, ModelError for pickles and full disks.
    """
    settings = hub_settings()
    wanted = Wanted(
        asked=Asked(name or source, source, revision, settings),
        cache=HubCache(settings.cache_dir, source),
        patterns=tuple(patterns),
        expected=MappingProxyType({file.name: file for file in expected}),
    )
    folder = weights.named_folder(source)
    if folder is not None:
        return _in_folder(folder, wanted)
    check_source(source)
    commit = wanted.cache.commit(revision)
    listing = Listing.read(_kept(wanted.cache, commit)) if commit else None
    if listing is not None and not wanted.absent(listing):
        return _found(listing, wanted)
    if settings.is_offline:
        return _as_cached(commit, listing, wanted, advice.offline(wanted.asked))
    return _from_hub(commit, listing, wanted, on_progress or (lambda _: None))


def _in_folder(folder: Path, wanted: Wanted) -> SourceModel:
    if not folder.is_dir():
        raise WeightsMissing(
            f"the folder {folder} is not there: name the folder of a model, or a repository of the "
            f"hub (OWNER/NAME)"
        )
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    # `hf download --local-dir` keeps its own notes in .cache.
    return _checked(folder, "", [one for one in names if not f"/{one}".count("/.")], wanted)


def _from_hub(
    commit: str, listing: Listing | None, wanted: Wanted, on_progress: Callable[[Download], None]
) -> SourceModel:
    asked, cache = wanted.asked, wanted.cache
    from huggingface_hub.errors import OfflineModeIsEnabled

    try:
        if listing is None and commit and cache.names(commit):
            # Another program cached it, perhaps in part: what belongs to it only the hub can tell.
            listing = ask(asked.settings, asked.source, commit)
            listing.save(_kept(cache, commit))
            if not wanted.absent(listing):
                return _found(listing, wanted)
        fresh = ask(asked.settings, asked.source, asked.revision)
    except (http_error(), OfflineModeIsEnabled) as exc:
        failure = advice.explain(asked, exc)
        if advice.is_answer(exc):
            raise failure from exc
        return _as_cached(commit, listing, wanted, failure, exc)
    fresh.save(_kept(cache, fresh.commit))
    try:
        bring(fresh, wanted, on_progress)
        cache.point(asked.revision, fresh.commit)
    except http_error() as exc:
        raise advice.cut_off(asked, exc) from exc
    except OSError as exc:
        raise ModelError(
            f"{cache.root} cannot be written to ({exc}): set HF_HOME to a folder that can"
        ) from exc
    return _found(fresh, wanted)


def _as_cached(
    commit: str,
    listing: Listing | None,
    wanted: Wanted,
    failure: ModelError,
    cause: Exception | None = None,
) -> SourceModel:
    """What another program cached, where it seems whole and the hub cannot be asked."""
    folder = wanted.cache.snapshot(commit) if commit else None
    if folder is None:
        raise failure from cause
    if listing is not None:
        damaged = [f for f in wanted.absent(listing) if (folder / f.name).is_file()]
        if damaged:
            raise WeightsMismatch(
                f"{folder / damaged[0].name} is not what the hub has under this name: with a "
                f"network, `mmsearch models pull {wanted.asked.name}` mends it"
            ) from cause
        raise failure from cause
    names = chosen(wanted.cache.names(commit), wanted.patterns, wanted.expected)
    if lacking(folder, names, wanted.patterns):
        raise failure from cause
    return _checked(folder, commit, names, wanted)


def _found(listing: Listing, wanted: Wanted) -> SourceModel:
    names = [file.name for file in wanted.among(listing)]
    return _checked(wanted.cache.snapshot(listing.commit), listing.commit, names, wanted)


def _checked(folder: Path, commit: str, names: Iterable[str], wanted: Wanted) -> SourceModel:
    """The files with their hashes, which are those that were expected."""
    present = list(names)
    needed = chosen(present, wanted.patterns, wanted.expected)
    lacks = lacking(folder, needed, wanted.patterns)
    if lacks:
        raise advice.unusable(wanted.asked, str(folder), lacks)
    stamps = Stamps.of(folder, inside=False)
    files = []
    for name in needed:
        path = folder / name
        weights.check_no_pickle(path, name=name, ctranslate2=True)
        files.append(WeightFile(name, stamps.sha256(path, name), path.stat().st_size))
    stamps.save()
    found = {file.name: file.sha256 for file in files}
    for name, file in wanted.expected.items():
        if name not in found:
            raise WeightsMissing(f"{folder} has no {name}, but it is pinned: take away the pin")
        if found[name] != file.sha256:
            raise mismatch(wanted.asked, str(folder / name), found[name], file.sha256)
    return SourceModel(folder, wanted.asked.source, commit, tuple(files))


def _kept(cache: HubCache, commit: str) -> Path:
    """Where a listing is kept: outside of the hub's cache, which others clean."""
    return cache_dir() / "hub" / cache.name / f"{commit}.json"
