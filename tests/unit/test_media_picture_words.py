"""The words that photographs carry: keywords, captions, comments, places, dates and prompts."""

from __future__ import annotations

import json
import struct
import zlib
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin, TiffImagePlugin

from mmsearch.media.base import Described, LoadOptions
from mmsearch.media.pictures.exif import decode_user_comment
from mmsearch.media.pictures.iptc import find_iptc, read_iptc
from mmsearch.media.pictures.picture_facts import PictureFacts, combine_facts, merge_metadata
from mmsearch.media.pictures.xmp import read_xmp
from mmsearch.media.registry import load
from mmsearch.types import Metadata

_UTF8 = (1, 90, b"\x1b%G")


def read(path: Path) -> Metadata:
    described = next(iter(load(path, LoadOptions())))
    assert isinstance(described, Described)
    return described.metadata


def record(*fields: tuple[int, int, bytes]) -> bytes:
    return b"".join(
        bytes([0x1C, kind, number]) + len(value).to_bytes(2, "big") + value
        for kind, number, value in fields
    )


def photoshop(iptc: bytes) -> bytes:
    padded = iptc + b"\0" * (len(iptc) % 2)
    return b"8BIM\x04\x04\0\0" + len(iptc).to_bytes(4, "big") + padded


def packet(properties: str = "", attributes: str = "") -> bytes:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/"'
        ' xmlns:ps="http://ns.adobe.com/photoshop/1.0/"'
        ' xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
        ' xmlns:exif="http://ns.adobe.com/exif/1.0/"'
        ' xmlns:lr="http://ns.adobe.com/lightroom/1.0/"'
        ' xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"'
        ' xmlns:ext="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
        ' xmlns:core="http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"'
        ' xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"'
        ' xmlns:MPReg="http://ns.microsoft.com/photo/1.2/t/Region#"'
        ' xmlns:digiKam="http://www.digikam.org/ns/1.0/"'
        f" {attributes}>{properties}</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def bag(name: str, *items: str) -> str:
    listed = "".join(f"<rdf:li>{item}</rdf:li>" for item in items)
    return f"<{name}><rdf:Bag>{listed}</rdf:Bag></{name}>"


def save_jpeg(path: Path, *segments: tuple[int, bytes]) -> Path:
    Image.new("RGB", (16, 16)).save(path)
    data = path.read_bytes()
    added = b"".join(
        bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body
        for marker, body in segments
    )
    path.write_bytes(data[:2] + added + data[2:])
    return path


IPTC = record(
    _UTF8,
    (2, 5, b"Harvest"),
    (2, 25, "Größe".encode()),
    (2, 25, b"Uncle Bob"),
    (2, 55, b"20160203"),
    (2, 60, b"040506+0100"),
    (2, 80, b"A. Name"),
    (2, 90, b"Krems"),
    (2, 92, b"Old Town"),
    (2, 95, b"Lower Austria"),
    (2, 101, b"Austria"),
    (2, 105, b"Plums in autumn"),
    (2, 120, b"By the barn"),
)


def check_iptc(metadata: Metadata) -> None:
    assert metadata.title == "Harvest"
    assert metadata.keywords == ("Größe", "Uncle Bob")
    assert metadata.location == "Old Town, Krems, Lower Austria, Austria"
    assert metadata.description == "By the barn · Plums in autumn"
    assert metadata.artist == "A. Name"
    zone = timezone(timedelta(hours=1))
    assert metadata.taken_at == datetime(2016, 2, 3, 4, 5, 6, tzinfo=zone)


def test_iptc_of_a_jpeg(tmp_path: Path) -> None:
    body = b"Photoshop 3.0\0" + photoshop(IPTC)
    check_iptc(read(save_jpeg(tmp_path / "a.jpg", (0xED, body))))


@pytest.mark.parametrize("kind", [1, 4, 7])
@pytest.mark.parametrize("is_swapped", [False, True])
def test_iptc_of_a_tiff_in_each_declared_type(tmp_path: Path, kind: int, is_swapped: bool) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    padded = IPTC + bytes(-len(IPTC) % 4)
    if is_swapped:
        padded = b"".join(padded[at : at + 4][::-1] for at in range(0, len(padded), 4))
    tags.tagtype[33723] = 7
    tags[33723] = padded
    path = tmp_path / "a.tif"
    Image.new("RGB", (8, 8)).save(path, tiffinfo=tags)
    data = path.read_bytes()
    count = len(padded) // 4 if kind == 4 else len(padded)
    entry = struct.pack("<HHI", 33723, 7, len(padded))
    assert data.count(entry) == 1
    path.write_bytes(data.replace(entry, struct.pack("<HHI", 33723, kind, count)))
    check_iptc(read(path))


