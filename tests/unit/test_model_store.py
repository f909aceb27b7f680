"""Models kept ready to run: whole or not there, checked, and never a pickle."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mmsearch import config
from mmsearch.errors import ModelError, WeightsMismatch, WeightsMissing
from mmsearch.models import hash_cache, weights
from mmsearch.models.model_store import (
    ModelCard,
    ModelStore,
    StoredModel,
    TowerCard,
    open_default_store,
)
from mmsearch.runtime.atomic_files import link_or_copy
from mmsearch.types import WeightFile

Build = Callable[[Path], ModelCard]
SOURCE = "owner/model"
DIGEST = "a" * 64
CARD = ModelCard(
    encoder="open-clip",
    source=SOURCE,
    revision="c0ffee",
    licence="Apache-2.0",
    weights=(WeightFile("model.safetensors", DIGEST, 10), WeightFile("config.json", DIGEST, 2)),
    weights_sha256="",
    dim=4,
    towers={"image": TowerCard("int8", batch=16, threads=2, measured={"int8_cosine_mean": 0.999})},
    settings={"image_size": 256, "mean": [0.5, 0.5, 0.5]},
    made_with={"mmsearch": "0.1.0"},
)


def building(content: bytes = b"network", card: ModelCard = CARD) -> Build:
    def build(folder: Path) -> ModelCard:
        (folder / "image.int8.onnx").write_bytes(content)
        (folder / "image.fp32.onnx").write_bytes(content * 4)
        (folder / "tokenizer.json").write_text("{}")
        return card

    return build


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    monkeypatch.setenv("MMSEARCH_CACHE", str(tmp_path / "cache"))
    return ModelStore(tmp_path / "models")


@pytest.fixture
def stored(store: ModelStore) -> StoredModel:
    return store.add(building())


def rewrite(stored: StoredModel, **changes: object) -> None:
    path = stored.folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def damage_unseen(path: Path) -> None:
    """Other content of the same size and time, as a failing disk gives it."""
    stat = path.stat()
    with path.open("r+b") as stream:
        first = stream.read(1)
        stream.seek(0)
        stream.write(bytes([first[0] ^ 1]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_a_card_is_read_as_it_was_written() -> None:
    card = replace(CARD, weights_sha256=DIGEST, files=(WeightFile("a/b.onnx", DIGEST, 3),))

    assert ModelCard.from_json(card.to_json()) == card
    assert json.loads(card.to_json())["format"] == 1


def test_what_is_added_is_found_with_its_files_listed(store: ModelStore) -> None:
    stored = store.add(building())

    assert store.find("open-clip", SOURCE) == stored
    assert [file.name for file in stored.card.files] == [
        "image.fp32.onnx",
        "image.int8.onnx",
        "tokenizer.json",
    ]
    assert stored.card.weights_sha256 == weights.hash_weights(CARD.weights)
    assert stored.get_network_path("image").read_bytes() == b"network"
    assert stored.get_network_path("image", "fp32").read_bytes() == b"network" * 4
    assert store.verify(stored) == []
    assert [path.name for path in store.root.iterdir() if path.is_dir()] == [stored.folder.name]


def test_a_tower_that_is_not_there_is_told(stored: StoredModel) -> None:
    with pytest.raises(WeightsMissing, match=r"image\.fp16\.onnx .*image\.int8\.onnx.*models pull"):
        stored.get_network_path("image", "fp16")
    with pytest.raises(WeightsMissing):
        stored.get_network_path("audio")


def test_a_model_is_found_by_weights_or_by_source_and_revision(store: ModelStore) -> None:
    old = store.add(building(card=replace(CARD, revision="1", weights_sha256="1" * 64)))
    new = store.add(building(card=replace(CARD, revision="2", weights_sha256="2" * 64)))
    os.utime(old.folder / "model.json", ns=(0, 0))

    assert store.find("open-clip", SOURCE) == new
    assert store.find("open-clip", SOURCE, revision="1") == old
    assert store.find("open-clip", "another/name", weights_sha256="1" * 64) == old
    assert store.find("open-clip", SOURCE, weights_sha256="3" * 64) is None
    assert store.find("open-clip", SOURCE, revision="3") is None
    assert store.find("clap", SOURCE) is None
    assert ModelStore(store.root / "none").find("open-clip", SOURCE) is None


def test_a_named_folder_wins(store: ModelStore, stored: StoredModel, tmp_path: Path) -> None:
    folder = store.export(stored, tmp_path / "carried")
    other = ModelStore(tmp_path / "other")

    found = other.find("open-clip", str(folder))

    assert found is not None
    assert found.folder == folder
    with pytest.raises(ModelError, match="for the encoder 'open-clip', not 'clap'"):
        other.find("clap", str(folder))
    with pytest.raises(WeightsMismatch, match="holds weights"):
        other.find("open-clip", str(folder), weights_sha256=DIGEST)
    assert other.find("open-clip", str(tmp_path)) is None


def test_adding_again_replaces(store: ModelStore, stored: StoredModel) -> None:
    again = store.add(building(b"better!"))

    assert again.folder == stored.folder
    assert again.get_network_path("image").read_bytes() == b"better!"
    assert len(store.list_models()) == 1


def test_a_build_that_fails_leaves_nothing(store: ModelStore) -> None:
    def fail(folder: Path) -> ModelCard:
        (folder / "image.onnx").write_bytes(b"half")
        raise ModelError("no")

    with pytest.raises(ModelError, match=r"^no$"):
        store.add(fail)
    assert [path.name for path in store.root.iterdir()] in ([], [".lock"])
    assert store.list_models() == []


def test_what_a_killed_build_left_is_never_a_model_and_goes_with_the_next(
    store: ModelStore, tmp_path: Path
) -> None:
    code = f"""
