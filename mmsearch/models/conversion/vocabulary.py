"""Stores the tokenizer of a model as published, and in a partial form that opens quickly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.encoders.text.text_tokens import (
    PAIRS_NAME,
    PARTIAL_TOKENIZER_NAME,
    PIECES_NAME,
    TOKENIZER_NAME,
    PartialTokenizer,
    StoredTokenizer,
    hash_piece,
)
from mmsearch.errors import ModelError
from mmsearch.models.conversion.hub_folders import read_json
from mmsearch.models.conversion.sample_images import SENTENCES

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MIN_PARTIAL_VOCABULARY = 30_000
"""Smaller vocabularies have no partial form: they open in some 20 ms."""
_LONGEST = 100
_TEST_TEXTS = (
    *SENTENCES,
    "",
    " ",
    "two  spaces\tand a tab\n",
    "WORD",
    "1234567890",
    "ｆｕｌｌ ﬁ",
    "a" * 80,
)


def convert_tokenizer(source: Path, target: Path) -> StoredTokenizer:
    """Stores the tokenizer of the model in `source` in `target`, and opens it there.

    Raises ModelError without a readable one.
    """
    described = read_json(source, TOKENIZER_NAME)
    if described is None:
        described = json.loads(_load_tokenizer_json(source))
    return write_tokenizer(described, target)


def write_tokenizer(described: dict[str, Any], target: Path) -> StoredTokenizer:
    """Writes the JSON of a tokenizer to `target`, without padding and truncation, and opens it.

    Raises ModelError for other JSON.
    """
    written = described | {"truncation": None, "padding": None}
    (target / TOKENIZER_NAME).write_text(json.dumps(written, ensure_ascii=False), encoding="utf-8")
    tokens = StoredTokenizer(target)
    whole = tokens.full_tokenizer  # raises for a file that is no tokenizer
    if not (_write_partial(written, whole, target) and _is_partial_equal(whole, target)):
        for name in (PARTIAL_TOKENIZER_NAME, PIECES_NAME, PAIRS_NAME):
            (target / name).unlink(missing_ok=True)
    return tokens


def _load_tokenizer_json(source: Path) -> str:
    """Converts the files of older tokenizers."""
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(
            source, local_files_only=True, trust_remote_code=False
        )
        text: str = loaded.backend_tokenizer.to_str()
    except Exception as exc:  # transformers raises any error
        raise ModelError(
            f"{source} has no {TOKENIZER_NAME}, and transformers cannot make one of what is there "
            f"({type(exc).__name__}: {str(exc).strip()[:200]}): fetch the whole model"
        ) from exc
    return text


def _write_partial(written: dict[str, Any], whole: Tokenizer, target: Path) -> bool:
    """Writes the partial form; returns False for tokenizers of other kinds and small ones."""
    model = written["model"]
    kind = model.get("type")
    is_known = kind == "Unigram" or (
        kind == "BPE" and not (model.get("continuing_subword_prefix") or model.get("dropout"))
    )
    if not is_known or len(model["vocab"]) < MIN_PARTIAL_VOCABULARY:
        return False
    try:
        before, after = find_special_tokens(whole)
    except ModelError:
        return False
    pieces = _list_pieces(model)
    added = [token["content"] for token in written.get("added_tokens", [])]
    always = _list_required_pieces(model, pieces)
    longest = min(_LONGEST, max(len(piece) for piece, _, _ in pieces if piece not in added))
    hashes = np.array([hash_piece(piece) for piece, _, _ in pieces], dtype=np.uint64)
    order = np.argsort(hashes)
    if len(np.unique(hashes)) < len(hashes):
        return False
    numbers = np.array([number for _, number, _ in pieces], dtype=np.uint64)
    scores = np.array([score for _, _, score in pieces], dtype=np.float64).view(np.uint64)
    np.save(target / PIECES_NAME, np.stack([hashes[order], numbers[order], scores[order]]))
    frame_model = {key: value for key, value in model.items() if key not in ("vocab", "merges")}
    if kind == "BPE":
        _write_merges(model, target / PAIRS_NAME)
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
    (target / PARTIAL_TOKENIZER_NAME).write_text(
        json.dumps(frame, ensure_ascii=False), encoding="utf-8"
    )
    return True


def _list_pieces(model: dict[str, Any]) -> list[tuple[str, int, float]]:
    """Returns every piece with its id and its score."""
    if model["type"] == "Unigram":
        return [(piece, number, score) for number, (piece, score) in enumerate(model["vocab"])]
    return [(piece, number, 0.0) for piece, number in model["vocab"].items()]


def _list_required_pieces(
    model: dict[str, Any], pieces: list[tuple[str, int, float]]
) -> list[tuple[str, int, float]]:
    """Returns the pieces that are needed for every text.

    They are those of bytes and unknown text, and that of the worst score, from which the score of
    unknown text is derived.
    """
    required = {f"<0x{byte:02X}>" for byte in range(256)} | {model.get("unk_token")}
    if model["type"] == "Unigram":
        required.add(min(pieces, key=lambda piece: piece[2])[0])
        if model.get("unk_id") is not None:
            required.add(model["vocab"][model["unk_id"]][0])
    return [piece for piece in pieces if piece[0] in required]


def _write_merges(model: dict[str, Any], path: Path) -> None:
    """Writes (2, n) uint64: both ids of a pair in one number, sorted, and the pair's rank."""
    vocab = model["vocab"]
    pairs = [merge.split(" ", 1) if isinstance(merge, str) else merge for merge in model["merges"]]
    keys = np.array([vocab[left] << 32 | vocab[right] for left, right in pairs], dtype=np.uint64)
    order = np.argsort(keys, kind="stable")
    np.save(path, np.stack([keys[order], order.astype(np.uint64)]))


def find_special_tokens(whole: Tokenizer) -> tuple[list[int], list[int]]:
    """Returns the special tokens before and after every text.

    Raises ModelError if they depend on the text.
    """
    pairs = [_split_special_tokens(whole, text) for text in ("a", "water", "a b c")]
    if None in pairs or any(pair != pairs[0] for pair in pairs):
        raise ModelError(
            "the tokenizer does not put the same special tokens around every text, which is not "
            "supported: choose another model"
        )
    return pairs[0] or ([], [])


def _split_special_tokens(whole: Tokenizer, text: str) -> tuple[list[int], list[int]] | None:
    bare = whole.encode(text, add_special_tokens=False).ids
    ids = whole.encode(text).ids
    for at in range(len(ids) - len(bare) + 1):
        if ids[at : at + len(bare)] == bare:
            return ids[:at], ids[at + len(bare) :]
    return None


def _is_partial_equal(whole: Tokenizer, target: Path) -> bool:
    """Tests if the partial form gives the same ids, one by one and together."""
    frame = PartialTokenizer(target)
    expected = [encoding.ids for encoding in whole.encode_batch_fast(list(_TEST_TEXTS))]
    alone = [frame.encode([text]) for text in _TEST_TEXTS]
    together = frame.encode(_TEST_TEXTS)
    return together is not None and together == expected and alone == [[ids] for ids in expected]
