"""A sentence encoder becomes a network that reads as transformers' model reads, without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from mmsearch import testing
from mmsearch.encoders.base import Context
from mmsearch.encoders.text.sentence import SentenceEncoder
from mmsearch.errors import ModelError
from mmsearch.models.model_store import ModelStore, StoredModel
from mmsearch.models.presets import ModelSpec
from tests.models_sound import kept, random_e5, random_qwen3, sentences

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from mmsearch.models.conversion import sentence  # noqa: E402  # needs torch

ROOT = Path(__file__).parents[2]
E5_PREFIXES = {"query_prefix": "query: ", "passage_prefix": "passage: "}
QWEN_QUERY = "Instruct: Given a web search query, retrieve relevant passages\nQuery:"
TEXTS = ["rain", "a dog barking in the wind", "中文 naïve", *sentences(8, seed=3), "piano " * 90]
LITTLE = 200
"""MB that a process with one query may take: the whole vocabulary alone takes 670."""
pytestmark = pytest.mark.slow

QUERY = """
import sys
from pathlib import Path

from mmsearch.encoders.base import Context
from mmsearch.encoders.text.sentence import SentenceEncoder
from mmsearch.models.presets import ModelSpec
from mmsearch.models.model_store import ModelStore

root, source = sys.argv[1:]
encoder = SentenceEncoder.load(ModelSpec("sentence", source), Context(ModelStore(Path(root))))
encoder.encode_queries(["a dog on a beach"])
assert "torch" not in sys.modules
assert "transformers" not in sys.modules
status = Path("/proc/self/status")  # ru_maxrss counts what the parent held before exec
lines = status.read_text().splitlines() if status.exists() else []
print(sum(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")))
"""


@dataclass(frozen=True)
class Sentences:
    """A model as published, and as it is kept."""

    source: Path
    store: ModelStore
    stored: StoredModel
    pad_token: str
    pooling: str
    prefixes: Mapping[str, str] = field(default_factory=dict)

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec("sentence", str(self.source))

    def encoder(self, precision: str = "auto") -> SentenceEncoder:
        return SentenceEncoder.load(self.spec, Context(self.store, precision=precision))

    def published(self, texts: list[str]) -> np.ndarray:
        """(n, dim) unit rows as transformers and sentence-transformers make them."""
        tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_file=str(self.source / "tokenizer.json"), pad_token=self.pad_token
        )
        model = transformers.AutoModel.from_pretrained(self.source, local_files_only=True).eval()
        rows = []
        for text in texts:  # alone: no padding, whose side differs from model to model
            tokens = tokenizer([text], truncation=True, max_length=512, return_tensors="pt")
            with torch.inference_mode():
                states = model(input_ids=tokens["input_ids"]).last_hidden_state[0]
            rows.append(states.mean(dim=0) if self.pooling == "mean" else states[-1])
        vectors: np.ndarray = torch.nn.functional.normalize(torch.stack(rows), dim=-1).numpy()
        return vectors


@pytest.fixture(scope="module")
def e5(tmp_path_factory: pytest.TempPathFactory) -> Sentences:
    root = tmp_path_factory.mktemp("e5")
    source, store = root / "source", ModelStore(root / "models")
    source.mkdir()
    random_e5(source, layers=4)
    stored = kept(store, "sentence", source, E5_PREFIXES)
    return Sentences(source, store, stored, "<pad>", "mean", E5_PREFIXES)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Sentences:
    root = tmp_path_factory.mktemp("qwen")
    source, store = root / "source", ModelStore(root / "models")
    source.mkdir()
    random_qwen3(source)
    stored = kept(store, "sentence", source)
    return Sentences(source, store, stored, "<|endoftext|>", "last", {"query_prefix": QWEN_QUERY})


@pytest.fixture(params=["e5", "qwen"])
def model(request: pytest.FixtureRequest) -> Sentences:
    found: Sentences = request.getfixturevalue(request.param)
    return found


def test_texts_are_read_as_transformers_reads_them(model: Sentences) -> None:
    encoder = model.encoder("fp32")
    queries = [model.prefixes.get("query_prefix", "") + text for text in TEXTS]
    passages = [model.prefixes.get("passage_prefix", "") + text for text in TEXTS]

    found_queries, found = encoder.encode_queries(TEXTS), encoder.encode(TEXTS)

    assert (model.published(queries) * found_queries).sum(axis=1).min() >= 0.9999
    assert (model.published(passages) * found).sum(axis=1).min() >= 0.9999


def test_it_holds_what_every_text_encoder_holds(model: Sentences) -> None:
    encoder = model.encoder()

    testing.check_text_encoder(encoder)

    assert encoder.space == SentenceEncoder.describe(model.spec, Context(model.store))
    assert encoder.space.name == "text"
    assert 16 <= encoder.max_tokens < 512


def test_int8_is_near_fp32(model: Sentences) -> None:
    exact, small = model.encoder("fp32"), model.encoder("int8")

    assert model.stored.card.towers["text"].precision == "int8"
    assert (exact.encode(TEXTS) * small.encode(TEXTS)).sum(axis=1).mean() >= 0.995


def test_few_texts_and_many_have_the_same_tokens(e5: Sentences) -> None:
    encoder, whole = e5.encoder("fp32"), e5.encoder("fp32")
    whole.count_tokens(["x"])  # opens the whole vocabulary

    assert np.array_equal(encoder.encode_queries(TEXTS[:5]), whole.encode_queries(TEXTS[:5]))


def test_a_query_opens_neither_torch_nor_the_whole_vocabulary(e5: Sentences) -> None:
    done = subprocess.run(
        [sys.executable, "-c", QUERY, str(e5.store.root), str(e5.source)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        timeout=120,
    )

    assert int(done.stdout) < LITTLE


def test_the_folder_says_how_it_pools_and_what_goes_before(qwen: Sentences, e5: Sentences) -> None:
    assert qwen.stored.card.settings["pooling"] == "last"
    assert qwen.stored.card.settings["query_prefix"] == QWEN_QUERY
    assert qwen.stored.card.settings["passage_prefix"] == ""
    assert e5.stored.card.settings["pooling"] == "mean"
    assert e5.stored.card.settings["query_prefix"] == "query: "


# What is refused


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"pooling": "max"}, "can be cls, last, mean"),
        ({"poling": "mean"}, "no setting 'poling'"),
        ({"max_tokens": "many"}, "must be a number"),
    ],
)
def test_settings_that_are_not_known_are_refused(
    tmp_path: Path, settings: dict[str, str], said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        sentence.read_config(tmp_path, settings, positions=512)


def test_a_step_that_is_not_known_is_refused(tmp_path: Path) -> None:
    steps = [{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]
    (tmp_path / "modules.json").write_text(json.dumps(steps))

    with pytest.raises(ModelError, match="step 'Dense'"):
        sentence.read_config(tmp_path, {}, positions=512)


@pytest.mark.parametrize("config", [{"pooling_mode_max_tokens": True}, {"pooling_mode": "max"}])
def test_pooling_that_is_not_known_is_refused(tmp_path: Path, config: dict[str, object]) -> None:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(config))

    with pytest.raises(ModelError, match="pools in a way that is not known"):
        sentence.read_config(tmp_path, {}, positions=512)


def test_a_folder_with_a_pickle_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02")

    with pytest.raises(ModelError, match=r"only as pytorch_model\.bin, a pickle"):
        sentence.load(tmp_path)
