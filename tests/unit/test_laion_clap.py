"""A .pt of laion_clap is read for its tensors alone, and the same sound is always the same."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from mmsearch import testing
from mmsearch.encoders.audio import laion_networks
from mmsearch.encoders.audio.laion_checkpoint import FUSION, PATCHES, WORDS, read_checkpoint
from mmsearch.encoders.audio.laion_clap import SAMPLES, LaionClapEncoder
from mmsearch.encoders.base import Context
from mmsearch.errors import (
    ConfigError,
    MissingExtra,
    ModelError,
    WeightsMismatch,
    WeightsMissing,
)
from mmsearch.models.hub import source_model
from mmsearch.models.hub.source_model import SourceModel
from mmsearch.models.presets import ModelSpec

RATE_HZ = 48_000
TOKENS = ("<s>", "<pad>", "</s>", "<unk>", "rain", "a", "dog", "barks")
CONTEXT = Context(store=cast(Any, None))

# What the package has in `clap_module/model.py`, small, and noting what it is given.
FAKE = f"""
import torch
import torch.nn.functional as F

class RobertaModel:
    @classmethod
    def from_pretrained(cls, name):
        raise AssertionError(f"it fetches {{name}}")

def holder(**children):
    module = torch.nn.Module()
    for name, child in children.items():
        module.add_module(name, child)
    return module

class CLAP(torch.nn.Module):
    made = []
    heard = []
    read = []

    def __init__(self, embed_dim, audio_cfg, text_cfg, enable_fusion=False, fusion_type="None"):
        super().__init__()
        self.made.append((audio_cfg, text_cfg, enable_fusion, fusion_type))
        patches = holder(proj=torch.nn.Conv2d(1, audio_cfg["width"], 4))
        if enable_fusion:
            patches.add_module("fusion_model", torch.nn.Linear(2, 2))
        self.audio_branch = holder(patch_embed=patches)
        words = torch.nn.Embedding({len(TOKENS)}, 512)
        self.text_branch = holder(embeddings=holder(word_embeddings=words))

    def get_audio_embedding(self, data):
        self.heard.extend(data)
        sound = torch.stack([next(iter(one.values())) for one in data]).flatten(1)
        folded = sound[:, : sound.shape[1] // 512 * 512].reshape(len(data), 512, -1).mean(2)
        return F.normalize(folded + 0.01 * torch.arange(512), dim=-1)

    def get_text_embedding(self, data):
        self.read.append({{name: one.clone() for name, one in data.items()}})
        weight = data["attention_mask"][..., None].float()
        vectors = self.text_branch.embeddings.word_embeddings(data["input_ids"])
        return F.normalize((vectors * weight).sum(1), dim=-1)
"""


@pytest.fixture
def torch() -> Any:
    pytest.importorskip("transformers")
    return pytest.importorskip("torch")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package, faked on disk; importing it, rather than its networks, is an error."""
    folder = tmp_path / "packages" / laion_networks.PACKAGE
    configs = folder / "clap_module" / "model_configs"
    configs.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise AssertionError('it asks the hub, and unpickles')")
    (folder / "clap_module" / "__init__.py").write_text("raise AssertionError('needs sklearn')")
    (folder / "clap_module" / "model.py").write_text(FAKE)
    for name, width in (("tiny", 96), ("base", 128), ("large", 256)):
        config = {"embed_dim": 8 * width, "audio_cfg": {"name": name, "width": width}}
        config["text_cfg"] = {"context_length": 77}
        (configs / f"HTSAT-{name}.json").write_text(json.dumps(config))
    monkeypatch.syspath_prepend(str(folder.parent))
    monkeypatch.setenv("MMSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in [name for name in sys.modules if name.startswith(laion_networks.PACKAGE)]:
        monkeypatch.delitem(sys.modules, name)
    yield folder
    for name in [name for name in sys.modules if name.startswith(laion_networks.NETWORKS)]:
        del sys.modules[name]


def fake() -> Any:
    """The faked CLAP, as the encoder imported it."""
    return sys.modules[f"{laion_networks.NETWORKS}.model"].CLAP


def tensors(torch: Any, *, width: int = 96, is_fused: bool = False) -> dict[str, Any]:
    random = torch.Generator().manual_seed(7)
    made = {
        PATCHES: torch.randn(width, 1, 4, 4, generator=random),
        "audio_branch.patch_embed.proj.bias": torch.zeros(width),
        WORDS: torch.randn(len(TOKENS), 512, generator=random),
    }
    if is_fused:
        made |= {f"{FUSION}weight": torch.zeros(2, 2), f"{FUSION}bias": torch.zeros(2)}
    return made


def write_tokenizer(folder: Path, tokens: tuple[str, ...] = TOKENS) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>"])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


@pytest.fixture
def checkpoint(tmp_path: Path, torch: Any) -> Path:
    """A checkpoint as the package's trainer writes it, with the tokenizer beside it."""
    folder = tmp_path / "models"
    folder.mkdir()
    write_tokenizer(folder)
    path = folder / "630k-audioset-best.pt"
    state = {f"module.{name}": tensor for name, tensor in tensors(torch).items()}
    state["module.text_branch.embeddings.position_ids"] = torch.arange(514)[None]
    optimizer = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-4}]}
    torch.save({"epoch": 12, "name": "x", "state_dict": state, "optimizer": optimizer}, path)
    return path


