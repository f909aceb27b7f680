"""EPUB books of all versions are read chapter by chapter, in reading order."""

from __future__ import annotations

from html import escape
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.errors import DecodeError
from mmsearch.media.base import Content, Limits
from mmsearch.media.documents.epub import EpubLoader
from mmsearch.types import Metadata, Omission, OmissionCause
from tests.unit.documents import (
    lines_of,
    make_png,
    omissions_of,
    picture_pages_of,
    read_document,
    write_zip,
)

CONTAINER = """<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>
<rootfile full-path="OEBPS/the%20book.opf" media-type="application/oebps-package+xml"/></rootfiles>
</container>"""
METADATA = """<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>The Harvest</dc:title>
<dc:title>A Novel</dc:title><dc:creator>Ada</dc:creator><dc:creator>Bob</dc:creator>
<dc:language>de</dc:language><dc:subject>Fruit</dc:subject><dc:subject>Jam</dc:subject>
<dc:description>&lt;p&gt;All about &lt;b&gt;plums&lt;/b&gt;&lt;/p&gt;</dc:description>
<meta name="cover" content="cover"/></metadata>"""
FACTS = Metadata(
    format="epub",
    title="The Harvest",
    artist="Ada, Bob",
    language="de",
    keywords=("Fruit", "Jam"),
    description="All about plums",
    page_count=2,
)


def page(body: str, head: str = "<title/>") -> str:
    return f"""<?xml version="1.0" encoding="utf-8"?><!DOCTYPE html><html
    xmlns="http://www.w3.org/1999/xhtml"><head>{head}</head><body>{body}</body></html>"""


def package(names: list[str], more: str = "", start: str = "") -> str:
    items = "".join(
        f'<item id="i{at}" href="{name}" media-type="application/xhtml+xml"/>'
        for at, name in enumerate(names)
    )
    refs = "".join(f'<itemref idref="i{at}"/>' for at in range(len(names)))
    return f"""{start}<package xmlns="http://www.idpf.org/2007/opf">{METADATA}<manifest>{more}{items}
    </manifest><spine>{refs}</spine></package>"""


def write(path: Path, chapters: list[str], **more: str | bytes) -> Path:
    """A book whose names of chapters are not in the order of reading."""
    names = [f"text/{9999 - at}.xhtml" for at in range(len(chapters))]
    members: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": CONTAINER,
        "OEBPS/the book.opf": package(names),
        **{f"OEBPS/{name}": text for name, text in zip(names, chapters, strict=True)},
    }
    return write_zip(path, {**members, **more})


def read(path: Path, limits: Limits | None = None) -> tuple[Metadata, list[Content]]:
    return read_document(EpubLoader(), path, limits)


def test_chapters_are_pages_in_reading_order(tmp_path: Path) -> None:
    first = page("<h1>One</h1><p>plums<br/>and&nbsp;<b>pears</b></p><a id='x'/><p>jam</p>")
    second = page("<p>Zwei</p>", '<title/><script src="x"/><style/>')
    metadata, contents = read(write(tmp_path / "a.epub", [first, second]))
    assert metadata == FACTS
    assert lines_of(contents) == [
        (1, "One"),
        (1, "plums"),
        (1, "and\xa0pears"),
        (1, "jam"),
        (2, "Zwei"),
    ]
    assert omissions_of(contents) == []


def test_packages_of_old_books_have_document_types_and_capitals(tmp_path: Path) -> None:
    start = """<?xml version="1.0"?>
    <!DOCTYPE package PUBLIC "+//ISBN 0-9673008-1-9//DTD OEB 1.2 Package//EN" "oebpkg12.dtd">"""
    old = package(["text/9999.xhtml"], start=start).replace("dc:title", "dc:Title")
    text = page("<p>Пример</p>").replace("utf-8", "windows-1251").encode("cp1251")
    path = write(
        tmp_path / "a.epub",
        [page("")],
        **{"OEBPS/the book.opf": old, "OEBPS/text/9999.xhtml": text},
    )
    metadata, contents = read(path)
    assert metadata.title == "The Harvest"
    assert lines_of(contents) == [(1, "Пример")]


