"""What previews are made of: forms of a wish, threads that come and go, a folder with a limit."""

from __future__ import annotations

import io
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmsearch.errors import QueryError
from mmsearch.media.base import AudioBlock
from mmsearch.media.isolation import Decoder
from mmsearch.previews import MAX_PX, Busy, choose_still_s, drawing, preview_request, workers
from mmsearch.previews.store import PreviewStore, previews_folder
from mmsearch.previews.workers import PreviewWorkers
from mmsearch.store.location import Location
from mmsearch.types import Asset, Metadata, Modality, Span
from tests.patience import HANG_S, wait_until

ID = "0f" * 16
FILM = Asset(
    ID, Modality.VIDEO, 9, Metadata(format="mov", width_px=1920, height_px=1080, duration_s=100.0)
)
PHOTO = Asset(ID, Modality.IMAGE, 9, Metadata(format="JPEG", width_px=3000, height_px=4000))
SOUND = Asset(ID, Modality.AUDIO, 9, Metadata(format="flac", duration_s=1000.0))
TEXT = Asset(ID, Modality.TEXT, 9, Metadata(format="docx"))
PDF = Asset(ID, Modality.TEXT, 9, Metadata(format="pdf", page_count=7))
KEY = "a" * 32


def picture(
    asset: Asset, *, at_s: float | None = None, page: int | None = None, px: int = 320
) -> preview_request.PreviewRequest:
    return preview_request.request_image(asset, at_s=at_s, page=page, px=px)


def waveform(
    asset: Asset, span: Span | None = None, width_px: int = 640, height_px: int = 120
) -> preview_request.PreviewRequest:
    return preview_request.request_waveform(
        asset, span=span, width_px=width_px, height_px=height_px
    )


# what is asked for


@given(px=st.integers(1, 10**9))
def test_there_are_few_sizes(px: int) -> None:
    found = picture(PHOTO, px=px).px

    assert found in preview_request.STEPS_PX
    assert found >= min(px, MAX_PX)


def test_no_picture_is_asked_for_larger_than_its_source() -> None:
    small = replace(PHOTO, metadata=Metadata(width_px=150, height_px=90))

    assert {picture(small, px=px) for px in (100, 300, 9999)} == {picture(small, px=160)}


@given(at_s=st.floats(0, 1e300))
def test_times_are_rounded_down_to_a_tenth_and_end_with_the_film(at_s: float) -> None:
    found = picture(FILM, at_s=at_s).at.start_s

    assert found <= at_s + 1e-6
    assert found == pytest.approx(min(at_s, 100.0), abs=0.1 + 1e-6)


def test_a_film_without_a_time_is_shown_a_tenth_in() -> None:
    assert picture(FILM).at == Span(10.0, 10.0)
    assert picture(replace(FILM, metadata=Metadata(duration_s=9000.0))).at == Span(20.0, 20.0)
    assert picture(replace(FILM, metadata=Metadata())).at == Span(0.0, 0.0)


def test_what_does_not_apply_is_passed_over() -> None:
    assert picture(PHOTO, at_s=5.0) == picture(PHOTO) == picture(PHOTO, page=1)
    assert picture(PHOTO, page=2) != picture(PHOTO)
    assert picture(FILM, at_s=5.0, page=7) == picture(FILM, at_s=5.04)


@given(start_s=st.floats(0, 999), length_s=st.floats(1e-3, 1e6))
def test_no_more_than_ten_minutes_are_drawn(start_s: float, length_s: float) -> None:
    found = waveform(SOUND, Span(start_s, start_s + length_s)).stretch

    assert 0 < found.end_s - found.start_s <= preview_request.MAX_SOUND_S + 0.2
    assert found.start_s <= start_s + 1e-6
    assert found.end_s >= min(start_s + length_s, start_s + preview_request.MAX_SOUND_S) - 1e-6


def test_pages_of_a_pdf_have_pictures() -> None:
    assert picture(PDF).page == 1
    assert picture(PDF, page=5).page == 5


