"""A ClapModel becomes networks that hear what transformers' model hears, without torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsearch import testing
from mmsearch.encoders.audio.clap import ClapEncoder
from mmsearch.encoders.base import Context
from mmsearch.errors import ModelError
from mmsearch.models.conversion.sample_sounds import make_sounds
from mmsearch.models.model_store import ModelStore, StoredModel
from mmsearch.models.presets import ModelSpec
from tests.models_sound import kept, random_clap, sentences

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from mmsearch.models.conversion import clap  # noqa: E402  # needs torch

ROOT = Path(__file__).parents[2]
RATE_HZ = 48_000
pytestmark = pytest.mark.slow

ENCODE = """
import sys
from pathlib import Path

import numpy as np

from mmsearch.encoders.base import Context
from mmsearch.encoders.audio.clap import ClapEncoder
from mmsearch.models.presets import ModelSpec
from mmsearch.models.model_store import ModelStore

root, source, windows, vectors = sys.argv[1:]
encoder = ClapEncoder.load(ModelSpec("clap", source), Context(ModelStore(Path(root))))
with np.load(windows) as listed:
    np.save(vectors, encoder.encode([listed[name] for name in listed.files]))
encoder.encode_texts(["rain"])
assert "torch" not in sys.modules
assert "transformers" not in sys.modules
"""


@dataclass(frozen=True)
class Clap:
    """A model as published, and as it is kept."""

    source: Path
    store: ModelStore
    stored: StoredModel

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec("clap", str(self.source))

    def encoder(self, precision: str = "auto") -> ClapEncoder:
        return ClapEncoder.load(self.spec, Context(self.store, precision=precision))


@pytest.fixture(scope="module", params=["unfused", "fused"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Clap:
    root = tmp_path_factory.mktemp("clap")
    source, store = root / "source", ModelStore(root / "models")
    source.mkdir()
    is_fused = request.param == "fused"
    depths = (2, 2, 2, 2) if is_fused else (2, 2, 6, 2)
    random_clap(source, is_fused=is_fused, text_layers=2, depths=depths)
    return Clap(source, store, kept(store, "clap", source))


@pytest.fixture(scope="module")
def windows() -> list[np.ndarray]:
    """Eight windows that the conversion has not seen, some of them short."""
    made = make_sounds(sample_rate_hz=RATE_HZ, window_s=10.0, count=9)[1:]
    return [made[0][: 3 * RATE_HZ], *made[1:]]


def published(source: Path) -> Any:
    return transformers.ClapModel.from_pretrained(source, local_files_only=True).eval()


def unit(output: Any) -> np.ndarray:
    rows = getattr(output, "pooler_output", output)
    vectors: np.ndarray = torch.nn.functional.normalize(rows, dim=-1).numpy()
    return vectors


def test_sounds_are_heard_as_transformers_hears_them(
    model: Clap, windows: list[np.ndarray]
) -> None:
    extractor = transformers.ClapFeatureExtractor.from_pretrained(model.source)
    heard = extractor(windows, sampling_rate=RATE_HZ, return_tensors="pt")
    longer = torch.zeros((len(windows), 1), dtype=torch.bool)
    with torch.inference_mode():
        wanted = unit(
            published(model.source).get_audio_features(
                input_features=heard["input_features"].float(), is_longer=longer
            )
        )

    found = model.encoder("fp32").encode(windows)

    assert (wanted * found).sum(axis=1).min() >= 0.9999
    assert (wanted[0] * found[1]).sum() < 0.9999, "different sounds must differ"


def test_words_are_read_as_transformers_reads_them(model: Clap) -> None:
    texts = ["rain", "a dog barking in the wind", *sentences(6, seed=3), "piano " * 200]
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(model.source / "tokenizer.json"), pad_token="<pad>"
    )
    tokens = tokenizer(texts, padding=True, truncation=True, max_length=77, return_tensors="pt")
    with torch.inference_mode():
        wanted = unit(
            published(model.source).get_text_features(
                input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
            )
        )

    found = model.encoder("fp32").encode_texts(texts)

    assert (wanted * found).sum(axis=1).min() >= 0.9999


def test_the_same_sound_has_the_same_vector_whatever_it_comes_with(
    model: Clap, windows: list[np.ndarray], tmp_path: Path
) -> None:
    encoder = model.encoder()
    first = encoder.encode(windows)
    np.savez(tmp_path / "windows.npz", *windows)
    subprocess.run(
        [
            sys.executable,
            "-c",
            ENCODE,
            str(model.store.root),
            str(model.source),
            str(tmp_path / "windows.npz"),
            str(tmp_path / "vectors.npy"),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=300,
    )

    elsewhere = np.load(tmp_path / "vectors.npy")
    again = encoder.encode(windows)
    alone = np.concatenate([encoder.encode([window]) for window in windows])

    for other in (again, alone, elsewhere):
        assert (first * other).sum(axis=1).min() >= 0.9999


def test_it_holds_what_every_sound_encoder_holds(model: Clap) -> None:
    encoder = model.encoder()

    testing.check_sound_encoder(encoder)

    assert (encoder.window_s, encoder.hop_s, encoder.sample_rate_hz) == (10.0, 5.0, RATE_HZ)
    assert encoder.space == ClapEncoder.describe(model.spec, Context(model.store))
    assert encoder.space.name == "sound"
    assert encoder.space.dim == 512
    assert encoder.encode([]).shape == encoder.encode_texts([]).shape == (0, 512)


def test_the_card_says_how_it_runs_and_what_was_measured(model: Clap) -> None:
    card = model.stored.card

    assert set(card.towers) == {"audio", "text"}
    for name, tower in card.towers.items():
        assert model.stored.get_network_path(name).is_file()
        assert model.stored.get_network_path(name, "fp32").is_file()
        assert tower.measured["fp32_cosine_min"] >= 0.9999
        assert tower.measured["fp32_per_s"] > 0
    assert card.settings["is_fused"] is (card.settings["mel_scale"] == "htk")
    written = json.loads((model.stored.folder / "tokenizer.json").read_text())
    assert written["padding"] is None
    assert written["truncation"] is None


# Folders that are refused


def folder_of(tmp_path: Path, **files: object) -> Path:
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    return tmp_path


def test_a_folder_with_a_pickle_alone_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, **{"config.json": {}, "preprocessor_config.json": {}})
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02")

    with pytest.raises(ModelError, match=r"only as pytorch_model\.bin, a pickle.*save_pretrained"):
        clap.load(folder)


def test_a_folder_without_a_feature_extractor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no preprocessor_config\.json"):
        clap.load(tmp_path)


def test_a_model_that_is_not_whole_is_refused(model: Clap, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for name in ("config.json", "preprocessor_config.json"):
        shutil.copy(model.source / name, tmp_path / name)
    weights = load_file(model.source / "model.safetensors")
    del weights["audio_projection.linear2.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(ModelError, match=r"lacks 1 of the weights.*audio_projection\.linear2"):
        clap.load(tmp_path)


def test_an_extractor_of_another_model_is_refused(model: Clap, tmp_path: Path) -> None:
    for name in ("config.json", "preprocessor_config.json"):
        shutil.copy(model.source / name, tmp_path / name)
    (tmp_path / "model.safetensors").symlink_to(model.source / "model.safetensors")
    path = tmp_path / "preprocessor_config.json"
    config = json.loads(path.read_text())
    config["truncation"] = "rand_trunc" if config["truncation"] == "fusion" else "fusion"
    path.write_text(json.dumps(config))

    with pytest.raises(ModelError, match="not of the same model"):
        clap.load(tmp_path)


def test_a_setting_that_is_not_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no setting 'pooling'"):
        clap.convert(
            tmp_path, tmp_path, settings={"pooling": "mean"}, on_progress=lambda _what, _share: None
        )
