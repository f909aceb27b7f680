"""Ranges and conditions, by RFC 9110."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.server.media.ranges import ByteRange, FileVersion, UnsatisfiableRange, parse_range

NOW = FileVersion('"abc"', 1_700_000_000.75)
SECOND = 1_700_000_000


@given(st.integers(1, 10**12), st.integers(0, 10**13), st.integers(0, 10**13))
def test_a_range_is_the_slice_that_it_says(size: int, first: int, length: int) -> None:
    header = f"bytes={first}-{first + length}"
    if first >= size:
        with pytest.raises(UnsatisfiableRange):
            parse_range(header, size)
    else:
        assert parse_range(header, size) == ByteRange(first, min(size, first + length + 1))


@given(st.integers(1, 10**6), st.integers(0, 10**7))
def test_open_and_suffix_ranges_meet_the_end(size: int, count: int) -> None:
    if count == 0:
        with pytest.raises(UnsatisfiableRange):
            parse_range("bytes=-0", size)
    else:
        assert parse_range(f"bytes=-{count}", size) == ByteRange(max(0, size - count), size)
    if count < size:
        assert parse_range(f"bytes={count}-", size) == ByteRange(count, size)


@given(st.text(max_size=40), st.integers(1, 1000))
def test_any_header_gives_a_part_of_the_file_or_the_whole(header: str, size: int) -> None:
    for text in (header, "bytes=" + header):
        try:
            part = parse_range(text, size)
        except UnsatisfiableRange:
            continue
        assert part is None or 0 <= part.start < part.end <= size


@pytest.mark.parametrize(
    "header",
    ["bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-4", "bytes=1-2-3", "items=0-4", "=0-4",
     "bytes=0x1-2", "bytes=+1-2", "bytes=1_0-20", "bytes=0-1,oops", "bytes=,", "bytes=٣-٤"],
)  # fmt: skip
def test_what_is_no_range_is_as_if_it_were_not_there(header: str) -> None:
    assert parse_range(header, 10) is None


def test_several_ranges_are_answered_with_the_whole() -> None:
    assert parse_range("bytes=0-1,4-5", 10) is None
    assert parse_range("bytes=0-1, 90-", 10) is None
    with pytest.raises(UnsatisfiableRange):
        parse_range("bytes=20-30,40-", 10)


def test_the_unit_is_known_in_any_case_and_blanks_are_passed_over() -> None:
    assert parse_range("BYTES= 2-3 ", 10) == ByteRange(2, 4)
    assert parse_range("bytes=,2-3,", 10) == ByteRange(2, 4)


def test_numbers_without_end_are_understood() -> None:
    assert parse_range("bytes=1-" + "9" * 40, 10) == ByteRange(1, 10)
    assert parse_range("bytes=1-" + "9" * 5000, 10) is None


# conditions


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"if-none-match": '"abc"'}, 304),
        ({"if-none-match": 'W/"abc"'}, 304),
        ({"if-none-match": '"x", "abc"'}, 304),
        ({"if-none-match": "*"}, 304),
        ({"if-none-match": '"ab"'}, 200),
        ({"if-none-match": "abc"}, 200),
        ({"if-match": '"abc"'}, 200),
        ({"if-match": "*"}, 200),
        ({"if-match": 'W/"abc"'}, 412),
        ({"if-match": '"x"'}, 412),
        ({"if-modified-since": formatdate(SECOND, usegmt=True)}, 304),
        ({"if-modified-since": formatdate(SECOND - 1, usegmt=True)}, 200),
        ({"if-modified-since": "yesterday"}, 200),
        ({"if-unmodified-since": formatdate(SECOND, usegmt=True)}, 200),
        ({"if-unmodified-since": formatdate(SECOND - 1, usegmt=True)}, 412),
        # A tag is asked before a date.
        ({"if-none-match": '"x"', "if-modified-since": formatdate(SECOND, usegmt=True)}, 200),
        ({"if-match": '"abc"', "if-unmodified-since": formatdate(0, usegmt=True)}, 200),
        ({"if-match": '"x"', "if-none-match": '"abc"'}, 412),
    ],
)
def test_conditions_are_asked_in_their_order(headers: dict[str, str], status: int) -> None:
    assert NOW.evaluate_conditions(headers) == status


@given(st.text(max_size=60))
def test_no_condition_breaks_anything(text: str) -> None:
    for name in ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since"):
        assert NOW.evaluate_conditions({name: text}) in (200, 304, 412)
    assert NOW.matches_if_range(text) in (True, False)


def test_a_part_continues_only_what_the_client_has() -> None:
    assert NOW.matches_if_range(None)
    assert NOW.matches_if_range('"abc"')
    assert NOW.matches_if_range(formatdate(SECOND, usegmt=True))
    assert not NOW.matches_if_range('W/"abc"')
    assert not NOW.matches_if_range('"x"')
    assert not NOW.matches_if_range(formatdate(SECOND + 1, usegmt=True))


def test_a_time_that_no_date_can_say_is_left_out() -> None:
    assert FileVersion('"a"', -5.0).last_modified is None
    assert FileVersion('"a"', 1e18).last_modified is None
