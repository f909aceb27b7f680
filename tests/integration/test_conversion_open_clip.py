"""Models of open_clip, from the folder that the hub gives to vectors without torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmsearch import testing
from mmsearch.encoders.image.open_clip import OpenClipEncoder, is_architecture
from mmsearch.errors import MissingExtra, ModelError
from mmsearch.models.conversion import open_clip_files, process
from mmsearch.models.conversion.parity import compute_cosines
from mmsearch.models.conversion.sample_images import SENTENCES
from mmsearch.models.model_card import ModelCard, StoredModel, TowerCard
from mmsearch.models.weights import hash_file_once
from mmsearch.runtime.onnx import OnnxModel
from mmsearch.types import WeightFile

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")
from mmsearch.models.conversion import open_clip as conversion  # noqa: E402  # needs both
from tests.models import save_open_clip  # noqa: E402  # needs both

TINY: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 128, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 96, "heads": 3, "layers": 2},
}
Vectors = Callable[[Any], Any]


def stored(folder: Path, parts: dict[str, Any]) -> StoredModel:
    """What the store makes of a converted folder."""
    files = tuple(
        WeightFile(path.name, hash_file_once(path), path.stat().st_size)
        for path in folder.iterdir()
    )
    card = ModelCard(
        encoder="open-clip",
        source="test/model",
        weights_sha256="0" * 64,
        dim=parts["dim"],
        towers={name: TowerCard(**tower) for name, tower in parts["towers"].items()},
        settings=parts["settings"],
        files=files,
        made_with=parts["made_with"],
    )
    return StoredModel(folder, ModelCard.from_json(card.to_json()))


def encoder_of(model: StoredModel, precision: str | None = None) -> OpenClipEncoder:
    return OpenClipEncoder(
        model,
        lambda tower: OnnxModel.open(model.get_network_path(tower, precision), threads=2, batch=4),
    )


def converted(source: Path, target: Path) -> tuple[StoredModel, list[tuple[str, float]]]:
    """Through the worker, as the store has it done."""
    told: list[tuple[str, float]] = []
    parts = process.run_conversion(
        "open-clip", source, target, on_progress=lambda what, share: told.append((what, share))
    )
    return stored(target, parts), told


class Original:
    """The model as open_clip itself loads and runs it."""

    def __init__(self, folder: Path) -> None:
        with open_clip_files.skip_initialization():
            self.model, _, self.preprocess = open_clip.create_model_and_transforms(
                f"local-dir:{folder}"
            )
        self.model.eval()
        self.tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")

    def images(self, shown: list[Image.Image]) -> np.ndarray:
        with torch.no_grad():
            batch = torch.stack([self.preprocess(one) for one in shown])
            vectors: np.ndarray = self.model.encode_image(batch, normalize=True).numpy()
        return vectors

    def texts(self, texts: list[str]) -> np.ndarray:
        with torch.no_grad():
            rows = self.tokenizer(texts)
            vectors: np.ndarray = self.model.encode_text(rows, normalize=True).numpy()
        return vectors


def photographs(sample_data: Path, count: int) -> list[Image.Image]:
    paths = sorted((sample_data / "photos").glob("*.jpg"))[:count]
    return [Image.open(path).convert("RGB") for path in paths]


def check_against_original(source: Path, model: StoredModel, shown: list[Image.Image]) -> None:
    """The encoder's vectors are those of open_clip: pictures, from their pixels, and words."""
    original = Original(source)
    encoder = encoder_of(model, "fp32")
    prepared = [encoder.prepare(np.asarray(one)) for one in shown]
    found = np.concatenate([code.values for code in encoder.encode(prepared)])
    assert (
        compute_cosines(original.images(shown), found).min() >= 0.9995
    )  # two grey levels at worst
    texts = [*SENTENCES[:6], *SENTENCES[-6:]]
    assert compute_cosines(original.texts(texts), encoder.encode_texts(texts)).min() >= 0.9999


