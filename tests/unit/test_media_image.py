"""Pictures of every mode come out upright, in RGB, and bounded."""

from __future__ import annotations

import io
import struct
import zlib
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from mmsearch.errors import DecodeError, MediaTooLarge
from mmsearch.media.base import Content, Described, Limits, LoadOptions, Picture
from mmsearch.media.pictures.exif import format_camera
from mmsearch.media.pictures.file_dates import parse_date
from mmsearch.media.registry import load
from mmsearch.runtime.resize import fit_size
from mmsearch.types import Metadata, Modality, Omission, OmissionCause, PictureFit, Place

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def read(path: Path, options: LoadOptions | None = None) -> tuple[Metadata, list[Picture]]:
    contents: list[Content] = list(load(path, options or LoadOptions()))
    first, *rest = contents
    assert isinstance(first, Described)
    assert first.modality is Modality.IMAGE
    pictures = [content for content in rest if isinstance(content, Picture)]
    assert pictures
    assert all(isinstance(content, Picture | Omission) for content in rest)
    for picture in pictures:
        assert picture.pixels.dtype == np.uint8
        assert picture.pixels.ndim == 3
        assert picture.pixels.shape[2] == 3
    return first.metadata, pictures


def within(px: int) -> LoadOptions:
    return LoadOptions(picture=PictureFit("within", px, "lanczos"))


def near(pixels: np.ndarray, expected: tuple[int, int, int], tolerance: int = 30) -> bool:
    mean = pixels.reshape(-1, 3).mean(axis=0)
    return bool(np.abs(mean - np.array(expected)).max() <= tolerance)


def half_red(size: tuple[int, int] = (40, 20)) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, BLUE)
    image.paste(RED, (0, 0, size[0] // 2, size[1]))
    return image


@pytest.mark.parametrize(
    "suffix", [".png", ".jpg", ".webp", ".bmp", ".gif", ".tiff", ".tga", ".avif"]
)
def test_formats_keep_size_and_colour(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    half_red().save(path)
    metadata, (picture,) = read(path)
    assert (metadata.width_px, metadata.height_px) == (40, 20)
    assert picture.pixels.shape == (20, 40, 3)
    assert picture.place == Place()
    assert near(picture.pixels[:, :18], RED)
    assert near(picture.pixels[:, 22:], BLUE)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff"])
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright = half_red()
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x112] = orientation
    path = tmp_path / f"a{suffix}"
    stored.save(path, exif=exif)
    metadata, (picture,) = read(path)
    assert (metadata.width_px, metadata.height_px) == (40, 20)
    assert near(picture.pixels[:, :17], RED)
    assert near(picture.pixels[:, 23:], BLUE)


def test_alpha_lies_on_white(tmp_path: Path) -> None:
    image = half_red().convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 20, 20))
    image.save(tmp_path / "a.png")
    _, (picture,) = read(tmp_path / "a.png")
    assert near(picture.pixels[:, :20], (255, 255, 255), 0)
    assert near(picture.pixels[:, 20:], BLUE, 0)


def test_transparent_palette_lies_on_white(tmp_path: Path) -> None:
    image = half_red().quantize(4)
    image.save(tmp_path / "a.png", transparency=image.getpixel((0, 0)))
    _, (picture,) = read(tmp_path / "a.png")
    assert near(picture.pixels[:, :20], (255, 255, 255), 2)


