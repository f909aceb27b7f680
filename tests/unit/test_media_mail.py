"""Mails, mailboxes and saved pages are read decoded, whole and by their content."""

from __future__ import annotations

import base64
import binascii
import io
import quopri
import random
import unicodedata
import zipfile
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mmsearch.errors import MediaError
from mmsearch.media.base import Content, Described, Limits, LoadOptions, Passage, Picture
from mmsearch.media.mail.bodies import join_flowed, remove_encoded
from mmsearch.media.mail.headers import decode_charset, decode_field
from mmsearch.media.mail.signed_data import find_signed_content
from mmsearch.media.registry import load
from mmsearch.media.sniff import sniff
from mmsearch.media.strings import split_words
from mmsearch.types import Metadata, Omission, OmissionCause

HEAD = b"From: Ann <ann@example.org>\r\nTo: Bob <bob@example.org>\r\nSubject: Harvest\r\n"
DATED = HEAD + b"Date: Wed, 01 May 2024 10:00:00 +0200\r\nMIME-Version: 1.0\r\n"


def read(path: Path, options: LoadOptions | None = None) -> list[Content]:
    return list(load(path, options or LoadOptions()))


def read_source(folder: Path, source: bytes, name: str = "a.eml") -> tuple[str, list[Content]]:
    path = folder / name
    path.write_bytes(source)
    contents = read(path)
    return "".join(each.text for each in contents if isinstance(each, Passage)), contents


def text_of(folder: Path, source: bytes, name: str = "a.eml") -> str:
    return read_source(folder, source, name)[0]


def omissions_of(contents: list[Content]) -> list[Omission]:
    return [each for each in contents if isinstance(each, Omission)]


def metadata_of(contents: list[Content]) -> Metadata:
    assert isinstance(contents[0], Described)
    return contents[0].metadata


def make_photo(side_px: int = 240, colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side_px, side_px), colour).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit", "7BIT ; x", None])
def test_bodies_are_decoded(tmp_path: Path, encoding: str | None) -> None:
    words = "Die Überraschung kommt aus Zürich, mit Käse und Grüßen. " * 4
    data = words.encode()
    if encoding == "base64":
        data = base64.encodebytes(data)
    elif encoding == "quoted-printable":
        data = quopri.encodestring(data)
    transfer = b"" if encoding is None else f"Content-Transfer-Encoding: {encoding}\r\n".encode()
    head = DATED + b"Content-Type: text/plain; charset=utf-8\r\n" + transfer
    text, contents = read_source(tmp_path, head + b"\r\n" + data)
    assert " ".join(words.split()) in " ".join(text.split())
    assert not omissions_of(contents)


def test_header_fields_are_metadata_and_text(tmp_path: Path) -> None:
    source = (
        b"From: =?iso-8859-1?Q?J=FCrgen_M=FCller?= <j@example.org>\n"
        b"Subject: =?utf-8?B?UsOkdWNo?=\n =?utf-8?B?ZXJoYXVz?=\n"
        b"Date: Wed, 01 May 2024 10:00:00 +0200\nKeywords: fish, smoke\n\nbody\n"
    )
    text, contents = read_source(tmp_path, source)
    metadata = metadata_of(contents)
    assert metadata.title == "Räucherhaus"
    assert metadata.artist == "Jürgen Müller <j@example.org>"
    assert metadata.taken_at is not None
    assert metadata.taken_at.utcoffset() == timedelta(hours=2)
    assert metadata.taken_at.astimezone(UTC) == datetime(2024, 5, 1, 8, tzinfo=UTC)
    assert metadata.keywords == ("fish", "smoke")
    assert "Subject: Räucherhaus\nFrom: Jürgen Müller <j@example.org>\n" in text