@pytest.fixture(scope="session")
def tiny_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_open_clip(tmp_path_factory.mktemp("source") / "tiny", "ViT-B-32", **TINY)


@pytest.fixture(scope="session")
def tiny(
    tiny_source: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StoredModel, list[tuple[str, float]]]:
    return converted(tiny_source, tmp_path_factory.mktemp("tiny"))


@pytest.mark.slow
def test_a_converted_model_says_what_open_clip_says(
    tiny_source: Path, tiny: tuple[StoredModel, Any], sample_data: Path
) -> None:
    check_against_original(tiny_source, tiny[0], photographs(sample_data, 6))


@pytest.mark.slow
def test_progress_tells_each_step_and_only_grows(
    tiny: tuple[StoredModel, list[tuple[str, float]]],
) -> None:
    steps, shares = zip(*tiny[1], strict=True)

    assert {"loading the model", "exporting the image tower", "measuring the text tower"} <= {
        *steps
    }
    assert list(shares) == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1


@pytest.mark.slow
def test_the_card_has_what_was_measured(tiny: tuple[StoredModel, Any]) -> None:
    card = tiny[0].card

    assert card.dim == 64
    assert set(card.towers) == {"image", "text"}
    for tower in card.towers.values():
        assert tower.measured["fp32_cosine_min"] >= 0.9999
        assert tower.measured["fp32_per_s"] > 0
        assert tower.batch >= 1
        assert tower.threads >= 1
    assert card.settings["resize_mode"] == "shortest"
    assert card.settings["image_size"] == 64
    assert {"torch", "open_clip_torch", "onnxruntime"} <= set(card.made_with)


@pytest.mark.slow
def test_it_holds_what_every_image_encoder_holds(tiny: tuple[StoredModel, Any]) -> None:
    testing.check_image_encoder(encoder_of(tiny[0]))


@pytest.mark.slow
def test_words_have_the_same_vectors_with_and_without_padding(
    tiny: tuple[StoredModel, Any],
) -> None:
    encoder = encoder_of(tiny[0], "fp32")
    assert tiny[0].card.settings["is_causal"]
    texts = ["a dog", "a dog on a beach with a red ball, far away from the water", ""]
    alone = np.concatenate([encoder.encode_texts([text]) for text in texts])

    assert compute_cosines(encoder.encode_texts(texts), alone).min() > 0.99999


@pytest.mark.slow
def test_each_network_is_opened_once_and_only_when_wanted(tiny: tuple[StoredModel, Any]) -> None:
    opened: list[str] = []
    model = tiny[0]

    def open_network(tower: str) -> OnnxModel:
        opened.append(tower)
        return OnnxModel.open(model.get_network_path(tower), threads=1)

    encoder = OpenClipEncoder(model, open_network)
    assert opened == []
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: encoder.encode_texts(["a dog"]), range(8)))
    assert opened == ["text"]
    assert all((one == found[0]).all() for one in found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "shape"), [("shortest", (90, 60)), ("squash", (60, 90)), ("longest", (40, 90))]
)
def test_pictures_are_scaled_as_open_clip_scales_them(
    tiny: tuple[StoredModel, Any], mode: str, shape: tuple[int, int]
) -> None:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    model = tiny[0]
    settings = {**model.card.settings, "resize_mode": mode, "fill_color": 9}
    changed = ModelCard.from_json(model.card.to_json())
    object.__setattr__(changed, "settings", settings)
    encoder = encoder_of(StoredModel(model.folder, changed))
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype(np.uint8)
    transform = image_transform_v2(
        PreprocessCfg(size=64, mean=(0, 0, 0), std=(1, 1, 1), resize_mode=mode, fill_color=9),
        is_train=False,
    )
    expected = (transform(Image.fromarray(pixels)) * 255).round().numpy().transpose(1, 2, 0)
    (crop,) = encoder.prepare(pixels).crops

    assert np.abs(crop.astype(int) - expected.astype(int)).max() <= 2


