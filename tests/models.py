"""Models with random weights of the real architectures, saved as the real loaders read them."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

GEMMA_VOCABULARY = 256_000
SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<unused{i}>" for i in range(99)))


def save_open_clip(folder: Path, architecture: str, *, seed: int = 0, **changes: object) -> Path:
    """An open_clip model as its repositories on the hub look; `changes` go into its model_cfg.

    Weights are those of initialisation, but the logit scale and bias, and the tables of positions:
    those are zero in some architectures, where trained ones are not.
    """
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    config = open_clip.get_model_config(architecture)
    config.update(changes)
    folder.mkdir(parents=True, exist_ok=True)
    preprocess = preprocessing(architecture)
    written = {"model_cfg": config, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(written, indent=2))
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "pos_embed" in name or "positional" in name:
                value.normal_(std=0.02)
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, folder / "open_clip_model.safetensors")
    if config["text_cfg"].get("hf_tokenizer_name"):
        save_gemma_tokenizer(folder, config["text_cfg"]["vocab_size"])
    return folder


def preprocessing(architecture: str) -> dict[str, object]:
    """What the repository of an architecture has as its preprocess_cfg."""
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(architecture)
    found = open_clip.get_pretrained_cfg(architecture, tags[-1])
    return {
        "mean": list(found["mean"]),
        "std": list(found["std"]),
        "interpolation": found["interpolation"],
        "resize_mode": found["resize_mode"],
    }


def save_gemma_tokenizer(folder: Path, size: int = GEMMA_VOCABULARY) -> Path:
    """A tokenizer like Gemma's: as many pieces, bytes for what has no piece, every way to merge.

    Its files are those that transformers saves: what it makes of Gemma's own.
    """
    (folder / "tokenizer.json").write_text(json.dumps(gemma_like(size), ensure_ascii=False))
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "GemmaTokenizer",
                "add_bos_token": False,
                "add_eos_token": True,
                "padding_side": "right",
                "pad_token": "<pad>",
                "eos_token": "<eos>",
                "bos_token": "<bos>",
                "unk_token": "<unk>",
                "model_max_length": 64,
            }
        )
    )
    return folder


def gemma_like(size: int, *, seed: int = 0) -> dict[str, object]:
    """The content of a tokenizer.json with `size` tokens."""
    generator = random.Random(seed)
    fixed = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    spaces = ["▁" * count for count in range(1, 31)]
    ranges = ((33, 127), (0xA1, 0x250), (0x370, 0x500), (0x4E00, 0x4E00 + size // 50))
    letters = [chr(code) for start, end in ranges for code in range(start, end)]
    pieces = _pieces(generator, size - len(fixed) - len(spaces) - len(letters))
    ids = {token: at for at, token in enumerate([*fixed, *spaces, *pieces, *letters])}
    merges = [
        [piece[:cut], piece[cut:]]
        for piece in itertools.chain(spaces, pieces)
        for cut in range(1, len(piece))
        if piece[:cut] in ids and piece[cut:] in ids
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(ids[token], token) for token in SPECIAL],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"String": " "},
            "behavior": "MergedWithPrevious",
            "invert": False,
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "<eos>", "type_id": 0}},
            ],
            "pair": [
                {"Sequence": {"id": "A", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {"<eos>": {"id": "<eos>", "ids": [1], "tokens": ["<eos>"]}},
        },
        "decoder": None,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": ids,
            "merges": merges,
        },
    }


def _added(number: int, content: str) -> dict[str, object]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": number, "content": content, **flags, "special": True}


def _pieces(generator: random.Random, count: int) -> list[str]:
    """Made-up words and parts of words, the short ones first, many of them with a space before."""
    short = [*"abcdefghijklmnopqrstuvwxyz", "▁"]
    seen: dict[str, None] = dict.fromkeys(short)
    made: list[str] = []
    while len(made) < count:
        first = generator.choice(short if generator.random() < 0.7 or not made else made[-20_000:])
        piece = first + generator.choice(short)
        if piece in seen or len(piece) > 14 or "▁" in piece[1:]:
            continue
        seen[piece] = None
        made.append(piece)
        if len(piece) <= 4 and len(short) < 8000:
            short.append(piece)
    return sorted(made, key=len)