def test_grey_with_alpha_lies_on_white(tmp_path: Path) -> None:
    Image.new("LA", (8, 8), (0, 0)).save(tmp_path / "a.png")
    _, (picture,) = read(tmp_path / "a.png")
    assert picture.pixels.min() == 255


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    half_red().convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    _, (picture,) = read(tmp_path / "a.jpg")
    assert near(picture.pixels[:, :16], RED)


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        (np.array([[0, 65535]], dtype=np.uint16), 0, 255),
        (np.array([[0, 4095]], dtype=np.uint16), 0, 255),
        (np.array([[0, 32768, 65535]], dtype=np.uint16), 0, 255),
        (np.array([[0.0, 1.0]], dtype=np.float32), 0, 255),
        (np.array([[-5.0, 5.0]], dtype=np.float32), 0, 255),
        (np.array([[0, 2**30]], dtype=np.int32), 0, 255),
        (np.array([[0.0, np.nan, 1.0, np.inf]], dtype=np.float32), 0, 255),
    ],
)
def test_deep_pictures_are_scaled(tmp_path: Path, values: np.ndarray, low: int, high: int) -> None:
    Image.fromarray(np.repeat(np.repeat(values, 8, 0), 8, 1)).save(tmp_path / "a.tiff")
    _, (picture,) = read(tmp_path / "a.tiff")
    assert (picture.pixels.min(), picture.pixels.max()) == (low, high)


def test_sixteen_bits_keep_the_middle_when_shrunk(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 3000, dtype=np.uint16)
    Image.fromarray(np.repeat(ramp[None], 300, 0)).save(tmp_path / "a.png")
    _, (picture,) = read(
        tmp_path / "a.png", LoadOptions(picture=PictureFit("within", 300, "lanczos"))
    )
    assert picture.pixels.shape == (30, 300, 3)
    assert abs(int(picture.pixels[15, 150, 0]) - 128) <= 2


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_shallow_pictures_are_read(tmp_path: Path, mode: str) -> None:
    half_red().convert("L").convert(mode).save(tmp_path / "a.png")
    _, (picture,) = read(tmp_path / "a.png")
    assert picture.pixels.shape == (20, 40, 3)


def test_a_profile_is_applied_and_a_broken_one_ignored(tmp_path: Path) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = lab.replace(b"rXYZ", b"tmpX").replace(b"gXYZ", b"rXYZ").replace(b"tmpX", b"gXYZ")
    for name, profile in (("ok", lab), ("broken", b"\0" * 300), ("odd", swapped)):
        half_red().save(tmp_path / f"{name}.png", icc_profile=profile)
        _, (picture,) = read(tmp_path / f"{name}.png")
        assert picture.pixels.shape == (20, 40, 3)


def test_long_side_is_bounded_and_never_grown(tmp_path: Path) -> None:
    half_red((3000, 1000)).save(tmp_path / "a.jpg")
    metadata, (picture,) = read(
        tmp_path / "a.jpg", LoadOptions(picture=PictureFit("within", 600, "lanczos"))
    )
    assert (metadata.width_px, metadata.height_px) == (3000, 1000)
    assert picture.pixels.shape == (200, 600, 3)


@pytest.mark.parametrize("size", [(1, 1), (5000, 1), (1, 5000), (1023, 3)])
def test_odd_shapes_work(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, GREEN).save(tmp_path / "a.png")
    _, (picture,) = read(tmp_path / "a.png")
    assert picture.pixels.shape[:2] == fit_size(*size, 1024)[::-1]
    assert near(picture.pixels, GREEN, 1)


def test_animation_gives_frames_spread_over_it(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), (at * 20, 0, 0)) for at in range(12)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    _, pictures = read(tmp_path / "a.gif", LoadOptions(animation_frames=4))
    assert [picture.place.page for picture in pictures] == [None, 4, 7, 10]
    assert [int(picture.pixels[0, 0, 0]) // 20 for picture in pictures] == [0, 3, 6, 9]


def test_animated_webp_and_short_animations_work(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), (at * 90, 0, 0)) for at in range(2)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    _, pictures = read(tmp_path / "a.webp")
    assert [picture.place.page for picture in pictures] == [None, 2]


def test_pages_of_a_tiff_are_numbered(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (16 + at, 16), (at * 50, 0, 0)) for at in range(5)]
    pages[0].save(tmp_path / "a.tiff", save_all=True, append_images=pages[1:])
    metadata, pictures = read(tmp_path / "a.tiff", LoadOptions(limits=Limits(picture_pages=3)))
    assert [picture.place.page for picture in pictures] == [1, 2, 3]
    assert [picture.pixels.shape[1] for picture in pictures] == [16, 17, 18]
    assert metadata.page_count == 5