def test_a_waveform_of_everything_has_ten_minutes() -> None:
    assert waveform(SOUND).stretch == Span(0.0, 600.0)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: picture(TEXT),
        lambda: picture(SOUND),
        lambda: picture(PHOTO, px=0),
        lambda: picture(PHOTO, page=0),
        lambda: picture(FILM, at_s=-1.0),
        lambda: picture(FILM, at_s=float("nan")),
        lambda: picture(FILM, at_s=float("inf")),
        lambda: waveform(PHOTO),
        lambda: waveform(TEXT),
        lambda: waveform(SOUND, width_px=0),
        lambda: waveform(SOUND, Span(5.0, 5.0)),
        lambda: waveform(SOUND, Span(5.0, float("nan"))),
        lambda: waveform(SOUND, Span(-5.0, 5.0)),
        lambda: waveform(SOUND, Span(1000.0, 1001.0)),
    ],
)
def test_what_cannot_be_pictured_is_said(ask: Callable[[], object]) -> None:
    with pytest.raises(QueryError):
        ask()


def test_keys_tell_apart_all_that_looks_different() -> None:
    keys = {
        one.key
        for one in (
            picture(FILM, at_s=1.0),
            picture(FILM, at_s=1.1),
            picture(FILM, at_s=1.0, px=640),
            picture(replace(FILM, id="1f" * 16), at_s=1.0),
            picture(PHOTO, page=10),
            waveform(FILM),
            waveform(FILM, Span(1.0, 2.0)),
            waveform(FILM, Span(1.0, 2.0), height_px=240),
        )
    }
    assert len(keys) == 8


def test_a_moment_shows_itself_a_little_after_its_beginning() -> None:
    assert choose_still_s(Span(10.0, 20.0)) == 10.5
    assert choose_still_s(Span(10.0, 10.4)) == 10.2


# what is drawn


def blocks(samples: np.ndarray, start_s: float = 0.0, count: int = 7) -> Iterator[AudioBlock]:
    for piece in np.array_split(samples.astype(np.float32), count):
        yield AudioBlock(piece, start_s, drawing.RATE_HZ)
        start_s += len(piece) / drawing.RATE_HZ


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 40), length=st.integers(400, 4000))
def test_an_envelope_is_that_of_the_whole_however_it_was_cut(
    seed: int, count: int, length: int
) -> None:
    samples = np.random.default_rng(seed).uniform(-1, 1, length).astype(np.float32)
    span = Span(0.0, length / drawing.RATE_HZ)

    found = drawing.compute_envelope(blocks(samples, count=count), span, is_open=True)

    whole = samples[: length // drawing.BIN_SAMPLES * drawing.BIN_SAMPLES]
    expected = np.abs(whole.reshape(-1, drawing.BIN_SAMPLES)).max(axis=1)
    assert found is not None
    assert np.allclose(found.peaks, expected)


def test_sound_that_begins_late_or_ends_early_leaves_silence() -> None:
    span = Span(10.0, 12.0)
    loud = np.ones(drawing.RATE_HZ // 2)

    found = drawing.compute_envelope(blocks(loud, 10.5), span, is_open=False)

    assert found is not None
    assert len(found.peaks) == 400
    assert found.peaks[:99].max() == 0
    assert found.peaks[101:198].min() == 1
    assert found.peaks[202:].max() == 0


def test_only_the_stretch_is_drawn_of_what_a_plugin_hands_over() -> None:
    samples = np.repeat(np.array([1.0, 0.25, 1.0]), drawing.RATE_HZ)

    found = drawing.compute_envelope(blocks(samples, count=30), Span(1.0, 2.0), is_open=True)

    assert found is not None
    assert set(found.peaks[1:-1].tolist()) == {0.25}


def test_no_sound_has_no_envelope() -> None:
    assert drawing.compute_envelope(iter(()), Span(0.0, 1.0), is_open=True) is None


@pytest.mark.parametrize(("width", "height"), [(160, 60), (640, 120), (1600, 240)])
def test_a_waveform_is_a_transparent_picture_of_its_size(width: int, height: int) -> None:
    rising = np.linspace(0, 1, 3000, dtype=np.float32)

    data = drawing.draw_waveform(
        drawing.Envelope(rising, (rising / 2) ** 2), width_px=width, height_px=height
    )

    image = Image.open(io.BytesIO(data)).convert("RGBA")
    alpha = np.asarray(image)[..., 3].astype(int)
    assert image.size == (width, height)
    assert alpha[0, 0] == 0
    assert np.array_equal(alpha, alpha[::-1])
    heights = (alpha > 0).sum(axis=0)[:: drawing.BAR_PX + drawing.GAP_PX]
    assert (np.diff(heights) >= 0).all()
    assert heights[-1] >= height - 2
    assert len(data) < 20_000


def test_silence_is_a_line() -> None:
    quiet = np.zeros(10, dtype=np.float32)

    data = drawing.draw_waveform(drawing.Envelope(quiet, quiet), width_px=160, height_px=60)

    alpha = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))[..., 3]
    assert 1 <= (alpha.max(axis=1) > 0).sum() <= 2


