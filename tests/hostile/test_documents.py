"""Documents that attack their readers, through real decoder processes."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from benchmarks.hostile_documents import write_documents
from mmsearch.errors import MediaError
from mmsearch.media.base import Described, LoadOptions, Passage
from mmsearch.media.isolation import Decoder
from mmsearch.types import Omission

BOMB_BYTES = 4 << 20
PEAK_BYTES = 1_500_000_000


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_documents(tmp_path_factory.mktemp("documents"), BOMB_BYTES)


def peak_bytes(process: psutil.Process) -> int:
    """The most memory that a process has ever held."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def test_each_is_read_in_bounds_or_refused_with_a_reason(documents: list[Path]) -> None:
    outcomes: dict[str, str] = {}
    read_chars: dict[str, int] = {}
    for path in documents:
        with Decoder() as decoder:
            chars = 0
            omissions: list[Omission] = []
            described: list[Described] = []
            try:
                for content in decoder.load(path, LoadOptions()):
                    match content:
                        case Passage(text):
                            chars += len(text)
                        case Omission():
                            omissions.append(content)
                        case Described():
                            described.append(content)
            except MediaError as exc:
                outcomes[path.name] = exc.reason
            else:
                assert described
                outcomes[path.name] = "; ".join(each.detail for each in omissions)
                assert chars <= LoadOptions().limits.text_chars
            read_chars[path.name] = chars
            (worker,) = psutil.Process().children() or [None]
            if worker is not None:
                assert peak_bytes(worker) < PEAK_BYTES, path.name
    assert set(outcomes) == {path.name for path in documents}
    assert "did nothing" not in " ".join(outcomes.values()), outcomes
    assert "crashed" not in " ".join(outcomes.values()), outcomes
    expanded = [name for name, chars in read_chars.items() if "entities" in name and chars > 5_000]
    assert expanded == []