@pytest.mark.slow
def test_an_encoder_runs_without_torch(tiny: tuple[StoredModel, Any], tmp_path: Path) -> None:
    model = tiny[0]
    (tmp_path / "card.json").write_text(model.card.to_json())
    program = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from mmsearch.encoders.image.open_clip import OpenClipEncoder\n"
        "from mmsearch.models.model_card import ModelCard, StoredModel\n"
        "from mmsearch.runtime.onnx import OnnxModel\n"
        "card = ModelCard.from_json(Path(sys.argv[1], 'card.json').read_text())\n"
        "model = StoredModel(Path(sys.argv[2]), card)\n"
        "open_tower = lambda tower: OnnxModel.open(model.get_network_path(tower))\n"
        "encoder = OpenClipEncoder(model, open_tower)\n"
        "picture = encoder.prepare(np.zeros((9, 9, 3), np.uint8))\n"
        "print(encoder.encode([picture])[0].values.shape, encoder.encode_texts(['x']).shape)\n"
        "heavy = {'torch', 'open_clip', 'transformers', 'onnx', 'timm'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), str(model.folder)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["(1, 64) (1, 64)", "[]"]


def test_a_model_converted_before_tokenizers_were_the_librarys_says_what_to_do(
    tiny: tuple[StoredModel, Any],
) -> None:
    model = tiny[0]
    changed = ModelCard.from_json(model.card.to_json())
    tokens = {**changed.settings["tokens"], "form": "clip"}
    object.__setattr__(changed, "settings", {**changed.settings, "tokens": tokens})

    with pytest.raises(ModelError, match=r"earlier mmsearch.*models pull open-clip:.* --again"):
        encoder_of(StoredModel(model.folder, changed))


# What cannot be converted


@pytest.fixture
def broken(tiny_source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_source, tmp_path / "broken"))


def fails(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        conversion.load(folder)
    return str(caught.value)


def test_weights_that_may_be_a_pickle_are_refused_with_what_to_do(broken: Path) -> None:
    weights = broken / "open_clip_model.safetensors"
    weights.rename(broken / "open_clip_pytorch_model.bin")

    message = fails(broken)
    assert "pickle" in message
    assert "open_clip_model.safetensors" in message


def test_a_folder_without_weights_is_told(broken: Path) -> None:
    (broken / "open_clip_model.safetensors").unlink()
    assert "pull the model again" in fails(broken)


def test_weights_of_another_architecture_are_told(broken: Path) -> None:
    path = broken / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["vision_cfg"]["layers"] = 3
    path.write_text(json.dumps(config))

    assert "pip install -U open_clip_torch" in fails(broken)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"model_cfg": {"vision_cfg": 1}}'])
def test_a_folder_without_a_usable_configuration_is_told(broken: Path, content: str | None) -> None:
    path = broken / "open_clip_config.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(ModelError, match=r"open_clip_config\.json"):
        conversion.load(broken)


def test_a_text_tower_of_transformers_is_refused(broken: Path) -> None:
    path = broken / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["text_cfg"]["hf_model_name"] = "roberta-base"
    path.write_text(json.dumps(config))
    with pytest.raises(ModelError, match="roberta-base"):
        conversion.load(broken)


def test_missing_packages_are_told_with_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "open_clip.py").write_text("raise ModuleNotFoundError('x', name='open_clip')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(process, "_make_environment", lambda: {**__import__("os").environ})
    with pytest.raises(MissingExtra, match=r"open_clip.*mmsearch\[clip\]"):
        process.run_conversion("open-clip", tmp_path, tmp_path, on_progress=lambda *_: None)


# Names


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("ViT-B-32-256/datacomp_s34b_b86k", "laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K"),
        ("ViT-B-16-SigLIP2-256/webli", "timm/ViT-B-16-SigLIP2-256"),
        ("MobileCLIP2-S2/dfndr2b", "timm/MobileCLIP2-S2-OpenCLIP"),
    ],
)
def test_names_of_open_clip_lead_to_repositories(name: str, repository: str) -> None:
    assert open_clip_files.resolve_repository(name) == repository
    assert is_architecture(name.partition("/")[0])
    assert not is_architecture(repository.partition("/")[0])


