"""What kind a file is, by content."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from mmsearch.errors import DecodeError, MediaTooLarge, UnsupportedMedia
from mmsearch.media.base import Described, Limits, LoadOptions, Passage
from mmsearch.media.registry import LOADERS, find_loaders, load, make_loader
from mmsearch.media.sniff import sniff
from mmsearch.types import Modality

TEXTS = {
    "notes.txt": b"just words",
    "umlaut.txt": "Gr\xfc\xdfe aus K\xf6ln".encode("latin-1"),
    "wide.txt": "a wide text".encode("utf-16"),
    "wide_unmarked.txt": "a wide text without mark".encode("utf-16-le"),
    "marked.md": b"\xef\xbb\xbf# title",
    "code.py": b'PAGE = "<html><body></body></html>"\n',
    "table.csv": b"a,b\n1,2\n",
    "coloured.log": b"\x1b[31merror\x1b[0m something\n" * 20,
    "BMW.txt": b"BMW is a car maker",
    "RIFF": b"RIFF is a container",
    "playlist.m3u8": b"#EXTM3U\n/etc/passwd\n",
    "pdf.md": b"a file that begins with %PDF- is a PDF",
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_is_known_by_its_characters(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(TEXTS[name])
    assert sniff(path) == "text"


OTHERS = {
    "page.html": (b"<!DOCTYPE html><html></html>", "html"),
    "page": (b"  <html><body>x</body></html>", "html"),
    "part.htm": (b"<p>a fragment</p>", "html"),
    "drawing.svg": (b'<?xml version="1.0"?><svg><text>x</text></svg>', "html"),
    "film.srt": (b"1\r\n00:00:01,000 --> 00:00:02,000\r\nHi\r\n", "subtitles"),
    "film.vtt": (b"WEBVTT\n\n00:01.000 --> 00:02.000\nHi\n", "subtitles"),
    "film.txt": (b"1\n00:00:01,000 --> 00:00:02,000\nHi\n", "subtitles"),
    "scan": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "pdf"),
    "plain.ppm": (b"P3\n1 1\n255\n1 2 3\n", "image"),
    "wrong.txt": (b"\x89PNG\r\n\x1a\n" + bytes(20), "image"),
    "photo.mp4": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40), "image"),
    "clip.jpg": (b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + bytes(40), "av"),
    "song": (b"ID3\x04\0\0\0\0\0\0" + bytes(100), "av"),
    "noise.mp3": (bytes(range(256)) * 4, "av"),
    "picture.tga": (bytes(range(256)) * 4, "image"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_content_decides_over_the_name(tmp_path: Path, name: str) -> None:
    content, expected = OTHERS[name]
    path = tmp_path / name
    path.write_bytes(content)
    assert sniff(path) == expected


REFUSED = {
    "tool": (b"\x7fELF\x02\x01\x01" + bytes(50), "executable"),
    "tool.exe": (b"MZ\x90\0" + bytes(50), "executable"),
    "font.ttf": (b"\0\x01\0\0\0\x0f" + bytes(50), "font"),
    "a.tar.gz": (b"\x1f\x8b\x08\0" + bytes(50), "archive"),
    "art.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n(gs) run\n", "PostScript"),
    "art.ps.png": (b"\xc5\xd0\xd3\xc6" + bytes(50), "PostScript"),
    "old.doc": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(50), "DOCX"),
    "blob": (bytes(range(256)) * 4, "no known kind"),
    "empty.jpg": (b"", "the file is empty"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_rest_is_refused_with_a_reason(tmp_path: Path, name: str) -> None:
    content, reason = REFUSED[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnsupportedMedia) as caught:
        sniff(path)
    assert reason in caught.value.reason


ZIP_KINDS = {
    "docx": ({"word/document.xml": "x"}, "docx"),
    "xlsx": ({"[Content_Types].xml": "<Types/>", "xl/workbook.xml": "x"}, "spreadsheet"),
    "pptx": ({"docProps/app.xml": "x", "PPT/presentation.xml": "x"}, "presentation"),
    "odt": ({"mimetype": "application/vnd.oasis.opendocument.text-template"}, "opendocument"),
    "ods": ({"content.xml": "x", "META-INF/manifest.xml": "x"}, "opendocument"),
    "epub": ({"mimetype": "application/epub+zip\n"}, "epub"),
    "packed again": ({"OEBPS/a.xhtml": "x", "META-INF/container.xml": "x"}, "epub"),
    "by type": (
        {
            "[Content_Types].xml": '<Types><Override PartName="/a.xml" ContentType="application/'
            'vnd.openxmlformats-officedocument.spreadsheetml.template.main+xml"/></Types>',
            "a.xml": "x",
        },
        "spreadsheet",
    ),
    "photos": ({"photos/a.jpg": "x"}, "a zip archive"),
    "xlsb": ({"[Content_Types].xml": "<Types/>", "xl/workbook.bin": "x"}, "save it as XLSX"),
    "numbers": ({"Index/Document.iwa": "x", "preview.jpg": "x"}, "export it as PDF"),
    "apk": ({"AndroidManifest.xml": "x"}, "an Android package"),
}


@pytest.mark.parametrize("name", ZIP_KINDS)
def test_zips_are_told_apart_by_their_members(tmp_path: Path, name: str) -> None:
    members, expected = ZIP_KINDS[name]
    path = tmp_path / "file.docx"
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    if " " not in expected:
        assert sniff(path) == expected
    else:
        with pytest.raises(UnsupportedMedia, match=expected):
            sniff(path)


@pytest.mark.parametrize(
    "start", [r"{\rtf1 plums", r"{\rtf1\ansi x", r"{\rtf{\fonttbl}", "{\\rtf\n\\b x"]
)
def test_rtf_is_told_by_its_first_words(tmp_path: Path, start: str) -> None:
    path = tmp_path / "file"
    path.write_text(start)
    assert sniff(path) == "rtf"


def test_a_zip_with_a_huge_directory_is_not_looked_into(tmp_path: Path) -> None:
    path = tmp_path / "file.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for at in range(12_000):
            archive.writestr(f"{at}/{'x' * 60}", "")
        archive.writestr("word/document.xml", "x")
    with pytest.raises(UnsupportedMedia, match="a zip archive"):
        sniff(path)


@pytest.mark.parametrize(
    "start", ["", "<?xml version='1.0'?><!-- x -->", "<!DOCTYPE office:document>"]
)
def test_flat_documents_are_told_by_their_namespace(tmp_path: Path, start: str) -> None:
    space = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
    path = tmp_path / "file.xml"
    path.write_text(f'{start}<office:document xmlns:office="{space}"/>')
    assert sniff(path) == "opendocument"
    path.write_text(f'{start}<other:document xmlns:office="{space[:-10]}"/>')
    assert sniff(path) == "text"


BEGINS_LIKE = {
    "p1.txt": b"P1 2024 incidents\n\nThe server went down.\n",
    "p2.md": b"P2 12 13 tickets are open\n",
    "p2 numbers": b"P2 12 13\n",
    "p3.txt": b"P3 4 5 6 7 of the plan\n",
    "p6": b"P6 100 100 255 is how it begins\n",
    "pf.txt": b"Pf and PF are floats\n",
    "pdf.html": b"<!doctype html><p>It starts with %PDF-1.4 and a comment.</p>",
    "pdf.adoc": b"Every such file starts with %PDF-1.7 and then objects.\n",
    "pdf.wiki": b"%PDF-1.4 is how it begins\nand then objects.\n",
    "pdf.org": b"Listing:\n%PDF-1.4\n%abc\nand so on\n",
    "pdf.rst": b"Listing:\n\n%PDF-1.4\n1 0 obj\n<< >>\nendobj\n",
    "bitmap.txt": b"BM is the mark of a bitmap, or of Birmingham\n",
    "gif": b"GIF89a is a format of pictures\n",
    "tiff.txt": b"II* and MM are marks\n",
    "riff.mp3": b"RIFF WAVE and AVI are kin\n",
    "id3.mp3": b"ID3 tags explained\n",
    "rar.txt": b"Rar! is a mark\n",
    "mz.exe.txt": b"MZ are the initials of Mark Zbikowski\n",
    "zip.txt": b"PK are initials, too\n",
    "rtf.txt": b"{\\rtf is how it begins}\n",
    "ps.txt": b"%!PS is how a program in PostScript begins\n",
    "from.txt": b"From here on it is downhill\n",
    "fits": b"SIMPLE  = simple is better\n",
    "xpm.c": b"/* XPM */ is a comment\n",
    "vtt.txt": b"WEBVTT is a format\n",
    "ogg.ogg": b"OggS begins every page\n",
    "html.txt": b"The tag <html opens a page\n",
    "image type.txt": b"Image type: a portrait\n",
    "gimp.txt": b"twenty letters here:GIMP is a program\n",
    "mail.txt": b"Subject: the matter at hand\nis not settled\n",
    "json.ipynb": b"not a notebook\n",
    "card.vcf": b"BEGIN is no card\n",
}


@pytest.mark.parametrize("name", BEGINS_LIKE)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le"])
def test_what_only_begins_like_another_kind_is_text(
    tmp_path: Path, name: str, encoding: str
) -> None:
    path = tmp_path / name
    words = BEGINS_LIKE[name].decode() + "The tayberry is a fruit.\n"
    path.write_bytes(words.encode(encoding))
    described, *passages = load(path, LoadOptions())
    assert isinstance(described, Described)
    assert described.modality is Modality.TEXT
    assert "tayberry" in "".join(each.text for each in passages if isinstance(each, Passage))


def damage(kind: str, content: bytes) -> bytes:
    if kind == "zeros behind the header":
        return content[:20] + bytes(len(content) - 20)
    if kind == "zeros":
        return bytes(len(content))
    return content[:12] if kind == "twelve bytes" else b"\0" + content[1:]


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "tif", "webp"])
@pytest.mark.parametrize(
    "kind", ["zeros behind the header", "zeros", "twelve bytes", "another first byte"]
)
def test_a_picture_with_a_broken_header_is_no_text(tmp_path: Path, suffix: str, kind: str) -> None:
    path = tmp_path / f"a.{suffix}"
    noise = Image.effect_noise((64, 64), 90).convert("RGB")
    noise.save(path)
    path.write_bytes(damage(kind, path.read_bytes()))
    for named in (path, path.rename(tmp_path / "a"), (tmp_path / "a").rename(tmp_path / "a.txt")):
        if not named.exists():
            continue
        # Refused with a reason, or drawn as far as it goes.
        with suppress(UnsupportedMedia, DecodeError):
            described, *_ = load(named, LoadOptions())
            assert isinstance(described, Described)
            assert described.modality is Modality.IMAGE


def test_raw_pixels_that_look_like_letters_are_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.ppm"
    Image.new("RGB", (30, 30), (200, 200, 200)).save(path)
    assert sniff(path) == "image"


def test_a_damaged_pdf_of_letters_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\n")
    with pytest.raises(DecodeError, match="PDF"):
        list(load(path, LoadOptions()))


def test_many_comments_before_a_page_take_no_time(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"<!--a-->" * 1000 + b"x")
    assert sniff(path) == "text"


def test_the_error_of_the_likeliest_loader_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.html"
    path.write_text("<html>words")

    def fail(self: object, path: Path, options: LoadOptions) -> None:
        raise DecodeError(path, f"no {type(self).__name__}")

    monkeypatch.setattr("mmsearch.media.texts.html.HtmlLoader.load", fail)
    assert [type(each) for each in load(path, LoadOptions())] == [Described, Passage]
    monkeypatch.setattr("mmsearch.media.texts.text.TextLoader.load", fail)
    with pytest.raises(DecodeError, match="no HtmlLoader"):
        list(load(path, LoadOptions()))


def test_pipes_and_folders_are_never_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, Path("/dev/zero")):
        with pytest.raises(UnsupportedMedia, match="regular"):
            sniff(path)


def test_a_missing_file_is_a_decode_error(tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match="cannot be read"):
        sniff(tmp_path / "gone.jpg")


def test_sniff_imports_no_decoder() -> None:
    code = (
        "import sys, mmsearch.media.sniff, mmsearch.media.registry;"
        "print([m for m in ('PIL', 'av', 'numpy', 'pypdfium2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_registered_loader_carries_its_name() -> None:
    assert all(make_loader(name).name == name for name in LOADERS)


def test_loader_for_goes_by_content(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    path = (tmp_path / "a.png").rename(tmp_path / "a.txt")
    assert find_loaders(path)[0].name == "image"


def test_load_checks_the_size_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("four words are here")
    with pytest.raises(MediaTooLarge, match="19 bytes"):
        list(load(path, LoadOptions(limits=Limits(file_bytes=10))))


@pytest.mark.parametrize(
    ("raised", "expected"),
    [(MemoryError(), MediaTooLarge), (ZeroDivisionError("x"), DecodeError)],
)
def test_only_media_errors_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, expected: type[Exception]
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("words")

    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr("mmsearch.media.texts.text.TextLoader.load", fail)
    with pytest.raises(expected) as caught:
        list(load(path, LoadOptions()))
    assert caught.value.__cause__ is raised