def test_iptc_in_the_photoshop_block_of_a_tiff(tmp_path: Path) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags.tagtype[34377] = 7
    tags[34377] = photoshop(IPTC)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.tif", tiffinfo=tags)
    check_iptc(read(tmp_path / "a.tif"))


def test_iptc_in_a_text_field_of_a_png(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    data = photoshop(IPTC)
    info.add_text("Raw profile type iptc", f"\niptc\n{len(data):8}\n{data.hex()}\n", zip=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=info)
    check_iptc(read(tmp_path / "a.png"))


@pytest.mark.parametrize(
    ("fields", "keyword"),
    [
        ([(2, 25, "Grün".encode("latin-1"))], "Grün"),
        ([(2, 25, "Grün".encode())], "Grün"),
        ([(1, 90, b"\x1b.A"), (2, 25, "Grün".encode("latin-1"))], "Grün"),
        ([_UTF8, (2, 25, "猫".encode())], "猫"),
        ([_UTF8, (2, 25, "Grün".encode("latin-1"))], "Grün"),
    ],
)
def test_iptc_in_its_character_sets(fields: list[tuple[int, int, bytes]], keyword: str) -> None:
    assert read_iptc(record(*fields)).keywords == (keyword,)


@given(st.binary(max_size=300))
def test_hostile_iptc_raises_nothing(data: bytes) -> None:
    read_iptc(b"\x1c\x02\x19" + data)
    find_iptc(b"8BIM" + data)


def test_xmp_keywords_people_and_regions() -> None:
    region = '<rdf:li><rdf:Description mwg-rs:Name="Hilde" mwg-rs:Type="Face"/></rdf:li>'
    facts = read_xmp(
        packet(
            bag("dc:subject", "Plum fair", "Autumn")
            + bag("lr:hierarchicalSubject", "Places|Austria|Krems")
            + bag("digiKam:TagsList", "Trips/Rome")
            + bag("ext:PersonInImage", "Aunt Ida")
            + f"<mwg-rs:Regions rdf:parseType='Resource'><mwg-rs:RegionList><rdf:Bag>{region}"
            "<rdf:li rdf:parseType='Resource'><mwg-rs:Name>Otto</mwg-rs:Name></rdf:li>"
            "</rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>"
            "<MPReg:PersonDisplayName>Emil</MPReg:PersonDisplayName>"
            "<crs:Look><rdf:Description crs:Name='Adobe Color'/></crs:Look>"
        )
    )
    wanted = {
        "Plum fair",
        "Autumn",
        "Krems",
        "Austria",
        "Rome",
        "Aunt Ida",
        "Hilde",
        "Otto",
        "Emil",
    }
    assert wanted <= set(facts.keywords)
    assert "Adobe Color" not in facts.keywords


@pytest.mark.parametrize("form", ["elements", "attributes"])
def test_xmp_as_elements_and_as_attributes(form: str) -> None:
    values = {
        "ps:City": "Krems",
        "ps:State": "Lower Austria",
        "ps:Country": "Austria",
        "core:Location": "Old Town",
        "ps:Headline": "Plums",
        "ps:DateCreated": "1976-06-07",
        "exif:GPSLatitude": "46,12.3N",
        "exif:GPSLongitude": "6,8.4W",
    }
    if form == "elements":
        data = packet("".join(f"<{name}>{value}</{name}>" for name, value in values.items()))
    else:
        data = packet("", " ".join(f'{name}="{value}"' for name, value in values.items()))
    facts = read_xmp(data)
    assert facts.place == ("Old Town", "Krems", "Lower Austria", "Austria")
    assert facts.titles == ("Plums",)
    assert facts.created == datetime(1976, 6, 7)  # noqa: DTZ001
    assert (facts.latitude, facts.longitude) == (46.205, -6.14)


@pytest.mark.parametrize(
    ("latitude", "longitude", "expected"),
    [
        ("46,12,18N", "6,8,24E", (46.205, 6.14)),
        ("46.205", "6.14", (46.205, 6.14)),
        ("-33.5", "151.25", (-33.5, 151.25)),
        ("33,30S", "151,15E", (-33.5, 151.25)),
        ("0,0N", "0,0E", (None, None)),
        ("95,0N", "6,0E", (None, None)),
        ("46,75N", "6,0E", (None, None)),
        ("north", "6,0E", (None, None)),
    ],
)
def test_positions_in_xmp(
    latitude: str, longitude: str, expected: tuple[float | None, float | None]
) -> None:
    facts = read_xmp(packet("", f'exif:GPSLatitude="{latitude}" exif:GPSLongitude="{longitude}"'))
    assert (facts.latitude, facts.longitude) == expected


def test_xmp_title_and_description_of_several_languages() -> None:
    alternatives = (
        "<dc:{0}><rdf:Alt><rdf:li xml:lang='x-default'>{1}</rdf:li>"
        "<rdf:li xml:lang='de'>{2}</rdf:li></rdf:Alt></dc:{0}>"
    )
    data = alternatives.format("title", "Dunes", "Dünen")
    data += alternatives.format("description", "Sand &amp; sea", "Sand und Meer")
    metadata = combine_facts([read_xmp(packet(data))])
    assert metadata.title == "Dunes"
    assert metadata.description == "Sand & sea · Sand und Meer · Dünen"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".heic", ".avif"])
