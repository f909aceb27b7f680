"""The files beside a picture that say more about it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmsearch.media.base import Described, LoadOptions
from mmsearch.media.pictures.picture_sidecars import read_descriptions
from mmsearch.media.registry import load
from mmsearch.media.sidecars import find_sidecars
from mmsearch.types import Metadata

_EXPORT: dict[str, Any] = {
    "title": "a.jpg",
    "description": "by the lake",
    "photoTakenTime": {"timestamp": "1420848000", "formatted": ""},
    "geoData": {"latitude": 0.0, "longitude": 0.0, "altitude": 0.0},
    "geoDataExif": {"latitude": 47.37, "longitude": 8.54},
    "people": [{"name": "Ida"}, {"name": "Otto"}],
}
_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    'syntax-ns#"><rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:subject>'
    "<rdf:Bag><rdf:li>Größe</rdf:li></rdf:Bag></dc:subject></rdf:Description></rdf:RDF>"
    "</x:xmpmeta>"
)


def read(path: Path) -> Metadata:
    described = next(iter(load(path, LoadOptions())))
    assert isinstance(described, Described)
    return described.metadata


def save(path: Path, **options: object) -> Path:
    Image.new("RGB", (8, 8)).save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(
    ("picture", "sidecar"),
    [
        ("a.jpg", "a.jpg.json"),
        ("a.jpg", "a.jpg.supplemental-metadata.json"),
        ("a.jpg", "a.jpg.supplemen.json"),
        ("a(1).jpg", "a.jpg(1).json"),
        ("a(1).jpg", "a.jpg.supplemental-metadata(1).json"),
        ("a-edited.jpg", "a.jpg.json"),
        ("a-bearbeitet(1).jpg", "a.jpg.supplemental-metadata(1).json"),
        ("b" * 60 + ".jpg", "b" * 46 + ".json"),
    ],
)
def test_the_json_of_an_export_belongs_to_its_picture(
    tmp_path: Path, picture: str, sidecar: str
) -> None:
    path = save(tmp_path / picture)
    (tmp_path / sidecar).write_text(json.dumps(_EXPORT))
    metadata = read(path)
    assert metadata.title is None
    assert metadata.description == "by the lake"
    assert metadata.keywords == ("Ida", "Otto")
    assert metadata.taken_at == datetime(2015, 1, 10, tzinfo=UTC)
    assert (metadata.latitude, metadata.longitude) == (47.37, 8.54)


def test_the_film_of_a_live_photograph_has_the_json_of_its_still(tmp_path: Path) -> None:
    film = tmp_path / "a.MP4"
    film.touch()
    (tmp_path / "a.HEIC.json").write_text(json.dumps(_EXPORT))
    assert [path.name for path in find_sidecars(film).descriptions] == ["a.HEIC.json"]


@pytest.mark.parametrize("sidecar", ["a.xmp", "a.jpg.xmp", "A.XMP"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_an_xmp_file_belongs_to_its_picture(tmp_path: Path, sidecar: str, encoding: str) -> None:
    path = save(tmp_path / "a.jpg")
    (tmp_path / sidecar).write_bytes(_XMP.encode(encoding))
    assert read(path).keywords == ("Größe",)


def test_facts_of_the_camera_come_before_those_beside(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x10E] = "own words"
    exif.get_ifd(0x8769)[0x9003] = "2023:05:01 12:30:15"
    path = save(tmp_path / "IMG_20200101_000000.jpg", exif=exif)
    (tmp_path / f"{path.name}.json").write_text(json.dumps(_EXPORT))
    metadata = read(path)
    assert metadata.taken_at == datetime(2023, 5, 1, 12, 30, 15)  # noqa: DTZ001
    assert metadata.description == "by the lake · own words"


def test_a_date_beside_comes_before_that_of_the_name(tmp_path: Path) -> None:
    path = save(tmp_path / "IMG_20200101_000000.jpg")
    assert read(path).taken_at == datetime(2020, 1, 1)  # noqa: DTZ001
    (tmp_path / f"{path.name}.json").write_text(json.dumps(_EXPORT))
    read_again = read_descriptions([tmp_path / f"{path.name}.json"])
    assert read_again.taken_at == datetime(2015, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[1, 2]",
        b'{"photoTakenTime": 5, "people": {"name": 1}, "geoData": []}',
        b'{"photoTakenTime": {"timestamp": "1e400"}, "geoData": {"latitude": "x"}}',
        b'{"photoTakenTime": {"timestamp": "0"}, "geoData": {"latitude": 95, "longitude": 0}}',
        b'{"people": [1, null, {"name": 5}], "description": 7}',
        b"[" * 100_000,
    ],
)
def test_a_json_that_makes_no_sense_says_nothing(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.jpg.json").write_bytes(data)
    assert read_descriptions([tmp_path / "a.jpg.json"]) == Metadata()


def test_dates_before_1970_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"photoTakenTime": {"timestamp": "-86400"}}')
    metadata = read_descriptions([tmp_path / "a.json"])
    assert metadata.taken_at == datetime(1969, 12, 31, tzinfo=UTC)
