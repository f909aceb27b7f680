"""Pictures that viewers show although a part of their file is missing or broken."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from mmsearch.errors import DecodeError
from mmsearch.media.base import Content, Described, LoadOptions, Picture
from mmsearch.media.registry import load
from mmsearch.types import Metadata, Omission, OmissionCause


def read(path: Path, options: LoadOptions | None = None) -> tuple[Metadata, list[Content]]:
    described, *rest = load(path, options or LoadOptions())
    assert isinstance(described, Described)
    return described.metadata, rest


def photo(mode: str = "RGB") -> Image.Image:
    y, x = np.mgrid[0:300, 0:400]
    base = np.stack([x / 2, y / 2, (x + y) / 3], axis=2)
    noise = np.random.default_rng(0).integers(0, 30, base.shape)
    return Image.fromarray((base + noise + 1).clip(0, 255).astype(np.uint8)).convert(mode)


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


KINDS = [
    ("a.jpg", "RGB", {}),
    ("grey.jpg", "L", {}),
    ("progressive.jpg", "RGB", {"progressive": True}),
    ("cmyk.jpg", "CMYK", {}),
    ("a.png", "RGB", {}),
    ("palette.gif", "P", {"interlace": 0}),
    ("interlaced.gif", "P", {"interlace": 1}),
    ("a.webp", "RGB", {}),
    ("lossless.webp", "RGB", {"lossless": True}),
    ("a.bmp", "RGB", {}),
    ("a.tif", "RGB", {}),
]


@pytest.mark.parametrize(("name", "mode", "options"), KINDS, ids=[kind[0] for kind in KINDS])
def test_most_of_a_picture_is_a_picture_read_in_part(
    tmp_path: Path, name: str, mode: str, options: dict[str, object]
) -> None:
    path = tmp_path / name
    image = photo(mode)
    image.save(path, **options)  # type: ignore[arg-type]
    metadata, (picture, omission) = read(cut(path, 0.9))
    assert (metadata.width_px, metadata.height_px) == (400, 300)
    assert isinstance(omission, Omission)
    assert omission.cause is OmissionCause.DAMAGED
    assert omission.detail.startswith("the last ")
    assert isinstance(picture, Picture)
    expected = np.asarray(image.convert("RGB"), dtype=np.int16)[:200]
    assert np.abs(picture.pixels[:200] - expected).mean() < 40


# The first third of a progressive JPEG is the whole picture, coarse.
@pytest.mark.parametrize(
    ("name", "mode", "options"), [kind for kind in KINDS if kind[0] != "progressive.jpg"]
)
def test_a_third_of_a_picture_is_a_decode_error(
    tmp_path: Path, name: str, mode: str, options: dict[str, object]
) -> None:
    path = tmp_path / name
    photo(mode).save(path, **options)  # type: ignore[arg-type]
    with pytest.raises(DecodeError):
        read(cut(path, 0.33))


@pytest.mark.parametrize("count", [1, 2, 12])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.gif"])
def test_the_last_bytes_may_be_missing(tmp_path: Path, name: str, count: int) -> None:
    path = tmp_path / name
    photo("P" if name == "a.gif" else "RGB").save(path)
    path.write_bytes(path.read_bytes()[:-count])
    metadata, contents = read(path)
    assert (metadata.width_px, metadata.height_px) == (400, 300)
    assert isinstance(contents[0], Picture)


def test_a_cut_jpeg_is_also_prepared_for_ocr_and_shown_by_its_page(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    photo().resize((3000, 2000)).save(path)
    cut(path, 0.95)
    _, contents = read(path, LoadOptions(page=1, legible_px=2560))
    assert isinstance(contents[0], Picture)


def chunk(kind: bytes, body: bytes, *, is_sound: bool = True) -> bytes:
    checksum = zlib.crc32(kind + body) ^ (0 if is_sound else 1)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


@pytest.mark.parametrize("is_behind", [False, True])
@pytest.mark.parametrize(
    ("kind", "body"),
    [(b"tEXt", b"Comment\0hello"), (b"tIME", bytes(7)), (b"zTXt", b"Comment\0\0broken")],
)
def test_a_broken_note_costs_no_picture(
    tmp_path: Path, kind: bytes, body: bytes, is_behind: bool
) -> None:
    path = tmp_path / "a.png"
    photo().save(path)
    data = path.read_bytes()
    at = len(data) - 12 if is_behind else 33
    path.write_bytes(data[:at] + chunk(kind, body, is_sound=False) + data[at:])
    _, contents = read(path)
    assert len(contents) == 1
    picture = contents[0]
    assert isinstance(picture, Picture)
    assert np.array_equal(picture.pixels, np.asarray(photo()))


@pytest.mark.parametrize("kind", ["zTXt", "iTXt", "tEXt"])
def test_a_long_text_costs_no_picture_and_is_read(tmp_path: Path, kind: str) -> None:
    text = "plum orchard " + "x" * 2_000_000
    info = PngImagePlugin.PngInfo()
    if kind == "iTXt":
        info.add_itxt("Description", text, zip=True)
    else:
        info.add_text("Description", text, zip=kind == "zTXt")
    photo().save(tmp_path / "a.png", pnginfo=info)
    metadata, contents = read(tmp_path / "a.png")
    assert len(contents) == 1
    assert (metadata.description or "").startswith("plum orchard")


def test_damage_is_tolerated_for_one_file_only(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    photo().save(path)
    read(cut(path, 0.9))
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    assert PngImagePlugin.MAX_TEXT_CHUNK == ImageFile.SAFEBLOCK


def test_frames_that_are_missing_are_an_omission(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    image = photo()
    frames = [Image.fromarray(np.roll(np.asarray(image), at * 9, 1)) for at in range(8)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    _, contents = read(cut(path, 0.5))
    pictures = [content for content in contents if isinstance(content, Picture)]
    assert 1 <= len(pictures) < 4
    assert isinstance(contents[-1], Omission)
