"""A plugin that is installed brings a modality of its own, end to end."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import mmsearch
from mmsearch import testing
from mmsearch.errors import ConfigError
from mmsearch.media.base import Reading
from tests.conftest import ROOT

CONFIG = '[presets.traces]\nextends = "mini"\nothers = ["trace"]\n'
EXAMPLE = ROOT / "examples/trace"


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example as pip would install it, for this process and for the decoders it starts."""
    folder = tmp_path / "site"
    entries = folder / "mmsearch_trace-1.0.dist-info"
    entries.mkdir(parents=True)
    shutil.copy(EXAMPLE / "mmsearch_trace.py", folder)
    (entries / "METADATA").write_text("Metadata-Version: 2.1\nName: mmsearch-trace\nVersion: 1.0\n")
    (entries / "entry_points.txt").write_text(
        "[mmsearch.loaders]\ntrace = mmsearch_trace:TraceLoader\n"
        "[mmsearch.encoders]\ntrace = mmsearch_trace:SpectrumEncoder\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "mmsearch_trace", raising=False)
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)
    monkeypatch.setenv("MMSEARCH_CONFIG", str(config))
    return folder


def trace(path: Path, pitch_hz: float, seconds: float = 20.0, seed: int = 1) -> Path:
    times = np.arange(int(seconds * 100)) / 100.0
    noise = np.random.default_rng(seed).normal(0, 0.2, len(times))
    np.savetxt(path, np.sin(2 * np.pi * pitch_hz * times) + noise, header="trace")
    return path


def test_the_example_is_as_short_as_the_guide_says() -> None:
    assert len((EXAMPLE / "mmsearch_trace.py").read_text().splitlines()) < 60


def test_the_example_holds_the_contracts(plugin: Path, tmp_path: Path) -> None:
    from mmsearch_trace import SpectrumEncoder, TraceLoader  # type: ignore[import-not-found]

    path = trace(tmp_path / "a.txt", 5.0)
    contents = testing.check_loader(TraceLoader(), path)
    readings = [content.values for content in contents if isinstance(content, Reading)]
    testing.check_other_encoder(SpectrumEncoder(), readings)


def test_a_trace_is_found_by_another_like_it(plugin: Path, tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    trace(media / "slow.txt", 2.0)
    trace(media / "fast.txt", 30.0)
    (media / "note.txt").write_text("A plain text about a machine.")
    asked = trace(tmp_path / "asked.txt", 30.0, seed=2)

    with mmsearch.open(str(tmp_path / "library"), preset="traces") as library:
        report = library.index(media)
        hits = library.similar(asked, min_score=0.0)
        status = library.status()

    assert (report.indexed, report.failed) == (3, 0)
    assert Path(hits[0].path).name == "fast.txt"
    assert hits[0].kind == "other"
    assert hits[0].segment.span is not None
    assert hits[0].spaces["trace"].provenance is not None
    assert status.assets["other"] == 2
    assert status.segments["other"] > 4


def test_without_its_plugin_a_library_says_which_encoder_is_missing(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mmsearch.open(str(tmp_path / "library"), preset="traces").close()
    (plugin / "mmsearch_trace-1.0.dist-info" / "entry_points.txt").write_text("")

    with pytest.raises(ConfigError, match="no encoder 'trace'"):
        mmsearch.open(str(tmp_path / "library"))


def test_a_plugin_that_cannot_be_imported_is_named(plugin: Path, tmp_path: Path) -> None:
    (plugin / "mmsearch_trace.py").write_text("import a_package_that_is_not_there\n")

    with pytest.raises(mmsearch.MmsearchError, match="mmsearch-trace"):
        mmsearch.open(str(tmp_path / "library"), preset="traces")