# what is kept


@given(st.binary(max_size=300), st.sampled_from(["image/jpeg", "image/png"]))
def test_what_was_kept_comes_back(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, media_type: str
) -> None:
    store = PreviewStore(tmp_path_factory.mktemp("kept") / "previews")

    store.put(KEY, media_type, data)

    assert store.get(KEY) == (media_type, data)
    assert store.get("b" * 32) is None


def test_only_its_owner_can_look_into_it(tmp_path: Path) -> None:
    folder = tmp_path / "library" / "previews"
    before = os.umask(0)
    try:
        PreviewStore(folder).put(KEY, "image/jpeg", b"data")
    finally:
        os.umask(before)

    (file,) = folder.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@given(at=st.integers(0, 10_000), value=st.integers(0, 255), cut=st.booleans())
def test_a_torn_or_changed_file_is_not_taken(
    tmp_path_factory: pytest.TempPathFactory, at: int, value: int, cut: bool
) -> None:
    folder = tmp_path_factory.mktemp("torn") / "previews"
    store = PreviewStore(folder)
    store.put(KEY, "image/jpeg", b"some data")
    (file,) = folder.iterdir()
    content = bytearray(file.read_bytes())
    at %= len(content)
    if cut:
        del content[at:]
    else:
        content[at] = value
    is_same = bytes(content) == file.read_bytes()
    file.write_bytes(content)

    assert store.get(KEY) == (("image/jpeg", b"some data") if is_same else None)


def test_a_file_of_another_preview_or_of_nobody_is_not_taken(tmp_path: Path) -> None:
    store = PreviewStore(tmp_path / "previews")
    store.put(KEY, "image/jpeg", b"one")
    (file,) = (tmp_path / "previews").iterdir()
    for other in ("b" * 32, "c" * 32, "d" * 32, "e" * 32):
        path = file.with_name(f"{other}.preview")
        if other[0] == "b":
            path.write_bytes(file.read_bytes())
        elif other[0] == "c":
            path.symlink_to(file)
        elif other[0] == "d":
            path.mkdir()
        else:
            os.mkfifo(path)
        assert store.get(other) is None


def test_no_more_is_kept_than_may_be_and_the_latest_stays(tmp_path: Path) -> None:
    limit = 100_000
    store = PreviewStore(tmp_path / "previews", limit_bytes=limit)
    for at in range(100):
        store.put(f"{at:032x}", "image/jpeg", bytes(3000))
        assert store.size_bytes() <= limit
        path = tmp_path / "previews" / f"{at:032x}.preview"
        os.utime(path, (at, at))
        if at > 0:  # the first is used all the time
            os.utime(path.with_name(f"{0:032x}.preview"), (at + 0.5, at + 0.5))

    assert store.get(f"{99:032x}") is not None
    assert store.get(f"{0:032x}") is not None
    assert store.get(f"{1:032x}") is None


def test_using_a_preview_keeps_it(tmp_path: Path) -> None:
    store = PreviewStore(tmp_path / "previews")
    store.put(KEY, "image/jpeg", b"data")
    (file,) = (tmp_path / "previews").iterdir()
    os.utime(file, (1, 1))

    store.get(KEY)

    assert time.time() - file.stat().st_mtime < 60


def test_two_processes_that_fill_a_folder_stay_within_its_limit(tmp_path: Path) -> None:
    limit = 200_000
    stores = [PreviewStore(tmp_path / "previews", limit_bytes=limit) for _ in range(2)]
    for at in range(300):
        stores[at % 2].put(f"{at:032x}", "image/jpeg", bytes(2000))

    assert stores[0].size_bytes() <= limit * 1.2


def test_parts_that_a_killed_process_left_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "previews"
    store = PreviewStore(folder, limit_bytes=10_000)
    store.put(KEY, "image/jpeg", b"data")
    old, new, other = folder / "old.part", folder / "new.part", folder / "notes.txt"
    for path in (old, new, other):
        path.write_bytes(b"x")
    os.utime(old, (1, 1))
    os.utime(other, (1, 1))

    for at in range(20):
        store.put(f"{at:032x}", "image/jpeg", bytes(1000))

    assert not old.exists()
    assert other.exists()