@pytest.mark.parametrize("lost", ["META-INF/container.xml", "OEBPS/the book.opf"])
def test_a_book_without_container_or_package_is_still_read(tmp_path: Path, lost: str) -> None:
    chapters = [page("<p>one</p>"), page("<p>two</p>")]
    _, contents = read(write(tmp_path / "a.epub", chapters, **{lost: "<broken"}))
    assert {line for _, line in lines_of(contents)} == {"one", "two"}


def test_larger_pictures_and_the_cover_are_read_once(tmp_path: Path) -> None:
    body = (
        '<img alt="x" src="../images/a%201.png"/><svg><image xlink:href="../images/b.png"/></svg>'
    )
    cover = '<item id="cover" href="images/c.png" media-type="image/png"/>'
    path = write(
        tmp_path / "a.epub",
        [page(body), page(body)],
        **{
            "OEBPS/the book.opf": package(["text/9999.xhtml", "text/9998.xhtml"], cover),
            "OEBPS/images/a 1.png": make_png(300),
            "OEBPS/images/b.png": make_png(30),
            "OEBPS/images/c.png": make_png(300, 1),
        },
    )
    _, contents = read(path)
    assert picture_pages_of(contents) == [None, 1]


def encryption(algorithm: str, *names: str) -> str:
    entries = "".join(
        f'<e:EncryptedData><e:EncryptionMethod Algorithm="{algorithm}"/><e:CipherData>'
        f'<e:CipherReference URI="{name}"/></e:CipherData></e:EncryptedData>'
        for name in names
    )
    return f'<encryption xmlns:e="http://www.w3.org/2001/04/xmlenc#">{entries}</encryption>'


def test_a_book_with_drm_is_called_encrypted(tmp_path: Path) -> None:
    aes = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
    chapters = [page("<p>one</p>"), page("<p>two</p>")]
    names = ("OEBPS/text/9999.xhtml", "OEBPS/text/9998.xhtml")
    path = write(tmp_path / "a", chapters, **{"META-INF/encryption.xml": encryption(aes, *names)})
    with pytest.raises(DecodeError, match="encrypted by its seller"):
        read(path)
    path = write(tmp_path / "b", chapters, **{"META-INF/encryption.xml": encryption(aes, names[1])})
    _, contents = read(path)
    assert lines_of(contents) == [(1, "one")]
    assert omissions_of(contents) == [Omission(OmissionCause.ENCRYPTED, "chapter 2 is encrypted")]
    fonts = encryption("http://www.idpf.org/2008/embedding", *names)
    _, contents = read(write(tmp_path / "c", chapters, **{"META-INF/encryption.xml": fonts}))
    assert lines_of(contents) == [(1, "one"), (2, "two")]


def test_missing_chapters_and_limits_are_named(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.epub",
        [page("<p>plums</p>")] * 9,
        **{"OEBPS/the book.opf": package(["text/9999.xhtml", "text/none.xhtml"] * 3)},
    )
    _, contents = read(path, Limits(pages=3))
    assert lines_of(contents) == [(1, "plums"), (3, "plums")]
    assert omissions_of(contents) == [
        Omission(OmissionCause.LIMIT, "chapters 4 to 6 of 6", "pages", 3),
        Omission(OmissionCause.DAMAGED, "chapter 2 cannot be read to its end"),
    ]
    path = write(tmp_path / "b.epub", [page("<p>plums and pears</p>" * 9999)])
    _, contents = read(path, Limits(text_bytes=20_000))
    assert len(lines_of(contents)) > 500
    assert [each.name for each in omissions_of(contents)] == ["text_bytes"]


@given(words=st.lists(st.text("abc<&é", min_size=1, max_size=9), min_size=1, max_size=20))
def test_every_word_is_found(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> None:
    chapters = [page(f"<p>{escape(word)}</p>") for word in words]
    _, contents = read(write(tmp_path_factory.mktemp("words") / "a", chapters))
    assert lines_of(contents) == list(enumerate(words, start=1))


def test_a_long_chapter_is_read_in_parts(tmp_path: Path) -> None:
    path = write(tmp_path / "a.epub", [page("<p>plums and <b>pears</b></p>" * 90_000)])
    _, contents = read(path)
    assert {line for _, line in lines_of(contents)} == {"plums and pears"}
    assert len(lines_of(contents)) == 90_000
