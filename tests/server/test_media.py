"""Files and pictures over HTTP: the right bytes, as nothing that could run, and by ids alone."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from mmsearch.errors import LibraryNotFound
from mmsearch.library.library import Library
from mmsearch.media.files import hash_content
from mmsearch.media.isolation import Decoder
from mmsearch.previews import Previews, workers
from mmsearch.server.media import file_responses
from mmsearch.server.media.filetypes import (
    choose_content_type,
    format_content_disposition,
    is_playable,
)
from mmsearch.server.media.routes import create_media_routes
from mmsearch.types import Asset, Metadata, Modality
from tests.fakes import fake_library, write_film, write_picture, write_sound, write_text
from tests.patience import HANG_S

UNKNOWN = "0f" * 16
HTML = "<!DOCTYPE html><html><body><script>alert(1)</script>boats</body></html>"
SVG = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script><text>boats</text></svg>'


@dataclass(frozen=True)
class Served:
    """A library that is served, and the folder it was made of."""

    client: TestClient
    library: Library
    previews: Previews
    media: Path

    def id(self, name: str) -> str:
        return hash_content(self.media / name)

    def url(self, name: str, what: str = "media") -> str:
        return f"/v1/assets/{self.id(name)}/{what}"


def filled(folder: Path) -> Path:
    write_picture(folder / "red.png", "red")
    write_text(folder / "page.html", HTML)
    write_text(folder / "drawing.svg", SVG)
    write_text(folder / "boats é.txt", "a word about boats, höher")
    write_sound(folder / "tone.wav", seconds=2.0)
    write_film(folder / "film.mp4", ["red", "green"])
    return folder


def serve(root: Path) -> Iterator[Served]:
    media = filled(root / "media")
    with fake_library(root / "library") as library, Previews(library) as previews:
        library.index(media)
        app = Starlette(routes=create_media_routes(lambda: library, lambda: previews, "/v1"))
        with TestClient(app) as client:
            yield Served(client, library, previews, media)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Not to be changed."""
    yield from serve(tmp_path_factory.mktemp("served"))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    yield from serve(tmp_path)


def problem(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = json.loads(response.content)
    assert set(found) == {"type", "title", "status", "detail"}
    assert found["status"] == status
    return found


# the file itself


@pytest.mark.parametrize("name", ["red.png", "film.mp4", "tone.wav", "boats é.txt", "page.html"])
def test_a_file_comes_whole_and_as_it_is(standing: Served, name: str) -> None:
    response = standing.client.get(standing.url(name))

    assert response.status_code == 200
    assert response.content == (standing.media / name).read_bytes()
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["content-length"] == str(len(response.content))


@given(data=st.data())
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_any_range_is_the_slice_of_the_file(standing: Served, data: st.DataObject) -> None:
    content = (standing.media / "film.mp4").read_bytes()
    size = len(content)
    first = data.draw(st.integers(0, size - 1))
    last = data.draw(st.integers(first, 2 * size))
    way = data.draw(st.sampled_from(["closed", "open", "suffix"]))
    header, expected = {
        "closed": (f"bytes={first}-{last}", content[first : last + 1]),
        "open": (f"bytes={first}-", content[first:]),
        "suffix": (f"bytes=-{last + 1}", content[-(last + 1) :]),
    }[way]

    response = standing.client.get(standing.url("film.mp4"), headers={"range": header})

    assert response.status_code == 206
    assert response.content == expected
    end = size - 1 if way != "closed" else min(last, size - 1)
    start = max(0, size - last - 1) if way == "suffix" else first
    assert response.headers["content-range"] == f"bytes {start}-{end}/{size}"


def test_a_range_outside_is_refused_and_the_size_is_told(standing: Served) -> None:
    size = (standing.media / "tone.wav").stat().st_size
    headers = {"range": f"bytes={size}-"}

    response = standing.client.get(standing.url("tone.wav"), headers=headers)

    problem(response, 416)
    assert response.headers["content-range"] == f"bytes */{size}"


@pytest.mark.parametrize("header", ["bytes=0-1,5-6", "bytes=5-4", "pages=1-2", "nonsense"])
def test_several_ranges_and_what_is_none_give_the_whole(standing: Served, header: str) -> None:
    response = standing.client.get(standing.url("tone.wav"), headers={"range": header})

    assert response.status_code == 200
    assert "content-range" not in response.headers


def test_a_head_says_what_a_get_would(standing: Served) -> None:
    url = standing.url("film.mp4")
    whole = standing.client.get(url)

    head = standing.client.head(url, headers={"range": "bytes=0-3"})

    assert head.status_code == 200
    assert head.content == b""
    assert dict(head.headers) == dict(whole.headers)


def test_a_part_continues_only_the_same_file(standing: Served) -> None:
    url = standing.url("tone.wav")
    first = standing.client.get(url)
    for tag, status in (
        (first.headers["etag"], 206),
        (first.headers["last-modified"], 206),
        ('"other"', 200),
        ("W/" + first.headers["etag"], 200),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 200),
    ):
        response = standing.client.get(url, headers={"range": "bytes=5-9", "if-range": tag})
        assert response.status_code == status, tag


