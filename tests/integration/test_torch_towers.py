"""The towers that a GPU runs are those that are exported: same inputs, same vectors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsearch.errors import MissingExtra, ModelError
from mmsearch.models.conversion import torch_towers
from mmsearch.models.conversion.torch_towers import load_tower, open_torch_tower
from mmsearch.runtime.device import CPU

torch = pytest.importorskip("torch")
pytest.importorskip("open_clip")
pytest.importorskip("transformers")

SIZE = 64


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with the layout and preprocessing of ViT-B-32."""
    from tests.models import save_open_clip

    return save_open_clip(
        tmp_path_factory.mktemp("clip"),
        "ViT-B-32",
        embed_dim=32,
        vision_cfg={"image_size": SIZE, "layers": 2, "width": 64, "head_width": 32,
                    "patch_size": 16},
        text_cfg={"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
    )  # fmt: skip


@pytest.fixture(scope="module")
def clap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ClapModel."""
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    folder = tmp_path_factory.mktemp("clap")
    torch.manual_seed(4)
    text = {"num_hidden_layers": 1, "hidden_size": 64, "intermediate_size": 64,
            "num_attention_heads": 2, "vocab_size": 300, "projection_dim": 32}  # fmt: skip
    audio = {"depths": [1, 1, 1, 1], "patch_embeds_hidden_size": 32, "hidden_size": 256,
             "projection_dim": 32}  # fmt: skip
    ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=32)).save_pretrained(
        folder
    )
    ClapFeatureExtractor(
        truncation="rand_trunc", frequency_min=50, frequency_max=14_000
    ).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("pooling", ["mean", "last", ""])
def test_a_sentence_encoder_has_the_vectors_of_its_pooling(tmp_path: Path, pooling: str) -> None:
    from transformers import AutoModel

    from tests.models_sound import random_qwen3

    folder = random_qwen3(tmp_path)  # which pools the last token unless it is told otherwise
    ids = np.random.default_rng(5).integers(2, 500, (4, 7), dtype=np.int64)
    lengths = np.array([7, 3, 5, 1])
    mask = (np.arange(7) < lengths[:, None]).astype(np.int64)
    settings = {"pooling": pooling} if pooling else {}

    (vectors,) = open_torch_tower("sentence", folder, "text", CPU, settings=settings).run(
        {"input_ids": ids, "attention_mask": mask}
    )

    model = AutoModel.from_pretrained(folder).eval()
    for row, length, vector in zip(ids, lengths, vectors, strict=True):
        with torch.no_grad():
            states = model(input_ids=torch.from_numpy(row[None, :length])).last_hidden_state[0]
        expected = (states.mean(dim=0) if pooling == "mean" else states[-1]).numpy()
        assert vector @ expected / np.linalg.norm(expected) >= 0.9999


def given(encoder: str, tower: str) -> dict[str, Any]:
    generator = np.random.default_rng(5)
    if tower == "image":
        return {"pixels": generator.integers(0, 256, (5, SIZE, SIZE, 3), dtype=np.uint8)}
    if tower == "audio":
        return {"features": generator.normal(-30, 20, (3, 1, 1001, 64)).astype(np.float32)}
    if encoder == "open-clip":
        return {"tokens": generator.integers(1, 49407, (5, 16), dtype=np.int64)}
    ids = generator.integers(4, 300, (5, 9), dtype=np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def published(encoder: str, tower: str, folder: Path, inputs: dict[str, Any]) -> Any:
    """What the library of the model makes of the same."""
    tensors = {name: torch.from_numpy(one) for name, one in inputs.items()}
    if encoder == "clap":
        from transformers import ClapModel

        model = ClapModel.from_pretrained(folder).eval()
        if tower == "text":
            return model.get_text_features(**tensors).pooler_output
        longer = torch.zeros((len(tensors["features"]), 1), dtype=torch.bool)
        return model.get_audio_features(
            input_features=tensors["features"], is_longer=longer
        ).pooler_output
    from open_clip import create_model_from_pretrained

    model, transform = create_model_from_pretrained(f"local-dir:{folder}")
    if tower == "text":
        return model.encode_text(tensors["tokens"])
    normalize = transform.transforms[-1]
    pixels = tensors["pixels"].permute(0, 3, 1, 2).float() / 255
    return model.encode_image(torch.stack([normalize(one) for one in pixels]))


TOWERS = [("open-clip", "image"), ("open-clip", "text"), ("clap", "audio"), ("clap", "text")]


@pytest.mark.parametrize(("encoder", "tower"), TOWERS)
def test_a_tower_has_the_vectors_of_the_published_model(
    request: pytest.FixtureRequest, encoder: str, tower: str
) -> None:
    folder: Path = request.getfixturevalue(encoder.replace("open-", ""))
    inputs = given(encoder, tower)
    with torch.no_grad():
        expected = torch.nn.functional.normalize(
            published(encoder, tower, folder, inputs), dim=-1
        ).numpy()

    for precision, least in (("fp32", 0.9999), ("bf16", 0.999)):
        network = open_torch_tower(encoder, folder, tower, CPU, precision=precision)  # type: ignore[arg-type]
        (vectors,) = network.run(inputs)
        assert vectors.shape == (len(expected), 32)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
        assert (vectors * expected).sum(axis=1).min() >= least


@pytest.mark.parametrize(("encoder", "tower"), TOWERS)
def test_a_tower_holds_nothing_of_the_other(
    request: pytest.FixtureRequest, encoder: str, tower: str
) -> None:
    """On a GPU it would take memory: 0.8 GB for a vocabulary of 256,000 tokens."""
    folder: Path = request.getfixturevalue(encoder.replace("open-", ""))
    others = {"image": ["token_embedding"], "audio": ["word_embeddings"]}.get(
        tower, ["visual", "audio"]
    )

    names = list(load_tower(encoder, folder, tower).state_dict())

    assert not [name for name in names if any(other in name for other in others)]


def test_a_tower_that_there_is_not_is_told_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"'clap' has no tower 'image'.*audio of clap"):
        open_torch_tower("clap", tmp_path, "image", CPU)


def test_a_folder_with_nothing_but_a_pickle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(b"\x80\x04.")

    with pytest.raises(ModelError, match="pickle"):
        open_torch_tower("open-clip", tmp_path, "image", CPU)


def test_a_package_that_is_missing_is_told_with_what_to_install(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    monkeypatch.delitem(sys.modules, "mmsearch.models.conversion.open_clip", raising=False)

    with pytest.raises(MissingExtra, match=r"pip install 'mmsearch\[clip\]'"):
        torch_towers.open_torch_tower("open-clip", clip, "image", CPU)