def test_a_huge_later_page_is_passed_over(tmp_path: Path) -> None:
    pages = [Image.new("L", size) for size in ((10, 10), (500, 500), (12, 10))]
    pages[0].save(tmp_path / "a.tiff", save_all=True, append_images=pages[1:])
    _, pictures = read(tmp_path / "a.tiff", LoadOptions(limits=Limits(pixels=1000)))
    assert [picture.place.page for picture in pictures] == [1, 3]


def save_pages(path: Path, count: int) -> bytes:
    pages = [Image.new("L", (20, 20 + at), at) for at in range(count)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    return path.read_bytes()


def omissions_of(path: Path, limits: Limits) -> list[Omission]:
    contents = load(path, LoadOptions(limits=limits))
    return [content for content in contents if isinstance(content, Omission)]


@pytest.mark.parametrize(
    ("count", "detail"),
    [
        (3, None),
        (4, "pages 4 to 4 of 4"),
        (11, "pages 4 to 11 of 11"),
        (40, "the pages after page 3"),
    ],
)
def test_pages_past_the_limit_are_said_to_be_left_out(
    tmp_path: Path, count: int, detail: str | None
) -> None:
    path = tmp_path / "fax.tif"
    save_pages(path, count)
    found = omissions_of(path, Limits(picture_pages=3))
    expected = Omission(OmissionCause.LIMIT, detail or "", "picture_pages", 3)
    assert found == ([expected] if detail else [])
    assert omissions_of(path, Limits()) == []


def test_a_page_with_too_many_pixels_is_said_to_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    pages = [Image.new("L", size) for size in ((10, 10), (500, 500), (12, 10))]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    (omission,) = omissions_of(path, Limits(pixels=1000))
    assert (omission.cause, omission.name) == (OmissionCause.LIMIT, "pixels")
    assert omission.detail == "page 2 has too many pixels"


@pytest.mark.parametrize("page", [1, 2, 4])
def test_a_damaged_page_costs_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    path = tmp_path / "a.tiff"
    noise = [Image.effect_noise((64, 64), 50 + at) for at in range(4)]
    noise[0].save(path, save_all=True, append_images=noise[1:], compression="tiff_adobe_deflate")
    data = bytearray(path.read_bytes())
    with Image.open(path) as image:
        image.seek(page - 1)
        start = image.tag_v2[273][0]
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(data)
    metadata, pictures = read(path)
    assert metadata.page_count == 4
    left_out = [f"page {page} cannot be read"]
    assert [picture.place.page for picture in pictures] == [at for at in (1, 2, 3, 4) if at != page]
    assert [(each.cause, each.detail) for each in omissions_of(path, Limits())] == [
        (OmissionCause.DAMAGED, detail) for detail in left_out
    ]


def test_pages_behind_a_broken_link_are_said_to_be_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    path = tmp_path / "a.tiff"
    data = save_pages(path, 4)
    with Image.open(path) as image:
        image.seek(3)
        start = struct.pack("<I", image.tag_v2._offset)  # type: ignore[attr-defined]
    path.write_bytes(data.replace(start, struct.pack("<I", len(data) - 1)))
    _, pictures = read(path)
    assert [picture.place.page for picture in pictures] == [1, 2, 3]
    assert [each.cause for each in omissions_of(path, Limits())] == [OmissionCause.DAMAGED]


def bomb_png(width: int, height: int) -> bytes:
    def part(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", b"") + part(b"IEND", b"")


@pytest.mark.parametrize("size", [(20_000, 15_000), (100_000, 100_000)])
def test_too_many_pixels_are_refused_before_decoding(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "a.png").write_bytes(bomb_png(*size))
    with pytest.raises(MediaTooLarge):
        read(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff", ".bmp"])
def test_a_truncated_picture_is_a_decode_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DecodeError):
        read(path)


def photo(tmp_path: Path, exif: Image.Exif) -> Metadata:
    half_red().save(tmp_path / "photo.jpg", exif=exif)
    return read(tmp_path / "photo.jpg")[0]


def test_metadata_of_a_photograph(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x10F], exif[0x110] = "Canon\0", "Canon EOS R5"
    exif[0x13B], exif[0x10E] = "A\x07 Name", "On the\nbeach"
    exif[0x9C9B] = "Titel äö".encode("utf-16-le") + b"\0\0"
    exif.get_ifd(0x8769).update(
        {
            0x9003: "2023:05:01 12:30:15",
            0x9011: "+02:00",
            0x9291: "25",
            0x9004: "1999:01:01 00:00:00",
        }
    )
    exif.get_ifd(0x8825).update({1: "S", 2: (33.0, 51.0, 24.12), 3: "E", 4: (151.0, 12.0, 30.0)})
    metadata = photo(tmp_path, exif)
    assert metadata.format == "JPEG"
    assert metadata.camera == "Canon EOS R5"
    assert metadata.artist == "A Name"
    assert metadata.description == "On the beach"
    assert metadata.title == "Titel äö"
    zone = timezone(timedelta(hours=2))
    assert metadata.taken_at == datetime(2023, 5, 1, 12, 30, 15, 250_000, tzinfo=zone)
    assert metadata.latitude == pytest.approx(-33.8567, abs=1e-4)
    assert metadata.longitude == pytest.approx(151.2083, abs=1e-4)


@pytest.mark.parametrize(
    "gps",
    [
        {1: "N", 2: (95.0, 0.0, 0.0), 3: "E", 4: (10.0, 0.0, 0.0)},
        {1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)},
        {1: "N", 2: (12.0, 0.0, 0.0)},
        {},
    ],
)
def test_impossible_places_are_left_out(tmp_path: Path, gps: dict[int, object]) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8825).update(gps)
    metadata = photo(tmp_path, exif)
    assert (metadata.latitude, metadata.longitude) == (None, None)