@pytest.fixture
def encoder(checkpoint: Path, package: Path) -> LaionClapEncoder:
    return LaionClapEncoder.load(ModelSpec("laion-clap", str(checkpoint)), CONTEXT)


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, count).astype(np.float32)


# Which space it is


def test_the_space_is_told_by_the_file_without_importing_torch(tmp_path: Path) -> None:
    path = tmp_path / "mine.pt"
    path.write_bytes(b"whatever is in it")
    code = (
        "import sys\n"
        "from mmsearch.encoders.audio.laion_clap import LaionClapEncoder\n"
        "from mmsearch.models.presets import ModelSpec\n"
        "space = LaionClapEncoder.describe(ModelSpec('laion-clap', sys.argv[1]), None)\n"
        "assert 'torch' not in sys.modules\n"
        "print(space.name, space.dim, space.model, space.weights_sha256, space.files[0].name)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "MMSEARCH_CACHE": str(tmp_path / "cache")},
    )
    sha256 = hashlib.sha256(b"whatever is in it").hexdigest()
    assert told.stdout.split() == ["sound", "512", "mine.pt", sha256, "mine.pt"]


def test_a_checkpoint_that_is_not_there_or_not_named_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"gone\.pt is not there: .*--sound-model laion-clap:"):
        LaionClapEncoder.describe(ModelSpec("laion-clap", str(tmp_path / "gone.pt")), CONTEXT)
    with pytest.raises(ConfigError, match="needs a checkpoint: --sound-model laion-clap:"):
        LaionClapEncoder.describe(ModelSpec("laion-clap"), CONTEXT)


def test_another_file_than_was_recorded_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMSEARCH_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "mine.pt"
    path.write_bytes(b"one")
    sha256 = LaionClapEncoder.describe(ModelSpec("laion-clap", str(path)), CONTEXT).weights_sha256
    spec = ModelSpec("laion-clap", str(path), weights_sha256=sha256)
    LaionClapEncoder.describe(spec, CONTEXT)
    path.write_bytes(b"two")
    with pytest.raises(WeightsMismatch, match="put that file back, or index into a new library"):
        LaionClapEncoder.describe(spec, CONTEXT)


def test_without_the_package_the_message_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(laion_networks, "PACKAGE", "laion_clap_that_nobody_has")
    with pytest.raises(MissingExtra, match=r"pip install 'mmsearch\[laion\]'"):
        LaionClapEncoder.load(ModelSpec("laion-clap", str(tmp_path / "mine.pt")), CONTEXT)


# What is read of a checkpoint


