"""Sentence encoders that transformers' AutoModel loads: from a folder to one network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from mmsearch.encoders.text_batching import padded
from mmsearch.errors import ModelError
from mmsearch.models.conversion.hub_folders import load_pretrained, read_json
from mmsearch.models.conversion.sample_images import SENTENCES
from mmsearch.models.conversion.towers import REFERENCES, OnProgress, TowerSource, convert_tower
from mmsearch.models.conversion.vocabulary import around, keep_tokenizer

if TYPE_CHECKING:
    import torch

    from mmsearch.encoders.text.text_tokens import TextTokens

Pooling = Literal["mean", "cls", "last"]
MOST_TOKENS = 512
"""Texts are cut to about a hundred tokens before they are embedded: longer rows are never seen."""
FEWEST_TOKENS = 16
SETTINGS = frozenset({"pooling", "query_prefix", "passage_prefix", "max_tokens"})
_MODES = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
}
_KNOWN_STEPS = ("Transformer", "Pooling", "Normalize")


@dataclass(frozen=True, slots=True)
class Description:
    """What sentence-transformers' files in a folder say of a model, and what a preset says."""

    pooling: Pooling
    query_prefix: str
    passage_prefix: str
    max_tokens: int


def convert(
    source: Path, target: Path, *, settings: Mapping[str, str], on_progress: OnProgress
) -> dict[str, Any]:
    """Write the network, the tokenizer and what belongs to them into the folder `target`.

    `source` has config.json, safetensors and a tokenizer; what sentence-transformers' files say of
    pooling and prefixes is followed, unless `settings` (`pooling`, `query_prefix`,
    `passage_prefix`, `max_tokens`) say otherwise. Returns the card's parts. Raises ModelError for a
    folder that cannot be followed or has its weights as a pickle.
    """
    on_progress("loading the model", 0.0)
    model = load(source)
    described = describe(source, settings, positions=_positions(model.config))
    tokens = keep_tokenizer(source, target)
    before, after = around(tokens.whole)
    prefixes = (described.query_prefix, described.passage_prefix)
    own = len(before) + len(after) + max(tokens.counts(prefixes))
    if described.max_tokens < own + FEWEST_TOKENS:
        raise ModelError(
            f"{source} takes {described.max_tokens} tokens, of which its prefixes use {own}: "
            f"give it shorter ones, or a larger max_tokens"
        )
    pad_id = model.config.pad_token_id
    on_progress("reading with torch", 0.05)
    source_tower = _tower(model, tokens, described, pad_id=int(pad_id or 0), last=len(after))
    tower = convert_tower(
        source_tower, target, lambda what, share: on_progress(what, 0.1 + 0.9 * share)
    )
    return {
        "dim": source_tower.reference.shape[1],
        "towers": {"text": tower},
        "settings": {
            "pooling": described.pooling,
            "query_prefix": described.query_prefix,
            "passage_prefix": described.passage_prefix,
            "max_tokens": described.max_tokens,
            "own_tokens": own,
            "end_tokens": len(after),
            "pad_id": int(pad_id or 0),
        },
        "made_with": {name: version(name) for name in ("torch", "transformers", "onnxruntime")},
    }


def load(source: Path) -> Any:
    """The model in a folder, for evaluation in float32; raises ModelError."""
    from transformers import AutoModel

    # The pooler of BERT is for other tasks, and not part of many a sentence encoder's weights.
    model = load_pretrained(source, AutoModel.from_pretrained, unused="pooler.").eval()
    model.config.use_cache = False
    return model


def describe(source: Path, settings: Mapping[str, str], *, positions: int) -> Description:
    """How the model is used; `positions` is how many tokens it has places for.

    Raises ModelError where the folder or the settings ask for what is not known.
    """
    unknown = sorted(set(settings) - SETTINGS)
    if unknown:
        known = ", ".join(sorted(SETTINGS))
        raise ModelError(f"a sentence encoder has no setting {unknown[0]!r}; it has {known}")
    prompts = (read_json(source, "config_sentence_transformers.json") or {}).get("prompts") or {}
    trained = (read_json(source, "sentence_bert_config.json") or {}).get("max_seq_length")
    wanted = settings.get("max_tokens", "")
    if wanted and not wanted.isdecimal():
        raise ModelError(f"max_tokens is {wanted!r}, but must be a number such as 512")
    most = min(int(wanted or MOST_TOKENS), positions, int(trained or positions))
    passage = next((prompts[key] for key in ("document", "passage") if prompts.get(key)), "")
    return Description(
        pooling=_pooling(source, settings.get("pooling", "")),
        query_prefix=settings.get("query_prefix", prompts.get("query") or ""),
        passage_prefix=settings.get("passage_prefix", passage),
        max_tokens=most,
    )