def test_what_the_client_has_is_not_sent_again(standing: Served) -> None:
    url = standing.url("tone.wav")
    first = standing.client.get(url)

    for headers in (
        {"if-none-match": first.headers["etag"]},
        {"if-modified-since": first.headers["last-modified"]},
        {"if-none-match": first.headers["etag"], "range": "bytes=0-1"},
    ):
        response = standing.client.get(url, headers=headers)
        assert response.status_code == 304
        assert response.content == b""
        assert response.headers["etag"] == first.headers["etag"]
    assert standing.client.get(url, headers={"if-match": '"x"'}).status_code == 412


# nothing that runs


@pytest.mark.parametrize(
    ("name", "media_type", "is_inline"),
    [
        ("red.png", "image/png", True),
        ("film.mp4", "video/mp4", True),
        ("tone.wav", "audio/wav", True),
        ("page.html", "text/plain; charset=utf-8", True),
        ("drawing.svg", "text/plain; charset=utf-8", True),
    ],
)
def test_a_file_is_sent_as_something_harmless(
    standing: Served, name: str, media_type: str, is_inline: bool
) -> None:
    shown = standing.client.get(standing.url(name))
    kept = standing.client.get(standing.url(name) + "?download=1")

    assert shown.headers["content-type"] == media_type
    assert shown.headers["content-disposition"].startswith("inline" if is_inline else "attach")
    assert kept.headers["content-disposition"] == f'attachment; filename="{name}"'
    for response in (shown, kept):
        assert response.headers["x-content-type-options"] == "nosniff"
        policy = response.headers["content-security-policy"]
        assert policy.startswith("sandbox")
        assert "default-src 'none'" in policy
        assert "script" not in policy
        assert response.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in response.headers


def of(modality: Modality, form: str) -> Asset:
    return Asset(UNKNOWN, modality, 1, Metadata(format=form))


@pytest.mark.parametrize("modality", Modality)
@given(form=st.text() | st.sampled_from(["html", "svg", "xml", "xhtml", "pdf", "docx", "XBM"]))
def test_no_form_is_sent_as_a_page(modality: Modality, form: str) -> None:
    served = choose_content_type(of(modality, form), "a.html")

    assert served.media_type.split("/")[0] in ("image", "audio", "video", "text", "application")
    assert not any(word in served.media_type for word in ("html", "svg", "xml", "javascript"))
    if served.is_inline:
        assert served.media_type == "text/plain; charset=utf-8" or modality in (
            Modality.IMAGE,
            Modality.AUDIO,
            Modality.VIDEO,
        )


@given(st.text())
def test_any_name_makes_one_header(name: str) -> None:
    for is_inline in (True, False):
        value = format_content_disposition(name, is_inline=is_inline)
        value.encode("latin-1")
        assert "\r" not in value
        assert "\n" not in value
        assert value.count('"') == 2


def test_names_come_through(standing: Served) -> None:
    response = standing.client.get(standing.url("boats é.txt"))

    assert response.headers["content-disposition"] == (
        "inline; filename=\"boats _.txt\"; filename*=UTF-8''boats%20%C3%A9.txt"
    )


def test_what_browsers_play_is_told(standing: Served) -> None:
    film, photo = of(Modality.VIDEO, "mov"), of(Modality.IMAGE, "JPEG")
    matroska = of(Modality.VIDEO, "matroska")

    assert all(map(is_playable, (film, photo, matroska, of(Modality.AUDIO, "flac"))))
    assert is_playable(matroska, "a.webm")
    assert not is_playable(matroska, "a.mkv")
    assert not is_playable(of(Modality.VIDEO, "avi"))
    assert not is_playable(of(Modality.IMAGE, "TIFF"))
    assert not is_playable(of(Modality.TEXT, "pdf"))
    assert choose_content_type(matroska, "a.webm").media_type == "video/webm"
    said = standing.client.head(standing.url("film.mp4")).headers["mmsearch-playable"]
    assert said == "?1"
    said = standing.client.head(standing.url("page.html")).headers["mmsearch-playable"]
    assert said == "?0"


# by ids alone


