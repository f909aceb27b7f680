"""Models kept ready to run: a folder each, with a card, checked whenever one is opened."""

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
from mmsearch.models.hash_cache import CHECKED, Stamps
from mmsearch.models.model_card import CARD, ModelCard, StoredModel, Tower, read_card
from mmsearch.models.weights import check_no_pickle, named_folder, weights_sha256
from mmsearch.runtime.atomic_files import make_links_files, sync, write_whole
from mmsearch.types import WeightFile

__all__ = ["ModelCard", "ModelStore", "StoredModel", "Tower", "default_store"]

BUILDING = ".building-"
REMOVED = ".removed-"
WHISPER = "faster-whisper"
"""The encoder whose weights are a model.bin of CTranslate2."""
LOCK = ".lock"
LOCK_TIMEOUT_S = 3600.0
"""Longer than any conversion takes; the lock of a killed process is free at once."""
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


class ModelStore:
    """The models under one folder; any number of processes may use it at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = FileLock(root / LOCK, timeout=LOCK_TIMEOUT_S)

    def find(
        self, encoder: str, source: str, *, revision: str = "", weights_sha256: str = ""
    ) -> StoredModel | None:
        """The model for an encoder with these weights, or else from this source; None without one.

        Of several the newest is taken. A source that is itself the folder of a kept model is that.
        Raises WeightsMismatch for a model whose files are not those of its card, and ModelError for
        a named folder whose card cannot be read or is for another encoder.
        """
        folder = named_folder(source)
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
        fitting = [
            stored
            for stored in self.all()
            if stored.card.encoder == encoder
            and (
                stored.card.weights_sha256 == weights_sha256
                if weights_sha256
                else stored.card.source == source and revision in ("", stored.card.revision)
            )
        ]
        if not fitting:
            return None
        return self.open(max(fitting, key=_age).folder)

    def open(self, folder: Path) -> StoredModel:
        """The model in a folder, after a quick look at its files.

        A file whose size, time or inode is not as it was at the last check is hashed again. Raises
        WeightsMismatch or WeightsMissing, which name the file, and ModelError for a bad card.
        """
        stored = StoredModel(folder, read_card(folder))
        stamps = Stamps.of(folder, inside=True)
        for file in stored.card.files:
            path = folder / file.name
            again = f"mmsearch models pull {stored.card.name}"
            try:
                found = stamps.sha256(path, file.name)
            except OSError as exc:
                raise WeightsMissing(f"{path} is missing ({exc.strerror}): {again}") from exc
            if found != file.sha256:
                raise WeightsMismatch(
                    f"{path} has sha256 {found}, but its card says {file.sha256}: {again}"
                )
        stamps.save()
        return stored

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the store alone, so that what is not there is built once; reentrant in a thread.

        Raises ModelError where another process holds it for an hour.
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
        """Keep what `build` puts into the empty folder that it is given.

        The files of the returned card are listed here, and its `weights_sha256` is made where it is
        empty. What is kept appears whole or not at all; what had its place before is replaced.
        Links become files. One process builds at a time. Raises ModelError for pickles.
        """
        with self.lock():
            self._sweep()
            part = Path(tempfile.mkdtemp(dir=self.root, prefix=BUILDING))
            try:
                part.chmod(0o755)
                card = build(part)
                make_links_files(part)
                return self._keep(part, card)
            except OSError as exc:
                raise ModelError(f"a model cannot be kept in {self.root}: {exc}") from exc
            finally:
                shutil.rmtree(part, ignore_errors=True)

    def all(self) -> list[StoredModel]:
        """Every model with a card that can be read, by name of folder; nothing is hashed."""
        return [found for found in self._each() if isinstance(found, StoredModel)]

    def unreadable(self) -> dict[Path, str]:
        """The folders in the store whose card cannot be read, and why."""
        return {found[0]: found[1] for found in self._each() if isinstance(found, tuple)}

    def remove(self, stored: StoredModel) -> None:
        """Delete a model of this store; raises ModelError for one that lies elsewhere."""
        if stored.folder.parent.resolve() != self.root.resolve():
            raise ModelError(f"{stored.folder} is not in {self.root}: delete the folder yourself")
        with self.lock():
            self._set_aside(stored.folder)

    def verify(self, stored: StoredModel) -> list[str]:
        """What is wrong with a model, each file hashed anew; an empty list when nothing is."""
        try:
            card = read_card(stored.folder)
        except ModelError as exc:
            return [str(exc)]
        stamps = Stamps.of(stored.folder, inside=True).afresh()
        problems = list(_problems(stored.folder, card, stamps))
        stamps.save()  # of damaged files too: opening the model refuses them from now on
        return problems

    def export(self, stored: StoredModel, folder: Path) -> Path:
        """Copy a model into a folder that is new or empty, to be carried elsewhere.

        Raises WeightsMismatch where a file is not as its card says, ModelError where the folder has
        content or cannot be written to.
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
            _copy(stored, folder)
            write_whole(folder / CARD, stored.card.to_json())
            sync(folder)
        except OSError as exc:
            raise ModelError(f"{stored.folder} cannot be copied to {folder}: {exc}") from exc
        return folder

    def take(self, folder: Path) -> StoredModel:
        """Bring over a model that was exported, after every file of it was hashed.

        Raises WeightsMismatch where one is missing or not as the card says, ModelError where the
        folder has no card that can be read.
        """
        stored = StoredModel(folder.absolute(), read_card(folder))

        def copy(part: Path) -> ModelCard:
            _copy(stored, part)
            for problem in _problems(part, stored.card, Stamps(part / CHECKED, {})):
                at_source = problem.replace(str(part), str(stored.folder))
                raise WeightsMismatch(f"{at_source}: copy the folder again")
            return stored.card

        return self.add(copy)

    def _each(self) -> Iterator[StoredModel | tuple[Path, str]]:
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

    def _keep(self, part: Path, card: ModelCard) -> StoredModel:
        names = sorted(p.relative_to(part).as_posix() for p in part.rglob("*") if p.is_file())
        names = [name for name in names if name not in (CARD, CHECKED)]
        for name in names:
            check_no_pickle(part / name, name=name, ctranslate2=card.encoder == WHISPER)
        stamps = Stamps(part / CHECKED, {})
        files = tuple(
            WeightFile(name, stamps.sha256(part / name, name), (part / name).stat().st_size)
            for name in names
        )
        card = replace(
            card, files=files, weights_sha256=card.weights_sha256 or weights_sha256(card.weights)
        )
        text = card.to_json()
        ModelCard.from_json(text)  # what could not be read again is refused now
        stamps.save()
        sync(part)
        write_whole(part / CARD, text)
        target = self.root / _folder_name(card)
        self._set_aside(target)
        part.rename(target)
        return StoredModel(target, card)

    def _set_aside(self, folder: Path) -> None:
        if folder.exists():
            gone = Path(tempfile.mkdtemp(dir=self.root, prefix=REMOVED))
            folder.rename(gone / folder.name)
            shutil.rmtree(gone, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove what a killed process left: whoever holds the lock is the only one that builds."""
        for path in self.root.iterdir():
            if path.name.startswith((BUILDING, REMOVED)):
                shutil.rmtree(path, ignore_errors=True)


def default_store() -> ModelStore:
    """The store of this user: `MMSEARCH_MODELS`, else the platform's data folder."""
    return ModelStore(models_dir())


def _age(stored: StoredModel) -> int:
    return (stored.folder / CARD).stat().st_mtime_ns


def _folder_name(card: ModelCard) -> str:
    """Two models with one name are one: the same encoder over the same weights."""
    source = _UNFIT.sub("-", card.source).strip("-.")[-60:] or "model"
    return f"{card.encoder}--{source}--{card.weights_sha256[:12]}"


def _problems(folder: Path, card: ModelCard, stamps: Stamps) -> Iterator[str]:
    for file in card.files:
        path = folder / file.name
        try:
            size = path.stat().st_size
            found = stamps.sha256(path, file.name)
            check_no_pickle(path, name=file.name, ctranslate2=card.encoder == WHISPER)
        except FileNotFoundError:
            yield f"{path} is missing"
        except (OSError, ModelError) as exc:
            yield str(exc)
        else:
            if size != file.size_bytes:
                yield f"{path} has {size} bytes, but its card says {file.size_bytes}"
            elif found != file.sha256:
                yield f"{path} has sha256 {found}, but its card says {file.sha256}"


def _copy(stored: StoredModel, folder: Path) -> None:
    for file in stored.card.files:
        source, target = stored.folder / file.name, folder / file.name
        if not source.resolve().is_relative_to(stored.folder.resolve()):
            raise ModelError(f"{source} is a link to another folder: copy the file itself there")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(source, target)
        except FileNotFoundError as exc:
            raise WeightsMismatch(f"{source} is missing: copy the folder again") from exc