def test_xmp_gives_title_and_description(tmp_path: Path) -> None:
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/"><r:Description><dc:title><r:Alt><r:li>Dunes'
        "</r:li></r:Alt></dc:title><dc:description><r:Alt><r:li>Sand &amp; sea</r:li></r:Alt>"
        "</dc:description></r:Description></r:RDF></x:xmpmeta>"
    )
    half_red().save(tmp_path / "a.jpg", xmp=packet.encode())
    metadata, _ = read(tmp_path / "a.jpg")
    assert metadata.title == "Dunes"
    assert metadata.description == "Sand & sea"


def test_hostile_exif_costs_no_picture(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    half_red().save(buffer, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\xff" * 500)
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue())
    metadata, (picture,) = read(tmp_path / "a.jpg")
    assert metadata.width_px == 40
    assert picture.pixels.shape == (20, 40, 3)


@pytest.mark.parametrize(
    ("make", "model", "expected"),
    [
        ("NIKON CORPORATION", "NIKON D90", "NIKON D90"),
        ("Apple", "iPhone 15", "Apple iPhone 15"),
        (None, "X100", "X100"),
        ("Leica", None, "Leica"),
        (None, None, None),
        (b"\xff\xff", 17, "ÿÿ"),
    ],
)
def test_camera_names_the_make_once(make: object, model: object, expected: str | None) -> None:
    assert format_camera(make, model) == expected


@pytest.mark.parametrize(
    "text", ["0000:00:00 00:00:00", "    :  :  ", "2023:13:01 00:00:00", "", None]
)
def test_dates_without_sense_are_none(text: str | None) -> None:
    assert parse_date(text) is None


def test_heic_is_read_upright(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="writing HEIC needs pillow-heif")
    exif = Image.Exif()
    exif[0x112] = 6
    heif = pillow_heif.from_pillow(half_red((64, 32)).transpose(Image.Transpose.ROTATE_90))
    heif.save(tmp_path / "a.heic", exif=exif.tobytes())
    metadata, (picture,) = read(tmp_path / "a.heic")
    assert (metadata.width_px, metadata.height_px) == (64, 32)
    assert near(picture.pixels[:, :28], RED)
