"""Pictures of the assets of a library: right, made once, and never of anything else."""

from __future__ import annotations

import io
import itertools
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from mmsearch.errors import DecodeError, MediaError, MediaGone, MediaTooLarge, QueryError
from mmsearch.library import doctor, localization
from mmsearch.library.library import Library
from mmsearch.media.base import Limits, LoadOptions
from mmsearch.media.files import hash_content
from mmsearch.media.isolation import Decoder
from mmsearch.previews import Previews, preview_service, rendering
from mmsearch.types import Modality, Span
from tests.fakes import fake_library, write_film, write_picture, write_sound, write_text
from tests.patience import HANG_S

UNKNOWN = "0f" * 16


def filled(folder: Path) -> Path:
    write_picture(folder / "red.png", "red")
    write_text(folder / "note.txt", "a word about boats")
    write_sound(folder / "tone.wav", seconds=3.0)
    write_film(folder / "film.mp4", ["red", "green", "blue"])
    return folder


@pytest.fixture
def media(tmp_path: Path) -> Path:
    return filled(tmp_path / "media")


@pytest.fixture
def library(tmp_path: Path, media: Path) -> Iterator[Library]:
    with fake_library(tmp_path / "library") as opened:
        opened.index(media)
        yield opened


@pytest.fixture
def previews(library: Library) -> Iterator[Previews]:
    with Previews(library) as opened:
        yield opened


