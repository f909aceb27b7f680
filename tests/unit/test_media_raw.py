"""Camera RAW by its preview or its sensor, and JPEG XL."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmsearch.errors import DecodeError, MediaTooLarge
from mmsearch.media.base import Content, Described, Limits, LoadOptions, Picture
from mmsearch.media.pictures.embedded_jpeg import find_jpegs, read_layout, read_tag_bytes
from mmsearch.media.pictures.jpeg_xl import read_size
from mmsearch.media.registry import load
from mmsearch.types import Metadata, Omission, OmissionCause

RED, BLUE = (255, 0, 0), (0, 0, 255)
_CFA = 32803
Entries = dict[int, tuple[int, list[int] | bytes]]


def read(path: Path, limits: Limits | None = None) -> tuple[Metadata, list[Content]]:
    described, *rest = load(path, LoadOptions(limits=limits or Limits()))
    assert isinstance(described, Described)
    return described.metadata, rest


def jpeg(size: tuple[int, int], exif: Image.Exif | None = None) -> bytes:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, BLUE)
    image.paste(RED, (0, 0, size[0] // 2, size[1]))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, **({"exif": exif} if exif else {}))
    return buffer.getvalue()


class TiffBuilder:
    """Writes directories of TIFF one after the other; offsets count from the start."""

    def __init__(self, order: str = "<") -> None:
        self.order = order
        self.data = bytearray((b"II" if order == "<" else b"MM") + self.pack("HI", 42, 8))

    def pack(self, code: str, *values: int) -> bytes:
        return struct.pack(self.order + code, *values)

    def add(self, block: bytes) -> int:
        self.data += bytes(len(self.data) % 2)
        at = len(self.data)
        self.data += block
        return at

    def add_directory(self, entries: Entries) -> int:
        packed = b""
        for tag, (kind, value) in sorted(entries.items()):
            body = value
            if not isinstance(body, bytes):
                body = b"".join(self.pack({3: "H", 4: "I"}[kind], each) for each in body)
            count = len(body) // {3: 2, 4: 4, 5: 8}.get(kind, 1)
            stored = body.ljust(4, b"\0") if len(body) <= 4 else self.pack("I", self.add(body))
            packed += self.pack("HHI", tag, kind, count) + stored
        return self.add(self.pack("H", len(entries)) + packed + self.pack("I", 0))

    def finish(self, first: int, magic: bytes = b"") -> bytes:
        self.data[4:8] = self.pack("I", first)
        self.data[: len(magic)] = magic
        return bytes(self.data)


def build_raw(
    previews: list[bytes],
    *,
    order: str = "<",
    sensor: tuple[int, int] | None = (400, 300),
    orientation: int = 1,
    magic: bytes = b"",
    is_dng: bool = False,
    is_hidden: bool = False,
) -> bytes:
    """A RAW whose first directory is a thumbnail without compression, then previews, the sensor.

    `is_hidden` leaves the previews out of the directories.
    """
    tiff = TiffBuilder(order)
    subs = []
    if sensor is not None:
        width, height = sensor
        pixels = np.full((height, width), 2000, np.uint16)
        strip = tiff.add(pixels.astype(f"{order}u2").tobytes())
        directory: Entries = {
            254: (4, [0]),
            256: (4, [width]),
            257: (4, [height]),
            258: (3, [16]),
            259: (3, [1]),
            262: (3, [_CFA]),
            273: (4, [strip]),
            277: (3, [1]),
            278: (4, [height]),
            279: (4, [width * height * 2]),
            33421: (3, [2, 2]),
            33422: (1, bytes([0, 1, 1, 2])),
        }
        subs.append(tiff.add_directory(directory))
    for preview in previews:
        at = tiff.add(preview)
        if not is_hidden:
            subs.append(tiff.add_directory({513: (4, [at]), 514: (4, [len(preview)])}))
    thumbnail = tiff.add(bytes(160 * 120 * 3))
    first: Entries = {
        254: (4, [1]),
        256: (4, [160]),
        257: (4, [120]),
        258: (3, [8, 8, 8]),
        259: (3, [1]),
        262: (3, [2]),
        271: (2, b"Testmaker\0"),
        272: (2, b"Model X\0"),
        273: (4, [thumbnail]),
        274: (3, [orientation]),
        277: (3, [3]),
        278: (4, [120]),
        279: (4, [160 * 120 * 3]),
        306: (2, b"2022:02:04 04:05:06\0"),
    }
    if subs:
        first[330] = (4, subs)
    if is_dng:
        first[50706] = (1, bytes([1, 4, 0, 0]))
        first[50708] = (2, b"Testmaker Model X\0")
    return tiff.finish(tiff.add_directory(first), magic)


def check_upright(picture: Content, shape: tuple[int, int]) -> None:
    assert isinstance(picture, Picture)
    assert picture.pixels.shape[:2] == shape
    width = shape[1]
    assert picture.pixels[:, : width // 2 - 8].mean(axis=(0, 1))[0] > 200
    assert picture.pixels[:, width // 2 + 8 :].mean(axis=(0, 1))[2] > 200


@pytest.mark.parametrize("suffix", [".nef", ".arw", ".pef", ".srw", ".3fr", ".bin"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_largest_preview_is_the_picture(tmp_path: Path, suffix: str, order: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(build_raw([jpeg((80, 60)), jpeg((400, 300)), jpeg((200, 150))], order=order))
    metadata, contents = read(path)
    assert (metadata.width_px, metadata.height_px) == (400, 300)
    assert metadata.camera == "Testmaker Model X"
    assert metadata.taken_at is not None
    assert len(contents) == 1
    check_upright(contents[0], (300, 400))


@pytest.mark.parametrize(
    ("suffix", "magic"),
    [
        (".orf", b"IIRO"),
        (".orf", b"IIRS"),
        (".rw2", b"IIU\0"),
        (".cr2", b""),
        (".nef", b""),
        (".dat", b"IIRO"),
    ],
)
def test_a_preview_outside_the_directories_is_found(
    tmp_path: Path, suffix: str, magic: bytes
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(build_raw([jpeg((400, 300))], magic=magic, is_hidden=True))
    metadata, (picture,) = read(path)
    assert (metadata.width_px, metadata.height_px) == (400, 300)
    assert metadata.camera == "Testmaker Model X"
    check_upright(picture, (300, 400))


@pytest.mark.parametrize(
    ("suffix", "head"),
    [
        (".raf", b"FUJIFILMCCD-RAW 0201".ljust(160, b"\0")),
        (".cr3", b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom".ljust(64, b"\0")),
        (".x3f", b"FOVb".ljust(64, b"\0")),
    ],
)
def test_containers_of_their_own_are_searched(tmp_path: Path, suffix: str, head: bytes) -> None:
    exif = Image.Exif()
    exif[0x10F], exif[0x112] = "Testmaker", 6
    turned = Image.open(io.BytesIO(jpeg((1200, 800)))).transpose(Image.Transpose.ROTATE_90)
    buffer = io.BytesIO()
    turned.save(buffer, "JPEG", exif=exif)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(head + jpeg((160, 120)) + bytes(1000) + buffer.getvalue() + bytes(5000))
    metadata, (picture,) = read(path)
    assert metadata.format == suffix[1:].upper()
    assert metadata.camera == "Testmaker"
    assert (metadata.width_px, metadata.height_px) == (1200, 800)
    check_upright(picture, (683, 1024))


def test_the_facts_of_a_cr3_are_in_its_boxes(tmp_path: Path) -> None:
    first, detail, gps = TiffBuilder(), TiffBuilder(), TiffBuilder()
    degrees = struct.pack("<6I", 47, 1, 30, 1, 0, 1)
    position: Entries = {1: (2, b"N\0"), 2: (5, degrees), 3: (2, b"E\0"), 4: (5, degrees)}
    blocks = {
        b"CMT1": first.finish(first.add_directory({271: (2, b"Canon\0"), 274: (3, [6])})),
        b"CMT2": detail.finish(detail.add_directory({0x9003: (2, b"2022:02:04 04:05:06\0")})),
        b"CMT4": gps.finish(gps.add_directory(position)),
    }
    boxes = b"".join(
        (len(body) + 8).to_bytes(4, "big") + name + body for name, body in blocks.items()
    )
    turned = Image.open(io.BytesIO(jpeg((1200, 800)))).transpose(Image.Transpose.ROTATE_90)
    buffer = io.BytesIO()
    turned.save(buffer, "JPEG")
    path = tmp_path / "a.cr3"
    path.write_bytes(b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom" + boxes + buffer.getvalue())
    metadata, _ = read(path)
    assert metadata.camera == "Canon"
    assert metadata.taken_at is not None
    assert (metadata.latitude, metadata.longitude) == (47.5, 47.5)


@pytest.mark.parametrize(("orientation", "turn"), [(6, "ROTATE_90"), (8, "ROTATE_270")])
def test_the_orientation_of_the_file_turns_its_preview(
    tmp_path: Path, orientation: int, turn: str
) -> None:
    upright = Image.open(io.BytesIO(jpeg((300, 400))))
    buffer = io.BytesIO()
    upright.transpose(Image.Transpose[turn]).save(buffer, "JPEG", quality=95)
    path = tmp_path / "a.nef"
    path.write_bytes(build_raw([buffer.getvalue()], orientation=orientation))
    metadata, (picture,) = read(path)
    assert (metadata.width_px, metadata.height_px) == (300, 400)
    check_upright(picture, (400, 300))


def test_a_preview_that_the_camera_turned_is_not_turned_again(tmp_path: Path) -> None:
    path = tmp_path / "a.nef"
    path.write_bytes(build_raw([jpeg((300, 400))], orientation=6))
    metadata, (picture,) = read(path)
    assert (metadata.width_px, metadata.height_px) == (300, 400)
    check_upright(picture, (400, 300))


def test_lossless_jpeg_is_no_preview(tmp_path: Path) -> None:
    sensor = bytearray(jpeg((4000, 3000)))
    sensor[sensor.index(b"\xff\xc0") + 1] = 0xC3
    path = tmp_path / "a.cr2"
    path.write_bytes(build_raw([jpeg((400, 300)), bytes(sensor)]))
    assert read(path)[0].width_px == 400


def test_a_dng_without_preview_is_developed(tmp_path: Path) -> None:
    pytest.importorskip("rawpy", reason="needs the extra raw")
    path = tmp_path / "a.dng"
    path.write_bytes(build_raw([], is_dng=True))
    metadata, (picture,) = read(path)
    assert (metadata.width_px, metadata.height_px) == (400, 300)
    assert isinstance(picture, Picture)
    assert picture.pixels.shape == (150, 200, 3)


def test_a_raw_without_preview_and_decoder_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    path = tmp_path / "a.dng"
    path.write_bytes(build_raw([], is_dng=True))
    with pytest.raises(DecodeError, match=r"RAW \(DNG\).*preview.*mmsearch\[raw\]") as caught:
        read(path)
    assert caught.value.needs == "raw"


def test_a_small_preview_alone_is_an_omission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    path = tmp_path / "a.nef"
    path.write_bytes(build_raw([jpeg((100, 75))]))
    metadata, (picture, omission) = read(path)
    assert (metadata.width_px, metadata.height_px) == (400, 300)
    check_upright(picture, (75, 100))
    assert isinstance(omission, Omission)
    assert (omission.cause, omission.name) == (OmissionCause.EXTRA, "raw")


def test_an_ordinary_tiff_is_no_raw(tmp_path: Path) -> None:
    for name in ("a.tif", "a.nef"):
        Image.new("RGB", (40, 20), RED).save(tmp_path / name, "TIFF")
        metadata, (picture,) = read(tmp_path / name)
        assert metadata.format == "TIFF"
        assert isinstance(picture, Picture)
        assert picture.pixels.shape == (20, 40, 3)


def test_a_huge_preview_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nef"
    path.write_bytes(build_raw([jpeg((400, 300))]))
    with pytest.raises(MediaTooLarge):
        read(path, Limits(pixels=100_000))


@settings(deadline=None, max_examples=40)
@given(st.binary(max_size=200), st.integers(0, 400))
def test_hostile_directories_raise_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, at: int
) -> None:
    whole = build_raw([jpeg((16, 16))], sensor=(4, 4))
    path = tmp_path_factory.mktemp("raw") / "a.nef"
    start = max(0, len(whole) - at)
    path.write_bytes(whole[:start] + data + whole[start + len(data) :])
    with path.open("rb") as file:
        layout = read_layout(file)
        find_jpegs(file, layout.offsets)
        find_jpegs(file)
        read_tag_bytes(file, 700, 1000)


def test_directories_that_point_at_each_other_end(tmp_path: Path) -> None:
    tiff = TiffBuilder()
    data = bytearray(tiff.finish(tiff.add_directory({330: (4, [8, 8, 8])})))
    data[-4:] = struct.pack("<I", 8)
    (tmp_path / "a.nef").write_bytes(data)
    with (tmp_path / "a.nef").open("rb") as file:
        assert read_layout(file).offsets == ()


def encode_jxl(pixels: np.ndarray, **options: object) -> bytes:
    imagecodecs = pytest.importorskip("imagecodecs", reason="needs the extra raw")
    encoded: bytes = imagecodecs.jpegxl_encode(pixels, **options)
    return encoded


def red_and_blue(height: int, width: int, dtype: str = "u1") -> np.ndarray:
    pixels = np.zeros((height, width, 3), dtype)
    top = {"u1": 255, "u2": 65535, "f4": 1.0}[dtype]
    pixels[:, : width // 2, 0] = top
    pixels[:, width // 2 :, 2] = top
    return pixels


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("usecontainer", [False, True])
@pytest.mark.parametrize("name", ["a.jxl", "a.dat"])
def test_jpeg_xl_is_read(tmp_path: Path, dtype: str, usecontainer: bool, name: str) -> None:
    data = encode_jxl(red_and_blue(60, 100, dtype), usecontainer=usecontainer)
    (tmp_path / name).write_bytes(data)
    metadata, (picture,) = read(tmp_path / name)
    assert (metadata.format, metadata.width_px, metadata.height_px) == ("JXL", 100, 60)
    check_upright(picture, (60, 100))


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 2), (5, 7, 4), (1, 500, 3), (3, 8, 8, 3)])
def test_jpeg_xl_of_each_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    (tmp_path / "a.jxl").write_bytes(encode_jxl(np.full(shape, 255, np.uint8)))
    _, (picture,) = read(tmp_path / "a.jxl")
    assert isinstance(picture, Picture)
    assert picture.pixels.min() >= 250


def test_jpeg_xl_with_exif_and_xmp(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x10E], exif[0x112] = "by the lake", 6
    data = encode_jxl(red_and_blue(60, 100), usecontainer=True)
    body = bytes(4) + exif.tobytes()[6:]
    (tmp_path / "a.jxl").write_bytes(data + (len(body) + 8).to_bytes(4, "big") + b"Exif" + body)
    metadata, (picture,) = read(tmp_path / "a.jxl")
    assert metadata.description == "by the lake"
    check_upright(picture, (60, 100))


@pytest.mark.parametrize("size", [(100, 60), (8, 8), (256, 256), (1920, 1080), (3000, 2), (1, 9)])
def test_the_size_of_jpeg_xl_is_in_its_header(size: tuple[int, int]) -> None:
    width, height = size
    assert read_size(encode_jxl(np.zeros((height, width, 3), np.uint8))) == size


def test_a_huge_jpeg_xl_is_refused_before_decoding(tmp_path: Path) -> None:
    (tmp_path / "a.jxl").write_bytes(encode_jxl(np.zeros((200, 200, 3), np.uint8)))
    with pytest.raises(MediaTooLarge):
        read(tmp_path / "a.jxl", Limits(pixels=1000))


@pytest.mark.parametrize("share", [0.1, 0.3, 0.9])
def test_a_broken_jpeg_xl_is_a_decode_error(tmp_path: Path, share: float) -> None:
    data = encode_jxl(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    (tmp_path / "a.jxl").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DecodeError):
        read(tmp_path / "a.jxl")


def test_jpeg_xl_without_its_decoder_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jxl").write_bytes(encode_jxl(red_and_blue(60, 100)))
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(DecodeError, match=r"mmsearch\[raw\]") as caught:
        read(tmp_path / "a.jxl")
    assert caught.value.needs == "raw"