@pytest.mark.parametrize("what", ["media", "thumbnail"])
@pytest.mark.parametrize(
    "asset_id",
    [UNKNOWN, "x", "..", "..%2f..%2fetc%2fpasswd", "%2e%2e", UNKNOWN.upper(), UNKNOWN + "0",
     UNKNOWN[:-1], "%00" * 32, "%D9%A3" * 32, "' or 1=1 --", UNKNOWN + "%0a", "0" * 5000],
)  # fmt: skip
def test_what_is_no_id_finds_nothing(standing: Served, asset_id: str, what: str) -> None:
    response = standing.client.get(f"/v1/assets/{asset_id}/{what}")

    assert response.status_code == 404
    assert b"root:" not in response.content


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_nothing_is_changed_here(standing: Served, method: str) -> None:
    assert getattr(standing.client, method)(standing.url("red.png")).status_code == 405


@pytest.mark.parametrize("way", ["link", "other", "gone", "pipe", "folder"])
def test_what_was_put_in_the_place_of_a_file_is_not_served(
    served: Served, tmp_path: Path, way: str
) -> None:
    path = served.media / "red.png"
    urls = [served.url("red.png"), served.url("red.png", "thumbnail")]
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * path.stat().st_size)
    path.unlink()
    if way == "link":
        path.symlink_to(secret)
    elif way == "other":
        shutil.copy(secret, path)
    elif way == "pipe":
        os.mkfifo(path)
    elif way == "folder":
        path.mkdir()

    for url in urls:
        response = served.client.get(url)
        assert problem(response, 410)["type"] == "urn:mmsearch:problem:media-gone"
        assert str(tmp_path) not in response.text


def test_a_removed_asset_is_not_served(served: Served) -> None:
    urls = [served.url("red.png"), served.url("red.png", "thumbnail")]
    tags = [served.client.get(url).headers["etag"] for url in urls]
    served.library.remove(served.media / "red.png")

    for url, tag in zip(urls, tags, strict=True):
        response = served.client.get(url, headers={"if-none-match": tag})
        assert problem(response, 404)["type"] == "urn:mmsearch:problem:no-such-asset"


# pictures


def test_a_thumbnail_is_a_picture(standing: Served) -> None:
    response = standing.client.get(standing.url("red.png", "thumbnail"))

    assert response.headers["content-type"] == "image/jpeg"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"].startswith("private")
    assert Image.open(io.BytesIO(response.content)).size == (24, 16)
    again = standing.client.get(
        standing.url("red.png", "thumbnail"), headers={"if-none-match": response.headers["etag"]}
    )
    assert again.status_code == 304
    assert again.content == b""


def test_a_still_is_of_its_time_and_a_recording_is_drawn(standing: Served) -> None:
    for at_s, channel in ((1, 0), (5.5, 1), ("1e9", 1)):
        response = standing.client.get(f"{standing.url('film.mp4', 'thumbnail')}?t={at_s}")
        pixels = np.asarray(Image.open(io.BytesIO(response.content)))
        assert pixels.reshape(-1, 3).mean(axis=0).argmax() == channel
    for query in ("", "?kind=waveform", "?start_s=0.5&end_s=1.5&px=640", "?start_s=1"):
        response = standing.client.get(standing.url("tone.wav", "thumbnail") + query)
        assert response.headers["content-type"] == "image/png"
        assert Image.open(io.BytesIO(response.content)).size == (640, 120)


def test_a_head_of_a_thumbnail_has_no_body(standing: Served) -> None:
    url = standing.url("red.png", "thumbnail")
    head = standing.client.head(url)

    assert head.content == b""
    assert head.headers["content-length"] == str(len(standing.client.get(url).content))


@pytest.mark.parametrize(
    "query",
    ["px=0", "px=15", "px=2049", "px=-1", "px=1e3", "px=٣٢٠", "px=99999999999999999999", "px=",
     "t=-1", "t=nan", "t=inf", "t=1e999", "t=x", "t=1_0", "t=", "t=" + "9" * 500,
     "page=0", "page=1.5", "page=-1", "kind=sound", "start_s=-1", "end_s=x",
     "kind=waveform&start_s=5&end_s=5", "kind=waveform&start_s=9&end_s=5"],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(standing: Served, query: str) -> None:
    for name in ("film.mp4", "tone.wav"):
        if name == "film.mp4" or "kind=waveform" in query:
            response = standing.client.get(f"{standing.url(name, 'thumbnail')}?{query}")
            kind = "no-such-picture" if "&start_s" in query else "invalid-request"
            found = problem(response, 404 if kind == "no-such-picture" else 422)
            assert found["type"] == f"urn:mmsearch:problem:{kind}"


@given(
    asked=st.dictionaries(
        st.sampled_from(["t", "page", "px", "kind", "start_s", "end_s", "download", "x"]),
        st.text(max_size=12) | st.floats().map(str) | st.integers().map(str),
    )
)
@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
def test_no_query_breaks_anything(standing: Served, asked: dict[str, str]) -> None:
    for name in ("red.png", "tone.wav", "page.html"):
        for what in ("thumbnail", "media"):
            response = standing.client.get(standing.url(name, what), params=asked)
            assert response.status_code in (200, 404, 422)


def test_a_text_has_no_picture(standing: Served) -> None:
    found = problem(standing.client.get(standing.url("page.html", "thumbnail")), 404)

    assert "no picture" in found["detail"]
    film = standing.client.get(standing.url("film.mp4", "thumbnail") + "?kind=waveform")
    assert "nothing to hear" in problem(film, 404)["detail"]


def test_many_who_want_the_same_cost_one(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0
    load = Decoder.load

    def noted(*given: Any) -> Any:
        nonlocal count
        count += 1
        time.sleep(0.2)
        return load(*given)

    monkeypatch.setattr(Decoder, "load", noted)
    url = served.url("film.mp4", "thumbnail") + "?t=2"
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: served.client.get(url), range(500)))

    assert {response.status_code for response in found} == {200}
    assert len({response.content for response in found}) == 1
    assert count == 1


