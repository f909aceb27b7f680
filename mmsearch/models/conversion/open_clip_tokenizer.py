"""Takes over the tokenizer of an open_clip model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.encoders.text.bpe import packed
from mmsearch.encoders.text.clip_tokens import CHARACTERS, MERGES, TOKENIZER, Tokens, TokenSettings
from mmsearch.encoders.text.text_cleaning import CLEANERS
from mmsearch.errors import ModelError
from mmsearch.models.conversion.sample_images import SENTENCES

if TYPE_CHECKING:
    from collections.abc import Mapping

_TRIED = (
    *SENTENCES,
    "",
    "  ",
    "word " * 300,
    "It's 3:45 -- isn't it?! <b>&amp;</b>",
    "a_b\tc\n\nd",
)


def take_over(tokenizer: Any, folder: Path) -> TokenSettings:
    """Write what `Tokens` needs to do as `tokenizer` (of open_clip) does into `folder`.

    Raises ModelError for a tokenizer that cannot be taken over, which is found out by comparing.
    """
    if type(tokenizer).__name__ == "SimpleTokenizer":
        settings = _of_clip(tokenizer, folder)
    elif hasattr(tokenizer, "tokenizer"):
        settings = _of_transformers(tokenizer, folder)
    else:
        raise ModelError(f"a tokenizer of the kind {type(tokenizer).__name__} cannot be kept")
    _check(tokenizer, Tokens.open(folder, settings))
    return settings


def _check(tokenizer: Any, tokens: Tokens) -> None:
    expected = np.asarray(tokenizer(list(_TRIED)))
    found = tokens.encode(_TRIED)
    if expected.shape != found.shape:
        raise ModelError(
            f"the tokenizer gives rows of {expected.shape[1]} ids, not {found.shape[1]}: its "
            f"settings are of a kind that is not known here"
        )
    for text, one, other in zip(_TRIED, expected, found, strict=True):
        if (one != other).any():
            raise ModelError(f"the tokenizer cannot be kept: {text[:40]!r} comes out otherwise")


def _cleaning(tokenizer: Any) -> str:
    from open_clip import tokenizer as source

    for name in CLEANERS:
        if tokenizer.clean_fn is source.get_clean_fn(name):
            return name
    raise ModelError("the tokenizer cleans texts in a way that is not known here")


def _of_clip(tokenizer: Any, folder: Path) -> TokenSettings:
    if tokenizer.reduction_fn is not None:
        raise ModelError(
            "the tokenizer drops words at random (reduction_mask), which is for training only: "
            "take it out of text_cfg.tokenizer_kwargs in open_clip_config.json"
        )
    ids: Mapping[str, int] = tokenizer.encoder
    ranked = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.__getitem__)
    known = [pair for pair in ranked if len(pair) == 2 and "".join(pair) in ids]
    np.save(folder / MERGES, packed((ids[a], ids[b], ids[a + b]) for a, b in known))
    of_byte = [tokenizer.byte_encoder[byte] for byte in range(256)]
    special = [token for token, itself in tokenizer.cache.items() if token == itself]
    return TokenSettings(
        form="clip",
        context_length=tokenizer.context_length,
        clean=_cleaning(tokenizer),
        prefix=(tokenizer.sot_token_id,),
        suffix=(tokenizer.eot_token_id,),
        special={token: ids[token] for token in special if ids[token] in tokenizer.all_special_ids},
        byte_ids=tuple([ids[one] for one in of_byte] + [ids[f"{one}</w>"] for one in of_byte]),
    )


def _of_transformers(tokenizer: Any, folder: Path) -> TokenSettings:
    source = tokenizer.tokenizer
    backend = getattr(source, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(
            f"the tokenizer {type(source).__name__} has no fast form: it needs a tokenizer.json"
        )
    backend.no_padding()
    backend.no_truncation()
    backend.save(str(folder / TOKENIZER), pretty=False)
    described = json.loads(backend.to_str())
    bare = backend.encode("a b", add_special_tokens=False).ids
    is_clips = tokenizer.tokenizer_mode == "clips"
    if is_clips:
        prefix, suffix = [source.bos_token_id], [source.eos_token_id]
    else:
        prefix, suffix = _around(bare, backend.encode("a b", add_special_tokens=True).ids)
    library = TokenSettings(
        form="library",
        context_length=tokenizer.context_length,
        clean=_cleaning(tokenizer),
        pad_id=source.pad_token_id or 0,
        pads_left=source.padding_side == "left" and not is_clips,
        prefix=tuple(prefix),
        suffix=tuple(suffix),
        last=(source.cls_token_id,) if is_clips else (),
        zeroed=source.sep_token_id if tokenizer.strip_sep_token else None,
    )
    return _as_pieces(library, described, folder) or library


def _around(bare: Sequence[int], whole: Sequence[int]) -> tuple[list[int], list[int]]:
    """What a tokenizer puts before and after a text."""
    for start in range(len(whole) - len(bare) + 1):
        if list(whole[start : start + len(bare)]) == list(bare):
            return list(whole[:start]), list(whole[start + len(bare) :])
    raise ModelError("the tokenizer changes a text where it adds special tokens to it")


def _as_pieces(
    library: TokenSettings, described: Mapping[str, Any], folder: Path
) -> TokenSettings | None:
    """The same in the form that opens fast; None where the tokenizer does more than that."""
    model = described["model"]
    plain = (
        model["type"] == "BPE"
        and model.get("byte_fallback")
        and not any(
            model.get(key) for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix")
        )
        and not model.get("ignore_merges")
    )
    steps = _replacements(described.get("normalizer"))
    if not plain or steps is None or not _is_whole(described.get("pre_tokenizer"), steps[0]):
        return None
    ids: Mapping[str, int] = model["vocab"]
    names = [f"<0x{byte:02X}>" for byte in range(256)]
    if any(name not in ids for name in names):
        return None
    pairs = (pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"])
    np.save(folder / MERGES, packed((ids[a], ids[b], ids[a + b]) for a, b in pairs))
    single = sorted((ord(token), number) for token, number in ids.items() if len(token) == 1)
    np.save(folder / CHARACTERS, np.array(single, dtype=np.uint32).T.copy())
    replacements, start = steps
    return TokenSettings(
        **{
            **library.to_json(),
            "form": "pieces",
            "special": {one["content"]: one["id"] for one in described["added_tokens"]},
            "replacements": replacements,
            "start": start,
            "byte_ids": tuple(ids[name] for name in names),
        }
    )


def _replacements(normalizer: Any) -> tuple[tuple[tuple[str, str], ...], str] | None:
    """A normalizer as replacements and a text to put first; None for one that does more.

    Lower case goes unsaid where the text has been cleaned to it, which `take_over` finds out.
    """
    steps = normalizer["normalizers"] if (normalizer or {}).get("type") == "Sequence" else None
    replacements: list[tuple[str, str]] = []
    start = ""
    for step in steps if steps is not None else [normalizer] if normalizer else []:
        if step["type"] == "Replace" and "String" in step["pattern"]:
            replacements.append((step["pattern"]["String"], step["content"]))
        elif step["type"] == "Prepend" and not replacements:
            start = step["prepend"]
        elif step["type"] != "Lowercase":
            return None
    return tuple(replacements), start


def _is_whole(pre_tokenizer: Any, replacements: Sequence[tuple[str, str]]) -> bool:
    """Whether a pre-tokenizer never splits, as what it splits at has been replaced."""
    if pre_tokenizer is None:
        return True
    at = pre_tokenizer.get("pattern", {}).get("String")
    return pre_tokenizer["type"] == "Split" and any(
        old == at and at not in new for old, new in replacements
    )