@dataclass(frozen=True)
class Standing:
    """A library that no test changes."""

    previews: Previews
    media: Path

    def id(self, name: str) -> str:
        return hash_content(self.media / name)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    root = tmp_path_factory.mktemp("standing")
    media = filled(root / "media")
    with fake_library(root / "library") as library, Previews(library) as previews:
        library.index(media)
        yield Standing(previews, media)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def colour(data: bytes) -> str:
    values = np.asarray(opened(data).convert("RGB")).reshape(-1, 3).mean(axis=0)
    return ("red", "green", "blue")[int(np.argmax(values))]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were decoded, one by one."""
    paths: list[Path] = []
    load = Decoder.load

    def noted(decoder: Decoder, path: Path, options: LoadOptions) -> Any:
        paths.append(path)
        return load(decoder, path, options)

    monkeypatch.setattr(Decoder, "load", noted)
    return paths


def test_a_picture_is_its_picture(standing: Standing) -> None:
    found = standing.previews.picture(standing.id("red.png"))

    assert found.media_type == "image/jpeg"
    assert opened(found.data).format == "JPEG"
    assert opened(found.data).size == (24, 16)
    assert colour(found.data) == "red"


@pytest.mark.parametrize(
    ("at_s", "expected"),
    [(0.0, "red"), (3.7, "red"), (4.0, "green"), (7.7, "green"), (8.0, "blue"), (99.0, "blue"),
     (None, "red")],
)  # fmt: skip
def test_a_still_is_what_is_shown_then(
    standing: Standing, at_s: float | None, expected: str
) -> None:
    found = standing.previews.picture(standing.id("film.mp4"), at_s=at_s)

    assert opened(found.data).size == (64, 48)
    assert colour(found.data) == expected


def test_pictures_are_upright_on_white_in_srgb_and_fitted(
    library: Library, media: Path, previews: Previews
) -> None:
    turned = Image.new("RGB", (900, 300), (250, 0, 0))
    turned.paste((0, 0, 250), (450, 0, 900, 300))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(media / "turned.jpg", exif=exif)
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save(media / "clear.png")
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    Image.new("RGB", (40, 40), (128, 128, 128)).save(media / "profile.png", icc_profile=lab)
    library.index(media)

    upright = opened(previews.picture(hash_content(media / "turned.jpg")).data)
    clear = opened(previews.picture(hash_content(media / "clear.png")).data)
    profiled = opened(previews.picture(hash_content(media / "profile.png")).data)

    assert upright.size == (107, 320)
    assert upright.getpixel((50, 30))[0] > 200
    assert upright.getpixel((50, 290))[2] > 200
    assert clear.convert("RGB").getpixel((5, 5)) == (255, 255, 255)
    assert profiled.size == (40, 40)


def test_a_page_is_the_page_of_a_segment(library: Library, media: Path, previews: Previews) -> None:
    pages = [Image.new("RGB", (32, 32), c) for c in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    pages[0].save(media / "pages.tiff", save_all=True, append_images=pages[1:])
    library.index(media)
    asset_id = hash_content(media / "pages.tiff")

    shown = [
        colour(previews.picture(asset_id, page=segment.place.page).data)
        for segment in library.segments(asset_id)
    ]

    assert shown == ["red", "green", "blue"]
    with pytest.raises(DecodeError, match="no page 4"):
        previews.picture(asset_id, page=4)


@pytest.mark.parametrize("px", [320, 5000, 10**9])
def test_no_picture_is_huge(library: Library, media: Path, previews: Previews, px: int) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1500, 2500, 3), dtype=np.uint8)
    Image.fromarray(noise).save(media / "large.jpg")
    library.index(media)

    found = previews.picture(hash_content(media / "large.jpg"), px=px)

    assert max(opened(found.data).size) == min(px, 1600)


def test_a_waveform_is_drawn(standing: Standing) -> None:
    found = standing.previews.waveform(standing.id("tone.wav"), span=Span(0.5, 2.5))

    assert found.media_type == "image/png"
    image = opened(found.data).convert("RGBA")
    assert image.size == (640, 120)
    heights = (np.asarray(image)[..., 3] > 0).sum(axis=0)[::4]
    assert (heights >= 118).all()  # a tone is as loud everywhere


def test_what_has_no_picture_or_sound_says_so(standing: Standing) -> None:
    previews = standing.previews
    note, red, film = (standing.id(one) for one in ("note.txt", "red.png", "film.mp4"))
    for asset_id in (note, standing.id("tone.wav")):
        with pytest.raises(QueryError, match="no picture"):
            previews.picture(asset_id)
    for asset_id in (note, red):
        with pytest.raises(QueryError, match="nothing to hear"):
            previews.waveform(asset_id)
    with pytest.raises(DecodeError, match="nothing to hear"):
        previews.waveform(film)


@pytest.mark.parametrize(
    "asset_id",
    [UNKNOWN, "", "x", "../../../etc/passwd", UNKNOWN.upper(), UNKNOWN + "0", "٣" * 32, "\0" * 32],
)
def test_what_is_no_asset_is_gone(standing: Standing, asset_id: str) -> None:
    with pytest.raises(MediaGone, match="no such asset"):
        standing.previews.picture(asset_id)


# made once


def test_a_preview_is_made_once_and_then_kept(
    library: Library, media: Path, decoded: list[Path]
) -> None:
    asset_id = hash_content(media / "film.mp4")
    with Previews(library) as first:
        made = first.picture(asset_id, at_s=5.0)
        assert first.picture(asset_id, at_s=5.04, px=300) == made
    with Previews(library) as second:
        assert second.picture(asset_id, at_s=5.0) == made
        assert second.size_bytes() > len(made.data)

    assert len(decoded) == 1


def test_thousands_who_want_the_same_cost_one(
    library: Library, media: Path, previews: Previews, decoded: list[Path]
) -> None:
    asset_id = hash_content(media / "film.mp4")
    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(lambda _: previews.picture(asset_id, at_s=9.0), range(2000)))

    assert len(decoded) == 1
    assert len({one.data for one in found}) == 1


def test_a_broken_file_is_not_tried_again_and_again(
    library: Library, media: Path, previews: Previews, decoded: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    asset_id = hash_content(media / "red.png")
    tight = LoadOptions(limits=Limits(pixels=9))
    monkeypatch.setattr(
        rendering, "LoadOptions", lambda **given: LoadOptions(limits=tight.limits, **given)
    )

    for px in (160, 320, 160, 1600):
        with pytest.raises(MediaTooLarge, match="megapixels"):
            previews.picture(asset_id, px=px)
    assert len(decoded) == 1

    monkeypatch.setattr(rendering, "LoadOptions", LoadOptions)
    monkeypatch.setattr(
        preview_service.time,
        "monotonic",
        lambda: time.perf_counter() + 10 * preview_service.FAILED_S,
    )
    assert colour(previews.picture(asset_id).data) == "red"


def test_a_torn_file_of_the_cache_is_made_anew(
    library: Library, media: Path, decoded: list[Path]
) -> None:
    asset_id = hash_content(media / "red.png")
    folder = library.path / "previews"
    with Previews(library) as previews:
        made = previews.picture(asset_id)
        (file,) = folder.iterdir()
        file.write_bytes(file.read_bytes()[:-5])
        assert previews.picture(asset_id) == made

    assert len(decoded) == 2


def test_tidying_and_repairing_the_index_leaves_them(
    library: Library, media: Path, decoded: list[Path]
) -> None:
    asset_id = hash_content(media / "red.png")
    with Previews(library) as previews:
        previews.picture(asset_id)
    write_text(media / "more.txt", "more")
    library.index(media)
    doctor.examine_library(library.path, repair=True)
    with Previews(library) as previews:
        previews.picture(asset_id)

    assert decoded.count(media / "red.png") == 1


# never of anything else


def test_what_was_kept_of_a_removed_asset_is_not_shown(
    library: Library, media: Path, previews: Previews
) -> None:
    asset_id = hash_content(media / "red.png")
    previews.picture(asset_id)
    library.remove(media / "red.png")

    with pytest.raises(MediaGone, match="no such asset"):
        previews.picture(asset_id)


@pytest.mark.parametrize("way", ["link", "other", "gone", "pipe"])
def test_a_file_that_was_replaced_is_not_pictured(
    media: Path, previews: Previews, tmp_path: Path, way: str
) -> None:
    path = media / "red.png"
    asset_id = hash_content(path)
    other = write_picture(tmp_path / "secret.png", "blue")
    path.unlink()
    if way == "link":
        path.symlink_to(other)
    elif way == "other":
        shutil.copy(other, path)
    elif way == "pipe":
        os.mkfifo(path)

    with pytest.raises(MediaGone):
        previews.picture(asset_id)


@pytest.mark.parametrize("way", ["link", "other", "and back", "broken"])
def test_a_file_that_is_replaced_while_it_is_decoded_is_not_pictured(
    media: Path, previews: Previews, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, aside = media / "red.png", media / "aside.png"
    asset_id = hash_content(path)
    secret = write_picture(tmp_path / "secret.png", "blue")
    load = Decoder.load

    def swapped(decoder: Decoder, at: Path, options: LoadOptions) -> Iterator[Any]:
        path.rename(aside)
        if way == "broken":
            path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(30))
        elif way == "other":
            shutil.copy(secret, path)
        else:
            path.symlink_to(secret)
        try:
            yield from load(decoder, at, options)
        finally:
            if way == "and back":
                path.unlink()
                aside.rename(path)

    monkeypatch.setattr(Decoder, "load", swapped)

    with pytest.raises(MediaGone):
        previews.picture(asset_id)
    monkeypatch.setattr(Decoder, "load", load)
    if way == "and back":
        assert colour(previews.picture(asset_id).data) == "red"


def test_a_copy_stands_in_for_a_file_that_is_gone(
    library: Library, media: Path, previews: Previews
) -> None:
    shutil.copy(media / "red.png", media / "twin.png")
    library.index(media)
    asset_id = hash_content(media / "twin.png")
    (media / "red.png").unlink()

    assert colour(previews.picture(asset_id).data) == "red"


# bounded


def test_a_decoder_that_does_not_end_is_left(
    media: Path, previews: Previews, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(decoder: Decoder, path: Path, options: LoadOptions) -> Iterator[Any]:
        del path, options
        while not decoder._is_stopped():
            time.sleep(0.01)
            yield from ()
        raise rendering.CancelledError

    monkeypatch.setattr("mmsearch.previews.workers.DEADLINE_S", 0.3)
    monkeypatch.setattr(Decoder, "load", endless)
    begun = time.monotonic()

    with pytest.raises(DecodeError, match="took longer"):
        previews.picture(hash_content(media / "red.png"))
    assert time.monotonic() - begun < HANG_S


def test_closing_does_not_wait_for_a_decoder(
    library: Library, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def endless(decoder: Decoder, path: Path, options: LoadOptions) -> Iterator[Any]:
        del path, options
        begun.set()
        while not decoder._is_stopped():
            time.sleep(0.01)
            yield from ()
        raise rendering.CancelledError

    monkeypatch.setattr(Decoder, "load", endless)
    previews = Previews(library)
    coming = previews.submit(previews.request_picture(hash_content(media / "red.png")))
    assert begun.wait(HANG_S)
    previews.close()

    with pytest.raises(MediaError):
        coming.result(timeout=HANG_S)


@pytest.mark.slow
def test_hostile_files_are_pictured_or_refused(tmp_path: Path, data: Path) -> None:
    """Each in bounded time, and no decoder with more memory than it may have."""
    files = sorted(path for path in (data / "hostile").rglob("*") if path.is_file())
    folder = tmp_path / "hostile"
    folder.mkdir()
    for at, path in enumerate(files):
        shutil.copy(path, folder / f"{at:03d}{path.suffix}")
    with fake_library(tmp_path / "library") as library:
        library.index(folder)
        segments = {path: hash_content(path) for path in sorted(folder.iterdir())}
        shown = refused = 0
        with Previews(library) as previews:
            for asset_id in segments.values():
                shelved = library.asset(asset_id)
                if shelved is None:
                    continue
                begun = time.monotonic()
                try:
                    if shelved.asset.modality is Modality.AUDIO:
                        found = previews.waveform(asset_id)
                    else:
                        found = previews.picture(asset_id, at_s=3.0, px=640)
                    assert max(opened(found.data).size) <= 640
                    shown += 1
                except (MediaError, QueryError, MediaGone):
                    refused += 1
                assert time.monotonic() - begun < HANG_S
    assert shown > 300
    assert shown > 10 * refused


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux only")
def test_memory_of_the_decoder_is_bounded(
    library: Library, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (9000, 9000)).save(media / "wide.png")
    library.index(media)
    tight = Limits(memory_bytes=150 << 20)
    monkeypatch.setattr(
        rendering, "LoadOptions", lambda **given: LoadOptions(limits=tight, **given)
    )

    with Previews(library) as previews, pytest.raises(MediaTooLarge, match="memory"):
        previews.picture(hash_content(media / "wide.png"))


# what a heat map looks at


def test_the_picture_of_a_moment_is_found_again_without_reading_the_film(
    library: Library, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hits = library.search("red", min_score=0.0, limit=20)
    hit = next(one for one in hits if one.path.endswith("film.mp4"))
    assert len(hit.moments) >= 3
    asked: list[LoadOptions] = []
    load = Decoder.load

    def noted(decoder: Decoder, path: Path, options: LoadOptions) -> Any:
        asked.append(options)
        return load(decoder, path, options)

    monkeypatch.setattr(Decoder, "load", noted)
    for moment in hit.moments:
        quick = localization.read_picture(hit, moment)
        assert [one.only for one in asked] == [moment.segment.span]
        asked.clear()
        with Decoder() as decoder:
            whole = load(decoder, Path(hit.path), LoadOptions(picture=localization.PictureFit(
                "within", localization.DECODED_PX, "lanczos")))  # fmt: skip
            slow = localization._find_picture(moment.segment.place, whole)
        assert slow is not None
        assert np.array_equal(quick, slow)


def test_a_moment_that_cannot_be_entered_is_read_from_the_start(
    library: Library, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hits = library.search("red", min_score=0.0, limit=20)
    hit = next(one for one in hits if one.path.endswith("film.mp4"))
    load = Decoder.load
    ways = itertools.count()

    def hindered(decoder: Decoder, path: Path, options: LoadOptions) -> Any:
        next(ways)
        if options.only is not None:
            raise DecodeError(path, "cannot be entered")
        return load(decoder, path, options)

    monkeypatch.setattr(Decoder, "load", hindered)

    assert localization.read_picture(hit, hit.moments[0]).shape == (48, 64, 3)
    assert next(ways) == 2
