"""`mmsearch models`, and a library whose models live in the store."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import pytest

from mmsearch.models.model_store import ModelCard, ModelStore
from mmsearch.types import WeightFile
from tests.cli.test_imports import imported
from tests.conftest import Cli
from tests.fakes import write_picture
from tests.hub_server import hub_server

SOURCE = "timm/ViT-B-16-SigLIP2-256"
TINY = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 128, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 96, "heads": 3, "layers": 2},
}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    """A store of its own, with a model that has nothing to run."""
    monkeypatch.setenv("MMSEARCH_MODELS", str(tmp_path / "store"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def build(folder: Path) -> ModelCard:
        (folder / "image.fp32.onnx").write_bytes(b"a network")
        weights = (WeightFile("open_clip_model.safetensors", "ab" * 32, 9),)
        return ModelCard("open-clip", SOURCE, "", 768, revision="f00", weights=weights)

    store = ModelStore(tmp_path / "store")
    store.add(build)
    return store


def test_list_shows_presets_licences_and_what_is_here(cli: Cli, store: ModelStore) -> None:
    ran = cli("models", "list", "--json")

    assert ran.returncode == 0
    presets = {preset["name"]: preset for preset in json.loads(ran.stdout)["presets"]}
    assert {"mini", "clip", "fast", "best"} <= set(presets)
    states = {model["place"]: model["state"] for model in presets["clip"]["models"]}
    assert (states["image"], states["sound"]) == ("here", "missing")
    assert {model["state"] for model in presets["mini"]["models"]} == {"packaged"}
    assert all(model["licence"] for preset in presets.values() for model in preset["models"])

    shown = cli("models", "list").stdout.decode()
    assert "Apache-2.0" in shown
    assert "comes with mmsearch" in shown
    assert SOURCE in shown


def test_path_names_the_store_and_the_folder_of_a_model(cli: Cli, store: ModelStore) -> None:
    (stored,) = store.list_models()
    assert cli("models", "path").stdout.decode().strip() == str(store.root)
    assert cli("models", "path", SOURCE).stdout.decode().strip() == str(stored.folder)


def test_verify_finds_a_file_that_is_not_as_it_was(cli: Cli, store: ModelStore) -> None:
    (stored,) = store.list_models()
    assert cli("models", "verify").returncode == 0
    (stored.folder / "image.fp32.onnx").write_bytes(b"other bits")

    ran = cli("models", "verify")

    assert ran.returncode == 1
    assert b"image.fp32.onnx" in ran.stdout


def test_a_model_is_carried_over_without_a_network(
    cli: Cli, store: ModelStore, tmp_path: Path
) -> None:
    stick, there = tmp_path / "stick", {"MMSEARCH_MODELS": str(tmp_path / "there")}

    assert cli("models", "export", SOURCE, "--to", stick).returncode == 0
    assert cli("models", "path", SOURCE, env=there).returncode == 1
    taken = cli("models", "pull", SOURCE, "--from", stick, env=there)

    assert taken.returncode == 0, taken.stderr
    found = Path(cli("models", "path", SOURCE, env=there).stdout.decode().strip())
    assert (found / "image.fp32.onnx").read_bytes() == b"a network"


def test_offline_with_nothing_cached_the_commands_to_bring_weights_over_are_named(
    cli: Cli, store: ModelStore, tmp_path: Path
) -> None:
    (stored,) = store.list_models()
    store.remove(stored)
    write_picture(tmp_path / "media" / "one.png")

    ran = cli("index", tmp_path / "media", "--library", tmp_path / "new", "--preset", "clip")

    said = ran.stderr.decode()
    assert ran.returncode == 1
    for part in ("mmsearch models pull", "mmsearch models export", "--to", "--from"):
        assert part in said
    assert "Traceback" not in said
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pull"], "name a preset"),
        (["pull", "no such model"], "mmsearch models list"),
        (["export", "mini", "--to", "x"], "comes with mmsearch"),
        (["pull", "--from", "."], "models export"),
    ],
)
def test_what_cannot_be_done_is_said(
    cli: Cli, store: ModelStore, tmp_path: Path, arguments: list[str], said: str
) -> None:
    ran = cli("models", *arguments, cwd=tmp_path)
    assert ran.returncode in (1, 2)
    assert said in " ".join(ran.stderr.decode().split())


@pytest.mark.slow
def test_a_model_in_a_folder_is_converted_once_and_searched_without_torch(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("open_clip")
    from tests.models import save_open_clip

    monkeypatch.setenv("MMSEARCH_MODELS", str(tmp_path / "store"))
    source = save_open_clip(tmp_path / "source", "ViT-B-32", **TINY)
    for number, colour in enumerate(("red", "green", "blue")):
        write_picture(tmp_path / "media" / f"{number}.png", colour)
    library = tmp_path / "library"
    index = ["index", tmp_path / "media", "--library", library, "--image-model", source]

    first = cli(*index, timeout=500)
    assert first.returncode == 0, first.stderr
    assert b"exporting" in first.stderr
    again = cli(*index)
    assert again.returncode == 0, again.stderr
    assert b"exporting" not in again.stderr

    asked = ["search", "--library", library, "a red thing", "--min-score", "0", "--json"]
    code, loaded = imported(tmp_path, *asked)
    assert (code, [name for name in loaded if name in ("torch", "open_clip")]) == (0, [])
    hit = json.loads(cli(*asked).stdout)["hits"][0]
    assert hit["spaces"]["image"]["model"] == str(source)
    assert len(hit["spaces"]["image"]["weights_sha256"]) == 64

    pulled = cli("models", "pull", f"open-clip:{source}", timeout=500)
    assert b"exporting" not in pulled.stderr
    anew = cli("models", "pull", f"open-clip:{source}", "--again", timeout=500)
    assert anew.returncode == 0, anew.stderr
    assert b"exporting" in anew.stderr
    assert anew.stdout == pulled.stdout  # the same folder
    assert cli(*asked).returncode == 0

    shutil.rmtree(source)  # what was published is not needed any more, nor is torch
    assert cli(*asked).returncode == 0

    other = save_open_clip(source, "ViT-B-32", seed=1, **TINY)
    shutil.rmtree(tmp_path / "store")
    assert cli("models", "pull", f"open-clip:{other}", timeout=500).returncode == 0
    refused = cli(*asked)
    assert refused.returncode == 1
    assert b"weights" in refused.stderr
    assert b"Traceback" not in refused.stderr


@pytest.mark.slow
def test_a_model_comes_from_the_hub_and_is_then_used_offline(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("open_clip")
    from tests.models import save_open_clip

    monkeypatch.setenv("MMSEARCH_MODELS", str(tmp_path / "store"))
    source = save_open_clip(tmp_path / "source", "ViT-B-32", **TINY)
    files = {path.name: path.read_bytes() for path in source.iterdir()}
    write_picture(tmp_path / "media" / "one.png", "red")
    library = tmp_path / "library"
    index = ["index", tmp_path / "media", "--library", library, "--image-model", "owner/tiny"]

    with hub_server() as hub:
        commit = hub.add("owner/tiny", files)
        hub.faults["open_clip_model.safetensors"] = ["cut"]
        online = hub.environment(tmp_path / "hub")
        done = cli(*index, env=online, timeout=500)
        assert done.returncode == 0, done.stderr
        asked = len(hub.requests)
        again = cli(*index, env=online | {"HF_HUB_OFFLINE": "1"})
        assert again.returncode == 0, again.stderr
        assert len(hub.requests) == asked

    written = tomllib.loads((library / "library.toml").read_text())
    assert written["models"]["image"]["revision"] == commit
    (space,) = [space for space in written["spaces"] if space["name"] == "image"]
    assert {file["name"] for file in space["files"]} >= {
        "open_clip_config.json",
        "open_clip_model.safetensors",
    }
    told = json.loads(cli("status", "--library", library, "--json").stdout)
    assert commit in {space["revision"] for space in told["spaces"]}