@pytest.mark.parametrize(
    ("source", "decoded"),
    [
        ("=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        ("=?UTF-8?B?w6TD?= =?UTF-8?B?tg==?=", "äö"),
        ("=?ISO-2022-JP?B?GyRCRnxLXDhsGyhC?=", "日本語"),
        ("Re: =?gb2312?B?xOO6ww==?= x", "Re: 你好 x"),
        ("=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c"),
        ("=?utf-8*de?q?H=C3=BCte?=", "Hüte"),
        ("=?no-such-set?q?plain?=", "plain"),
        ("=?utf-8?b?not base64!?=", decode_charset(base64.b64decode("notbase64A=="[:8]), "utf-8")),
        ("=?broken", "=?broken"),
    ],
)
def test_encoded_words_are_decoded(source: str, decoded: str) -> None:
    assert decode_field(source)[: len(decoded)] == decoded


@pytest.mark.parametrize(
    ("words", "written", "label"),
    [
        ("naïve “quotes” — 5 €", "cp1252", "iso-8859-1"),
        ("Größe und Straße", "utf-8", "us-ascii"),
        ("Größe und Straße", "utf-8", "iso-8859-15"),
        ("Größe und Straße", "cp1252", "utf-8"),
        ("日本語の手紙", "iso2022_jp", "iso-2022-jp"),
        ("日本語の手紙", "iso2022_jp", None),
        ("日本語の手紙、①と髙", "cp932", "shift_jis"),
        ("中文信件 镕", "gb18030", "gb2312"),
        ("한국어 편지 똠", "cp949", "ks_c_5601-1987"),
        ("Привет из Москвы", "koi8_r", "koi8-r"),
        ("Привет из Москвы, мы читаем письма каждый день", "cp1251", None),
        ("สวัสดี", "cp874", "windows-874"),
        ("שלום", "cp1255", "iso-8859-8-i"),
        ("Hi Mom -+Jjo--!", "ascii", None),
        ("plain", "ascii", "x-unknown"),
        ("plain", "ascii", "idna"),
    ],
)
def test_wrong_and_old_character_sets_are_read(words: str, written: str, label: str) -> None:
    assert decode_charset(words.encode(written), label) == words


def test_raw_eight_bit_headers_are_read(tmp_path: Path) -> None:
    for encoding in ("utf-8", "cp1252"):
        subject = "Grüße aus Köln, die Äpfel sind reif".encode(encoding)
        _, contents = read_source(tmp_path, b"Subject: " + subject + b"\nFrom: a@b.org\n\nbody")
        assert metadata_of(contents).title == "Grüße aus Köln, die Äpfel sind reif"


def make_alternative(plain: str, page: str) -> bytes:
    message = EmailMessage()
    message["Subject"], message["From"] = "Harvest", "ann@example.org"
    message.set_content(plain)
    message.add_alternative(page, subtype="html")
    return bytes(message)


def test_of_alternatives_one_is_read(tmp_path: Path) -> None:
    text = text_of(tmp_path, make_alternative("the plain quince", "<p>the <b>marked</b> quince"))
    assert text.count("quince") == 1
    assert "the plain quince" in text


@pytest.mark.parametrize("plain", ["", "See the HTML."])
def test_html_is_read_where_the_plain_text_says_nothing(tmp_path: Path, plain: str) -> None:
    page = "<style>p {}</style><p>Dear Ann,<p>the qu<b>ince</b> is ripe, and so are the medlars."
    text = text_of(tmp_path, make_alternative(plain, page))
    assert "the quince is ripe" in text
    assert "p {}" not in text
    assert "See the HTML" not in text


def test_attachments_are_named_and_texts_in_them_read(tmp_path: Path) -> None:
    message = EmailMessage()
    message["Subject"], message["From"] = "Papers", "ann@example.org"
    message.set_content("see below")
    message.add_attachment("medlar list\n", filename="Äpfel.txt")
    message.add_attachment(
        b"quince;3\n", maintype="application", subtype="octet-stream", filename="list.csv"
    )
    message.add_attachment(
        b"PK\3\4", maintype="application", subtype="zip", filename="Überblick 2024 final.zip"
    )
    message.add_attachment(
        b"BEGIN:VCARD\r\nFN:Eva Wald\r\nEND:VCARD\r\n",
        maintype="text",
        subtype="vcard",
        filename="eva.vcf",
    )
    text, contents = read_source(tmp_path, bytes(message))
    assert "Attachment: Äpfel.txt\n" in text
    assert "medlar list" in text
    assert "quince;3" in text
    assert "Attachment: Überblick 2024 final.zip" in text
    assert "Name: Eva Wald" in text
    assert [each.cause for each in omissions_of(contents)] == [OmissionCause.UNSUPPORTED]
    assert "Überblick" in omissions_of(contents)[0].detail


def test_forwarded_messages_are_read(tmp_path: Path) -> None:
    inner = EmailMessage()
    inner["Subject"], inner["From"] = "Inner matter", "eva@example.org"
    inner.set_content("the inner plain medlar")
    inner.add_alternative("<p>the inner marked medlar</p>", subtype="html")
    outer = EmailMessage()
    outer["Subject"], outer["From"] = "Fwd", "ann@example.org"
    outer.set_content("see the quince below")
    outer.add_attachment(inner)
    text = text_of(tmp_path, bytes(outer))
    encoded = bytes(outer.as_bytes()).replace(bytes(inner), base64.encodebytes(bytes(inner)))
    encoded = encoded.replace(b"Content-Transfer-Encoding: 8bit\n", b"")
    encoded = encoded.replace(
        b"Content-Type: message/rfc822",
        b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64",
    )
    for found in (text, text_of(tmp_path, encoded)):
        assert "see the quince below" in found
        assert "Subject: Inner matter" in found
        assert found.count("medlar") == 1


def test_pictures_inside_are_pictures(tmp_path: Path) -> None:
    message = EmailMessage()
    message["Subject"], message["From"] = "Photos", "ann@example.org"
    message.set_content("two photos")
    for name, side_px, colour in (
        ("a.jpg", 240, "red"),
        ("b.jpg", 300, "blue"),
        ("c.jpg", 20, "red"),
    ):
        message.add_attachment(
            make_photo(side_px, colour), maintype="image", subtype="jpeg", filename=name
        )
    message.add_attachment(
        make_photo(250, "green"), maintype="application", subtype="octet-stream", filename="d.jpg"
    )
    text, contents = read_source(tmp_path, bytes(message))
    pictures = [each for each in contents if isinstance(each, Picture)]
    assert len(pictures) == 3
    assert len({each.place.key() for each in pictures}) == 3
    assert "Attachment: a.jpg" in text


def make_docx(words: str) -> bytes:
    file = io.BytesIO()
    body = f"<w:document xmlns:w='w'><w:body><w:p><w:r><w:t>{words}</w:t></w:r></w:p></w:body>"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", f"{body}</w:document>")
    return file.getvalue()


def test_attached_documents_are_read(tmp_path: Path) -> None:
    message = EmailMessage()
    message["Subject"], message["From"] = "Papers", "ann@example.org"
    message.set_content("see below")
    for name, data in (
        ("a.docx", make_docx("the quince contract")),
        ("b.docx", b"PK\3\4" + bytes(99)),
    ):
        message.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    text, contents = read_source(tmp_path, bytes(message))
    assert "Attachment: a.docx\n\nthe quince contract" in text
    (omission,) = omissions_of(contents)
    assert omission.cause == OmissionCause.DAMAGED
    assert omission.detail.startswith("the attachment b.docx: ")


def test_an_attached_pdf_is_read(tmp_path: Path) -> None:
    page = b"BT /F 24 Tf 72 700 Td (the quince report) Tj ET"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R"
        b"/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>>>",
        b"<</Length %d>>stream\n%b\nendstream" % (len(page), page),
    ]
    pdf = b"%PDF-1.4\n" + b"".join(
        b"%d 0 obj%b endobj\n" % (number, each) for number, each in enumerate(objects, start=1)
    )
    message = EmailMessage()
    message["Subject"], message["From"] = "Papers", "ann@example.org"
    message.set_content("see below")
    trailer = b"trailer<</Root 1 0 R>>\n%%EOF"
    message.add_attachment(pdf + trailer, maintype="application", subtype="pdf")
    text, contents = read_source(tmp_path, bytes(message))
    assert "the quince report" in text
    assert not omissions_of(contents)


