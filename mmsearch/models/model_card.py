"""What is written down of a model that is kept ready to run: its card, `model.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mmsearch.errors import ModelError, WeightsMissing
from mmsearch.models.weights import safe_name
from mmsearch.types import WeightFile

FORMAT = 1
CARD = "model.json"
LARGEST_CARD = 8 << 20
"""Bytes; a card names files and settings, and is some kilobytes."""
_WORD = re.compile(r"[a-z0-9][a-z0-9_-]*")
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Tower:
    """One network of a model, and how it runs best on the machine that converted it.

    `processor` is the one on which int8 and fp32 were timed, empty where speed does not decide
    between them. `recipe` says how int8 weights were made, empty where their products may saturate.
    """

    precision: str
    batch: int = 1
    threads: int = 1
    arena: bool = False
    measured: Mapping[str, float] = field(default_factory=dict)
    processor: str = ""
    recipe: str = ""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a kept model is and was made from.

    `weights` are the files of its source, `files` those of its folder without the card;
    `weights_sha256` is over the source's weights alone, as `weights.weights_sha256` makes it.
    """

    encoder: str
    source: str
    weights_sha256: str
    dim: int
    revision: str = ""
    licence: str = ""
    weights: tuple[WeightFile, ...] = ()
    towers: Mapping[str, Tower] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[WeightFile, ...] = ()
    made_with: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def name(self) -> str:
        """What `mmsearch models pull` calls it."""
        return f"{self.encoder}:{self.source}"

    def to_json(self) -> str:
        """As it stands in model.json."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        plain["weights"] = [_plain(file) for file in self.weights]
        plain["files"] = [_plain(file) for file in self.files]
        plain["towers"] = {name: _plain(tower) for name, tower in self.towers.items()}
        for name in ("settings", "made_with"):
            plain[name] = dict(plain[name])
        return json.dumps(plain, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Read a card; keys that it does not know are passed over.

        Raises ModelError for what is no card, is one of a newer version, or names files outside of
        its folder.
        """
        try:
            read = json.loads(text)
        except ValueError as exc:
            raise ModelError(f"is no JSON ({exc})") from exc
        if not isinstance(read, dict):
            raise ModelError("is no card of a model")
        version = read.get("format")
        if isinstance(version, int) and version > FORMAT:
            raise ModelError(
                f"has format {version}, this mmsearch reads up to {FORMAT}: "
                f"pip install -U mmsearch, or remove the model and pull it again"
            )
        if version != FORMAT:
            raise ModelError(f"has format {version!r}, not {FORMAT}")
        return cls(
            encoder=_word(_text(read, "encoder"), "an encoder"),
            source=_text(read, "source"),
            weights_sha256=_digest(_text(read, "weights_sha256")),
            dim=_count(read, "dim"),
            revision=_text(read, "revision"),
            licence=_text(read, "licence"),
            weights=_files(read, "weights"),
            towers={
                _word(name, "a tower"): _tower(value)
                for name, value in _table(read, "towers").items()
            },
            settings=_table(read, "settings"),
            files=_files(read, "files"),
            made_with={key: str(value) for key, value in _table(read, "made_with").items()},
        )


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model in its folder, as its card describes it."""

    folder: Path
    card: ModelCard

    def file(self, tower: str, precision: str | None = None) -> Path:
        """The network of a tower, in the precision that runs best unless another is named.

        Raises WeightsMissing, which lists what there is.
        """
        if precision is None and tower in self.card.towers:
            precision = self.card.towers[tower].precision
        name = f"{tower}.{precision}.onnx"
        present = {file.name for file in self.card.files}
        if name not in present:
            networks = sorted(one for one in present if one.endswith(".onnx"))
            raise WeightsMissing(
                f"{self.folder} has no {name} (it has {', '.join(networks) or 'no networks'}): "
                f"mmsearch models pull {self.card.name}"
            )
        return self.folder / name


def read_card(folder: Path) -> ModelCard:
    """The card of a model's folder; raises ModelError, which names the file."""
    path = folder / CARD
    try:
        if path.stat().st_size > LARGEST_CARD:
            raise ModelError(f"{path} is too large for the card of a model")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ModelError(f"{path} cannot be read: {exc}") from exc
    try:
        return ModelCard.from_json(text)
    except ModelError as exc:
        raise ModelError(f"{path} {exc}") from exc


def _plain(value: WeightFile | Tower) -> dict[str, Any]:
    plain = {one.name: getattr(value, one.name) for one in fields(value)}
    return {key: dict(one) if isinstance(one, Mapping) else one for key, one in plain.items()}


def _text(read: Mapping[str, Any], key: str) -> str:
    value = read.get(key, "")
    if not isinstance(value, str):
        raise ModelError(f"has no text as {key}")
    return value


def _table(read: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = read.get(key, {})
    if not isinstance(value, dict):
        raise ModelError(f"has no table as {key}")
    return value


def _count(read: Mapping[str, Any], key: str) -> int:
    value = read.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ModelError(f"has no number as {key}")
    return value


def _word(text: str, what: str) -> str:
    if not _WORD.fullmatch(text):
        raise ModelError(f"names {text!r} as {what}")
    return text


def _digest(text: str) -> str:
    if not _HEX.fullmatch(text):
        raise ModelError(f"has {text!r} where a sha256 belongs")
    return text


def _files(read: Mapping[str, Any], key: str) -> tuple[WeightFile, ...]:
    listed = read.get(key, [])
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise ModelError(f"has no list of files as {key}")
    return tuple(
        WeightFile(
            safe_name(_text(one, "name")), _digest(_text(one, "sha256")), _count(one, "size_bytes")
        )
        for one in listed
    )


def _tower(value: object) -> Tower:
    if not isinstance(value, dict):
        raise ModelError("has a tower that is no table")
    measured = {
        key: float(one)
        for key, one in _table(value, "measured").items()
        if isinstance(one, (int, float))
    }
    return Tower(
        precision=_word(_text(value, "precision"), "a precision"),
        batch=max(1, _count(value, "batch")),
        threads=max(1, _count(value, "threads")),
        arena=value.get("arena") is True,
        measured=measured,
        processor=_text(value, "processor"),
        recipe=_text(value, "recipe"),
    )
