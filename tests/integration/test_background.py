"""Curves that are moved to a library's own background."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.library.library import Library
from mmsearch.models.calibration import Calibration
from mmsearch.search import calibration
from mmsearch.types import Modality
from tests.fakes import fake_library, write_text

curves = st.builds(
    Calibration,
    midpoint=st.floats(-0.5, 0.9),
    steepness=st.floats(1, 120),
    background=st.tuples(st.floats(-0.2, 0.8), st.floats(0.01, 0.3)),
)


@given(curves, st.floats(-1, 1))
def test_a_curve_stays_where_its_own_background_is(curve: Calibration, similarity: float) -> None:
    assert curve.background is not None
    moved = curve.shift_to_background(*curve.background)

    assert moved.compute_score(similarity) == pytest.approx(
        curve.compute_score(similarity), abs=1e-9
    )


@given(curves, st.floats(-0.2, 0.8), st.floats(0.01, 0.3), st.floats(-5, 5))
def test_what_stands_out_as_far_scores_the_same(
    curve: Calibration, mean: float, std: float, deviations: float
) -> None:
    assert curve.background is not None
    usual_mean, usual_std = curve.background
    moved = curve.shift_to_background(mean, std)
    stretch = min(max(std / usual_std, 0.5), 2.0)

    there = mean + deviations * usual_std * stretch
    assert moved.compute_score(there) == pytest.approx(
        curve.compute_score(usual_mean + deviations * usual_std), abs=1e-6
    )


def test_a_fitted_curve_is_never_moved() -> None:
    curve = Calibration(midpoint=0.3, steepness=10.0)

    assert curve.shift_to_background(0.5, 0.2) is curve


@pytest.fixture
def library(tmp_path: Path) -> Library:
    for number in range(70):
        write_text(tmp_path / "media" / f"note{number}.txt", f"boats harbour number{number}")
    made = fake_library(tmp_path / "library")
    made.index(tmp_path / "media")
    return made


def test_the_background_is_measured_where_a_library_is_brought_up(library: Library) -> None:
    snapshot = library.snapshot()
    known = calibration.read_background(snapshot)

    texts = known["text"]["text"]
    vectors = snapshot.spaces["text"].matrix.take(np.arange(snapshot.spaces["text"].keys.count))
    queries = library._encoders.encode_query_texts(calibration.ASKED, {"text"})["text"]
    assert texts.count == 70
    assert texts.mean == pytest.approx(float((queries @ vectors.T).mean()), abs=1e-4)
    assert not calibration.is_background_due(snapshot)


def test_it_is_measured_anew_when_the_library_has_changed_much(
    library: Library, tmp_path: Path
) -> None:
    for number in range(70, 75):
        write_text(tmp_path / "media" / f"note{number}.txt", f"boats harbour number{number}")
    library.index(tmp_path / "media")
    assert (
        calibration.read_background(library.snapshot())["text"]["text"].count == 70
    )  # a few more: as it was
    for number in range(75, 110):
        write_text(tmp_path / "media" / f"note{number}.txt", f"boats harbour number{number}")
    library.index(tmp_path / "media")

    assert calibration.read_background(library.snapshot())["text"]["text"].count == 110


@pytest.mark.parametrize(
    "written", ["", "{", "[]", '{"form": 99}', '{"form": 1, "spaces": {"text": 3}}']
)
def test_a_damaged_file_is_no_background(library: Library, written: str) -> None:
    place = library.snapshot().reader.location.cache_folder / calibration.NAME
    place.write_text(written)

    assert calibration.read_background(library.snapshot()) == {}
    assert calibration.is_background_due(library.snapshot())
    assert library.search("boats harbour", min_score=0)


def test_only_curves_that_nobody_fitted_are_moved(library: Library) -> None:
    fitted = Calibration(midpoint=0.4, steepness=10.0)
    unfitted = Calibration(midpoint=0.4, steepness=10.0, background=(0.9, 0.01))

    snapshot = library.snapshot()
    assert calibration.calibrate_by_kind(snapshot, "text", fitted)[Modality.TEXT] == fitted
    assert calibration.calibrate_by_kind(snapshot, "text", unfitted)[Modality.TEXT] != unfitted