def test_too_many_at_once_are_told_to_come_again(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "WAITING", 0)

    response = served.client.get(served.url("film.mp4", "thumbnail"))

    assert problem(response, 429)["type"] == "urn:mmsearch:problem:busy"
    assert int(response.headers["retry-after"]) > 0


def test_a_library_that_cannot_be_opened_is_no_crash() -> None:
    def none() -> Any:
        raise LibraryNotFound("there is no library at /home/somebody/secret")

    with TestClient(Starlette(routes=create_media_routes(none, none))) as client:
        for what in ("media", "thumbnail"):
            response = client.get(f"/assets/{UNKNOWN}/{what}")
            problem(response, 503)
            assert "secret" not in response.text


# as long as it takes, and no longer


@pytest.fixture
def large(served: Served) -> str:
    """The address of a file that no socket holds at once."""
    path = served.media / "large.bmp"
    Image.new("RGB", (2500, 2500)).save(path)
    served.library.index(served.media)
    return f"/v1/assets/{hash_content(path)}/media"


@pytest.fixture
def port(served: Served) -> Iterator[int]:
    app = Starlette(
        routes=create_media_routes(lambda: served.library, lambda: served.previews, "/v1")
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
        thread = threading.Thread(
            target=lambda: asyncio.run(server.serve(sockets=[listening])), daemon=True
        )
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join(HANG_S)


def opened_by_us(path: Path) -> int:
    folder = Path("/proc/self/fd")
    found = 0
    for link in folder.iterdir():
        try:
            found += link.readlink() == path
        except OSError:
            continue
    return found


def ask(port: int, url: str, more: str = "") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=HANG_S)
    client.sendall(f"GET {url} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode())
    return client


def wait_until(is_so: Any) -> bool:
    deadline = time.monotonic() + HANG_S
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(is_so())


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")
def test_a_client_that_leaves_or_takes_nothing_keeps_no_file_open(
    served: Served, large: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = served.media / "large.bmp"
    clients = [ask(port, large) for _ in range(5)]
    assert all(client.recv(1000).startswith(b"HTTP/1.1 200") for client in clients)
    assert wait_until(lambda: opened_by_us(path) == 5)
    for client in clients:
        client.close()
    assert wait_until(lambda: opened_by_us(path) == 0)

    monkeypatch.setattr(file_responses, "PATIENCE_S", 0.5)
    with ask(port, large) as slow:
        assert slow.recv(100)
        assert wait_until(lambda: opened_by_us(path) == 1)
        assert wait_until(lambda: opened_by_us(path) == 0)


def test_a_file_that_changes_while_it_is_sent_is_broken_off(
    served: Served, large: str, port: int
) -> None:
    path = served.media / "large.bmp"
    size = path.stat().st_size
    with ask(port, large, "Connection: close\r\n") as client:
        client.recv(1000)
        with path.open("r+b") as stream:
            stream.write(b"other")
        received = 1000
        while piece := client.recv(1 << 20):
            received += len(piece)

    assert received < size


def test_no_more_is_read_than_is_taken(
    served: Served, large: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = 0
    pread = os.pread

    def counted(descriptor: int, count: int, at: int) -> bytes:
        nonlocal read
        read += count
        return pread(descriptor, count, at)

    monkeypatch.setattr(file_responses.os, "pread", counted)
    with ask(port, large, "Range: bytes=1000-1999\r\nConnection: close\r\n") as client:
        while client.recv(1 << 20):
            pass
    assert read == 1000
    with ask(port, large) as client:
        client.recv(100)
        time.sleep(0.5)
        assert read < (served.media / "large.bmp").stat().st_size