@pytest.mark.parametrize("way", ["file", "link", "closed"])
def test_a_folder_that_cannot_be_used_keeps_nothing_and_breaks_nothing(
    tmp_path: Path, way: str
) -> None:
    folder = tmp_path / "previews"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if way == "file":
        folder.write_text("mine")
    elif way == "link":
        folder.symlink_to(elsewhere)
    else:
        if os.geteuid() == 0:
            pytest.skip("no folder is closed to root")
        tmp_path.chmod(0o500)
    store = PreviewStore(folder)

    store.put(KEY, "image/jpeg", b"data")

    assert store.get(KEY) is None
    assert not list(elsewhere.iterdir())
    tmp_path.chmod(0o700)


def test_a_limit_of_nothing_keeps_nothing(tmp_path: Path) -> None:
    store = PreviewStore(tmp_path / "previews", limit_bytes=0)
    store.put(KEY, "image/jpeg", b"data")

    assert store.get(KEY) is None


def test_they_lie_beside_the_index_and_not_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMSEARCH_CACHE", str(tmp_path / "cache"))
    here, far = Location(str(tmp_path)), Location("s3://bucket/library")

    assert previews_folder(here).parent == here.folder
    for location in (here, far):
        assert not previews_folder(location).is_relative_to(location.cache_folder)
    assert previews_folder(far) != previews_folder(Location("s3://bucket/other"))


# who makes them


def test_threads_come_with_work_and_go_without() -> None:
    makers: PreviewWorkers[str] = PreviewWorkers(2, idle_s=0.2)
    assert not makers._threads

    futures = [makers.submit(lambda _: threading.current_thread().name) for _ in range(20)]
    wait(futures, timeout=HANG_S)

    assert 1 <= len(makers._threads) <= 2
    wait_until(lambda: not makers._threads)
    assert makers.submit(lambda _: "again").result(timeout=HANG_S) == "again"
    makers.close()


def test_at_most_so_many_work_at_once() -> None:
    makers: PreviewWorkers[int] = PreviewWorkers(3)
    lock = threading.Lock()
    now = most = 0

    def work(_: Decoder) -> int:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.01)
        with lock:
            now -= 1
        return now

    wait([makers.submit(work) for _ in range(60)], timeout=HANG_S)

    assert most == 3
    makers.close()


def test_errors_are_told_where_the_result_is_wanted_and_work_goes_on() -> None:
    makers: PreviewWorkers[int] = PreviewWorkers(1)

    def fail(_: Decoder) -> int:
        raise KeyError("x")

    with pytest.raises(KeyError):
        makers.submit(fail).result(timeout=HANG_S)
    assert makers.submit(lambda _: 3).result(timeout=HANG_S) == 3
    makers.close()


def test_too_many_are_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "WAITING", 5)
    makers: PreviewWorkers[int] = PreviewWorkers(1)
    begun, go = threading.Event(), threading.Event()

    def work(_: Decoder) -> int:
        begun.set()
        go.wait(HANG_S)
        return 1

    futures: list[Future[int]] = [makers.submit(work)]
    begun.wait(HANG_S)
    futures += [makers.submit(work) for _ in range(5)]
    with pytest.raises(Busy):
        makers.submit(work)
    go.set()
    assert [future.result(timeout=HANG_S) for future in futures] == [1] * 6
    makers.close()


def test_closing_ends_what_waits_and_what_comes() -> None:
    makers: PreviewWorkers[int] = PreviewWorkers(1)
    begun = threading.Event()

    def work(decoder: Decoder) -> int:
        begun.set()
        while not decoder._is_stopped():
            time.sleep(0.01)
        return 1

    first = makers.submit(work)
    begun.wait(HANG_S)
    second = makers.submit(work)
    makers.close()

    assert first.result(timeout=HANG_S) == 1
    with pytest.raises(Busy):
        second.result(timeout=HANG_S)
    with pytest.raises(Busy):
        makers.submit(work)


def test_what_nobody_waits_for_any_more_is_not_made() -> None:
    makers: PreviewWorkers[int] = PreviewWorkers(1)
    begun, go = threading.Event(), threading.Event()
    made: list[int] = []

    def hold(_: Decoder) -> int:
        begun.set()
        go.wait(HANG_S)
        return 0

    def make(_: Decoder) -> int:
        made.append(1)
        return 1

    first = makers.submit(hold)
    begun.wait(HANG_S)
    second = makers.submit(make)
    assert second.cancel()
    go.set()
    assert first.result(timeout=HANG_S) == 0
    assert makers.submit(lambda _: 2).result(timeout=HANG_S) == 2
    assert not made
    makers.close()