def test_one_of_alternatives_is_read_around_an_attachment(tmp_path: Path) -> None:
    mixed = b"".join(
        (
            b"--m\nContent-Type: text/html\n\n<p>the marked quince</p>\n",
            b"--m\nContent-Type: application/octet-stream; name=a.docx\n",
            b"Content-Transfer-Encoding: base64\n\n",
            base64.encodebytes(make_docx("the medlar contract")),
            b"--m\nContent-Type: text/html\n\n<p>and the marked plum</p>\n--m--\n",
        )
    )
    source = (
        DATED
        + b"Content-Type: multipart/alternative; boundary=a\n\n"
        + b"--a\n\nthe plain quince and the plain plum\n"
        + b"--a\nContent-Type: multipart/mixed; boundary=m\n\n"
        + mixed
        + b"--a--\n"
    )
    text = text_of(tmp_path, source)
    assert "the plain quince and the plain plum" in text
    assert "the medlar contract" in text
    assert "marked" not in text


def test_no_encoded_file_is_text(tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(3000)
    uu_lines = b"".join(binascii.b2a_uu(noise[at : at + 45]) for at in range(0, 3000, 45))
    pgp = b"-----BEGIN PGP SIGNATURE-----\nVersion: 1\n\niQEzBAABCAAdFiEE\n=abcd\n"
    source = (
        DATED
        + b"\nbefore quince\n"
        + base64.encodebytes(noise)
        + b"between medlar\nbegin 644 a.bin\n"
        + uu_lines
        + b"`\nend\nbegin 2024 with joy\n"
        + pgp
        + b"-----END PGP SIGNATURE-----\nafter\n"
    )
    text = text_of(tmp_path, source)
    body = text.partition("\n\n")[2]
    assert tuple(body.split()) == split_words(
        "before quince between medlar begin 2024 with joy after"
    )


def test_encrypted_mails_say_so(tmp_path: Path) -> None:
    pgp_mime = (
        DATED
        + b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b\n\n'
        + b"--b\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n--b\n"
        + b"Content-Type: application/octet-stream; name=encrypted.asc\n\n"
        + b"-----BEGIN PGP MESSAGE-----\n\nhQEMA\n-----END PGP MESSAGE-----\n--b--\n"
    )
    smime = (
        DATED
        + b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\n"
        + b"Content-Transfer-Encoding: base64\n\n"
        + base64.encodebytes(bytes.fromhex("3080 06092a864886f70d010703 a080 3080"))
    )
    inline = (
        DATED + b"\nhello\n-----BEGIN PGP MESSAGE-----\n\nhQEMA\n-----END PGP MESSAGE-----\nbye\n"
    )
    for source in (pgp_mime, smime, inline):
        text, contents = read_source(tmp_path, source)
        assert OmissionCause.ENCRYPTED in {each.cause for each in omissions_of(contents)}
        assert "hQEMA" not in text
        assert "Subject: Harvest" in text


def make_element(tag: int, value: bytes) -> bytes:
    size = len(value).to_bytes(4, "big")
    return bytes([tag, 0x84]) + size + value


@pytest.mark.parametrize("is_chunked", [False, True])
def test_signed_messages_are_unwrapped(tmp_path: Path, is_chunked: bool) -> None:
    inner = b"Content-Type: text/plain; charset=utf-8\r\n\r\nthe signed quince \xc3\xa4\r\n"
    octets = make_element(0x04, inner)
    if is_chunked:
        octets = b"\x24\x80" + make_element(4, inner[:30]) + make_element(4, inner[30:]) + b"\0\0"
    content = bytes.fromhex("06092a864886f70d010701") + make_element(0xA0, octets)
    signed = bytes.fromhex("020101") + make_element(0x31, b"") + make_element(0x30, content)
    signed = make_element(0x30, signed + make_element(0xA0, b"certificates"))
    data = make_element(0x30, bytes.fromhex("06092a864886f70d010702") + make_element(0xA0, signed))
    assert find_signed_content(data) == inner
    head = DATED + b"Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m\n"
    head += b"Content-Transfer-Encoding: base64\n\n"
    text, contents = read_source(tmp_path, head + base64.encodebytes(data))
    assert "the signed quince ä" in text
    assert not omissions_of(contents)


def test_flowed_lines_are_joined() -> None:
    text = "> quoted \n> more\nnew \ntext\n\n-- \nAnn\n -- stuffed"
    assert join_flowed(text) == "> quoted more\nnew text\n\n-- \nAnn\n-- stuffed"
    assert join_flowed("日本 \n語", is_glued=True) == "日本語"


@pytest.mark.parametrize(
    "source",
    [
        b"Content-Type: multipart/mixed; boundary=q\n\n--other\n\nthe quince\n--other--\n",
        b"Content-Type: multipart/mixed\n\n--zz\nContent-Type: text/plain\n\nthe quince\n--zz--\n",
        b"Content-Type: multipart/mixed; boundary=b\n--b\n\nthe quince\n--b--\n",
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\nthe quince",
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nthe quince",
        b"Content-Type: text\n\nthe quince",
        b'Content-Type: text/plain; charset="no-such\n\nthe quince',
        b"Content-Type: TEXT/PLAIN; charset=hex\nContent-Transfer-Encoding: x-none\n\nthe quince",
        b"Subject no colon\nthe quince",
        b"X: " + b"x" * 200_000 + b"\n\nthe quince",
    ],
)
def test_broken_structure_costs_no_words(tmp_path: Path, source: bytes) -> None:
    for ends in (b"\n", b"\r\n", b"\r"):
        text = text_of(tmp_path, (HEAD.replace(b"\r\n", b"\n") + source).replace(b"\n", ends))
        assert "the quince" in text


def test_deep_and_wide_mails_are_bounded(tmp_path: Path) -> None:
    deep = b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (at, at) for at in range(2000)
    )
    text, contents = read_source(tmp_path, HEAD + deep + b"\nbottom")
    assert "Subject: Harvest" in text
    assert [each.cause for each in omissions_of(contents)] == [OmissionCause.UNSUPPORTED]
    forwarded = b"Content-Type: message/rfc822\n\n" * 2000
    assert "Subject: Harvest" in text_of(tmp_path, HEAD + forwarded + b"\nbottom")
    wide = b"".join(b"--b\n\nword%d\n" % at for at in range(5000))
    text = text_of(
        tmp_path, HEAD + b"Content-Type: multipart/mixed; boundary=b\n\n" + wide + b"--b--"
    )
    assert "word0\n" in text
    assert "word4999\n" in text


