"""CLAP and sentence models of the real architectures with random weights, in the hub's layout."""

from __future__ import annotations

import importlib
import json
import random
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import pytest

from mmsearch.models.conversion import towers
from mmsearch.models.conversion.sample_sounds import make_sounds
from mmsearch.models.conversion.tuning import tune
from mmsearch.models.model_store import ModelCard, ModelStore, StoredModel, TowerCard

WORDS = [
    "a",
    "the",
    "of",
    "and",
    "dog",
    "dogs",
    "barking",
    "rain",
    "falling",
    "on",
    "roof",
    "sound",
    "music",
    "piano",
    "guitar",
    "playing",
    "car",
    "horn",
    "typing",
    "keyboard",
    "applause",
    "crowd",
    "people",
    "speaking",
    "loud",
    "quiet",
    "wind",
    "sea",
    "waves",
    "bird",
    "singing",
    "engine",
    "door",
    "closing",
    "water",
    "running",
    "footsteps",
    "child",
    "laughing",
    "bell",
    "ringing",
    "train",
    "passing",
    "thunder",
    "storm",
]


def sentences(count: int, *, seed: int = 0) -> list[str]:
    """Word salad of one to forty words, always the same."""
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.choice((1, 3, 5, 9, 40)))) for _ in range(count)]