class Trap:
    """Unpickled, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("is_archive", [True, False], ids=["archive", "bare pickle"])
def test_a_pickle_in_a_checkpoint_does_not_run(
    tmp_path: Path, torch: Any, is_archive: bool
) -> None:
    path, ran = tmp_path / "evil.pt", tmp_path / "ran"
    content = {"state_dict": tensors(torch), "epoch": Trap(ran)}
    if is_archive:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(ModelError, match=r"as tensors alone.*(.|\n)*weights_only=False") as refused:
        read_checkpoint(path)
    assert not ran.exists()
    assert "evil-tensors.pt" in str(refused.value)
    if is_archive:
        assert "mkdir" in str(refused.value)


def test_the_command_that_a_refusal_names_makes_a_checkpoint_of_tensors(
    tmp_path: Path, torch: Any
) -> None:
    path = tmp_path / "it's mine.pt"
    torch.save({"state_dict": tensors(torch), "args": Path("x")}, path)
    with pytest.raises(ModelError) as refused:
        read_checkpoint(path)
    (command,) = [line for line in str(refused.value).splitlines() if "python -c" in line]
    command = command.strip().replace("python", sys.executable, 1)
    subprocess.run(["/bin/sh", "-c", command], check=True)
    assert read_checkpoint(tmp_path / "it's mine-tensors.pt").audio == "HTSAT-tiny"


def test_a_numpy_number_beside_the_tensors_is_passed_over(tmp_path: Path, torch: Any) -> None:
    path = tmp_path / "scored.pt"
    best = {"best": np.float64(0.91), "steps": np.int64(7)}
    allowed = torch.serialization.get_safe_globals()
    torch.save({"state_dict": tensors(torch), **best}, path)
    assert read_checkpoint(path).audio == "HTSAT-tiny"
    old = tmp_path / "old.pt"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(old, "w") as target:
        for name in source.namelist():  # as NumPy 1 wrote it
            content = source.read(name)
            target.writestr(name, content.replace(b"numpy._core.multi", b"numpy.core.multi"))
    assert b"numpy.core.multiarray\nscalar" in old.read_bytes()
    assert read_checkpoint(old).audio == "HTSAT-tiny"
    assert set(torch.serialization.get_safe_globals()) == set(allowed)  # in whatever order


@pytest.mark.parametrize(
    ("width", "is_fused", "audio"),
    [(96, False, "HTSAT-tiny"), (96, True, "HTSAT-tiny"), (128, False, "HTSAT-base")],
)
def test_the_networks_are_told_from_the_tensors(
    tmp_path: Path, torch: Any, width: int, is_fused: bool, audio: str
) -> None:
    path = tmp_path / "x.pt"
    torch.save(tensors(torch, width=width, is_fused=is_fused), path)
    read = read_checkpoint(path)
    assert (read.audio, read.is_fused, read.words) == (audio, is_fused, len(TOKENS))


def test_what_training_adds_to_names_is_taken_off(checkpoint: Path, torch: Any) -> None:
    assert read_checkpoint(checkpoint).tensors.keys() == tensors(torch).keys()


def test_torn_and_foreign_files_are_refused(tmp_path: Path, checkpoint: Path, torch: Any) -> None:
    torn = tmp_path / "torn.pt"
    torn.write_bytes(checkpoint.read_bytes()[:-100])
    empty = tmp_path / "empty.pt"
    empty.touch()
    text = tmp_path / "text.pt"
    text.write_text("<html>404</html>")
    foreign = tmp_path / "foreign.pt"
    torch.save({"conv.weight": torch.zeros(3)}, foreign)
    wide = tmp_path / "wide.pt"
    torch.save(tensors(torch, width=100), wide)
    numbers = tmp_path / "numbers.pt"
    torch.save({PATCHES: 96, WORDS: "eight"}, numbers)
    for path, reason in (
        (torn, "torn.pt cannot be read"),
        (empty, "empty.pt cannot be read"),
        (text, "text.pt cannot be read"),
        (foreign, "is no checkpoint of laion_clap"),
        (wide, "a sound network of width 100"),
        (numbers, "is no checkpoint of laion_clap"),
    ):
        with pytest.raises(ModelError, match=reason):
            read_checkpoint(path)


def test_weights_that_do_not_fit_the_networks_are_refused(
    checkpoint: Path, package: Path, torch: Any
) -> None:
    state = tensors(torch) | {"audio_branch.patch_embed.proj.bias": torch.zeros(5)}
    torch.save(state, checkpoint)
    encoder = LaionClapEncoder.load(ModelSpec("laion-clap", str(checkpoint)), CONTEXT)
    with pytest.raises(ModelError, match=r"does not fit the networks .*HTSAT-tiny"):
        encoder.encode([noise(10)])


# What the networks are given


def test_it_holds_the_contract_of_sound_encoders(encoder: LaionClapEncoder) -> None:
    testing.check_sound_encoder(encoder)
    assert encoder.encode([]).shape == encoder.encode_texts([]).shape == (0, 512)


def test_the_package_itself_is_not_imported_and_nothing_is_fetched(
    encoder: LaionClapEncoder, torch: Any
) -> None:
    encoder.encode([noise(10)])
    assert laion_networks.PACKAGE not in sys.modules
    roberta = sys.modules[f"{laion_networks.NETWORKS}.model"].RobertaModel
    with torch.device("meta"):  # shapes alone
        model = roberta.from_pretrained("roberta-base")
    assert model.embeddings.word_embeddings.weight.shape == (len(TOKENS), 768)
    assert model.embeddings.position_embeddings.weight.shape == (514, 768)


def test_windows_arrive_whole_in_16_bits_and_nothing_is_cut_at_random(
    encoder: LaionClapEncoder, torch: Any
) -> None:
    whole, short, long = noise(SAMPLES), 2 * noise(150_000, 1), noise(SAMPLES + 9_000, 2)
    encoder.encode([whole, short, long, noise(0)])
    heard = [one["waveform"].numpy() for one in fake().heard[-4:]]
    assert {one.shape for one in heard} == {(SAMPLES,)}
    assert {one.dtype for one in heard} == {np.dtype(np.float32)}
    assert not any(bool(one["longer"]) for one in fake().heard)

    def rounded(samples: np.ndarray) -> np.ndarray:
        return ((samples.clip(-1, 1) * 32767).astype(np.int16) / 32767).astype(np.float32)

    np.testing.assert_array_equal(heard[0], rounded(whole))
    np.testing.assert_array_equal(heard[1][: 3 * 150_000], np.tile(rounded(short), 3))
    assert not heard[1][3 * 150_000 :].any()
    np.testing.assert_array_equal(heard[2], rounded(long[:SAMPLES]))
    assert not heard[3].any()


def test_a_fused_network_gets_levels_and_no_long_clip(
    checkpoint: Path, package: Path, torch: Any
) -> None:
    torch.save(tensors(torch, is_fused=True), checkpoint)
    encoder = LaionClapEncoder.load(ModelSpec("laion-clap", str(checkpoint)), CONTEXT)
    testing.check_sound_encoder(encoder)
    assert all(one["mel_fusion"].shape == (1, 1001, 64) for one in fake().heard)
    assert not any(bool(one["longer"]) for one in fake().heard)
    audio, text, is_fused, kind = fake().made[-1]
    assert (audio["name"], is_fused, kind) == ("tiny", True, "aff_2d")
    assert text["model_type"] == "roberta"


def test_networks_are_opened_with_the_first_use_and_once(
    encoder: LaionClapEncoder, package: Path
) -> None:
    assert f"{laion_networks.NETWORKS}.model" not in sys.modules
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda seed: encoder.encode([noise(10, seed)]), range(4)))
    encoder.encode_texts(["rain"])
    assert len(fake().made) == 1
    assert fake().made[0][2:] == (False, "None")


# Words


def test_words_are_cut_at_77_tokens_and_padding_is_masked(encoder: LaionClapEncoder) -> None:
    together = encoder.encode_texts(["rain", "dog " * 500])
    (given,) = fake().read
    assert given["input_ids"].shape == (2, 77)
    assert given["input_ids"][0].tolist() == [0, 4, 2] + [1] * 74
    assert given["attention_mask"][0].tolist() == [1, 1, 1] + [0] * 74
    assert given["input_ids"][1, -1] == 2
    testing.check_same(together[:1], encoder.encode_texts(["rain"]), "depends on the batch")


def test_without_the_tokenizer_and_a_network_the_message_says_how_to_bring_it(
    checkpoint: Path, package: Path
) -> None:
    checkpoint.with_name("tokenizer.json").unlink()
    with pytest.raises(WeightsMissing) as missing:
        LaionClapEncoder.load(ModelSpec("laion-clap", str(checkpoint)), CONTEXT)
    assert "hf download FacebookAI/roberta-base tokenizer.json" in str(missing.value)
    assert str(checkpoint.with_name("tokenizer.json")) in str(missing.value)


def test_without_a_tokenizer_beside_it_that_of_the_hub_is_taken(
    checkpoint: Path, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def locate(source: str, *, patterns: tuple[str, ...]) -> SourceModel:
        asked.append((source, patterns))
        return SourceModel(tmp_path / "snapshot", source, "0" * 40, ())

    (tmp_path / "snapshot").mkdir()
    checkpoint.with_name("tokenizer.json").rename(tmp_path / "snapshot" / "tokenizer.json")
    monkeypatch.setattr(source_model, "locate", locate)
    encoder = LaionClapEncoder.load(ModelSpec("laion-clap", str(checkpoint)), CONTEXT)
    assert encoder.encode_texts(["rain"]).shape == (1, 512)
    assert asked == [("FacebookAI/roberta-base", ("tokenizer.json",))]


def test_another_models_tokenizer_is_refused(checkpoint: Path, package: Path) -> None:
    write_tokenizer(checkpoint.parent, (*TOKENS, "more"))
    encoder = LaionClapEncoder.load(ModelSpec("laion-clap", str(checkpoint)), CONTEXT)
    with pytest.raises(WeightsMismatch, match=r"it has 9 tokens, not 8"):
        encoder.encode_texts(["rain"])
    checkpoint.with_name("tokenizer.json").write_text("no tokenizer")
    with pytest.raises(ModelError, match="is no tokenizer"):
        encoder.encode_texts(["rain"])