def test_mails_of_apple_and_of_windows_are_read(tmp_path: Path) -> None:
    message = DATED + b"\r\nthe quince\r\n"
    plist = b'<?xml version="1.0"?><plist><dict><key>flags</key></dict></plist>'
    text, contents = read_source(tmp_path, b"%d\n" % len(message) + message + plist, "1.emlx")
    assert "the quince" in text
    assert "plist" not in text
    assert metadata_of(contents).format == "emlx"
    wide = message.decode().replace("quince", "Käse").encode("utf-16")
    assert "the Käse" in text_of(tmp_path, wide)
    assert "the quince" in text_of(tmp_path, b"\xef\xbb\xbf" + message)
    assert metadata_of(read_source(tmp_path, b"\xef\xbb\xbf" + message)[1]).title == "Harvest"


def make_mailbox(count: int) -> bytes:
    return b"".join(
        b"From a@example.org Wed May  1 10:00:%02d 2024\nFrom: a@example.org\n"
        b"Subject: Matter %d\nContent-Transfer-Encoding: quoted-printable\n\n"
        b"From here on all is well\n>From now on too=\n, number%d\n\n" % (at % 60, at, at)
        for at in range(count)
    )


@pytest.mark.parametrize("name", ["a.mbox", "Inbox", "a.txt"])
def test_messages_of_a_mailbox_are_pages(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(make_mailbox(3))
    contents = read(path)
    passages = [each for each in contents if isinstance(each, Passage)]
    assert metadata_of(contents).format == "mbox"
    assert [each.page for each in passages] == [1, 2, 3]
    assert "Subject: Matter 1" in passages[1].text
    assert "From here on all is well\nFrom now on too, number1" in passages[1].text
    assert all(each.start_char == 0 for each in passages)


def test_a_mailbox_of_other_writers_is_parted(tmp_path: Path) -> None:
    source = (
        b"From - Tue Mar 05 10:00:00 2024\nX-Mozilla-Status: 0001\nSubject: one\n\nquince\n"
        b"From ann@example.org\nno header follows\n\n"
        b"From ???@??? Tue Mar 05 10:00:00 2024\nSubject: two\n\nmedlar\n\n"
        b"From ann@example.org\nReturn-Path: <ann@example.org>\nSubject: three\n\nplum\n"
    )
    path = tmp_path / "a.mbox"
    path.write_bytes(source)
    passages = [each for each in read(path) if isinstance(each, Passage)]
    assert [each.page for each in passages] == [1, 2, 3]


def test_messages_past_the_limit_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.mbox"
    path.write_bytes(make_mailbox(5))
    contents = read(path, LoadOptions(limits=Limits(pages=2)))
    assert {each.page for each in contents if isinstance(each, Passage)} == {1, 2}
    (omission,) = omissions_of(contents)
    assert (omission.cause, omission.name, omission.value) == (OmissionCause.LIMIT, "pages", 2)
    contents = read(path, LoadOptions(limits=Limits(text_chars=100)))
    assert [each.name for each in omissions_of(contents)] == ["text_chars"]


def make_page(image: bytes = b"") -> bytes:
    return (
        b"From: <Saved by Blink>\r\nSnapshot-Content-Location: https://example.org/fruit\r\n"
        b"Subject: =?utf-8?Q?The=20K=C3=A4se=20page?=\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/related;\r\n\ttype="text/html";\r\n\tboundary="--Bx--"\r\n\r\n'
        b"----Bx--\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n"
        b"Content-Location: https://example.org/fruit\r\n\r\n"
        b"<html><head><title>T</title></head><body>mulber=\r\nries and K=C3=A4se</body></html>\r\n"
        b"----Bx--\r\nContent-Type: text/css\r\nContent-Location: a.css\r\n\r\np { hidden }\r\n"
        b"----Bx--\r\nContent-Type: text/html\r\nContent-ID: <frame>\r\n\r\n<p>in a frame</p>\r\n"
        b"----Bx--\r\nContent-Type: image/jpeg\r\nContent-Transfer-Encoding: base64\r\n"
        b"Content-Location: a.jpg\r\n\r\n" + base64.encodebytes(image) + b"\r\n----Bx----\r\n"
    )


@pytest.mark.parametrize("name", ["page.mhtml", "page.mht", "page"])
def test_saved_pages_are_read(tmp_path: Path, name: str) -> None:
    text, contents = read_source(tmp_path, make_page(make_photo()), name)
    metadata = metadata_of(contents)
    assert metadata.format == "mhtml"
    assert metadata.title == "The Käse page"
    assert metadata.description == "https://example.org/fruit"
    assert "mulberries and Käse" in text
    assert "in a frame" in text
    assert "hidden" not in text
    assert sum(isinstance(each, Picture) for each in contents) == 1
    assert not omissions_of(contents)


def test_mails_are_known_by_their_content(tmp_path: Path) -> None:
    mail, path = DATED + b"\r\nthe quince", tmp_path / "a"
    cases = {
        "1714550400.M5P1.host:2,S": (mail, "mail"),
        "a.txt": (b"From: Ann\nTo: Bob\nSubject: note\n\nDear Bob", "text"),
        "b.txt": (b"A note on mail:\n\nFrom: a\nSubject: b\nMIME-Version: 1.0\n\nx", "text"),
        "c.md": (mail, "text"),
        "d.patch": (
            b"From 0123 Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: [PATCH]\n",
            "text",
        ),
        "e.eml": (b"Subject: only this\n\nbody", "mail"),
        "f.eml": (b"no header at all", "text"),
        "g.txt": (b"From here at 10:00 we go on\nand on", "text"),
        "h.mht": (b"MIME-Version: 1.0\nContent-Type: multipart/related; boundary=b\n\n", "mail"),
        "i": (b"Return-Path: <a@b>\nReceived: from x\n\tby y\nSubject: z\n", "mail"),
        "j.eml": (b"Subject: binary\n\n" + bytes(range(256)) * 20, "mail"),
    }
    for name, (source, loader) in cases.items():
        path = tmp_path / name
        path.write_bytes(source)
        assert sniff(path) == loader, name


words = st.lists(
    st.text(st.characters(categories=["Ll", "Lu", "Lo"], exclude_characters="\u017f"), min_size=1),
    min_size=1,
    max_size=20,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=words, encoding=st.sampled_from(["base64", "quoted-printable", "8bit"]))
def test_words_put_in_are_found(tmp_path: Path, body: list[str], encoding: str) -> None:
    body = [unicodedata.normalize("NFC", word) for word in body]
    message = EmailMessage()
    message["Subject"], message["From"] = "matter " + body[0][:30], "ann@example.org"
    message.set_content(" ".join(body), cte=encoding if encoding != "8bit" else None)
    message.add_attachment("\n".join(body), filename="a.txt")
    text = text_of(tmp_path, bytes(message))
    assert " ".join(body) in " ".join(text.split("\n"))
    assert body[0][:30] in text


FRAGMENTS = [
    *b"--b\n|--b--\n|\n|\n\n|From a 10:00\n|Subject: |=?utf-8?b?|?=|\x1b$B|begin 644 a\n".split(
        b"|"
    ),
    b"Content-Type: multipart/mixed; boundary=b\n",
    b"Content-Type: message/rfc822\n",
    b"Content-Transfer-Encoding: base64\n",
    b"Content-Type: application/pkcs7-mime\n",
    b"Content-Type: image/png\n",
    b"Content-Type: text/plain; format=flowed; charset=",
    b"filename*0*=utf-8''%",
    b"-----BEGIN PGP MESSAGE-----\n",
    b"Content-Disposition: attachment;",
    b"Date: ",
    bytes.fromhex("06092a864886f70d01070206092a864886f70d010701a0802484"),
]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(FRAGMENTS),
        ),
        max_size=40,
    ),
    name=st.sampled_from(["a.eml", "a.mbox", "a.mht", "a.emlx"]),
)  # fmt: skip
def test_arbitrary_bytes_raise_nothing_else(tmp_path: Path, pieces: list[bytes], name: str) -> None:
    path = tmp_path / name
    start = b"From a 10:00 2024\nSubject: x\n" if name == "a.mbox" else b"Subject: x\n"
    path.write_bytes(start + b"".join(pieces))
    try:
        read(path)
    except MediaError as exc:
        pytest.fail(f"refused: {exc}")


@given(st.text())
def test_removal_keeps_ordinary_lines(text: str) -> None:
    lines = [
        line for line in text.split("\n") if " " in line and not line.startswith(("-", "begin"))
    ]
    kept = remove_encoded(text)[0].split("\n")
    assert all(line in kept for line in lines)