def tower(source: Path, settings: Mapping[str, str]) -> torch.nn.Module:
    """The network as torch runs it; it takes what the ONNX network takes. Raises ModelError."""
    return text_tower(load(source), _pooling(source, settings.get("pooling", "")))


def text_tower(model: Any, pooling: Pooling) -> torch.nn.Module:
    """From `input_ids` and `attention_mask` (n, length) to (n, dim) unit rows; padding is last."""
    import torch
    from torch.nn import functional

    class TextTower(torch.nn.Module):  # type: ignore[misc]  # torch is not looked into
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            found = self.model(input_ids=input_ids, attention_mask=attention_mask)
            states = found.last_hidden_state
            if pooling == "cls":
                pooled = states[:, 0]
            elif pooling == "last":
                ends = attention_mask.sum(dim=1) - 1
                places = ends[:, None, None].expand(-1, 1, states.shape[2])
                pooled = states.gather(1, places)[:, 0]
            else:
                weights = attention_mask[:, :, None].to(states.dtype)
                # Not divided by their number: the row is made one of length 1 anyway.
                pooled = (states * weights).sum(dim=1)
            return functional.normalize(pooled, dim=-1)

    return TextTower().eval()


def _tower(
    model: Any, tokens: TextTokens, described: Description, *, pad_id: int, last: int
) -> TowerSource:
    import torch

    prefixes = (described.query_prefix, described.passage_prefix)
    texts = [prefixes[i % 2] + text for i, text in enumerate(SENTENCES)]
    probes = padded(tokens.ids(texts), pad_id=pad_id)
    first = {name: torch.from_numpy(one[:REFERENCES].copy()) for name, one in probes.items()}
    module = text_tower(model, described.pooling)
    with torch.inference_mode():
        reference = module(**first).numpy()
    example = {name: one[:2] for name, one in first.items()}
    return TowerSource(
        name="text",
        module=module,
        example=example,
        probes=probes,
        reference=reference,
        dynamic=tuple(example),
        is_table=True,
    )


def _positions(config: Any) -> int:
    """How many tokens a model has places for; RoBERTa's kind leaves the first of them free."""
    positions = int(getattr(config, "max_position_embeddings", MOST_TOKENS))
    is_offset = config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet")
    return positions - int(config.pad_token_id or 0) - 1 if is_offset else positions


def _pooling(source: Path, wanted: str) -> Pooling:
    if wanted:
        if wanted not in _MODES.values():
            raise ModelError(
                f"pooling is {wanted!r}, but can be {', '.join(sorted(_MODES.values()))}"
            )
        return cast("Pooling", wanted)
    steps = _steps(source)
    config = read_json(source / steps.get("Pooling", "1_Pooling"), "config.json") or {}
    chosen = [mode for key, mode in _MODES.items() if config.get(key)]
    if isinstance(config.get("pooling_mode"), str):  # as sentence-transformers 5 writes it
        chosen = [config["pooling_mode"].replace("lasttoken", "last")]
    if not config:
        chosen = ["mean"]
    if len(chosen) != 1 or chosen[0] not in _MODES.values():
        raise ModelError(
            f"{source} pools in a way that is not known here ({', '.join(chosen) or 'none'}); "
            f"known are {', '.join(sorted(_MODES.values()))}"
        )
    return cast("Pooling", chosen[0])


def _steps(source: Path) -> dict[str, str]:
    """The folders of sentence-transformers' steps by their kind; raises ModelError for others."""
    import json

    path = source / "modules.json"
    if not path.is_file():
        return {}
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        steps = {str(one["type"]).rpartition(".")[2]: str(one["path"]) for one in listed}
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ModelError(f"{path} cannot be read: {exc}") from exc
    unknown = sorted(set(steps) - set(_KNOWN_STEPS))
    if unknown:
        raise ModelError(
            f"{source} has a step {unknown[0]!r} (modules.json), which is not supported; those "
            f"supported are {', '.join(_KNOWN_STEPS)}: choose another model"
        )
    return steps