def test_repositories_are_taken_as_they_are() -> None:
    assert OpenClipEncoder.repository("timm/ViT-B-16-SigLIP2-256") == "timm/ViT-B-16-SigLIP2-256"
    assert OpenClipEncoder.repository("/some/folder") == "/some/folder"


@pytest.mark.slow
def test_a_name_is_looked_up_by_another_process() -> None:
    with pytest.raises(ModelError, match=r"its tags are .*laion2b_s34b_b79k"):
        OpenClipEncoder.repository("ViT-B-32/no-such-tag")


def test_weights_that_are_not_on_the_hub_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from open_clip import pretrained

    monkeypatch.setitem(pretrained._PRETRAINED, "ViT-B-32", {"old": {"url": "https://x/old.pt"}})
    with pytest.raises(ModelError, match=r"old\.pt, as a pickle"):
        open_clip_files.resolve_repository("ViT-B-32/old")


# The real architectures


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "mode", "dim"),
    [
        ("ViT-B-32", "shortest", 512),
        ("MobileCLIP2-S2", "shortest", 512),
        ("ViT-B-16-SigLIP2-256", "squash", 768),
    ],
)
def test_real_architectures_convert(
    architecture: str, mode: str, dim: int, tmp_path: Path, sample_data: Path
) -> None:
    source = save_open_clip(tmp_path / "source", architecture)
    target = tmp_path / "target"
    target.mkdir()
    model, _ = converted(source, target)

    assert model.card.dim == dim
    assert model.card.settings["resize_mode"] == mode
    check_against_original(source, model, photographs(sample_data, 4))
    for tower in model.card.towers.values():
        measured = tower.measured
        if tower.precision == "int8":
            assert measured["int8_cosine_mean"] >= 0.995
            assert measured["int8_top10_overlap"] >= 0.97
    if architecture == "ViT-B-16-SigLIP2-256":
        assert model.card.towers["text"].precision == "int8"
        check_a_query_reads_little(model, tmp_path)


def check_a_query_reads_little(model: StoredModel, tmp_path: Path) -> None:
    """The table of 256,000 rows stays on disk: a query takes far less memory than it would."""
    (tmp_path / "card.json").write_text(model.card.to_json())
    program = (
        "import sys, resource; from pathlib import Path\n"
        "from mmsearch.encoders.image.open_clip import OpenClipEncoder\n"
        "from mmsearch.models.model_card import ModelCard, StoredModel\n"
        "from mmsearch.runtime.onnx import OnnxModel\n"
        "import onnxruntime, numpy\n"
        "def anonymous():\n"
        "    rows = Path('/proc/self/status').read_text().splitlines()\n"
        "    return sum(int(row.split()[1]) for row in rows if row.startswith('RssAnon'))\n"
        "before, mapped = anonymous(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "card = ModelCard.from_json(Path(sys.argv[1], 'card.json').read_text())\n"
        "model = StoredModel(Path(sys.argv[2]), card)\n"
        "open_tower = lambda tower: OnnxModel.open(model.get_network_path(tower))\n"
        "encoder = OpenClipEncoder(model, open_tower)\n"
        "encoder.encode_texts(['a red bicycle beside a river'])\n"
        "print(anonymous() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - mapped)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), str(model.folder)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    anonymous_kb, all_kb = map(int, done.stdout.split())
    table_kb = 256_000 * 768 // 1024
    assert anonymous_kb < table_kb
    assert all_kb < 1.6 * table_kb