def _roberta_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        sentences(400),
        trainers.BpeTrainer(
            vocab_size=600,
            special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    # As the files of the hub have them, and as a stored model must not.
    tokenizer.enable_padding(pad_id=1, pad_token="<pad>", length=77)
    tokenizer.enable_truncation(77)
    tokenizer.save(str(folder / "tokenizer.json"))


def random_clap(
    folder: Path, *, is_fused: bool, text_layers: int = 12, depths: tuple[int, ...] = (2, 2, 6, 2)
) -> Path:
    """A ClapModel of the size of laion/clap-htsat-(un)fused, unless layers are left out."""
    import torch
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    audio: dict[str, object] = {"enable_fusion": is_fused, "depths": list(depths)}
    if is_fused:
        audio["fusion_type"] = "aff_2d"
    torch.manual_seed(11)
    model = ClapModel(
        ClapConfig(text_config={"num_hidden_layers": text_layers}, audio_config=audio)
    ).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "logit_scale" not in name and parameter.ndim > 1:
                # As drawn, all outputs are alike: a network that was trained tells inputs apart.
                parameter.mul_(3.0)
        norm = model.audio_model.audio_encoder.batch_norm
        norm.running_mean.fill_(-35.0)
        norm.running_var.fill_(400.0)
    model.save_pretrained(folder)
    ClapFeatureExtractor(
        truncation="fusion" if is_fused else "rand_trunc", frequency_min=50, frequency_max=14_000
    ).save_pretrained(folder)
    _roberta_tokenizer(folder)
    return folder


def random_e5(folder: Path, *, layers: int = 12, vocabulary: int = 250_037) -> Path:
    """A BertModel of the size of intfloat/multilingual-e5-small, with a tokenizer like XLM-R's."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(12)
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=384,
        num_hidden_layers=layers,
        num_attention_heads=12,
        intermediate_size=1536,
        max_position_embeddings=512,
        type_vocab_size=2,
        pad_token_id=0,
    )
    BertModel(config).eval().save_pretrained(folder)
    unigram_tokenizer(folder, vocabulary - 35)
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 384, "pooling_mode_mean_tokens": True})
    )
    _modules(folder)
    return folder


def unigram_tokenizer(folder: Path, vocabulary: int) -> None:
    """A tokenizer.json as XLM-R has it: `vocabulary` pieces with log probabilities."""
    rng = random.Random(5)
    letters = (
        "abcdefghijklmnopqrstuvwxyzäöüéèñçабвгдежзиклмнопрстуфхц的一是不了人我在有他这中大来上"
    )
    pieces = {"▁": -3.0}
    pieces |= dict.fromkeys([*letters, *"0123456789.,:;!?'\"-()/"], -6.0)
    pieces |= {f"▁{word}": -5.0 for word in [*WORDS, "query", "passage"]}
    while len(pieces) < vocabulary - 5:
        stem = "".join(rng.choices(letters, k=rng.randint(2, 10)))
        pieces[f"▁{stem}" if rng.random() < 0.5 else stem] = round(rng.uniform(-16, -7), 12)
    vocab = [["<s>", 0.0], ["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0]]
    vocab += [[piece, score] for piece, score in pieces.items()]
    vocab.append(["<mask>", 0.0])
    special = [(0, "<s>"), (1, "<pad>"), (2, "</s>"), (3, "<unk>"), (len(vocab) - 1, "<mask>")]
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    written = {
        "version": "1.0",
        "truncation": {
            "direction": "Right",
            "max_length": 512,
            "strategy": "LongestFirst",
            "stride": 0,
        },
        "padding": None,
        "added_tokens": [
            {
                "id": number,
                "content": content,
                "single_word": False,
                "lstrip": content == "<mask>",
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for number, content in special
        ],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "NFKC"},
                {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
            ],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace],
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "</s>", "type_id": 0}},
            ],
            "pair": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "</s>", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 0}},
                {"SpecialToken": {"id": "</s>", "type_id": 0}},
            ],
            "special_tokens": {
                "<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]},
                "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]},
            },
        },
        "decoder": metaspace,
        "model": {"type": "Unigram", "unk_id": 3, "vocab": vocab, "byte_fallback": False},
    }
    (folder / "tokenizer.json").write_text(
        json.dumps(written, ensure_ascii=False), encoding="utf-8"
    )
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"pad_token": "<pad>", "model_max_length": 512})
    )


def random_qwen3(folder: Path, *, layers: int = 2) -> Path:
    """A Qwen3Model as Qwen3-Embedding-0.6B is one, narrower and of few layers."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import Qwen3Config, Qwen3Model

    torch.manual_seed(13)
    config = Qwen3Config(
        vocab_size=1024,
        hidden_size=256,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=32,
        intermediate_size=512,
        max_position_embeddings=32_768,
        rope_theta=1_000_000,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=1,
    )
    model = Qwen3Model(config).eval()
    with torch.no_grad():  # drawn as zeros, but what ends a text is trained
        model.embed_tokens.weight[0].normal_(std=0.02)
    model.save_pretrained(folder)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(
        sentences(400),
        trainers.BpeTrainer(
            vocab_size=600,
            special_tokens=["<|endoftext|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", 0)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"pad_token": "<|endoftext|>", "padding_side": "left"})
    )
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 256, "pooling_mode_lasttoken": True})
    )
    query = "Instruct: Given a web search query, retrieve relevant passages\nQuery:"
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": query, "document": ""}})
    )
    _modules(folder)
    return folder


def _modules(folder: Path) -> None:
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    (folder / "modules.json").write_text(
        json.dumps(
            [
                {
                    "idx": idx,
                    "name": str(idx),
                    "path": path,
                    "type": f"sentence_transformers.models.{kind}",
                }
                for idx, (path, kind) in enumerate(kinds.items())
            ]
        )
    )


def kept(
    store: ModelStore,
    encoder: str,
    source: Path,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> StoredModel:
    """The model in `source`, converted and kept, with measurements cut short."""
    conversion = importlib.import_module(f"mmsearch.models.conversion.{encoder}")

    def build(folder: Path) -> ModelCard:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(towers, "tune", partial(tune, seconds=0.1))
            if encoder == "clap":
                patch.setattr(conversion, "make_sounds", partial(make_sounds, count=20))
            parts = conversion.convert(
                source, folder, settings=settings, on_progress=lambda _what, _share: None
            )
        made = {name: TowerCard(**tower) for name, tower in parts.pop("towers").items()}
        return ModelCard(
            encoder=encoder, source=str(source), weights_sha256="0" * 64, towers=made, **parts
        )

    return store.add(build)
