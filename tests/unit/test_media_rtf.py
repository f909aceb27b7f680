"""RTF is read in all code pages, with what stands beside its text."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.errors import DecodeError
from mmsearch.media.base import Content, Limits
from mmsearch.media.documents.rtf import RtfLoader
from mmsearch.types import Metadata, Omission, OmissionCause
from tests.unit.documents import (
    lines_of,
    make_png,
    omissions_of,
    picture_pages_of,
    read_document,
)


def read(
    path: Path, body: str | bytes, limits: Limits | None = None
) -> tuple[Metadata, list[Content]]:
    path.write_bytes(body.encode("latin-1") if isinstance(body, str) else body)
    return read_document(RtfLoader(), path, limits)


def lines(path: Path, body: str | bytes) -> list[str]:
    return [line for _, line in lines_of(read(path, body)[1])]


def escape(text: str, codec: str) -> str:
    return "".join(f"\\'{byte:02x}" for byte in text.encode(codec))


def test_paragraphs_tables_notes_and_headers_are_lines(tmp_path: Path) -> None:
    metadata, contents = read(
        tmp_path / "a.rtf",
        r"""{\rtf1\ansi\deff0{\fonttbl{\f0\fnil Arial;}}{\colortbl;\red255\green0\blue0;}
{\stylesheet{\s1 Heading;}}{\*\generator Writer;}
{\info{\title The Harvest}{\author Ada}{\subject Fruit}{\keywords plums, pears}{\creatim\yr2026}
{\nofpages7}{\operator Bob}}
{\header\pard ACME secret\par}{\headerf ACME secret\par}{\footer Page \chpgn\par}
\pard\f0 One\tab line\~of {\b bo}ld.{\footnote\pard a footnote\par}{\v hid}{\deleted gone}\par
{\listtext 1.\tab}item\line two\par
\trowd\pard\intbl a\par b\cell c\cell\row
\pard{\field{\*\fldinst HYPERLINK "http://x"}{\fldrslt a link}} \{x\} \\ y\
{\*\unknown not this}{\*\annotation a remark}{\upr{no}{\*\ud \u21487?}}{\shp{\*\shpinst
{\sp{\sn x}{\sv y}}{\shptxt in a box\par}}}end}""",
    )
    assert [line for _, line in lines_of(contents)] == [
        "ACME secret",
        "Page",
        "One\tline\xa0of bold.hid",
        "a footnote",
        "item",
        "two",
        "a b | c",
        "a link {x} \\ y",
        "a remark",
        "可end",
        "in a box",
    ]
    assert metadata == Metadata(
        format="rtf",
        title="The Harvest",
        artist="Ada",
        description="Fruit",
        keywords=("plums", "pears"),
        page_count=7,
    )


@pytest.mark.parametrize(
    ("head", "codec", "text"),
    [
        (r"\ansicpg1251", "cp1251", "Урожай"),
        (r"\ansicpg1250", "cp1250", "Žluťoučký"),
        (r"\ansicpg932", "cp932", "日本語のソ表"),
        (r"\ansicpg65001", "utf-8", "Größe"),
        (r"\mac", "mac_roman", "Größe"),
        ("", "cp1252", "Größe – “x”"),
    ],
)
def test_the_code_page_of_the_document_counts(
    tmp_path: Path, head: str, codec: str, text: str
) -> None:
    assert lines(tmp_path / "a.rtf", f"{{\\rtf1\\ansi{head} {escape(text, codec)}}}") == [text]


def test_the_character_set_of_the_font_counts_more(tmp_path: Path) -> None:
    body = (
        r"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0\fnil\fcharset0 A;}{\f1\fnil\fcharset204 B;}"
        r"{\f2\fcharset128 C;}{\f3\fcharset161 D;}}\f1 "
        + escape("Урожай", "cp1251")
        + r"{\f2 "
        + escape("ソ日本", "cp932")
        + "}"
        + escape("слив", "cp1251")
        + r"\f3 "
        + escape("λόγος", "cp1253")
        + r"\plain\'e9}"
    )
    assert lines(tmp_path / "a.rtf", body) == ["Урожайソ日本сливλόγοςé"]


def test_unicode_has_replacements_of_any_length(tmp_path: Path) -> None:
    body = (
        r"{\rtf1\u8364?x\uc2\u-10179 ??\u-8704\'81\'40y\uc0\u1055\u1088 z{\uc3\u233 abcd}\u233 e}"
    )
    assert lines(tmp_path / "a.rtf", body) == ["€x😀yПрzéeée".replace("ée", "éd", 1)]


def test_text_that_is_not_escaped_is_read(tmp_path: Path) -> None:
    for codec in ("utf-8", "cp1252"):
        body = b"{\\rtf1\\ansi\\ansicpg1252 " + "Größe".encode(codec) + b"}"
        assert lines(tmp_path / "a.rtf", body) == ["Größe"]


def test_pictures_and_binary_data_are_no_text(tmp_path: Path) -> None:
    digits = make_png(256).hex()
    body = (
        r"{\rtf1 before{\pict\wmetafile8 0102}{\*\shppict{\pict\pngblip\picw9 "
        + "\r\n"
        + digits
        + r"}}{\nonshppict{\pict\pngblip "
        + make_png(256, 1).hex()
        + r"}}{\pict\bin9 }}}}}}}}}}after{\object{\*\objdata 0102}{\result shown}}}"
    )
    _, contents = read(tmp_path / "a.rtf", body)
    assert [line for _, line in lines_of(contents)] == ["beforeaftershown"]
    assert len(picture_pages_of(contents)) == 2


def test_damage_and_limits_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.rtf"
    _, contents = read(path, r"{\rtf1 kept\par " + "{" * 5000 + "lost")
    assert lines_of(contents) == [(None, "kept")]
    assert omissions_of(contents) == [
        Omission(OmissionCause.DAMAGED, "the text cannot be read to its end")
    ]
    with pytest.raises(DecodeError, match="broken"):
        read(path, r"{\rtf1 " + "{" * 5000)
    long = r"{\rtf1 " + r"plums and pears\par " * 5000
    _, contents = read(path, long, Limits(text_bytes=96_000))
    assert 300 < len(lines_of(contents)) < 5000
    assert [each.name for each in omissions_of(contents)] == ["text_bytes"]
    _, contents = read(path, long, Limits(text_chars=100))
    assert [each.name for each in omissions_of(contents)] == ["text_chars"]


def test_a_file_that_breaks_off_keeps_its_last_words(tmp_path: Path) -> None:
    assert lines(tmp_path / "a.rtf", r"{\rtf1 one\par two {\b three{\footnote four") == [
        "one",
        "two three",
        "four",
    ]


LETTERS = st.characters(categories=["Lu", "Ll", "Lo", "Nd", "So"])
WORDS = st.lists(
    st.text(LETTERS, min_size=1, max_size=9).map(lambda word: unicodedata.normalize("NFC", word)),
    max_size=20,
)


@given(words=WORDS, ends=st.sampled_from(["\n", "\r\n", ""]))
def test_every_word_is_found(
    tmp_path_factory: pytest.TempPathFactory, words: list[str], ends: str
) -> None:
    def encode(word: str) -> str:
        units = memoryview(word.encode("utf-16-le")).cast("H")
        return "".join(f"\\u{unit - 65536 if unit > 32767 else unit}?" for unit in units)

    body = "{\\rtf1" + ends + (ends + "\\par ").join(map(encode, words)) + "}"
    assert lines(tmp_path_factory.mktemp("words") / "a", body) == words


@given(
    body=st.lists(
        st.sampled_from(
            [
                *r"{}\'*|~ aé",
                r"\par",
                r"\u8364",
                r"\'82",
                r"\bin3 ",
                r"\f1",
                r"\info",
                r"\title",
                r"\upr",
                r"\*\ud",
                r"\pict",
                r"\footnote",
                r"\cell",
                r"\uc9",
                r"\fonttbl",
                r"\fcharset128",
            ]
        ),
        max_size=60,
    ).map("".join)
)
def test_no_sequence_of_tokens_breaks_it(
    tmp_path_factory: pytest.TempPathFactory, body: str
) -> None:
    read(tmp_path_factory.mktemp("tokens") / "a", "{\\rtf1 " + body)
