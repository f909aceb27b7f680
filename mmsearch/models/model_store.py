"""The model store: a folder for each converted model, with a card, checked when it is opened."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from mmsearch.config import models_dir
from mmsearch.errors import ModelError, WeightsMismatch, WeightsMissing
from mmsearch.models.hash_cache import HASH_CACHE_NAME, HashCache
from mmsearch.models.model_card import CARD, ModelCard, StoredModel, TowerCard, read_card
from mmsearch.models.weights import check_no_pickle, hash_weights, parse_folder
from mmsearch.runtime.atomic_files import replace_links, sync_folder, write_atomically
from mmsearch.types import WeightFile

__all__ = ["ModelCard", "ModelStore", "StoredModel", "TowerCard", "open_default_store"]

BUILD_PREFIX = ".building-"
REMOVED_PREFIX = ".removed-"
WHISPER = "faster-whisper"
"""The encoder whose weights are a model.bin of CTranslate2."""
LOCK = ".lock"
LOCK_TIMEOUT_S = 3600.0
"""Longer than any conversion takes; the lock of a killed process is free at once."""
_UNSAFE_CHARACTERS = re.compile(r"[^A-Za-z0-9._-]+")


class ModelStore:
    """The models under one folder, shared by any number of processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = FileLock(root / LOCK, timeout=LOCK_TIMEOUT_S)

    def find(
        self, encoder: str, source: str, *, revision: str = "", weights_sha256: str = ""
    ) -> StoredModel | None:
        """Returns the newest model for an encoder with these weights, or else from this source.

        None without one. A source can be the folder of a stored model. Raises WeightsMismatch for a
        model whose files are not those of its card, and ModelError for a named folder whose card
        cannot be read or is for another encoder.
        """
        folder = parse_folder(source)
        if folder is not None and (folder / CARD).is_file():
            stored = self.open(folder)
            if stored.card.encoder != encoder:
                raise ModelError(
                    f"{folder} holds a model for the encoder {stored.card.encoder!r}, not "
                    f"{encoder!r}: name another folder, or the model as {stored.card.encoder}:..."
                )
            if weights_sha256 not in ("", stored.card.weights_sha256):
                raise WeightsMismatch(
                    f"{folder} holds weights {stored.card.weights_sha256[:12]}, but "
                    f"{weights_sha256[:12]} are wanted: name the folder that was used before"
                )
            return stored

        def is_match(card: ModelCard) -> bool:
            if card.encoder != encoder or weights_sha256:
                return card.encoder == encoder and card.weights_sha256 == weights_sha256
            return card.source == source and revision in ("", card.revision)

        folders = [stored.folder for stored in self.list_models() if is_match(stored.card)]
        if not folders:
            return None
        return self.open(max(folders, key=lambda folder: (folder / CARD).stat().st_mtime_ns))

    def open(self, folder: Path) -> StoredModel:
        """Returns the model in a folder after checking its files.

        Only files whose size, time or inode has changed since the last check are hashed. Raises
        WeightsMismatch or WeightsMissing, which name the file, and ModelError for a bad card.
        """
        stored = StoredModel(folder, read_card(folder))
        hashes = HashCache.open(folder, inside=True)
        again = f"mmsearch models pull {stored.card.name}"
        for file in stored.card.files:
            path = folder / file.name
            try:
                sha256 = hashes.compute_sha256(path, file.name)
            except OSError as exc:
                raise WeightsMissing(f"{path} is missing ({exc.strerror}): {again}") from exc
            if sha256 != file.sha256:
                raise WeightsMismatch(
                    f"{path} has sha256 {sha256}, but its card says {file.sha256}: {again}"
                )
        hashes.save()
        return stored

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the store alone, so that a missing model is built once; reentrant in a thread.

        Raises ModelError if another process holds it for an hour.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout as exc:
            raise ModelError(
                f"another mmsearch has been converting models in {self.root} for over an hour: "
                f"wait for it, or end it and try again"
            ) from exc
        except OSError as exc:
            raise ModelError(
                f"{self.root} cannot be written to ({exc.strerror}): set MMSEARCH_MODELS to a "
                f"folder that can"
            ) from exc
        try:
            yield
        finally:
            self._lock.release()

    def add(self, build: Callable[[Path], ModelCard]) -> StoredModel:
        """Adds the model that `build` writes into the empty folder that it is given.

        Fills in the `files` of the returned card, and its `weights_sha256` if it is empty. The
        model appears whole or not at all, and replaces one of the same name. Links become files.
        One process builds at a time. Raises ModelError for pickles.
        """
        with self.lock():
            self._remove_leftovers()
            part = Path(tempfile.mkdtemp(dir=self.root, prefix=BUILD_PREFIX))
            try:
                part.chmod(0o755)
                card = build(part)
                replace_links(part)
                return self._store(part, card)
            except OSError as exc:
                raise ModelError(f"a model cannot be kept in {self.root}: {exc}") from exc
            finally:
                shutil.rmtree(part, ignore_errors=True)

    def list_models(self) -> list[StoredModel]:
        """Returns every model with a readable card, by name of folder; hashes nothing."""
        return [stored for stored in self._scan() if isinstance(stored, StoredModel)]

    def list_unreadable(self) -> dict[Path, str]:
        """Returns the folders in the store whose card cannot be read, with the reasons."""
        return dict(entry for entry in self._scan() if isinstance(entry, tuple))

    def remove(self, stored: StoredModel) -> None:
        """Deletes a model of this store; raises ModelError for one that lies elsewhere."""
        if stored.folder.parent.resolve() != self.root.resolve():
            raise ModelError(f"{stored.folder} is not in {self.root}: delete the folder yourself")
        with self.lock():
            self._delete(stored.folder)

    def verify(self, stored: StoredModel) -> list[str]:
        """Hashes every file of a model and returns the problems that it finds."""
        try:
            card = read_card(stored.folder)
        except ModelError as exc:
            return [str(exc)]
        hashes = HashCache.open(stored.folder, inside=True)
        hashes.clear()
        problems = list(_find_problems(stored.folder, card, hashes))
        hashes.save()  # of damaged files too: opening the model refuses them from now on
        return problems

    def export(self, stored: StoredModel, folder: Path) -> Path:
        """Copies a model into a folder that is new or empty, to be carried elsewhere.

        Raises WeightsMismatch if a file differs from its card, ModelError if the folder has content
        or cannot be written to.
        """
        problems = self.verify(stored)
        if problems:
            raise WeightsMismatch(
                f"{problems[0]}: mmsearch models pull {stored.card.name}, then export again"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise ModelError(f"{folder} is not empty: name a folder that is new")
            _copy_files(stored, folder)
            write_atomically(folder / CARD, stored.card.to_json())
            sync_folder(folder)
        except OSError as exc:
            raise ModelError(f"{stored.folder} cannot be copied to {folder}: {exc}") from exc
        return folder

    def import_model(self, folder: Path) -> StoredModel:
        """Imports an exported model after hashing its files.

        Raises WeightsMismatch if one is missing or differs from the card, ModelError without a
        readable card.
        """
        stored = StoredModel(folder.absolute(), read_card(folder))

        def copy(part: Path) -> ModelCard:
            _copy_files(stored, part)
            for problem in _find_problems(part, stored.card, HashCache(part / HASH_CACHE_NAME, {})):
                at_source = problem.replace(str(part), str(stored.folder))
                raise WeightsMismatch(f"{at_source}: copy the folder again")
            return stored.card

        return self.add(copy)

    def _scan(self) -> Iterator[StoredModel | tuple[Path, str]]:
        try:
            folders = sorted(path for path in self.root.iterdir() if path.is_dir())
        except OSError:
            return
        for folder in folders:
            if not folder.name.startswith("."):
                try:
                    yield StoredModel(folder, read_card(folder))
                except ModelError as exc:
                    yield folder, str(exc)

    def _store(self, part: Path, card: ModelCard) -> StoredModel:
        names = sorted(p.relative_to(part).as_posix() for p in part.rglob("*") if p.is_file())
        names = [name for name in names if name not in (CARD, HASH_CACHE_NAME)]
        for name in names:
            check_no_pickle(part / name, name=name, ctranslate2=card.encoder == WHISPER)
        hashes = HashCache(part / HASH_CACHE_NAME, {})
        files = tuple(
            WeightFile(name, hashes.compute_sha256(part / name, name), (part / name).stat().st_size)
            for name in names
        )
        card = replace(
            card, files=files, weights_sha256=card.weights_sha256 or hash_weights(card.weights)
        )
        text = card.to_json()
        ModelCard.from_json(text)  # a card that could not be read again is refused now
        hashes.save()
        sync_folder(part)
        write_atomically(part / CARD, text)
        target = self.root / _make_folder_name(card)
        self._delete(target)
        part.rename(target)
        return StoredModel(target, card)

    def _delete(self, folder: Path) -> None:
        if folder.exists():
            trash = Path(tempfile.mkdtemp(dir=self.root, prefix=REMOVED_PREFIX))
            folder.rename(trash / folder.name)
            shutil.rmtree(trash, ignore_errors=True)

    def _remove_leftovers(self) -> None:
        """Removes what a killed process left: only the holder of the lock builds."""
        for path in self.root.iterdir():
            if path.name.startswith((BUILD_PREFIX, REMOVED_PREFIX)):
                shutil.rmtree(path, ignore_errors=True)


def open_default_store() -> ModelStore:
    """Opens the store of this user: `MMSEARCH_MODELS`, else the platform's data folder."""
    return ModelStore(models_dir())


def _make_folder_name(card: ModelCard) -> str:
    """Makes a name that is the same for the same encoder over the same weights."""
    source = _UNSAFE_CHARACTERS.sub("-", card.source).strip("-.")[-60:] or "model"
    return f"{card.encoder}--{source}--{card.weights_sha256[:12]}"


def _find_problems(folder: Path, card: ModelCard, hashes: HashCache) -> Iterator[str]:
    for file in card.files:
        path = folder / file.name
        try:
            size = path.stat().st_size
            sha256 = hashes.compute_sha256(path, file.name)
            check_no_pickle(path, name=file.name, ctranslate2=card.encoder == WHISPER)
        except FileNotFoundError:
            yield f"{path} is missing"
        except (OSError, ModelError) as exc:
            yield str(exc)
        else:
            if size != file.size_bytes:
                yield f"{path} has {size} bytes, but its card says {file.size_bytes}"
            elif sha256 != file.sha256:
                yield f"{path} has sha256 {sha256}, but its card says {file.sha256}"


def _copy_files(stored: StoredModel, folder: Path) -> None:
    for file in stored.card.files:
        source, target = stored.folder / file.name, folder / file.name
        if not source.resolve().is_relative_to(stored.folder.resolve()):
            raise ModelError(f"{source} is a link to another folder: copy the file itself there")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(source, target)
        except FileNotFoundError as exc:
            raise WeightsMismatch(f"{source} is missing: copy the folder again") from exc