def test_xmp_in_each_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    data = packet(bag("dc:subject", "Zwetschgen"))
    image = Image.new("RGB", (64, 64))
    if suffix == ".heic":
        pillow_heif = pytest.importorskip("pillow_heif", reason="writing HEIC needs pillow-heif")
        heif = pillow_heif.from_pillow(image)
        heif.info["xmp"] = data
        heif.save(path)
    elif suffix == ".png":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", data.decode())
        image.save(path, pnginfo=info)
    elif suffix == ".tif":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags.tagtype[700] = 1
        tags[700] = data
        image.save(path, tiffinfo=tags)
    else:
        image.save(path, xmp=data)
    assert read(path).keywords == ("Zwetschgen",)


def test_extended_xmp_of_a_jpeg(tmp_path: Path) -> None:
    data = packet(bag("dc:subject", *(f"word{at}" for at in range(20))))
    half = len(data) // 2
    segments = [
        (
            0xE1,
            b"http://ns.adobe.com/xmp/extension/\0"
            + b"A" * 32
            + len(data).to_bytes(4, "big")
            + at.to_bytes(4, "big")
            + data[at : at + half + 1],
        )
        for at in (half + 1, 0)
    ]
    main = (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet(bag("dc:subject", "first")))
    keywords = read(save_jpeg(tmp_path / "a.jpg", main, *segments)).keywords
    assert keywords == ("first", *(f"word{at}" for at in range(20)))


def test_broken_xmp_keeps_what_stands_before_the_fault() -> None:
    data = packet(bag("dc:subject", "kept") + "<dc:title>")
    assert read_xmp(data[: data.index(b"</rdf:Description>")]).keywords == ("kept",)
    assert read_xmp(b'<!DOCTYPE a [<!ENTITY b "c">]>' + data) == PictureFacts()


@given(st.binary(max_size=300), st.integers(0, 300))
def test_hostile_xmp_raises_nothing(data: bytes, at: int) -> None:
    whole = packet(bag("dc:subject", "a"))
    read_xmp(whole[:at] + data + whole[at:])


def save_exif(path: Path, tags: dict[int, object], detail: dict[int, object]) -> Path:
    exif = Image.Exif()
    exif.update(tags)
    exif.get_ifd(0x8769).update(detail)
    Image.new("RGB", (16, 16)).save(path, exif=exif)
    return path


def test_words_that_windows_writes(tmp_path: Path) -> None:
    texts = {0x9C9B: "Titel", 0x9C9C: "Comment", 0x9C9E: "Größe; Krems", 0x9C9F: "Subject"}
    tags: dict[int, object] = {
        tag: text.encode("utf-16-le") + b"\0\0" for tag, text in texts.items()
    }
    metadata = read(save_exif(tmp_path / "a.jpg", tags, {}))
    assert metadata.title == "Titel"
    assert metadata.description == "Subject · Comment"
    assert metadata.keywords == ("Größe", "Krems")


@pytest.mark.parametrize(
    ("value", "endian", "expected"),
    [
        (b"ASCII\0\0\0Brambles\0\0", "<", "Brambles"),
        (b"ASCII\0\0\0" + "Größe".encode(), "<", "Größe"),
        (b"ASCII\0\0\0" + "Größe".encode("latin-1"), "<", "Größe"),
        (b"UNICODE\0" + "Größe am Zaun".encode("utf-16-le"), "<", "Größe am Zaun"),
        (b"UNICODE\0" + "Größe am Zaun".encode("utf-16-be"), ">", "Größe am Zaun"),
        (b"UNICODE\0" + "Größe am Zaun".encode("utf-16-be"), "<", "Größe am Zaun"),
        (b"UNICODE\0" + "Größe am Zaun".encode("utf-16-le"), ">", "Größe am Zaun"),
        (b"UNICODE\0" + "京都駅の近く".encode("utf-16-be"), "<", "京都駅の近く"),
        (b"UNICODE\0" + "京都駅の近く".encode("utf-16-le"), "<", "京都駅の近く"),
        (b"UNICODE\0" + "\ufeffZaun".encode("utf-16-be"), "<", "\ufeffZaun"),
        (b"UNICODE\0" + "Größe".encode(), "<", "Größe"),
        (b"JIS\0\0\0\0\0" + "京都".encode("iso2022_jp"), "<", "京都"),
        (b"\0\0\0\0\0\0\0\0plain", "<", "plain"),
        (b"no code at all", "<", "no code at all"),
        (17, "<", None),
    ],
)
def test_comments_of_exif(value: object, endian: str, expected: str | None) -> None:
    decoded = decode_user_comment(value, endian)
    assert (decoded or "").lstrip("\ufeff") == (expected or "").lstrip("\ufeff")


