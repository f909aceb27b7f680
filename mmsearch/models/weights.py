"""Files of weights: what they may be called, what they may be, and their hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path, PurePosixPath

from mmsearch.errors import ModelError
from mmsearch.types import WeightFile

CTRANSLATE2 = "model.bin"
"""The one `.bin` that is no pickle: a model of CTranslate2, as faster-whisper reads it."""
PICKLES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"})
WEIGHTS = frozenset({".safetensors", ".onnx"})


def hash_file(path: Path, algorithm: str = "sha256") -> str:
    """The hash of a file as hex, computed whatever is known of it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


@cache
def _sha256(path: str, _size: int, _mtime_ns: int) -> str:
    return hash_file(Path(path))


def file_sha256(path: Path) -> str:
    """The sha256 of a file as hex; computed once per process and state of the file."""
    stat = path.stat()
    return _sha256(str(path), stat.st_size, stat.st_mtime_ns)


def weights_sha256(files: Iterable[WeightFile]) -> str:
    """One sha256 over those files that are weights: over their hex digests, in order of name."""
    weights = sorted((file.name, file.sha256) for file in files if is_weights(file.name))
    return hashlib.sha256("".join(digest for _, digest in weights).encode()).hexdigest()


def is_weights(name: str) -> bool:
    """Whether a file holds weights, not settings or a vocabulary."""
    path = PurePosixPath(name)
    return path.suffix.lower() in WEIGHTS or path.name == CTRANSLATE2


def is_pickle(name: str, *, ctranslate2: bool = False) -> bool:
    """Whether a file is called as pickles are; `ctranslate2` lets model.bin pass."""
    path = PurePosixPath(name)
    return path.suffix.lower() in PICKLES and not (ctranslate2 and path.name == CTRANSLATE2)


def safe_name(name: str) -> str:
    """The name, when it is a relative path that stays in its folder; else raises ModelError."""
    parts = name.split("/")
    bad = not name or any(part in ("", ".", "..") for part in parts)
    if bad or "\\" in name or "\0" in name or ":" in parts[0]:
        raise ModelError(
            f"{name!r} is no name that a file of a model can have: it leaves its folder"
        )
    return name


def check_no_pickle(path: Path, *, name: str, ctranslate2: bool = False) -> None:
    """Raise ModelError for a file that is called as pickles are, or is one inside.

    torch writes zip archives (PK) or bare pickles (0x80, or letters); a model.bin of CTranslate2
    begins with its version as four bytes, of which only the first is not zero (6 today).
    """
    if is_pickle(name, ctranslate2=ctranslate2):
        raise ModelError(
            f"{path} may be a pickle, which can run code when it is loaded, and is never read: "
            f"use the model's .safetensors or .onnx files, or convert it with safetensors.torch"
        )
    if PurePosixPath(name).name == CTRANSLATE2:
        with path.open("rb") as stream:
            head = stream.read(4)
        if head[1:] != bytes(3) or head[:1] == b"\x80":
            raise ModelError(
                f"{path} is no model of CTranslate2, and may be a pickle: convert the model with "
                f"ct2-transformers-converter, or take one that is (Systran/... on the hub)"
            )


def named_folder(source: str) -> Path | None:
    """The folder that a source names (absolute, or from . or ~), there or not; None for others."""
    if source in (".", "..") or source.startswith(("./", "../", "~")) or Path(source).is_absolute():
        return Path(source).expanduser().absolute()
    return None
