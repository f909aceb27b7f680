"""What a filter lets pass, held against an oracle that looks at one file after the other."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsearch.errors import QueryError
from mmsearch.library.library import Library
from mmsearch.query.algebra import Query, text
from mmsearch.query.filters.dates import Period, parse_period
from mmsearch.query.filters.expressions import (
    GPS,
    Among,
    And,
    Compare,
    Expression,
    Has,
    Inside,
    Near,
    Not,
    Or,
    Under,
)
from mmsearch.query.filters.fields import FIELDS, FieldType
from mmsearch.query.filters.languages import is_within
from mmsearch.query.filters.parser import parse
from mmsearch.query.request import SearchRequest
from mmsearch.search.filter_mask import build_filter_mask, list_paths
from mmsearch.search.filter_matching import match_condition
from mmsearch.snapshot.columns import fold
from mmsearch.snapshot.snapshot import Snapshot
from mmsearch.store.rows import EncodedAsset, EncodedSegment, FileRow
from mmsearch.store.writer import Lock, Writer
from mmsearch.types import (
    Asset,
    Metadata,
    Modality,
    Place,
    Segment,
    SegmentKind,
    Vectors,
    segment_id,
)
from tests.conftest import Cli
from tests.fakes import DIM, fake_library, write_picture, write_text

ROOTS = ("/media/Fotos/Zürich", "/media/fotos", "/media/fotos2", "/backup/copies/a")
NAMES = ("IMG 1.JPG", "img2.jpg", "Café.png", "notes", ".hidden", "tar.gz", "写真.jpeg", "a_b%.PNG")
CAMERAS = (None, "Canon EOS 5D", "CANON PowerShot", "Nikon D90", "Leica Q2 é")
ARTISTS = (None, "Beyoncé", "beyonce", "Jürgen Müller", "o'neil")
LANGUAGES = (None, "de", "ger", "de-CH", "en", "fr_FR")
DAYS = (None, "2023-12-31", "2024-01-01", "2024-05-01", "2024-05-31", "1995-06-15")


@dataclass(frozen=True, slots=True)
class Listed:
    """One file, as the oracle sees it."""

    path: str
    modified: datetime
    oldest: datetime
    asset: Asset


class Catalogue:
    """A library and what the oracle knows of it; a dataclass Hypothesis would write out whole."""

    def __init__(self, library: Library, listed: list[Listed]) -> None:
        self.library = library
        self.listed = listed


def asset_id(number: int) -> str:
    return f"{number:016x}{0:016x}"


def metadata(rng: random.Random) -> Metadata:
    day = rng.choice(DAYS)
    is_placed = rng.random() < 0.5
    return Metadata(
        format=rng.choice(["", "JPEG", "mp4"]),
        width_px=rng.choice([None, 640, 1920]),
        height_px=rng.choice([None, 480, 1080]),
        duration_s=rng.choice([None, 0.0, 29.97, 90.0]),
        page_count=rng.choice([None, 1, 12]),
        taken_at=None
        if day is None
        else datetime.fromisoformat(f"{day}T{rng.randint(0, 23):02}:30"),
        latitude=rng.uniform(-90, 90) if is_placed else None,
        longitude=rng.uniform(-180, 180) if is_placed else rng.choice([None, 8.5]),
        camera=rng.choice(CAMERAS),
        artist=rng.choice(ARTISTS),
        title=rng.choice([None, "A title", "100%"]),
        album=rng.choice([None, "Lemonade"]),
        language=rng.choice(LANGUAGES),
        description=rng.choice([None, "What is seen: a *star*."]),
        keywords=rng.choice([(), ("Harvest",), ("Harvest", "Apples")]),
        location=rng.choice([None, "Zürich, Schweiz"]),
    )


def encoded(asset: Asset, segments: int, rng: np.random.Generator) -> EncodedAsset:
    made = []
    for at in range(segments):
        place = Place(chars=(at, at + 1))
        identity = segment_id(asset.id, SegmentKind.TEXT, place)
        segment = Segment(identity, asset.id, SegmentKind.TEXT, place, f"passage {at}", ())
        values = rng.standard_normal((1, DIM)).astype(np.float32)
        values /= np.linalg.norm(values)
        made.append(EncodedSegment(segment, (Vectors("text", values),)))
    return EncodedAsset(asset, tuple(made))


def write(library: Library, assets: list[EncodedAsset], files: list[FileRow]) -> None:
    with Lock(library.path):
        writer = Writer.open(library.path)
        writer.add_assets(assets)
        writer.add_files(files)
        writer.close()


def wall(mtime_ns: int) -> datetime:
    seconds, rest = divmod(mtime_ns, 10**9)
    return datetime.fromtimestamp(seconds).replace(microsecond=rest // 1000)  # noqa: DTZ006


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """A library of 120 assets in some 170 files, and what the oracle knows of them."""
    chance, rng = random.Random(7), np.random.default_rng(7)
    library = fake_library(tmp_path_factory.mktemp("catalogue") / "library")
    assets, files, listed = [], [], []
    for number in range(120):
        size = chance.choice([0, 999, 1000, 10_000_000, 2**40])
        asset = Asset(asset_id(number), chance.choice([*Modality]), size, metadata(chance))
        assets.append(encoded(asset, chance.randint(1, 3), rng))
        own = []
        for copy in range(chance.choice([1, 1, 1, 2, 3])):
            folder = f"{chance.choice(ROOTS)}/{number}-{copy}"
            mtime_ns = chance.randint(10**18, 1_730_000_000 * 10**9)
            own.append(FileRow(f"{folder}/{chance.choice(NAMES)}", asset.id, size, mtime_ns))
        oldest = min(wall(row.mtime_ns) for row in own)
        files += own
        listed += [Listed(row.path, wall(row.mtime_ns), oldest, asset) for row in own]
    chance.shuffle(files)
    files.append(FileRow("/media/fotos/broken.jpg", None, 3, 0, "DecodeError", "is broken"))
    without_file = Asset(asset_id(999), Modality.IMAGE, 5, Metadata(camera="Canon"))
    write(library, [*assets, encoded(without_file, 1, rng)], files)
    return Catalogue(library, listed)


# the oracle

NUMBERS = {
    "size": lambda one: one.asset.size_bytes,
    "duration": lambda one: one.asset.metadata.duration_s,
    "width": lambda one: one.asset.metadata.width_px,
    "height": lambda one: one.asset.metadata.height_px,
    "pages": lambda one: one.asset.metadata.page_count,
    "lat": lambda one: one.asset.metadata.latitude,
    "lon": lambda one: one.asset.metadata.longitude,
}
TIMES = {
    "taken": lambda one: one.asset.metadata.taken_at,
    "modified": lambda one: one.modified,
    "date": lambda one: one.asset.metadata.taken_at or one.oldest,
}
PARTS = {
    "kind": lambda one: one.asset.modality.value,
    "path": lambda one: one.path,
    "keywords": lambda one: "; ".join(one.asset.metadata.keywords),
    "folder": lambda one: os.path.dirname(one.path),  # noqa: PTH120
    "name": lambda one: os.path.basename(one.path),  # noqa: PTH119
    "ext": lambda one: os.path.splitext(one.path)[1][1:],  # noqa: PTH122
}


def known(one: Listed, field: str) -> object:
    if field == "megapixels":
        width, height = known(one, "width"), known(one, "height")
        return width * height / 1e6 if width and height else None  # type: ignore[operator]
    read = {**NUMBERS, **TIMES, **PARTS}.get(field)
    return read(one) if read else getattr(one.asset.metadata, field) or None


def meets(one: Listed, condition: Expression) -> bool:
    match condition:
        case And(parts):
            return all(meets(one, part) for part in parts)
        case Or(parts):
            return any(meets(one, part) for part in parts)
        case Not(part):
            return not meets(one, part)
        case Among(field, values):
            return any(meets(one, Compare(field, "=", value)) for value in values)
        case Has(field):
            names = ("lat", "lon") if field == GPS else (field,)
            return all(known(one, name) not in (None, "") for name in names)
        case Under(folder):
            return Path(one.path).is_relative_to(folder)
        case Near(latitude, longitude, radius_km):
            if not meets(one, Has(GPS)):
                return False
            place = (known(one, "lat"), known(one, "lon"))
            return distance_km(place, (latitude, longitude)) <= radius_km
        case Inside(south, west, north, east):
            if not meets(one, Has(GPS)):
                return False
            lat, lon = known(one, "lat"), known(one, "lon")
            across = west <= lon <= east if west <= east else lon >= west or lon <= east
            return min(south, north) <= lat <= max(south, north) and across
        case Compare(field, operator, value):
            own = known(one, field)
            if own in (None, ""):
                return False
            if isinstance(value, Period):
                above, below = own >= value.start, own < value.end
                return {
                    "=": above and below, "!=": not (above and below), "<": not above,
                    "<=": below, ">": not below, ">=": above,
                }[operator]  # fmt: skip
            if FIELDS[field].holds is FieldType.TEXT:
                own, value = fold(own), fold(value)
                is_same = is_within(own, value) if field == "language" else own == value
                return {"=": is_same, "!=": not is_same, "~": value in own}[operator]
            return {
                "=": own == value, "!=": own != value, "<": own < value,
                "<=": own <= value, ">": own > value, ">=": own >= value,
            }[operator]  # fmt: skip
    raise AssertionError(condition)


def distance_km(one: tuple[float, float], other: tuple[float, float]) -> float:
    """By the angle between the two directions from the centre of the Earth."""
    (x, y, z), (u, v, w) = (
        (math.cos(b) * math.cos(c), math.cos(b) * math.sin(c), math.sin(b))
        for b, c in (map(math.radians, one), map(math.radians, other))
    )
    cross = math.hypot(y * w - z * v, z * u - x * w, x * v - y * u)
    return 6371.0088 * math.atan2(cross, x * u + y * v + z * w)


# conditions that are met by some


def values(field: str) -> st.SearchStrategy[object]:
    samples = {
        "kind": [kind.value for kind in Modality],
        "ext": ["jpg", "JPEG", "png", "gz", "hidden", "nothing"],
        "language": ["de", "deu", "DE-ch", "fr", "en-GB"],
        "path": ["/media", "café", "%", "_", ".*", "(a+)+$", "\\", "写真", "fotos2/"],
        "folder": ["/media/fotos/7-0", "zurich", "copies"],
        "name": ["IMG 1.jpg", "CAFE.PNG", "notes", "写", "."],
        "format": ["jpeg", "mp"],
        "camera": ["canon", "CANON EOS 5D", "leica q2 E", "x"],
        "artist": ["beyonce", "muller", "O'NEIL"],
        "title": ["a title", "%", "100%"],
        "album": ["lemonade", "ade"],
        "description": ["*star*", "seen:"],
        "keywords": ["harvest", "HARVEST; apples", "pple"],
        "location": ["zurich", "Zürich, Schweiz"],
        "size": [0.0, 999.0, 1000.0, 10e6, 2.0**40, 5.5],
        "duration": [0.0, 29.97, 60.0, 90.0],
        "width": [640.0, 1920.0, 1e300],
        "height": [480.0, 1080.0],
        "megapixels": [0.3, 2.0736, 0.3072],
        "pages": [1.0, 2.0, 12.0],
        "lat": [-90.0, 0.0, 45.5],
        "lon": [-180.0, 8.5, 179.0],
    }
    if FIELDS[field].holds is FieldType.TIME:
        texts = [
            "2023",
            "2024",
            "2024-05",
            "2024-01-01",
            "2024-05-01T10",
            "1995",
            "2001-09-09",
            "9999",
        ]
        return st.sampled_from([parse_period(text) for text in texts])
    return st.sampled_from(samples[field])


@st.composite
def comparisons(draw: st.DrawFn) -> Expression:
    field = draw(st.sampled_from(sorted(FIELDS)))
    if draw(st.integers(0, 3)) == 0:
        listed = draw(st.lists(values(field), min_size=1, max_size=3))
        return Among(field, tuple(listed))  # type: ignore[arg-type]
    operator = draw(st.sampled_from(FIELDS[field].holds.operators))
    return Compare(field, operator, draw(values(field)))  # type: ignore[arg-type]


DEGREES = (st.floats(-90, 90), st.floats(-180, 180))
CONDITIONS = st.one_of(
    comparisons(),
    st.builds(Has, st.sampled_from([*FIELDS, GPS])),
    st.builds(Near, *DEGREES, st.sampled_from([0.0, 500.0, 5_000.0, 30_000.0])),
    st.builds(Inside, *DEGREES, *DEGREES),
    st.builds(Under, st.sampled_from([*ROOTS, "/media", "/", "/media/fotos/7-0", "/nowhere"])),
)
EXPRESSIONS = st.recursive(
    CONDITIONS,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


def passing_paths(snapshot: Snapshot, condition: Expression) -> set[str]:
    files = match_condition(snapshot, condition)
    return set(snapshot.reader.read_file_paths(snapshot.file_rows[files].tolist()))


@given(condition=EXPRESSIONS)
@settings(max_examples=300, deadline=None)
def test_a_filter_lets_pass_what_the_oracle_does(
    catalogue: Catalogue, condition: Expression
) -> None:
    library, listed = catalogue.library, catalogue.listed
    snapshot = library.snapshot()

    expected = {one.path for one in listed if meets(one, condition)}

    assert passing_paths(snapshot, condition) == expected
    found = build_filter_mask(snapshot, SearchRequest(Query(()), where=condition))
    assert found is not None
    ids = {one.asset.id for one in listed if one.path in expected}
    assert found.assets.sum() == len(ids)
    assert all(found.assets[snapshot.asset_row(one)] for one in ids)


@given(a=EXPRESSIONS, b=EXPRESSIONS)
@settings(max_examples=100, deadline=None)
def test_conditions_obey_the_algebra_of_sets(
    catalogue: Catalogue, a: Expression, b: Expression
) -> None:
    snapshot = catalogue.library.snapshot()

    def files(condition: Expression) -> np.ndarray:
        return match_condition(snapshot, condition)

    np.testing.assert_array_equal(files(And((a, b))), files(a) & files(b))
    np.testing.assert_array_equal(files(Or((a, b))), files(a) | files(b))
    np.testing.assert_array_equal(files(Not(Not(a))), files(a))
    np.testing.assert_array_equal(files(Not(And((a, b)))), files(Or((Not(a), Not(b)))))


@given(condition=EXPRESSIONS)
@settings(max_examples=40, deadline=None)
def test_all_that_pass_come_back_where_the_limit_allows(
    catalogue: Catalogue, condition: Expression
) -> None:
    """No hit is lost behind a filter: it is in the index, not after it."""
    library, listed = catalogue.library, catalogue.listed
    expected = {one.asset.id for one in listed if meets(one, condition)}

    hits = library.search("anything", where=condition, min_score=0.0, limit=max(1, len(expected)))

    assert {hit.asset.id for hit in hits} == expected


def test_a_small_limit_is_filled_from_what_passes(
    catalogue: Catalogue,
) -> None:
    library = catalogue.library
    everything = library.search("anything", where="camera ~ canon", min_score=0.0, limit=200)

    for limit in (1, 3, 10):
        some = library.search("anything", where="camera ~ canon", min_score=0.0, limit=limit)
        assert [hit.asset.id for hit in some] == [hit.asset.id for hit in everything[:limit]]


@given(condition=EXPRESSIONS, limit=st.sampled_from([1, 7, 500]))
@settings(max_examples=60, deadline=None)
def test_without_words_all_that_passes_is_listed_the_newest_first(
    catalogue: Catalogue, condition: Expression, limit: int
) -> None:
    found = catalogue.library.search("", where=condition, limit=limit)

    dated = {one.asset.id: TIMES["date"](one) for one in catalogue.listed if meets(one, condition)}
    expected = sorted(dated, key=lambda one: (-dated[one].timestamp(), one))[:limit]
    assert [hit.asset.id for hit in found] == expected
    assert [hit.rank for hit in found] == list(range(1, len(expected) + 1))
    assert all((hit.score, hit.spaces) == (1.0, {}) for hit in found)
    listed = {one.path: one for one in catalogue.listed}
    assert all(meets(listed[hit.path], condition) for hit in found)
    assert all(hit.moments and hit.segment == hit.moments[0].segment for hit in found)


def test_nothing_asked_at_all_is_an_error(catalogue: Catalogue) -> None:
    for query in ("", "  ", Query(())):
        with pytest.raises(QueryError, match="the query is empty"):
            catalogue.library.search(query)
        with pytest.raises(QueryError, match="the query is empty"):
            catalogue.library.search(query, without=[asset_id(1)])
    with pytest.raises(QueryError, match="the query is empty"):
        catalogue.library.search(-1.0 * text("people"))
    for query in (text(" "), -1.0 * text(" ")):
        with pytest.raises(QueryError, match="a text term of the query is empty"):
            catalogue.library.search(query, kinds=["image"])
    with pytest.raises(QueryError, match="the limit must be at least 1"):
        catalogue.library.search("", kinds=["image"], limit=0)


def test_many_parts_of_one_asset_leave_room_for_others(tmp_path: Path) -> None:
    """What passes is 1 asset of 3,000 segments and 9 of one: ten hits, not one."""
    rng = np.random.default_rng(3)
    library = fake_library(tmp_path / "library")
    numbers = range(12)
    assets = [
        Asset(asset_id(n), Modality.TEXT, n, Metadata(language="de" if n < 10 else "en"))
        for n in numbers
    ]
    write(
        library,
        [encoded(one, 3_000 if n == 0 else 1, rng) for n, one in enumerate(assets)],
        [FileRow(f"/{n}.txt", asset_id(n), n, 10**18) for n in numbers],
    )

    hits = library.search("anything", where="language = de", min_score=0.0, limit=10)

    assert {hit.asset.id for hit in hits} == {asset_id(n) for n in range(10)}


@pytest.mark.parametrize("kind", [*Modality])
def test_kinds_and_folders_mean_what_where_says(catalogue: Catalogue, kind: Modality) -> None:
    library, listed = catalogue.library, catalogue.listed
    snapshot = library.snapshot()
    root = ROOTS[1]
    both = SearchRequest(Query(()), kinds=(kind,), under=(root, ROOTS[3]))
    said = parse(f"kind = {kind} and (under({root}) or under({ROOTS[3]}))")

    found = build_filter_mask(snapshot, both)
    same = build_filter_mask(snapshot, SearchRequest(Query(()), where=said))
    assert found is not None
    assert same is not None
    np.testing.assert_array_equal(found.assets, same.assets)
    assert 0 < found.assets.sum() < len(listed)


def test_an_open_filter_needs_no_mask(catalogue: Catalogue) -> None:
    assert build_filter_mask(catalogue.library.snapshot(), SearchRequest(Query(()))) is None


def test_an_asset_that_is_left_out_is_out_whatever_else_passes(
    catalogue: Catalogue,
) -> None:
    snapshot = catalogue.library.snapshot()
    left_out = SearchRequest(Query(()), where=parse("size >= 0"), without=(asset_id(5), "f" * 32))

    found = build_filter_mask(snapshot, left_out)

    assert found is not None
    mask = found.assets
    row = snapshot.asset_row(asset_id(5))
    assert row is not None
    assert not mask[row]
    assert mask.sum() == 119


def test_the_paths_that_pass_are_shown_first(catalogue: Catalogue) -> None:
    snapshot = catalogue.library.snapshot()
    condition = parse(f"under({ROOTS[2]})")
    found = build_filter_mask(snapshot, SearchRequest(Query(()), where=condition))
    assert found is not None
    rows = np.flatnonzero(found.assets).tolist()

    shown = list_paths(snapshot, rows, found)

    several = 0
    for paths, every in zip(shown, snapshot.paths(rows), strict=True):
        good = [path for path in every if path.startswith(f"{ROOTS[2]}/")]
        assert paths == [*good, *[path for path in every if path not in good]]
        several += every[0] != paths[0]
    assert several > 0
    assert list_paths(snapshot, rows, None) == snapshot.paths(rows)


def test_a_hit_is_shown_where_it_passes(catalogue: Catalogue) -> None:
    hits = catalogue.library.search("x", where=f"under({ROOTS[2]})", min_score=0.0, limit=200)

    assert hits
    assert all(hit.path.startswith(f"{ROOTS[2]}/") for hit in hits)
    assert any(path < hit.path for hit in hits for path in hit.also_at)


def test_what_changes_is_seen_by_the_next_search(tmp_path: Path) -> None:
    library = fake_library(tmp_path / "library")
    folder = tmp_path / "media"
    write_text(folder / "one.txt", "boats")
    library.index(folder)
    assert len(library.search("boats", where="ext = txt", min_score=0.0)) == 1

    write_text(folder / "two.txt", "boats and ships")
    write_picture(folder / "red.png")
    library.index(folder)
    assert len(library.search("boats", where="ext = txt", min_score=0.0)) == 2

    library.remove(folder / "one.txt")
    (hit,) = library.search("boats", where="not kind = image", min_score=0.0)
    assert hit.path.endswith("two.txt")


def test_filters_on_an_empty_library_find_nothing(tmp_path: Path) -> None:
    library = fake_library(tmp_path / "library")
    for field in FIELDS:
        assert library.search("x", where=f"has({field})") == []
    assert library.search("x", where="near(0, 0, 1) or inside(0, 0, 1, 1) or under(/)") == []
    assert library.search("x", where="date > 2020 and size > 1 and camera ~ x", after="7d") == []


# dates


@pytest.fixture
def in_zurich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Zurich")
        time.tzset()
        yield
    time.tzset()


def dated(path: Path, taken: list[datetime | None], modified: list[list[int]]) -> Library:
    library = fake_library(path)
    rng = np.random.default_rng(0)
    assets = [
        Asset(asset_id(n), Modality.IMAGE, 1, Metadata(taken_at=moment))
        for n, moment in enumerate(taken)
    ]
    files = [
        FileRow(f"/{n}-{copy}.jpg", asset_id(n), 1, seconds * 10**9)
        for n, copies in enumerate(modified)
        for copy, seconds in enumerate(copies)
    ]
    write(library, [encoded(one, 1, rng) for one in assets], files)
    return library


def found(library: Library, **asked: object) -> set[int]:
    hits = library.search("x", min_score=0.0, limit=100, **asked)  # type: ignore[arg-type]
    return {int(hit.asset.id[:16], 16) for hit in hits}


def test_after_begins_with_what_it_names_and_before_ends_there(tmp_path: Path) -> None:
    moments = ["2023-12-31T23:59:59.999999", "2024-01-01", "2024-01-31T23:59", "2024-02-01"]
    library = dated(
        tmp_path / "library", [datetime.fromisoformat(one) for one in moments], [[0]] * 4
    )

    assert found(library, after="2024") == {1, 2, 3}
    assert found(library, after="2024-02") == {3}
    assert found(library, before="2024") == {0}
    assert found(library, before="2024-02-01T00:00") == {0, 1, 2}
    assert found(library, after="2024-01", before="2024-02") == {1, 2}
    assert found(library, after=date(2024, 1, 31), where="date < 2024-02") == {2}
    assert found(library, where="taken = 2024-01") == {1, 2}
    assert found(library, where="taken != 2024-01") == {0, 3}
    assert found(library, where="taken > 2024-01 or taken <= 2023") == {0, 3}
    with pytest.raises(QueryError, match="before: 'never' is no date"):
        library.search("x", before="never")


def test_a_file_time_stands_in_for_the_date_and_the_oldest_copy_counts(
    tmp_path: Path, in_zurich: None
) -> None:
    may, june = 1_714_564_800, 1_717_243_200  # noon in UTC of the first
    taken = [None, datetime.fromisoformat("2024-06-01T10:00"), None]
    library = dated(tmp_path / "library", taken, [[june, may], [may], [june]])

    assert found(library, where="date = 2024-05") == {0}
    assert found(library, where="date = 2024-06") == {1, 2}
    assert found(library, where="modified = 2024-05") == {0, 1}
    assert found(library, where="modified = 2024-06") == {0, 2}
    assert found(library, where="modified = 2024-05-01T14:00") == {0, 1}
    assert found(library, where="not has(taken)") == {0, 2}


def test_times_are_those_of_the_clock_on_the_wall(tmp_path: Path, in_zurich: None) -> None:
    tokyo = timezone(timedelta(hours=9))
    taken = [
        datetime(2024, 5, 1, 1, 0, tzinfo=tokyo),
        datetime.fromisoformat("2024-05-01T01:00"),
        datetime.fromisoformat("2024-04-30T23:00:00.5+00:00"),  # one o'clock here
        datetime.fromisoformat("0001-01-01T00:00+00:00"),
    ]
    library = dated(tmp_path / "library", taken, [[0]] * 4)

    assert found(library, where="taken = 2024-05-01T01") == {0, 1, 2}
    assert found(library, where="taken < 0002") == {3}


def test_file_times_keep_to_the_clock_around_its_changes(tmp_path: Path, in_zurich: None) -> None:
    """Each second file of two years is held against the clock of the system."""
    step = 8_999
    seconds = [*range(1_672_531_200, 1_672_531_200 + 2 * 366 * 86_400, step)][:6_000]
    around = [1_711_846_799, 1_711_846_800, 1_729_990_799, 1_729_990_800]  # 2024, both changes
    hostile = [-(2**33), 2**33, -1, 0]
    everything = [*seconds, *around, *hostile]
    library = fake_library(tmp_path / "library")
    one = Asset(asset_id(1), Modality.IMAGE, 1, Metadata())
    files = [FileRow(f"/{n:05}.jpg", one.id, 1, s * 10**9) for n, s in enumerate(everything)]
    write(library, [encoded(one, 1, np.random.default_rng(0))], files)
    snapshot = library.snapshot()

    for said in ("2024-03-31T01", "2024-03-31T03", "2024-10-27T02", "2024-07", "1969", "2242"):
        span = parse_period(said)
        expected = {
            row.path
            for row, s in zip(files, everything, strict=True)
            if span.start <= datetime.fromtimestamp(s) < span.end  # noqa: DTZ006
        }
        assert passing_paths(snapshot, Compare("modified", "=", span)) == expected


def test_file_times_beyond_all_clocks_are_no_error(tmp_path: Path) -> None:
    extremes = [-(2**63) // 10**9 + 1, 2**63 // 10**9 - 1]
    library = dated(tmp_path / "library", [None, None], [[one] for one in extremes])

    assert found(library, where="modified < 1700") == {0}
    assert found(library, where="modified > 2200") == {1}


# the command line


def paths(cli: Cli, library: Path, *arguments: str, **env: str) -> set[str]:
    ran = cli("search", "picture", "--library", library, "--paths", "--min-score", "0",
              "--limit", "50", *arguments, env=env)  # fmt: skip
    assert ran.returncode in (0, 4), ran.stderr
    return {Path(line).name for line in ran.stdout.decode().splitlines()}


def test_every_option_says_what_where_could(cli: Cli, small_library: Path, samples: Path) -> None:
    def both(options: list[str], where: str) -> set[str]:
        by_options = paths(cli, small_library, *options)
        assert by_options == paths(cli, small_library, "--where", where)
        return by_options

    assert both(["--ext", "jpg,.MD"], "ext in (jpg, md)") >= {"beach.jpg", "bike_care.md"}
    assert both(["--size", "10KB..1MB"], "size >= 10KB and size <= 1MB")
    assert both(
        ["--duration", "1s..", "--width", "..4000"], "duration >= 1 and width <= 4000px"
    ) == {"MVI_0007.mp4"}
    assert both(["--after", "2000", "--before", "today", "--height", "10.."],
                "date >= 2000 and date < today and height >= 10") is not None  # fmt: skip
    assert both(["--camera", "can", "--camera", "nik"], "camera ~ can or camera ~ nik") == set()
    assert both(["--artist", "a", "--lang", "de,en"], "artist ~ a and lang in (de, en)") == set()
    assert both(["--near", "47,8,20000km", "--box", "-90,-180,90,180"], "has(gps)") == set()
    assert paths(cli, small_library, MMSEARCH_EXT="pdf") == {"kitchen_garden.pdf"}
    assert paths(cli, small_library, "--where", "kind = text", MMSEARCH_EXT="pdf,jpg") == {
        "kitchen_garden.pdf"
    }


def test_similar_takes_filters_too(cli: Cli, small_library: Path, samples: Path) -> None:
    ran = cli("similar", samples / "photos/beach.jpg", "--library", small_library, "--paths",
              "--min-score", "0", "--where", "name ~ img and not name ~ 0144")  # fmt: skip

    assert [Path(line).name for line in ran.stdout.decode().splitlines()] == ["IMG_0031.jpg"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--where", "camra ~ x"], "  camra ~ x\n  ^^^^^\n"),
        (["--after", "2024-13"], "--after: '2024-13' is not on the calendar"),
        (["--size", "10MB"], "--size: '10MB' is no range: write 10MB.. or ..10MB"),
        (["--size", ".."], "--size: '..' is no range"),
        (["--width", "wide"], "--width: 'wide' is no number"),
        (["--near", "1,2"], "--near: '1,2' is not 3 numbers"),
        (["--box", "1,2,3,400"], "--box: 400 is beyond 180 degrees"),
        (["--lang", "german"], "--lang: 'german' is no language"),
        (["--ext", ""], "--ext: an empty text finds nothing"),
        (["--camera", b"\xff".decode("utf-8", "surrogateescape")], "--camera: a text cannot have"),
    ],
)
def test_a_filter_that_cannot_be_read_is_an_error_that_names_it(
    cli: Cli, small_library: Path, arguments: list[str], said: str
) -> None:
    ran = cli("search", "x", "--library", small_library, *arguments)

    assert ran.returncode == 1
    assert said in ran.stderr.decode()
    assert b"Traceback" not in ran.stderr
    assert ran.stdout == b""