def test_utf8_in_exif_is_no_latin1(tmp_path: Path) -> None:
    tags: dict[int, object] = {0x10E: "Größe".encode(), 0x13B: "Zoë".encode()}
    metadata = read(save_exif(tmp_path / "a.jpg", tags, {}))
    assert metadata.description == "Größe"
    assert metadata.artist == "Zoë"


def test_comments_of_a_jpeg(tmp_path: Path) -> None:
    path = save_jpeg(
        tmp_path / "a.jpg",
        (0xFE, b"CREATOR: gd-jpeg v1.0 (using IJG JPEG v62), quality = 90"),
        (0xFE, b"Elder bush"),
        (0xFE, "am Zaun, Größe".encode("latin-1")),
    )
    assert read(path).description == "Elder bush · am Zaun, Größe"


def test_comment_of_a_gif(tmp_path: Path) -> None:
    Image.new("P", (8, 8)).save(tmp_path / "a.gif", comment=b"Elder bush")
    assert read(tmp_path / "a.gif").description == "Elder bush"


def test_text_fields_of_a_png(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "Barn")
    info.add_text("Comment", "Elder", zip=True)
    info.add_itxt("Description", "Größe")
    info.add_text("Keywords", "plum, pear")
    info.add_text("Creation Time", "Tue, 05 May 2020 10:11:12 GMT")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=info)
    metadata = read(tmp_path / "a.png")
    assert metadata.title == "Barn"
    assert metadata.description == "Elder · Größe"
    assert metadata.keywords == ("plum", "pear")
    assert metadata.taken_at == datetime(2020, 5, 5, 10, 11, 12, tzinfo=UTC)


def test_text_behind_the_pixels_of_a_png(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    body = b"tEXtComment\0late words"
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(data[:-12] + chunk + data[-12:])
    assert read(tmp_path / "a.png").description == "late words"


GRAPH = {
    "3": {"class_type": "KSampler", "inputs": {"seed": 5, "sampler_name": "euler"}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a plum orchard", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
}


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        ("parameters", "a plum orchard\nNegative prompt: blurry\nSteps: 20", "plum orchard"),
        ("prompt", json.dumps(GRAPH), "a plum orchard"),
        ("Comment", json.dumps({"prompt": "a plum orchard", "steps": 28}), "a plum orchard"),
        ("invokeai_metadata", json.dumps({"positive_prompt": "a plum orchard"}), "plum orchard"),
        ("parameters", "p" * 3_000 + " plum orchard", "plum orchard"),
    ],
)
def test_prompts_of_generated_pictures(
    tmp_path: Path, field: str, text: str, expected: str
) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text(field, text)
    info.add_text("workflow", json.dumps({"nodes": [{"widgets": ["noise words"]}]}))
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=info)
    description = read(tmp_path / "a.png").description or ""
    assert expected in description
    assert "class_type" not in description
    assert "noise words" not in description


def test_the_date_of_the_scene_comes_before_that_of_the_scan(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0132] = "2020:01:01 10:00:00"
    exif.get_ifd(0x8769)[0x9004] = "2019:01:01 10:00:00"
    data = packet("", 'ps:DateCreated="1974-06"')
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", exif=exif, xmp=data)
    assert read(tmp_path / "a.jpg").taken_at == datetime(1974, 6, 1)  # noqa: DTZ001


def test_equal_words_of_several_sources_are_kept_once() -> None:
    source = PictureFacts(descriptions=("By the barn",), keywords=("Plum",), place=("Krems",))
    metadata = combine_facts([source, PictureFacts(keywords=("plum", "Pear")), source])
    assert metadata.description == "By the barn"
    assert metadata.keywords == ("Plum", "Pear")
    assert metadata.location == "Krems"


def test_a_sidecar_adds_words_and_leaves_camera_facts() -> None:
    own = Metadata(
        title="IMG", description="barn", keywords=("plum",), latitude=1.0, longitude=2.0, camera="X"
    )
    beside = Metadata(
        title="Harvest",
        description="edited",
        keywords=("Plum", "pear"),
        latitude=5.0,
        longitude=6.0,
    )
    merged = merge_metadata(own, beside)
    assert merged.title == "Harvest"
    assert merged.description == "edited · barn · IMG"
    assert merged.keywords == ("plum", "pear")
    assert (merged.latitude, merged.longitude, merged.camera) == (1.0, 2.0, "X")
    assert merge_metadata(own, Metadata()) == own