import os
from pathlib import Path
from mmsearch.models.model_store import ModelStore
def build(folder):
    (folder / "image.int8.onnx").write_bytes(b"half")
    os._exit(9)
ModelStore(Path({str(store.root)!r})).add(build)
"""
    root = str(Path(__file__).parents[2])
    killed = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": root}, check=False
    )
    assert killed.returncode == 9
    assert list(store.root.glob(".building-*"))

    assert store.list_models() == []
    assert store.find("open-clip", SOURCE) is None
    stored = store.add(building())
    assert store.list_models() == [stored]
    assert not list(store.root.glob(".building-*"))


def test_of_two_that_want_the_same_the_second_finds_what_the_first_built(
    store: ModelStore,
) -> None:
    builds = []
    begun = threading.Event()

    def build(folder: Path) -> ModelCard:
        builds.append(folder)
        begun.wait(0.2)
        return building()(folder)

    def want() -> None:
        mine = ModelStore(store.root)
        with mine.lock():
            if mine.find("open-clip", SOURCE) is None:
                mine.add(build)

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(builds) == 1
    assert len(store.list_models()) == 1


def test_many_that_add_the_same_at_once_leave_one_whole_model(store: ModelStore) -> None:
    threads = [
        threading.Thread(target=lambda: ModelStore(store.root).add(building())) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (stored,) = store.list_models()
    assert store.verify(stored) == []


def test_an_unchanged_model_is_not_hashed_again(
    store: ModelStore, stored: StoredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> str:
        raise AssertionError

    monkeypatch.setattr(hash_cache, "hash_file", refuse)

    assert store.find("open-clip", SOURCE) == stored


def test_a_touched_file_is_hashed_again_and_is_right(
    store: ModelStore, stored: StoredModel
) -> None:
    os.utime(stored.get_network_path("image"), ns=(0, 0))

    assert store.find("open-clip", SOURCE) == stored


def test_a_changed_file_is_refused_with_both_hashes(store: ModelStore, stored: StoredModel) -> None:
    path = stored.get_network_path("image")
    right = weights.hash_file(path)
    path.write_bytes(b"Network")
    wrong = weights.hash_file(path)

    with pytest.raises(WeightsMismatch) as caught:
        store.find("open-clip", SOURCE)
    for part in (str(path), right, wrong, f"mmsearch models pull open-clip:{SOURCE}"):
        assert part in str(caught.value)


def test_a_missing_file_is_told(store: ModelStore, stored: StoredModel) -> None:
    stored.get_network_path("image").unlink()

    with pytest.raises(WeightsMissing, match=r"image\.int8\.onnx is missing .*models pull"):
        store.find("open-clip", SOURCE)


def test_verifying_sees_what_a_quick_look_does_not_and_it_is_refused_from_then_on(
    store: ModelStore, stored: StoredModel
) -> None:
    damage_unseen(stored.get_network_path("image"))
    assert store.find("open-clip", SOURCE) == stored

    (problem,) = store.verify(stored)

    assert "image.int8.onnx has sha256" in problem
    with pytest.raises(WeightsMismatch):
        store.find("open-clip", SOURCE)


def test_verifying_lists_every_problem(store: ModelStore, stored: StoredModel) -> None:
    stored.get_network_path("image").unlink()
    stored.get_network_path("image", "fp32").write_bytes(b"")

    missing, short = sorted(store.verify(stored))[::-1]
    assert missing.endswith("image.int8.onnx is missing")
    assert "has 0 bytes, but its card says 28" in short

    (stored.folder / "model.json").unlink()
    (problem,) = store.verify(stored)
    assert "model.json cannot be read" in problem


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is no JSON"),
        ('{"format": 1', "is no JSON"),
        ("[1]", "is no card"),
        ('{"format": 2}', "has format 2, .* pip install -U mmsearch"),
        ('{"format": "1"}', "has format '1'"),
        ('{"format": 1}', "as an encoder"),
    ],
)
def test_a_card_that_cannot_be_read_is_told_and_hides_no_other(
    store: ModelStore, stored: StoredModel, content: str, told: str
) -> None:
    bad = store.root / "bad"
    bad.mkdir()
    (bad / "model.json").write_text(content)

    with pytest.raises(ModelError, match=told):
        store.open(bad)
    assert store.list_models() == [stored]
    assert list(store.list_unreadable()) == [bad]


@pytest.mark.parametrize(
    "changes",
    [
        {"files": [{"name": "../x", "sha256": DIGEST, "size_bytes": 1}]},
        {"files": [{"name": "/etc/passwd", "sha256": DIGEST, "size_bytes": 1}]},
        {"files": [{"name": "a\\..\\b", "sha256": DIGEST, "size_bytes": 1}]},
        {"files": [{"name": "C:/x", "sha256": DIGEST, "size_bytes": 1}]},
        {"files": [{"name": "", "sha256": DIGEST, "size_bytes": 1}]},
        {"files": [{"name": "x", "sha256": "no", "size_bytes": 1}]},
        {"files": [{"name": "x", "sha256": DIGEST, "size_bytes": -1}]},
        {"files": ["x"]},
        {"weights_sha256": "../../x"},
        {"encoder": "../x"},
        {"dim": "4"},
        {"towers": {"../x": {"precision": "int8", "batch": 1, "threads": 1}}},
        {"towers": {"image": {"precision": "../x", "batch": 1, "threads": 1}}},
        {"towers": ["image"]},
        {"settings": None},
    ],
)
def test_a_card_that_is_bent_is_refused(
    store: ModelStore, stored: StoredModel, changes: dict[str, object]
) -> None:
    rewrite(stored, **changes)

    with pytest.raises(ModelError):
        store.open(stored.folder)
    with pytest.raises(ModelError):
        store.import_model(stored.folder)


def test_keys_of_a_later_version_are_passed_over(store: ModelStore, stored: StoredModel) -> None:
    rewrite(stored, mood="good")

    assert store.find("open-clip", SOURCE) == stored


@pytest.mark.parametrize("name", ["pytorch_model.bin", "a/x.PT", "x.pth", "x.pkl", "x.ckpt"])
def test_a_pickle_is_never_kept(store: ModelStore, name: str) -> None:
    def build(folder: Path) -> ModelCard:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"\x80\x02")
        return CARD

    with pytest.raises(ModelError, match="may be a pickle"):
        store.add(build)
    assert store.list_models() == []


@pytest.mark.parametrize(
    ("encoder", "content", "is_kept"),
    [
        ("faster-whisper", b"\x06\x00\x00\x00\x0c\x00WhisperSpec", True),
        ("faster-whisper", b"PK\x03\x04", False),
        ("faster-whisper", b"\x80\x02}q\x00", False),
        ("faster-whisper", b"(dp0\n", False),
        ("faster-whisper", b"", False),
        ("open-clip", b"\x06\x00\x00\x00\x0c\x00WhisperSpec", False),
    ],
)
def test_model_bin_is_kept_only_as_ctranslate2_for_whisper(
    store: ModelStore, encoder: str, content: bytes, is_kept: bool
) -> None:
    def build(folder: Path) -> ModelCard:
        (folder / "model.bin").write_bytes(content)
        return replace(CARD, encoder=encoder)

    if is_kept:
        assert store.verify(store.add(build)) == []
    else:
        with pytest.raises(ModelError, match="pickle"):
            store.add(build)


def test_the_packaged_whisper_passes_as_ctranslate2() -> None:
    from mmsearch.encoders.speech.transcriber import TINY_EN

    path = TINY_EN["model.bin"].find_path()
    weights.check_no_pickle(path, name="model.bin", ctranslate2=True)


def test_links_become_files_that_outlast_what_they_led_to(
    store: ModelStore, tmp_path: Path
) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(b"\x06\x00\x00\x00weights")
    (tmp_path / "snapshot").symlink_to(blob)

    def build(folder: Path) -> ModelCard:
        (folder / "model.bin").symlink_to(tmp_path / "snapshot")
        link_or_copy(tmp_path / "snapshot", folder / "sub/config.json")
        return replace(CARD, encoder="faster-whisper")

    stored = store.add(build)
    assert (stored.folder / "model.bin").stat().st_ino == blob.stat().st_ino  # no second copy
    blob.unlink()

    assert not (stored.folder / "model.bin").is_symlink()
    assert store.verify(stored) == []


def test_a_model_carried_over_is_the_same(
    store: ModelStore, stored: StoredModel, tmp_path: Path
) -> None:
    folder = store.export(stored, tmp_path / "stick/model")
    there = ModelStore(tmp_path / "there")

    taken = there.import_model(folder)

    assert taken.card == stored.card
    assert taken.folder.parent == there.root
    shutil.rmtree(folder)
    assert there.find("open-clip", SOURCE) == taken
    assert there.verify(taken) == []


def test_a_model_is_exported_only_whole_and_into_an_empty_folder(
    store: ModelStore, stored: StoredModel, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("")
    with pytest.raises(ModelError, match="is not empty"):
        store.export(stored, tmp_path / "full")

    damage_unseen(stored.get_network_path("image"))
    with pytest.raises(WeightsMismatch):
        store.export(stored, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("damage", [damage_unseen, Path.unlink])
def test_a_model_that_was_damaged_on_the_way_is_not_taken(
    store: ModelStore, stored: StoredModel, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = store.export(stored, tmp_path / "stick")
    damage(folder / "image.int8.onnx")
    there = ModelStore(tmp_path / "there")

    with pytest.raises(WeightsMismatch, match=r"stick/image\.int8\.onnx .*copy the folder again"):
        there.import_model(folder)
    assert there.list_models() == []
    assert not list(there.root.glob(".building-*"))


def test_a_link_out_of_the_folder_is_not_taken(
    store: ModelStore, stored: StoredModel, tmp_path: Path
) -> None:
    folder = store.export(stored, tmp_path / "stick")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to(stored.folder / "tokenizer.json")

    with pytest.raises(ModelError, match="is a link to another folder"):
        ModelStore(tmp_path / "there").import_model(folder)


def test_a_removed_model_is_gone_and_what_lies_elsewhere_is_not_touched(
    store: ModelStore, stored: StoredModel, tmp_path: Path
) -> None:
    elsewhere = StoredModel(store.export(stored, tmp_path / "mine"), stored.card)

    store.remove(stored)

    assert store.list_models() == []
    with pytest.raises(ModelError, match="delete the folder yourself"):
        store.remove(elsewhere)
    assert elsewhere.folder.is_dir()


def test_a_store_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ModelError, match="MMSEARCH_MODELS"):
        ModelStore(tmp_path / "file" / "models").add(building())


def test_the_store_can_be_put_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert open_default_store().root == tmp_path / "data/mmsearch/models"

    monkeypatch.setenv("MMSEARCH_MODELS", str(tmp_path / "here"))
    assert open_default_store().root == config.models_dir() == tmp_path / "here"


def test_one_hash_stands_for_all_weights_and_for_nothing_else() -> None:
    a, b = WeightFile("a.safetensors", "1" * 64, 1), WeightFile("b.safetensors", "2" * 64, 1)
    settings = WeightFile("config.json", "3" * 64, 1)

    assert weights.hash_weights([b, settings, a]) == weights.hash_weights([a, b])
    assert weights.hash_weights([a]) != weights.hash_weights([b])


def test_adding_files_without_weights_in_the_source_still_has_an_identity(
    store: ModelStore,
) -> None:
    stored = store.add(building(card=replace(CARD, weights=())))

    assert store.find("open-clip", SOURCE) == stored
