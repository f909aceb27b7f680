"""Converts sentence encoders that AutoModel of transformers loads to one network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch.nn import functional

from mmsearch.encoders.text_batching import pad_token_rows
from mmsearch.errors import ModelError
from mmsearch.models.conversion.hub_folders import load_pretrained, read_json
from mmsearch.models.conversion.sample_images import SENTENCES
from mmsearch.models.conversion.towers import (
    OnProgress,
    TowerSource,
    convert_tower,
    make_text_source,
    scale_progress,
)
from mmsearch.models.conversion.vocabulary import convert_tokenizer, find_special_tokens

if TYPE_CHECKING:
    from mmsearch.encoders.text.text_tokens import StoredTokenizer

Pooling = Literal["mean", "cls", "last"]
MOST_TOKENS = 512
"""Texts are cut to about a hundred tokens before they are embedded: longer rows do not occur."""
FEWEST_TOKENS = 16
SETTINGS = frozenset({"pooling", "query_prefix", "passage_prefix", "max_tokens"})
_POOLING_MODES = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
}
_KNOWN_STEPS = ("Transformer", "Pooling", "Normalize")


@dataclass(frozen=True, slots=True)
class SentenceModelConfig:
    """Pooling, prefixes and length of a model, from its files and the preset."""

    pooling: Pooling
    query_prefix: str
    passage_prefix: str
    max_tokens: int


def convert(
    source: Path, target: Path, *, settings: Mapping[str, str], on_progress: OnProgress
) -> dict[str, Any]:
    """Writes the network and the tokenizer into `target` and returns the parts of the card.

    `source` has config.json, safetensors and a tokenizer. `settings` (`pooling`, `query_prefix`,
    `passage_prefix`, `max_tokens`) override its files of sentence-transformers. Raises ModelError
    for a folder of another kind, or one with its weights as a pickle.
    """
    on_progress("loading the model", 0.0)
    model = load(source)
    config = read_config(source, settings, positions=_count_positions(model.config))
    tokens = convert_tokenizer(source, target)
    before, after = find_special_tokens(tokens.full_tokenizer)
    prefixes = (config.query_prefix, config.passage_prefix)
    own = len(before) + len(after) + max(tokens.count_tokens(prefixes))
    if config.max_tokens < own + FEWEST_TOKENS:
        raise ModelError(
            f"{source} takes {config.max_tokens} tokens, of which its prefixes use {own}: "
            f"give it shorter ones, or a larger max_tokens"
        )
    pad_id = int(model.config.pad_token_id or 0)
    on_progress("reading with torch", 0.05)
    source_tower = _prepare_tower(model, tokens, config, pad_id)
    tower = convert_tower(source_tower, target, scale_progress(on_progress, 0.1, 1.0))
    return {
        "dim": source_tower.reference.shape[1],
        "towers": {"text": tower},
        "settings": {
            **asdict(config),
            "own_tokens": own,
            "end_tokens": len(after),
            "pad_id": pad_id,
        },
        "made_with": {name: version(name) for name in ("torch", "transformers", "onnxruntime")},
    }


def load(source: Path) -> Any:
    """Loads the model of a folder in float32; raises ModelError."""
    from transformers import AutoModel

    # The pooler of BERT is for other tasks, and missing in many sentence encoders.
    model = load_pretrained(source, AutoModel.from_pretrained, unused="pooler.").eval()
    model.config.use_cache = False
    return model


def read_config(
    source: Path, settings: Mapping[str, str], *, positions: int
) -> SentenceModelConfig:
    """Reads the configuration of a model with `positions` places for tokens.

    Raises ModelError for unknown settings or an unknown pooling.
    """
    unknown = sorted(set(settings) - SETTINGS)
    if unknown:
        known = ", ".join(sorted(SETTINGS))
        raise ModelError(f"a sentence encoder has no setting {unknown[0]!r}; it has {known}")
    prompts = (read_json(source, "config_sentence_transformers.json") or {}).get("prompts") or {}
    trained = (read_json(source, "sentence_bert_config.json") or {}).get("max_seq_length")
    limit = settings.get("max_tokens", "")
    if limit and not limit.isdecimal():
        raise ModelError(f"max_tokens is {limit!r}, but must be a number such as 512")
    passage = next((prompts[key] for key in ("document", "passage") if prompts.get(key)), "")
    return SentenceModelConfig(
        pooling=_choose_pooling(source, settings.get("pooling", "")),
        query_prefix=settings.get("query_prefix", prompts.get("query") or ""),
        passage_prefix=settings.get("passage_prefix", passage),
        max_tokens=min(int(limit or MOST_TOKENS), positions, int(trained or positions)),
    )


def load_tower(source: Path, settings: Mapping[str, str]) -> torch.nn.Module:
    """Loads the model with the inputs of its network; raises ModelError."""
    return build_text_tower(load(source), _choose_pooling(source, settings.get("pooling", "")))


def build_text_tower(model: Any, pooling: Pooling) -> torch.nn.Module:
    """Builds a module from `input_ids`, `attention_mask` (n, length) to (n, dim) unit rows.

    Padding is at the end of a row.
    """

    class TextTower(torch.nn.Module):  # type: ignore[misc]  # torch is not looked into
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            output = self.model(input_ids=input_ids, attention_mask=attention_mask)
            states = output.last_hidden_state
            if pooling == "cls":
                pooled = states[:, 0]
            elif pooling == "last":
                ends = attention_mask.sum(dim=1) - 1
                places = ends[:, None, None].expand(-1, 1, states.shape[2])
                pooled = states.gather(1, places)[:, 0]
            else:
                weights = attention_mask[:, :, None].to(states.dtype)
                # Not divided by their number: rows are normalized anyway.
                pooled = (states * weights).sum(dim=1)
            return functional.normalize(pooled, dim=-1)

    return TextTower().eval()


def _prepare_tower(
    model: Any, tokens: StoredTokenizer, config: SentenceModelConfig, pad_id: int
) -> TowerSource:
    prefixes = (config.query_prefix, config.passage_prefix)
    texts = [prefixes[i % 2] + text for i, text in enumerate(SENTENCES)]
    module = build_text_tower(model, config.pooling)
    probes = pad_token_rows(tokens.encode(texts), pad_id=pad_id)
    return make_text_source(module, probes, lambda inputs: module(**inputs).numpy())


def _count_positions(config: Any) -> int:
    """Returns the places for tokens; models like RoBERTa leave the first of them free."""
    positions = int(getattr(config, "max_position_embeddings", MOST_TOKENS))
    is_offset = config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet")
    return positions - int(config.pad_token_id or 0) - 1 if is_offset else positions


def _choose_pooling(source: Path, setting: str) -> Pooling:
    if setting:
        if setting not in _POOLING_MODES.values():
            raise ModelError(
                f"pooling is {setting!r}, but can be {', '.join(sorted(_POOLING_MODES.values()))}"
            )
        return cast("Pooling", setting)
    steps = _read_steps(source)
    config = read_json(source / steps.get("Pooling", "1_Pooling"), "config.json") or {}
    chosen = [mode for key, mode in _POOLING_MODES.items() if config.get(key)]
    if isinstance(config.get("pooling_mode"), str):  # as sentence-transformers 5 writes it
        chosen = [config["pooling_mode"].replace("lasttoken", "last")]
    if not config:
        chosen = ["mean"]
    if len(chosen) != 1 or chosen[0] not in _POOLING_MODES.values():
        raise ModelError(
            f"{source} pools in a way that is not known here ({', '.join(chosen) or 'none'}); "
            f"known are {', '.join(sorted(_POOLING_MODES.values()))}"
        )
    return cast("Pooling", chosen[0])


def _read_steps(source: Path) -> dict[str, str]:
    """Reads the folders of sentence-transformers' steps by kind; raises ModelError for others."""
    path = source / "modules.json"
    if not path.is_file():
        return {}
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
        steps = {str(m["type"]).rpartition(".")[2]: str(m["path"]) for m in modules}
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ModelError(f"{path} cannot be read: {exc}") from exc
    unknown = sorted(set(steps) - set(_KNOWN_STEPS))
    if unknown:
        raise ModelError(
            f"{source} has a step {unknown[0]!r} (modules.json), which is not supported; those "
            f"supported are {', '.join(_KNOWN_STEPS)}: choose another model"
        )
    return steps
