"""The tokenizer of a model as it is stored: as published, and in a form that opens quickly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.encoders.text.text_tokens import (
    FRAME,
    PAIRS,
    PIECES,
    WHOLE,
    Frame,
    TextTokens,
    piece_hash,
)
from mmsearch.errors import ModelError
from mmsearch.models.conversion.hub_folders import read_json
from mmsearch.models.conversion.sample_images import SENTENCES

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WORTH = 30_000
"""A smaller vocabulary opens in some 20 ms."""
_LONGEST = 100
_TRIED = (
    *SENTENCES,
    "",
    " ",
    "two  spaces\tand a tab\n",
    "WORD",
    "1234567890",
    "ｆｕｌｌ ﬁ",
    "a" * 80,
)


def keep_tokenizer(source: Path, target: Path) -> TextTokens:
    """Write the tokenizer of the model in `source` to the folder `target`, and open it there.

    It neither pads nor cuts off. Raises ModelError where there is none that can be read.
    """
    written = read_json(source, WHOLE)
    if written is None:
        written = json.loads(_from_transformers(source))
    written |= {"truncation": None, "padding": None}
    (target / WHOLE).write_text(json.dumps(written, ensure_ascii=False), encoding="utf-8")
    tokens = TextTokens(target)
    whole = tokens.whole  # a file that is no tokenizer is refused here
    if not (_write_frame(written, whole, target) and _is_same(whole, target)):
        for name in (FRAME, PIECES, PAIRS):
            (target / name).unlink(missing_ok=True)
    return tokens


def _from_transformers(source: Path) -> str:
    """For folders with the files of older tokenizers alone."""
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(
            source, local_files_only=True, trust_remote_code=False
        )
        text: str = loaded.backend_tokenizer.to_str()
    except Exception as exc:  # transformers raises whatever it stumbles over
        raise ModelError(
            f"{source} has no {WHOLE}, and transformers cannot make one of what is there "
            f"({type(exc).__name__}: {str(exc).strip()[:200]}): fetch the whole model"
        ) from exc
    return text


def _write_frame(written: dict[str, Any], whole: Tokenizer, target: Path) -> bool:
    """Write the quick form; False where the tokenizer is of no kind that has one, or is small."""
    model = written["model"]
    kind = model.get("type")
    is_known = kind == "Unigram" or (
        kind == "BPE" and not (model.get("continuing_subword_prefix") or model.get("dropout"))
    )
    if not is_known or len(model["vocab"]) < WORTH:
        return False
    try:
        before, after = around(whole)
    except ModelError:
        return False
    pieces = _pieces(model)
    added = [token["content"] for token in written.get("added_tokens", [])]
    always = _always(model, pieces)
    longest = min(_LONGEST, max(len(piece) for piece, _, _ in pieces if piece not in added))
    hashes = np.array([piece_hash(piece) for piece, _, _ in pieces], dtype=np.uint64)
    order = np.argsort(hashes)
    if len(np.unique(hashes)) < len(hashes):
        return False
    numbers = np.array([number for _, number, _ in pieces], dtype=np.uint64)
    scores = np.array([score for _, _, score in pieces], dtype=np.float64).view(np.uint64)
    np.save(target / PIECES, np.stack([hashes[order], numbers[order], scores[order]]))
    frame_model = {key: value for key, value in model.items() if key not in ("vocab", "merges")}
    if kind == "BPE":
        _write_merges(model, target / PAIRS)
    elif model.get("unk_id") is not None:
        unknown = model["vocab"][model["unk_id"]][0]
        frame_model["unk_id"] = [piece for piece, _, _ in always].index(unknown)
    frame = {
        "tokenizer": written | {"added_tokens": [], "post_processor": None, "model": frame_model},
        "longest": longest,
        "always": always,
        "added": added,
        "before": before,
        "after": after,
    }
    (target / FRAME).write_text(json.dumps(frame, ensure_ascii=False), encoding="utf-8")
    return True


def _pieces(model: dict[str, Any]) -> list[tuple[str, int, float]]:
    """Every piece with its id and its score."""
    if model["type"] == "Unigram":
        return [(piece, number, score) for number, (piece, score) in enumerate(model["vocab"])]
    return [(piece, number, 0.0) for piece, number in model["vocab"].items()]


def _always(
    model: dict[str, Any], pieces: list[tuple[str, int, float]]
) -> list[tuple[str, int, float]]:
    """Pieces that a small vocabulary needs whatever the text.

    What stands for bytes and for what is unknown, and the worst score: what is unknown gets ten
    less than that.
    """
    wanted = {f"<0x{byte:02X}>" for byte in range(256)} | {model.get("unk_token")}
    if model["type"] == "Unigram":
        wanted.add(min(pieces, key=lambda piece: piece[2])[0])
        if model.get("unk_id") is not None:
            wanted.add(model["vocab"][model["unk_id"]][0])
    return [piece for piece in pieces if piece[0] in wanted]


def _write_merges(model: dict[str, Any], path: Path) -> None:
    """(2, n) uint64: both ids of a pair in one number, sorted, and the pair's rank."""
    vocab = model["vocab"]
    pairs = [merge.split(" ", 1) if isinstance(merge, str) else merge for merge in model["merges"]]
    keys = np.array([vocab[left] << 32 | vocab[right] for left, right in pairs], dtype=np.uint64)
    order = np.argsort(keys, kind="stable")
    np.save(path, np.stack([keys[order], order.astype(np.uint64)]))


def around(whole: Tokenizer) -> tuple[list[int], list[int]]:
    """The special tokens before and after every text.

    Raises ModelError where they depend on the text.
    """
    found = [_around(whole, text) for text in ("a", "water", "a b c")]
    if None in found or any(one != found[0] for one in found):
        raise ModelError(
            "the tokenizer does not put the same special tokens around every text, which is not "
            "supported: choose another model"
        )
    return found[0] or ([], [])


def _around(whole: Tokenizer, text: str) -> tuple[list[int], list[int]] | None:
    bare = whole.encode(text, add_special_tokens=False).ids
    ids = whole.encode(text).ids
    for at in range(len(ids) - len(bare) + 1):
        if ids[at : at + len(bare)] == bare:
            return ids[:at], ids[at + len(bare) :]
    return None


def _is_same(whole: Tokenizer, target: Path) -> bool:
    """Whether the quick form gives the same ids, one by one and together."""
    frame = Frame(target)
    wanted = [encoding.ids for encoding in whole.encode_batch_fast(list(_TRIED))]
    alone = [frame.ids([text]) for text in _TRIED]
    together = frame.ids(_TRIED)
    return together is not None and together == wanted and alone == [[ids] for ids in wanted]
