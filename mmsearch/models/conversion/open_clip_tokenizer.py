"""Converts the tokenizer of an open_clip model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from mmsearch.encoders.text.clip_tokens import ClipTokenizer, TokenSettings
from mmsearch.encoders.text.text_cleaning import CLEANERS
from mmsearch.errors import ModelError
from mmsearch.models.conversion.sample_images import SENTENCES
from mmsearch.models.conversion.vocabulary import find_special_tokens, write_tokenizer

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_RUNS = r"\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
_WORD_END = "</w>"
_TEST_TEXTS = (
    *SENTENCES,
    "",
    "  ",
    "word " * 300,
    "It's 3:45 -- isn't it?! <b>&amp;</b>",
    "a_b\tc\n\nd",
)


def convert_tokenizer(tokenizer: Any, folder: Path) -> TokenSettings:
    """Writes a tokenizer of open_clip into `folder`, for `ClipTokenizer`.

    Raises ModelError if `ClipTokenizer` gives other ids for test texts.
    """
    if type(tokenizer).__name__ == "SimpleTokenizer":
        settings, described = _convert_simple_tokenizer(tokenizer)
    elif hasattr(tokenizer, "tokenizer"):
        settings, described = _convert_fast_tokenizer(tokenizer)
    else:
        raise ModelError(f"a tokenizer of the kind {type(tokenizer).__name__} cannot be kept")
    write_tokenizer(described | {"post_processor": None}, folder)
    _check_ids(tokenizer, ClipTokenizer.open(folder, settings))
    return settings


def _check_ids(tokenizer: Any, tokens: ClipTokenizer) -> None:
    expected = np.asarray(tokenizer(list(_TEST_TEXTS)))
    rows = tokens.encode(_TEST_TEXTS)
    if expected.shape != rows.shape:
        raise ModelError(
            f"the tokenizer gives rows of {expected.shape[1]} ids, not {rows.shape[1]}: its "
            f"settings are of a kind that is not known here"
        )
    for text, expected_row, row in zip(_TEST_TEXTS, expected, rows, strict=True):
        if (expected_row != row).any():
            raise ModelError(f"the tokenizer cannot be kept: {text[:40]!r} comes out otherwise")


def _find_cleaner(tokenizer: Any) -> str:
    from open_clip import tokenizer as source

    for name in CLEANERS:
        if tokenizer.clean_fn is source.get_clean_fn(name):
            return name
    raise ModelError("the tokenizer cleans texts in a way that is not known here")


def _convert_simple_tokenizer(tokenizer: Any) -> tuple[TokenSettings, dict[str, Any]]:
    """Converts SimpleTokenizer to merges within runs of letters, digits, and other runs."""
    if tokenizer.reduction_fn is not None:
        raise ModelError(
            "the tokenizer drops words at random (reduction_mask), which is for training only: "
            "take it out of text_cfg.tokenizer_kwargs in open_clip_config.json"
        )
    vocab: dict[str, int] = dict(tokenizer.encoder)
    ranked = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.__getitem__)
    merges = [pair for pair in ranked if len(pair) == 2 and "".join(pair) in vocab]
    special = [
        token
        for token, cached in tokenizer.cache.items()
        if token == cached and vocab[token] in tokenizer.all_special_ids
    ]
    words = "|".join([*map(re.escape, special), _CONTRACTIONS, _RUNS])
    for token in special:
        pieces = _build_bpe_tokenizer(vocab, merges, words).encode(token).tokens
        _add_merges(pieces, vocab, merges)
        vocab[token + _WORD_END] = vocab.pop(token)
    settings = TokenSettings(
        context_length=tokenizer.context_length,
        clean=_find_cleaner(tokenizer),
        prefix=(tokenizer.sot_token_id,),
        suffix=(tokenizer.eot_token_id,),
    )
    return settings, json.loads(_build_bpe_tokenizer(vocab, merges, words).to_str())


def _add_merges(pieces: list[str], vocab: dict[str, int], merges: list[tuple[str, str]]) -> None:
    """Adds the merges that make one token of `pieces`, after all others.

    An added token of the library would be found within a run of punctuation too (`!<end_of_text>`),
    where SimpleTokenizer finds none. The merges touch nothing else: no other word has both.
    """
    left = pieces[0]
    for right in pieces[1:]:
        merges.append((left, right))
        left += right
        vocab.setdefault(left, max(vocab.values()) + 1)


def _build_bpe_tokenizer(vocab: dict[str, int], merges: list[tuple[str, str]], words: str) -> Any:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE(vocab, merges, end_of_word_suffix=_WORD_END))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return tokenizer


def _convert_fast_tokenizer(tokenizer: Any) -> tuple[TokenSettings, dict[str, Any]]:
    source = tokenizer.tokenizer
    backend = getattr(source, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(
            f"the tokenizer {type(source).__name__} has no fast form: it needs a tokenizer.json"
        )
    backend.no_padding()
    backend.no_truncation()
    is_clips = tokenizer.tokenizer_mode == "clips"
    if is_clips:
        prefix, suffix = [source.bos_token_id], [source.eos_token_id]
    else:
        prefix, suffix = find_special_tokens(backend)
    settings = TokenSettings(
        context_length=tokenizer.context_length,
        clean=_find_cleaner(tokenizer),
        pad_id=source.pad_token_id or 0,
        pads_left=source.padding_side == "left" and not is_clips,
        prefix=tuple(prefix),
        suffix=tuple(suffix),
        last=(source.cls_token_id,) if is_clips else (),
        zeroed=source.sep_token_id if tokenizer.strip_sep_token else None,
    )
    return settings, json.loads(backend.to_str())
