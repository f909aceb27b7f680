"""Weights from the hub: the real client against a hub on loopback that fails to order."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmsearch.errors import ModelError, WeightsMismatch, WeightsMissing
from mmsearch.models.hub import fetching, transfer
from mmsearch.models.hub.source_model import Download, SourceModel, locate
from mmsearch.types import WeightFile
from tests.hub_server import HubServer, hub_server, sha256
from tests.patience import HANG_S

WEIGHTS = random.Random(7).randbytes(3_000_000)
FILES = {
    "model.safetensors": WEIGHTS,
    "config.json": b'{"size": 256}',
    "tokenizer/vocab.json": b'{"a": 1}',
    "README.md": b"# A model",
    "pytorch_model.bin": b"\x80\x02never to be read",
}
PATTERNS = ("*.safetensors", "*.json")
NAME = "owner/model"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.setattr(transfer, "PAUSE_S", 0.01)
    monkeypatch.setenv("MMSEARCH_CACHE", str(tmp_path / "cache"))
    with hub_server() as server:
        for name, value in server.environment(tmp_path / "hf").items():
            monkeypatch.setenv(name, value)
        server.add(NAME, FILES)
        yield server


def _contents(model: SourceModel) -> dict[str, bytes]:
    return {file.name: (model.folder / file.name).read_bytes() for file in model.files}


def _cached_bytes(tmp_path: Path) -> set[bytes]:
    files = [path for path in (tmp_path / "hf").rglob("*") if path.is_file()]
    return {path.read_bytes() for path in files}


def test_only_what_is_wanted_is_fetched_and_it_is_told_by_its_hash(hub: HubServer) -> None:
    model = locate(NAME, patterns=PATTERNS)

    wanted = {name: FILES[name] for name in sorted(FILES) if name.endswith(("tensors", ".json"))}
    assert _contents(model) == wanted
    assert model.revision == f"{0:040x}"
    assert model.files == tuple(
        WeightFile(name, sha256(content), len(content)) for name, content in wanted.items()
    )
    assert not hub.asked(ending=".bin")
    assert not hub.asked(ending=".md")


def test_the_second_time_the_hub_is_not_asked_at_all(hub: HubServer) -> None:
    first = locate(NAME, patterns=PATTERNS)
    hub.requests.clear()

    assert locate(NAME, patterns=PATTERNS) == first
    assert hub.requests == []


def test_the_hub_s_own_client_finds_what_was_fetched(hub: HubServer, tmp_path: Path) -> None:
    import huggingface_hub

    model = locate(NAME, patterns=PATTERNS)
    folder = huggingface_hub.snapshot_download(
        NAME, cache_dir=tmp_path / "hf/hub", local_files_only=True
    )

    assert Path(folder) == model.folder
    (cached,) = huggingface_hub.scan_cache_dir(tmp_path / "hf/hub").repos
    assert cached.repo_id == NAME
    assert set(cached.refs) == {"main"}
    assert not huggingface_hub.scan_cache_dir(tmp_path / "hf/hub").warnings


def test_what_the_hub_s_own_client_fetched_is_used(hub: HubServer, tmp_path: Path) -> None:
    import huggingface_hub

    for name in ("model.safetensors", "config.json", "tokenizer/vocab.json"):
        huggingface_hub.hf_hub_download(
            NAME, name, cache_dir=tmp_path / "hf/hub", endpoint=hub.url, token=False
        )
    hub.requests.clear()

    assert _contents(locate(NAME, patterns=PATTERNS))["model.safetensors"] == WEIGHTS
    assert len(hub.asked(api=True)) == 1
    assert hub.asked() == []


def test_a_transfer_that_is_cut_off_goes_on_with_the_rest(hub: HubServer) -> None:
    hub.faults["model.safetensors"] = ["cut", "cut"]

    model = locate(NAME, patterns=PATTERNS)

    assert _contents(model)["model.safetensors"] == WEIGHTS
    half, three_quarters = len(WEIGHTS) // 2, len(WEIGHTS) * 3 // 4
    ranges = [request.range for request in hub.requests if request.path.startswith("/cdn/")]
    assert ranges == ["", f"bytes={half}-", f"bytes={three_quarters}-"]


def test_an_interrupted_program_goes_on_where_it_was(hub: HubServer, tmp_path: Path) -> None:
    hub.faults["model.safetensors"] = ["trickle"]
    code = (
        "from mmsearch.models.hub.source_model import locate\n"
        f"locate({NAME!r}, patterns={PATTERNS!r}, on_progress=print)"
    )
    environment = {**os.environ, "HF_HUB_DOWNLOAD_TIMEOUT": "60", "PYTHONPATH": str(Path.cwd())}
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code], env=environment, stdout=subprocess.PIPE
    )
    blobs = tmp_path / "hf/hub/models--owner--model/blobs"
    part = blobs / f"{sha256(WEIGHTS)}.mmsearch.incomplete"
    deadline_s = time.monotonic() + HANG_S
    while not (part.exists() and part.stat().st_size >= len(WEIGHTS) // 2):
        assert time.monotonic() < deadline_s
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    hub.requests.clear()

    assert not (blobs.parent / "refs").exists()
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(WeightsMissing):
            locate(NAME, patterns=PATTERNS)
    model = locate(NAME, patterns=PATTERNS)

    assert _contents(model)["model.safetensors"] == WEIGHTS
    ranges = [request.range for request in hub.requests if request.path.startswith("/cdn/")]
    assert ranges == [f"bytes={len(WEIGHTS) // 2}-"]
    assert not list(blobs.glob("*.incomplete"))


def test_two_at_once_fetch_everything_once(hub: HubServer) -> None:
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(locate, NAME, patterns=PATTERNS) for _ in range(2)]
        first, second = (run.result() for run in runs)

    assert first == second
    assert _contents(first)["model.safetensors"] == WEIGHTS
    assert len([request for request in hub.requests if request.path.startswith("/cdn/")]) == 1


def test_a_hub_that_sends_all_of_it_again_does_no_harm(hub: HubServer) -> None:
    hub.faults["model.safetensors"] = ["cut", "whole"]

    assert _contents(locate(NAME, patterns=PATTERNS))["model.safetensors"] == WEIGHTS


def test_wrong_content_is_fetched_once_more(hub: HubServer) -> None:
    hub.faults["model.safetensors"] = ["wrong"]
    hub.faults["config.json"] = ["wrong"]

    model = locate(NAME, patterns=PATTERNS)

    assert _contents(model)["model.safetensors"] == WEIGHTS
    assert _contents(model)["config.json"] == FILES["config.json"]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_wrong_content_twice_is_an_error_and_does_not_stay(
    hub: HubServer, tmp_path: Path, name: str
) -> None:
    hub.faults[name] = ["wrong", "wrong"]

    with pytest.raises(WeightsMismatch, match=f"{name} has hash .* belongs to it"):
        locate(NAME, patterns=PATTERNS)

    assert _cached_bytes(tmp_path) <= set(FILES.values()) | {b""}
    assert _contents(locate(NAME, patterns=PATTERNS))[name] == FILES[name]


def test_a_cached_file_that_was_damaged_is_fetched_again(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = locate(NAME, patterns=PATTERNS)
    (model.folder / "model.safetensors").write_bytes(WEIGHTS[::-1])

    with monkeypatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(WeightsMismatch, match=r"model\.safetensors is not what the hub has"):
            locate(NAME, patterns=PATTERNS)
    assert _contents(locate(NAME, patterns=PATTERNS))["model.safetensors"] == WEIGHTS


def test_a_damaged_file_is_fetched_again_on_a_disk_without_links(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no links on this disk")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    model = locate(NAME, patterns=PATTERNS)
    assert not (model.folder / "model.safetensors").is_symlink()
    (model.folder / "model.safetensors").write_bytes(WEIGHTS[::-1])

    assert _contents(locate(NAME, patterns=PATTERNS))["model.safetensors"] == WEIGHTS


def test_offline_no_request_reaches_the_hub(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    with pytest.raises(WeightsMissing) as caught:
        locate(NAME, patterns=PATTERNS, name="clip", revision="main")

    assert hub.requests == []
    message = str(caught.value)
    for line in (
        "HF_HUB_OFFLINE",
        "pip install 'mmsearch[clip]'",
        "mmsearch models pull clip",
        "mmsearch models export clip --to FOLDER",
        "mmsearch models pull clip --from FOLDER",
        "hf download owner/model --revision main --local-dir FOLDER",
    ):
        assert line in message


def test_offline_what_is_cached_is_found(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    model = locate(NAME, patterns=PATTERNS)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.requests.clear()

    assert locate(NAME, patterns=PATTERNS) == model
    assert hub.requests == []


def test_without_a_network_what_others_cached_whole_is_used_and_a_part_is_not(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = locate(NAME, patterns=PATTERNS)
    shutil.rmtree(tmp_path / "cache")  # as if another program had fetched it
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{_closed_port()}")

    assert locate(NAME, patterns=PATTERNS) == model

    (model.folder / "model.safetensors").unlink()
    with pytest.raises(WeightsMissing, match=r"cannot be reached \(ConnectError"):
        locate(NAME, patterns=PATTERNS)


def test_a_hub_that_never_answers_is_given_up(hub: HubServer) -> None:
    hub.faults["api"] = ["silent"]
    started_s = time.monotonic()

    with pytest.raises(WeightsMissing, match=r"cannot be reached .*Timeout"):
        locate(NAME, patterns=PATTERNS)
    assert time.monotonic() - started_s < HANG_S


def test_a_transfer_that_stops_is_given_up_and_goes_on_later(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "TRIES", 2)
    hub.faults["model.safetensors"] = ["trickle", "silent", "silent"]

    with pytest.raises(WeightsMissing, match=r"cut off .*Timeout.* goes on from there"):
        locate(NAME, patterns=PATTERNS)
    hub.requests.clear()
    locate(NAME, patterns=PATTERNS)

    (request,) = [request for request in hub.requests if request.path.startswith("/cdn/")]
    assert request.range == f"bytes={len(WEIGHTS) // 2}-"


def test_a_transfer_that_trickles_is_given_up(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "STALL_S", 0.0)
    monkeypatch.setattr(transfer, "GAIN_BYTES", len(WEIGHTS))

    with pytest.raises(transfer.Stalled, match="brought less than"):
        locate(NAME, patterns=PATTERNS)


@pytest.mark.parametrize("key", ["api", "model.safetensors", "config.json"])
def test_a_hub_that_is_busy_once_is_asked_again(hub: HubServer, key: str) -> None:
    hub.faults[key] = [503]

    assert _contents(locate(NAME, patterns=PATTERNS))["model.safetensors"] == WEIGHTS


def test_a_hub_that_stays_busy_is_told_with_its_status(hub: HubServer) -> None:
    hub.faults["api"] = [500] * 3

    with pytest.raises(WeightsMissing, match="status 500"):
        locate(NAME, patterns=PATTERNS)


def test_what_is_not_there_and_what_is_closed_are_told_apart(hub: HubServer) -> None:
    hub.add("owner/closed", FILES, is_gated=True)

    with pytest.raises(WeightsMissing, match="no repository owner/other, or a private one"):
        locate("owner/other", patterns=PATTERNS)
    with pytest.raises(WeightsMissing, match="no revision 'v9'"):
        locate(NAME, revision="v9", patterns=PATTERNS)
    with pytest.raises(WeightsMissing, match=r"agree at .*/owner/closed .*hf auth login"):
        locate("owner/closed", patterns=PATTERNS)


def test_the_token_opens_what_is_closed_and_is_told_to_no_other_host(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("owner/closed", FILES, is_gated=True)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")

    locate("owner/closed", patterns=PATTERNS)

    own = hub.url.removeprefix("http://")
    assert {r.token for r in hub.requests if r.host == own} == {"Bearer hf_secret"}
    assert {r.token for r in hub.requests if r.host != own} == {""}
    assert any(request.host != own for request in hub.requests)


def test_requests_say_nothing_of_the_machine(hub: HubServer) -> None:
    locate(NAME, patterns=PATTERNS)

    for request in hub.requests:
        words = {word.partition("/")[0] for word in request.agent.split("; ")}
        assert words <= {"mmsearch", "hf_hub", "python"}
    assert {request.path.split("/")[1] for request in hub.requests} == {"api", "owner", "cdn"}


def test_progress_tells_sizes_beforehand_and_not_too_often(hub: HubServer) -> None:
    events: list[Download] = []

    locate(NAME, patterns=PATTERNS, on_progress=events.append)

    total = sum(len(FILES[name]) for name in FILES if name.endswith(("tensors", ".json")))
    assert {event.total_bytes for event in events} == {total}
    assert [event.done_bytes for event in events] == sorted(event.done_bytes for event in events)
    assert events[-1].done_bytes == total
    assert len(events) < 20


def test_another_revision_is_fetched_beside_and_shares_what_is_the_same(hub: HubServer) -> None:
    first = locate(NAME, patterns=PATTERNS)
    second = hub.add(NAME, {**FILES, "config.json": b'{"size": 384}'})
    hub.requests.clear()

    assert locate(NAME, patterns=PATTERNS) == first
    newer = locate(NAME, revision=second, patterns=PATTERNS)

    assert newer.revision == second != first.revision
    assert _contents(newer)["config.json"] == b'{"size": 384}'
    assert newer.weights_sha256 == first.weights_sha256
    assert [request.path.rsplit("/", 1)[1] for request in hub.asked()] == ["config.json"]


def test_pinned_weights_are_checked_before_anything_is_fetched(hub: HubServer) -> None:
    right = WeightFile("model.safetensors", sha256(WEIGHTS), len(WEIGHTS))
    wrong = WeightFile("model.safetensors", "0" * 64, len(WEIGHTS))

    with pytest.raises(WeightsMismatch, match=r"0{64} belongs to it"):
        locate(NAME, patterns=PATTERNS, expected=[wrong])
    assert hub.asked() == []
    locate(NAME, patterns=PATTERNS, expected=[right])
    with pytest.raises(WeightsMismatch, match=r"0{64} belongs to it"):
        locate(NAME, patterns=PATTERNS, expected=[wrong])


def test_a_full_disk_is_told_before(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(".")._replace(free=1_000_000)
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda _: usage)

    with pytest.raises(ModelError, match=r"takes 0\.00 GB, for which 0\.00 GB .*set HF_HOME"):
        locate(NAME, patterns=PATTERNS)
    assert hub.asked() == []


def test_a_pickle_is_never_fetched(hub: HubServer) -> None:
    hub.add("owner/pickled", {"pytorch_model.bin": b"\x80\x02", "config.json": b"{}"})

    with pytest.raises(WeightsMissing, match=r"only pytorch_model\.bin.*never a pickle"):
        locate("owner/pickled", patterns=(*PATTERNS, "*.bin"))
    assert hub.asked() == []


def test_a_model_of_ctranslate2_is_fetched_unless_it_is_a_pickle(hub: HubServer) -> None:
    good = b"\x06\x00\x00\x00WhisperSpec"
    hub.add("owner/whisper", {"model.bin": good, "config.json": b"{}"})
    hub.add("owner/disguised", {"model.bin": b"PK\x03\x04", "config.json": b"{}"})

    assert _contents(locate("owner/whisper", patterns=["model.bin"])) == {"model.bin": good}
    with pytest.raises(ModelError, match="no model of CTranslate2"):
        locate("owner/disguised", patterns=["model.bin"])


def test_names_that_lead_out_of_the_cache_are_refused(hub: HubServer, tmp_path: Path) -> None:
    hub.add("owner/hostile", {"../../../../escaped.json": b"{}"})

    with pytest.raises(ModelError, match="leaves its folder"):
        locate("owner/hostile", patterns=PATTERNS)
    assert not list(tmp_path.rglob("escaped.json"))


def test_a_login_page_in_place_of_the_hub_is_told(hub: HubServer) -> None:
    hub.faults["api"] = ["page"]

    with pytest.raises(ModelError, match="does not answer as the hub does"):
        locate(NAME, patterns=PATTERNS)


def test_a_folder_is_taken_as_it_is(hub: HubServer, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / ".cache/huggingface").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    (folder / ".cache/huggingface/notes.json").write_text("{}")

    model = locate(str(folder), patterns=PATTERNS)

    assert (model.folder, model.revision) == (folder, "")
    assert model.files == (WeightFile("model.safetensors", sha256(WEIGHTS), len(WEIGHTS)),)
    assert hub.requests == []


def test_a_folder_without_weights_that_are_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK")

    with pytest.raises(WeightsMissing, match="never a pickle"):
        locate(str(tmp_path), patterns=PATTERNS)
    with pytest.raises(WeightsMissing, match="is not there"):
        locate(str(tmp_path / "none"), patterns=PATTERNS)


def test_a_folder_with_a_part_of_the_shards_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"")
    index = '{"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}'
    (tmp_path / "model.safetensors.index.json").write_text(index)

    with pytest.raises(WeightsMissing, match=r"no b\.safetensors"):
        locate(str(tmp_path), patterns=PATTERNS)


@pytest.mark.parametrize("source", ["a/b/c", "a b", "", "../../etc", "a/..", "https://x.org/a"])
def test_what_is_no_name_is_told(hub: HubServer, source: str) -> None:
    with pytest.raises(ModelError):
        locate(source, patterns=PATTERNS)
    assert hub.requests == []


def _closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port
