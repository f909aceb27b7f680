"""Dates in metadata and in the names of files."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.media.pictures.file_dates import parse_date, parse_date_in_name

_MOMENT = datetime(2016, 2, 3, 4, 5, 6)  # noqa: DTZ001
_DAY = datetime(2016, 2, 3)  # noqa: DTZ001


@pytest.mark.parametrize(
    "name",
    [
        "IMG_20160203_040506.jpg",
        "IMG_20160203_040506_1.jpg",
        "IMG20160203040506.jpg",
        "VID_20160203_040506.mp4",
        "20160203_040506.jpg",
        "2016-02-03 04.05.06.jpg",
        "2016-02-03T04_05_06.jpg",
        "photo_2016-02-03_04-05-06.jpg",
        "Photo 2016-02-03, 04 05 06.jpg",
        "Screenshot 2016-02-03 at 04.05.06.png",
        "Screen Shot 2016-02-03 at 4.05.06 AM (2).png",
        "Screen Shot 2016-02-03 at 4.05.06\u202fAM.png",
        "Screenshot from 2016-02-03 04-05-06.png",
        "Screenshot_20160203-040506.png",
        "Screenshot_2016-02-03-04-05-06-789_com.app.png",
        "Screenshot 2016-02-03 040506.png",
        "Bildschirmfoto 2016-02-03 um 04.05.06.png",
        "Capture d’écran 2016-02-03 à 04.05.06.png",
        "スクリーンショット 2016-02-03 4.05.06.png",
        "WIN_20160203_04_05_06_Pro.jpg",
        "WhatsApp Image 2016-02-03 at 04.05.06 (1).jpeg",
        "signal-2016-02-03-040506.jpg",
        "signal-2016-02-03-04-05-06-123.jpg",
        "DJI_20160203040506_0001_V.jpg",
        "C360_2016-02-03-04-05-06-789.jpg",
    ],
)
def test_names_with_a_moment(name: str) -> None:
    moment = parse_date_in_name(name)
    assert moment is not None
    assert moment.replace(microsecond=0) == _MOMENT


@pytest.mark.parametrize(
    "name",
    [
        "IMG-20160203-WA0001.jpg",
        "20160203.jpg",
        "20160203-0001.jpg",
        "Scan_20160203.jpg",
        "2016-02-03.jpg",
        "2016_02_03.png",
        "2016.02.03 Krems.jpg",
        "2016年2月3日.jpg",
    ],
)
def test_names_with_a_day(name: str) -> None:
    assert parse_date_in_name(name) == _DAY


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Photo 23-02-2016.jpg", datetime(2016, 2, 23)),  # noqa: DTZ001
        ("24.12.2016.jpg", datetime(2016, 12, 24)),  # noqa: DTZ001
        ("PXL_20210101_123456789.jpg", datetime(2021, 1, 1, 12, 34, 56, 789_000, tzinfo=UTC)),
        ("FB_IMG_1454472306000.jpg", datetime(2016, 2, 3, 4, 5, 6, tzinfo=UTC)),
        ("Screenshot 2016-03-09 at 4.05.06 PM.png", datetime(2016, 3, 9, 16, 5, 6)),  # noqa: DTZ001
        ("Screenshot 2016-03-09 at 12.05.06 AM.png", datetime(2016, 3, 9, 0, 5, 6)),  # noqa: DTZ001
    ],
)
def test_names_of_other_orders(name: str, expected: datetime) -> None:
    assert parse_date_in_name(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        "Photo 03-02-2016.jpg",
        "IMG_4321.jpg",
        "DSC01273.jpg",
        "DSC19951231.jpg",
        "P1000231.jpg",
        "1454472306000.jpg",
        "12345678901234.jpg",
        "99920160203.jpg",
        "20169999_1.jpg",
        "video_2099-05-06_04-05-06.mp4",
        "IMG_18560203_040506.jpg",
        "3f2504e0-4f89-2016-0203-20160203aaaa.jpg",
        "",
        ".jpg",
    ],
)
def test_names_without_a_date(name: str) -> None:
    assert parse_date_in_name(name) is None


@given(st.datetimes(datetime(1990, 1, 1), datetime(2026, 12, 31)))  # noqa: DTZ001
def test_every_moment_in_a_name_is_read(moment: datetime) -> None:
    moment = moment.replace(microsecond=0)
    assert parse_date_in_name(f"IMG_{moment:%Y%m%d_%H%M%S}.jpg") == moment
    assert parse_date_in_name(f"Screenshot {moment:%Y-%m-%d} at {moment:%H.%M.%S}.png") == moment


@given(st.text(max_size=300))
def test_no_name_raises(name: str) -> None:
    parse_date_in_name(name)
    parse_date(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2018:05:06", datetime(2018, 5, 6)),  # noqa: DTZ001
        ("2018:05:06 24:99:00", datetime(2018, 5, 6)),  # noqa: DTZ001
        ("2018:05:06 10:11", datetime(2018, 5, 6, 10, 11)),  # noqa: DTZ001
        ("20180506", datetime(2018, 5, 6)),  # noqa: DTZ001
        ("1976-06", datetime(1976, 6, 1)),  # noqa: DTZ001
        ("1976", datetime(1976, 1, 1)),  # noqa: DTZ001
        ("19740000", datetime(1974, 1, 1)),  # noqa: DTZ001
        ("2018-05-06T10:00:00.25Z", datetime(2018, 5, 6, 10, 0, 0, 250_000, tzinfo=UTC)),
        ("0000:00:00", None),
        ("2023:13:01", None),
    ],
)
def test_dates_of_metadata(text: str, expected: datetime | None) -> None:
    assert parse_date(text) == expected
