"""The language of `where`: what it reads, what it says of mistakes, and that nothing hurts it."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmsearch.errors import QueryError
from mmsearch.query.filters import fields, languages, parser, quantities
from mmsearch.query.filters.dates import MICROSECOND, Period, parse_period
from mmsearch.query.filters.expressions import (
    GPS,
    KEYWORDS,
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
    all_of,
    quote,
)
from mmsearch.query.filters.fields import ALIASES, FIELDS, FieldType
from mmsearch.query.filters.parser import MAX_CHARS, MAX_CONDITIONS, MAX_DEPTH, MAX_VALUES, parse
from mmsearch.snapshot.columns import fold
from mmsearch.types import Modality
from tests.patience import HANG_S

TODAY = date(2024, 3, 31)
NOW = datetime.fromisoformat("2024-05-01T12:30")


def day(text: str) -> Period:
    return parse_period(text, today=TODAY)


# what it reads


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kind = image", Compare("kind", "=", "image")),
        ("KIND == Image", Compare("kind", "=", "image")),
        ("size>10MB", Compare("size", ">", 10e6)),
        ("size >= 1.5 ", Compare("size", ">=", 1.5)),
        ("extension != .JPG", Compare("ext", "!=", "jpg")),
        ("camera ~ canon", Compare("camera", "~", "canon")),
        ("camera ~ 'canon \"eos\"'", Compare("camera", "~", 'canon "eos"')),
        (r"title = 'o\'neil \\ \n'", Compare("title", "=", r"o'neil \ \n")),
        ("camera = 'and'", Compare("camera", "=", "and")),
        ("path ~ /home/a-b/写真.d", Compare("path", "~", "/home/a-b/写真.d")),
        ("duration <> 1:30", Compare("duration", "!=", 90.0)),
        ("width = 1920px", Compare("width", "=", 1920.0)),
        ("mp < 12MP", Compare("megapixels", "<", 12.0)),
        ("lat < -33.5", Compare("lat", "<", -33.5)),
        ("date >= 2024-05", Compare("date", ">=", day("2024-05"))),
        ("taken < yesterday", Compare("taken", "<", day("2024-03-30"))),
        ("ext in (jpg, .png,'GIF')", Among("ext", ("jpg", "png", "gif"))),
        ("size in (1KB, 1KiB)", Among("size", (1000.0, 1024.0))),
        ("has(gps)", Has(GPS)),
        ("HAS(lang)", Has("language")),
        ("near(47.37, 8.54, 500m)", Near(47.37, 8.54, 0.5)),
        ("near(-33.9,-18.4,3)", Near(-33.9, -18.4, 3.0)),
        ("inside(45.8, 5.9, 47.8, 10.5)", Inside(45.8, 5.9, 47.8, 10.5)),
        ("under('/a//b/../c')", Under("/a/c")),
        ("not has(gps)", Not(Has(GPS))),
        ("not not has(gps)", Not(Not(Has(GPS)))),
        ("((has(gps)))", Has(GPS)),
    ],
)
def test_a_condition_is_read(text: str, expected: Expression) -> None:
    assert parse(text, today=TODAY) == expected


def test_and_binds_closer_than_or_and_not_closest() -> None:
    a, b, c = Has("camera"), Has("artist"), Has("title")

    assert parse("has(camera) or has(artist) and has(title)") == Or((a, And((b, c))))
    assert parse("not has(camera) and has(artist)") == And((Not(a), b))
    assert parse("not (has(camera) or has(artist)) AND has(title)") == And((Not(Or((a, b))), c))
    assert parse("has(camera) and has(artist) and has(title)") == And((a, b, c))


def test_a_folder_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    assert parse("under(a/b)") == Under(str(tmp_path / "a" / "b"))
    assert parse("under('~/a')") == Under(str(tmp_path / "home" / "a"))


def test_all_of_leaves_out_what_is_not_said() -> None:
    assert all_of([None, None]) is None
    assert all_of([None, Has(GPS)]) == Has(GPS)
    assert all_of([Has("title"), None, Has(GPS)]) == And((Has("title"), Has(GPS)))


# it is written as it is read

NUMBERS = st.floats(0, 1e300, allow_nan=False) | st.integers(0, 10**16).map(float)
DEGREES = {"lat": st.floats(-90, 90), "lon": st.floats(-180, 180)}
TEXTS = st.text(
    st.characters(blacklist_categories=["Cs", "Cc"]) | st.sampled_from("\t\n\"'\\()=~,"), min_size=1
).filter(str.strip)
TAGS = st.sampled_from(["de", "de-CH", "deu", "zh_Hant", "en-GB-oed"])
EXTENSIONS = TEXTS.map(lambda text: text.strip().lstrip(".").lower()).filter(
    lambda text: bool(text) and text == text.strip().lstrip(".").lower()
)


@st.composite
def periods(draw: st.DrawFn) -> Period:
    """Any that there is, with nothing said after its last part."""
    parts = draw(st.integers(1, MICROSECOND))
    moment = draw(st.datetimes())
    text = moment.isoformat(timespec="microseconds")
    return parse_period(text[: (4, 7, 10, 13, 16, 19, 26)[parts - 1]])


def values(name: str) -> st.SearchStrategy[object]:
    match FIELDS[name].holds, name:
        case FieldType.TIME, _:
            return periods()
        case FieldType.NUMBER, _:
            return DEGREES.get(name, NUMBERS)
        case _, "kind":
            return st.sampled_from([kind.value for kind in Modality])
        case _, "ext":
            return EXTENSIONS
        case _, "language":
            return TAGS
    return TEXTS


@st.composite
def comparisons(draw: st.DrawFn) -> Expression:
    name = draw(st.sampled_from(sorted(FIELDS)))
    if draw(st.booleans()):
        listed = draw(st.lists(values(name), min_size=1, max_size=4))
        return Among(name, tuple(listed))  # type: ignore[arg-type]
    operator = draw(st.sampled_from(FIELDS[name].holds.operators))
    return Compare(name, operator, draw(values(name)))  # type: ignore[arg-type]


CONDITIONS = st.one_of(
    comparisons(),
    st.builds(Has, st.sampled_from([*FIELDS, GPS])),
    st.builds(Near, DEGREES["lat"], DEGREES["lon"], NUMBERS),
    st.builds(Inside, DEGREES["lat"], DEGREES["lon"], DEGREES["lat"], DEGREES["lon"]),
    st.builds(Under, TEXTS.map(lambda text: parser.parse_folder(f"/{text}"))),
)
EXPRESSIONS = st.recursive(
    CONDITIONS,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)


@given(EXPRESSIONS)
@settings(max_examples=300, deadline=None)
def test_what_is_written_out_reads_as_the_same(expression: Expression) -> None:
    assert parse(str(expression)) == expression


@given(TEXTS)
@example("\\")
@example('\\"')
@example("\\\\'")
def test_a_quoted_text_reads_as_it_is(text: str) -> None:
    assert parse(f"title = {quote(text)}") == Compare("title", "=", text)


def read(text: str) -> tuple[Expression | None, str]:
    """What a filter says, or what is said of it."""
    try:
        return parse(text), ""
    except QueryError as exc:
        return None, str(exc)


@given(st.text())
@settings(max_examples=500)
def test_any_text_is_read_or_refused_with_an_error_for_people(text: str) -> None:
    found, complaint = read(text)

    assert found is None or parse(str(found)) == found
    assert found is not None or "the filter" in complaint
    assert all(line.isprintable() for line in complaint.split("\n"))


@given(
    st.lists(
        st.sampled_from(
            [*KEYWORDS, *FIELDS, *parser.FUNCTIONS, GPS, "(", ")", ",", "=", "~", "<", "1", "2024",
             "x", "10MB", "'a b'", "image", "-4", "10km"]
        ),
        max_size=14,
    )
)  # fmt: skip
@settings(max_examples=500)
def test_any_words_of_the_language_are_read_or_refused(words: list[str]) -> None:
    found, complaint = read(" ".join(words))

    assert found is None or parse(str(found)) == found
    assert found is not None or "the filter" in complaint


# what it says of mistakes


@pytest.mark.parametrize(
    ("text", "marked", "said"),
    [
        ("camra ~ canon", "camra", "did you mean camera?"),
        ("kind = image and szie > 3", "szie", "did you mean size?"),
        ("lattitude > 3", "lattitude", "did you mean lat?"),
        ("zzz = 3", "zzz", "there are kind, ext"),
        ("has(camra)", "camra", "did you mean camera?"),
        ("camera ~ canon eos", "eos", "in quotes"),
        ("size ~ 3", "~", "= != < <= > >= in"),
        ("camera > x", ">", "= != ~ in"),
        ("camera = and has(gps)", "and", "stands in quotes"),
        ("size > big", "big", "is no size"),
        ("duration < long", "long", "is no duration"),
        ("date > 2024-13", "2024-13", "not on the calendar"),
        ("date > 2023-02-29", "2023-02-29", "not on the calendar"),
        ("date > soon", "soon", "is no date"),
        ("kind = photo", "photo", "kinds are image"),
        ("language = english", "english", "write its tag"),
        ("lat > 91", "91", "beyond 90 degrees"),
        ("near(1, 181, 1)", "181", "beyond 180 degrees"),
        ("near(1, 2, far)", "far", "is no distance"),
        ("near(1, 2 3)", "3", "expected a comma"),
        ("inside(1, 2, 3)", ")", "expected a comma and a longitude"),
        ("width > -3", "-3", "below zero"),
        ("title = ''", "''", "has(FIELD)"),
        ("nearby(1, 2, 3)", "nearby", "there is no function"),
        ("gps = 3", "gps", "has(gps)"),
        ("ext not in (jpg)", "not", "not ext in"),
        ("ext in jpg", "jpg", "expected ("),
        ("ext in (jpg png)", "png", "a comma or )"),
        ("ext in ()", ")", "expected text"),
        ("kind = image)", ")", "expected and, or, or the end"),
        ("& = 3", "&", "there is no field"),
        ("kind ! image", "!", "is no operator"),
        ("'kind' = image", "'kind'", "expected a field"),
        ("10MB < size", "10MB", "there is no field"),
        ("title = 'abc", "'", "is not closed"),
        ("under(~/a)", "~", "in quotes"),
    ],
)
def test_a_mistake_is_shown_where_it_is(text: str, marked: str, said: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text)

    message, shown, carets = str(caught.value).split("\n")
    assert said in message
    assert shown == f"  {text}"
    at = carets.index("^")
    assert carets == " " * at + "^" * len(marked)
    assert shown[at : at + len(marked)] == marked


@pytest.mark.parametrize("text", ["(has(gps)", "not", "camera", "camera =", "ext in (a", "near(1"])
def test_what_is_missing_at_the_end_is_shown_after_it(text: str) -> None:
    with pytest.raises(QueryError, match="expected") as caught:
        parse(text)

    _, shown, carets = str(caught.value).split("\n")
    assert carets == " " * len(shown) + "^"


def test_a_mistake_far_into_a_long_filter_is_shown_with_what_is_around_it() -> None:
    text = " or ".join(["kind = image"] * 50) + " or camra ~ x" + " or kind = image" * 50
    with pytest.raises(QueryError) as caught:
        parse(text)

    _, shown, carets = str(caught.value).split("\n")
    assert len(shown) < 100
    assert shown.startswith("  …")
    assert shown.endswith("…")
    assert shown[carets.index("^") :].startswith("camra")


def test_the_mark_stands_below_wide_characters_too() -> None:
    with pytest.raises(QueryError) as caught:
        parse("path ~ 写真 and camra = 1")

    assert str(caught.value).split("\n")[2] == " " * (2 + len("path ~ 写真 and ") + 2) + "^" * 5


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_an_empty_filter_is_an_error(text: str) -> None:
    with pytest.raises(QueryError, match="is empty"):
        parse(text)


# nothing hurts it


@pytest.mark.parametrize(
    "text",
    [
        "(" * (MAX_CHARS - 1),
        "not " * (MAX_CHARS // 4),
        "not (" * (MAX_CHARS // 5),
        "(" * (MAX_DEPTH + 1) + "has(gps)" + ")" * (MAX_DEPTH + 1),
        "title = " + "x" * 2_000_000,
        "x" * MAX_CHARS,
        "title = '" + "a" * (MAX_CHARS - 9),
        "title = '" + "\\" * (MAX_CHARS - 9),
        "'" * (MAX_CHARS - 1),
        "title = \x00",
        "title = 'a\x00b'",
        "title = \udcff",
        "\ud800",
        "title = '\x1b[31m'",
        "date = " + "9" * 9_000,
        "size = " + "9" * 9_000,
        "size = 1e99999",
        "size = 1e308TB",
        "duration = 1e308h",
        "duration = " + "1h" * 4_000,
        "duration = " + "9" * 30 + ":" + "9" * 9_000,
        "date = 99999y",
        "date = 0000",
        "near(1e999, 0, 1)",
        "near(nan, 0, 1)",
        "near(0, 0, inf)",
        "size = ١٢",
        " and ".join(["has(gps)"] * (MAX_CONDITIONS + 1)),
        "ext in (" + "a," * MAX_VALUES + "a)",
        "under('~nobody-has-this-name/x')",
        "path ~ (a+)+$",
        "== " * 3_000,
    ],
)
def test_hostile_filters_are_refused_at_once(text: str) -> None:
    began = time.perf_counter()
    with pytest.raises(QueryError) as caught:
        parse(text)

    assert time.perf_counter() - began < HANG_S
    assert len(str(caught.value)) < 1_000
    assert all(line.isprintable() for line in str(caught.value).split("\n"))


def test_the_limits_can_be_reached() -> None:
    deep = "(" * MAX_DEPTH + "has(gps)" + ")" * MAX_DEPTH
    many = " or ".join(["has(gps)"] * MAX_CONDITIONS)
    listed = "ext in (" + "a," * (MAX_VALUES - 1) + "a)"

    assert parse(deep) == Has(GPS)
    assert parse(many) == Or((Has(GPS),) * MAX_CONDITIONS)
    assert parse(listed) == Among("ext", ("a",) * MAX_VALUES)
    assert parse("not " * MAX_DEPTH + "has(gps)") != Has(GPS)


# quantities


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("10MB", 10e6), ("10mb", 10e6), ("10M", 10e6), ("1.5GB", 1.5e9), ("2KiB", 2048),
     ("1 TB", 1e12), (".5k", 500), ("12B", 12), ("1e3", 1000)],
)  # fmt: skip
def test_sizes(text: str, expected: float) -> None:
    assert quantities.parse_size_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "MB", "10XB", "-1MB", "1,5MB", "10iB", "0x10", "1_000"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(QueryError, match="is no size"):
        quantities.parse_size_bytes(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), ("90s", 90), ("5m", 300), ("5min", 300), ("1h30m", 5400), ("1h 30m", 5400),
     ("1.5h", 5400), ("250ms", 0.25), ("1:30", 90), ("1:02:03.5", 3723.5), ("0:00", 0)],
)  # fmt: skip
def test_durations(text: str, expected: float) -> None:
    assert quantities.parse_seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "h", "5x", "5m3", "1:99", "m5", "1h-30m", "-5s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(QueryError):
        quantities.parse_seconds(text)


def test_distances() -> None:
    assert quantities.parse_kilometres("10") == 10
    assert quantities.parse_kilometres("500 m") == 0.5
    assert quantities.parse_kilometres("1mi") == pytest.approx(1.609344)
    with pytest.raises(QueryError, match="is no distance"):
        quantities.parse_kilometres("-1km")


# dates


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2024", "2024-01-01", "2025-01-01"),
        ("2024-5", "2024-05-01", "2024-06-01"),
        ("2023-12", "2023-12-01", "2024-01-01"),
        ("2024-02-29", "2024-02-29", "2024-03-01"),
        ("2024-05-01T12", "2024-05-01T12:00", "2024-05-01T13:00"),
        ("2024-05-01T12:30", "2024-05-01T12:30", "2024-05-01T12:31"),
        ("2024-05-01 12:30:15", "2024-05-01T12:30:15", "2024-05-01T12:30:16"),
        ("2024-05-01T12:30:15.5", "2024-05-01T12:30:15.5", "2024-05-01T12:30:15.500001"),
        ("today", "2024-03-31", "2024-04-01"),
        ("YESTERDAY", "2024-03-30", "2024-03-31"),
        ("7d", "2024-03-24", "2024-03-25"),
        ("2w", "2024-03-17", "2024-03-18"),
        ("1m", "2024-02-29", "2024-03-01"),
        ("13m", "2023-02-28", "2023-03-01"),
        ("1y", "2023-03-31", "2023-04-01"),
        ("0d", "2024-03-31", "2024-04-01"),
    ],
)
def test_a_date_names_a_period(text: str, start: str, end: str) -> None:
    found = parse_period(text, today=TODAY)

    assert found.start == datetime.fromisoformat(start)
    assert found.end == datetime.fromisoformat(end)


def test_the_end_of_the_calendar_is_a_period_too() -> None:
    for text in ("9999", "9999-12", "9999-12-31", "9999-12-31T23:59:59.999999"):
        assert parse_period(text).end.isoformat() == "9999-12-31T23:59:59.999999"


def test_dates_and_moments_are_taken_as_they_are() -> None:
    zoned = datetime(2024, 5, 1, 12, tzinfo=UTC)

    assert parse_period(date(2024, 5, 1)) == parse_period("2024-05-01")
    assert parse_period(NOW).start == NOW
    assert parse_period(zoned).start == zoned.astimezone().replace(tzinfo=None)


def test_what_is_counted_back_from_is_the_day_of_the_clock() -> None:
    before = datetime.now().astimezone().date()
    found = parse_period("1d").start.date()
    after = datetime.now().astimezone().date()

    assert before - timedelta(days=1) <= found <= after - timedelta(days=1)


@given(periods())
def test_a_period_is_written_as_it_is_read(found: Period) -> None:
    assert parse_period(str(found)) == found
    assert found.start <= found.end


# languages, and text without case and accents


@pytest.mark.parametrize(
    ("tag", "asked", "expected"),
    [("de", "de", True), ("de-AT", "de", True), ("ger", "de", True), ("deu", "ger", True),
     ("de", "de-AT", False), ("de_at", "DE-at", True), ("den", "de", False), ("en", "de", False),
     ("zh-Hant-TW", "zho-Hant", True), ("xx", "xx", True)],
)  # fmt: skip
def test_a_language_covers_its_regions_and_other_codes(
    tag: str, asked: str, expected: bool
) -> None:
    assert languages.is_within(tag, asked) is expected


@pytest.mark.parametrize(
    ("one", "other"),
    [("Zürich", "ZURICH"), ("Beyoncé", "beyonce\N{COMBINING ACUTE ACCENT}"), ("Straße", "STRASSE"),
     ("ΣΊΣΥΦΟΣ", "σίσυφος"), ("ﬁn", "FIN"), ("İstanbul", "istanbul"), ("Łódź", "łodz")],
)  # fmt: skip
def test_case_and_accents_do_not_count(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_other_names_lead_to_fields() -> None:
    assert set(ALIASES.values()) <= set(FIELDS)
    assert not set(ALIASES) & set(FIELDS)
    assert not {*FIELDS, *ALIASES} & {*KEYWORDS, *parser.FUNCTIONS, GPS}
    assert fields.find_field("LATITUDE").name == "lat"
