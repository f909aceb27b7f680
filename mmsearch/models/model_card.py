"""The card of a stored model, `model.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mmsearch.errors import ModelError, WeightsMissing
from mmsearch.models.weights import check_file_name
from mmsearch.types import WeightFile

FORMAT = 1
CARD = "model.json"
LARGEST_CARD = 8 << 20
"""Bytes; a card names files and settings, and is some kilobytes."""
_WORD = re.compile(r"[a-z0-9][a-z0-9_-]*")
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class TowerCard:
    """One network of a model, with the settings that were fastest where it was converted.

    `processor` is the one on which int8 and fp32 were timed, empty where speed does not decide
    between them. `recipe` names the quantization, empty where its products may saturate.
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
    """The origin, files and settings of a stored model.

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
    towers: Mapping[str, TowerCard] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[WeightFile, ...] = ()
    made_with: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def name(self) -> str:
        """The name for `mmsearch models pull`."""
        return f"{self.encoder}:{self.source}"

    def to_json(self) -> str:
        """Returns the text of model.json."""
        plain = {key.name: getattr(self, key.name) for key in fields(self)}
        plain["weights"] = [_to_plain(file) for file in self.weights]
        plain["files"] = [_to_plain(file) for file in self.files]
        plain["towers"] = {name: _to_plain(tower) for name, tower in self.towers.items()}
        for name in ("settings", "made_with"):
            plain[name] = dict(plain[name])
        return json.dumps(plain, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Parses a card and ignores unknown keys.

        Raises ModelError for other text, a card of a newer version, or names of files outside of
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
            encoder=_check_word(_get_text(read, "encoder"), "an encoder"),
            source=_get_text(read, "source"),
            weights_sha256=_check_digest(_get_text(read, "weights_sha256")),
            dim=_get_count(read, "dim"),
            revision=_get_text(read, "revision"),
            licence=_get_text(read, "licence"),
            weights=_get_files(read, "weights"),
            towers={
                _check_word(name, "a tower"): _parse_tower(value)
                for name, value in _get_table(read, "towers").items()
            },
            settings=_get_table(read, "settings"),
            files=_get_files(read, "files"),
            made_with={key: str(value) for key, value in _get_table(read, "made_with").items()},
        )


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model in its folder, with its card."""

    folder: Path
    card: ModelCard

    def get_network_path(self, tower: str, precision: str | None = None) -> Path:
        """Returns the network file of a tower, in the precision of the card unless one is named.

        Raises WeightsMissing, which lists the networks.
        """
        if precision is None and tower in self.card.towers:
            precision = self.card.towers[tower].precision
        name = f"{tower}.{precision}.onnx"
        present = {file.name for file in self.card.files}
        if name not in present:
            networks = sorted(other for other in present if other.endswith(".onnx"))
            raise WeightsMissing(
                f"{self.folder} has no {name} (it has {', '.join(networks) or 'no networks'}): "
                f"mmsearch models pull {self.card.name}"
            )
        return self.folder / name


def read_card(folder: Path) -> ModelCard:
    """Reads the card in a model's folder; raises ModelError, which names the file."""
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


def _to_plain(value: WeightFile | TowerCard) -> dict[str, Any]:
    plain = {key.name: getattr(value, key.name) for key in fields(value)}
    return {key: dict(v) if isinstance(v, Mapping) else v for key, v in plain.items()}


def _get_text(read: Mapping[str, Any], key: str) -> str:
    value = read.get(key, "")
    if not isinstance(value, str):
        raise ModelError(f"has no text as {key}")
    return value


def _get_table(read: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = read.get(key, {})
    if not isinstance(value, dict):
        raise ModelError(f"has no table as {key}")
    return value


def _get_count(read: Mapping[str, Any], key: str) -> int:
    value = read.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ModelError(f"has no number as {key}")
    return value


def _check_word(text: str, what: str) -> str:
    if not _WORD.fullmatch(text):
        raise ModelError(f"names {text!r} as {what}")
    return text


def _check_digest(text: str) -> str:
    if not _HEX.fullmatch(text):
        raise ModelError(f"has {text!r} where a sha256 belongs")
    return text


def _get_files(read: Mapping[str, Any], key: str) -> tuple[WeightFile, ...]:
    rows = read.get(key, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ModelError(f"has no list of files as {key}")
    return tuple(
        WeightFile(
            check_file_name(_get_text(row, "name")),
            _check_digest(_get_text(row, "sha256")),
            _get_count(row, "size_bytes"),
        )
        for row in rows
    )


def _parse_tower(value: object) -> TowerCard:
    if not isinstance(value, dict):
        raise ModelError("has a tower that is no table")
    measured = _get_table(value, "measured").items()
    return TowerCard(
        precision=_check_word(_get_text(value, "precision"), "a precision"),
        batch=max(1, _get_count(value, "batch")),
        threads=max(1, _get_count(value, "threads")),
        arena=value.get("arena") is True,
        measured={key: float(v) for key, v in measured if isinstance(v, (int, float))},
        processor=_get_text(value, "processor"),
        recipe=_get_text(value, "recipe"),
    )
