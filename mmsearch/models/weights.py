"""Files of weights: allowed names, a check for pickles, and hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path, PurePosixPath

from mmsearch.errors import ModelError
from mmsearch.types import WeightFile

CTRANSLATE2_NAME = "model.bin"
"""The one `.bin` that is no pickle: a model of CTranslate2, as faster-whisper reads it."""
PICKLE_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"})
WEIGHT_SUFFIXES = frozenset({".safetensors", ".onnx"})


def hash_file(path: Path, algorithm: str = "sha256") -> str:
    """Returns the hash of a file as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


@cache
def _sha256(path: str, _size: int, _mtime_ns: int) -> str:
    return hash_file(Path(path))


def hash_file_once(path: Path) -> str:
    """Returns the sha256 of a file as hex, computed once per process and state of the file."""
    stat = path.stat()
    return _sha256(str(path), stat.st_size, stat.st_mtime_ns)


def hash_weights(files: Iterable[WeightFile]) -> str:
    """Returns one sha256 over the hex digests of the weight files, in order of name."""
    weights = sorted((file.name, file.sha256) for file in files if is_weights(file.name))
    return hashlib.sha256("".join(digest for _, digest in weights).encode()).hexdigest()


def is_weights(name: str) -> bool:
    """Tests if a file holds weights, not settings or a vocabulary."""
    path = PurePosixPath(name)
    return path.suffix.lower() in WEIGHT_SUFFIXES or path.name == CTRANSLATE2_NAME


def is_pickle(name: str, *, ctranslate2: bool = False) -> bool:
    """Tests if a file is named like a pickle; `ctranslate2` lets model.bin pass."""
    path = PurePosixPath(name)
    return path.suffix.lower() in PICKLE_SUFFIXES and not (
        ctranslate2 and path.name == CTRANSLATE2_NAME
    )


def check_file_name(name: str) -> str:
    """Returns the name; raises ModelError unless it is a relative path that stays in its folder."""
    parts = name.split("/")
    is_relative = bool(name) and not any(part in ("", ".", "..") for part in parts)
    if not is_relative or "\\" in name or "\0" in name or ":" in parts[0]:
        raise ModelError(
            f"{name!r} is no name that a file of a model can have: it leaves its folder"
        )
    return name


def check_no_pickle(path: Path, *, name: str, ctranslate2: bool = False) -> None:
    """Raises ModelError for a file that is named like a pickle, or is one inside.

    torch writes zip archives (PK) or bare pickles (0x80, or letters); a model.bin of CTranslate2
    begins with its version as four bytes, of which only the first is not zero (6 today).
    """
    if is_pickle(name, ctranslate2=ctranslate2):
        raise ModelError(
            f"{path} may be a pickle, which can run code when it is loaded, and is never read: "
            f"use the model's .safetensors or .onnx files, or convert it with safetensors.torch"
        )
    if PurePosixPath(name).name == CTRANSLATE2_NAME:
        with path.open("rb") as stream:
            head = stream.read(4)
        if head[1:] != bytes(3) or head[:1] == b"\x80":
            raise ModelError(
                f"{path} is no model of CTranslate2, and may be a pickle: convert the model with "
                f"ct2-transformers-converter, or take one that is (Systran/... on the hub)"
            )


def parse_folder(source: str) -> Path | None:
    """Returns the folder that a source names (absolute, or from . or ~); None for other sources."""
    if source in (".", "..") or source.startswith(("./", "../", "~")) or Path(source).is_absolute():
        return Path(source).expanduser().absolute()
    return None
