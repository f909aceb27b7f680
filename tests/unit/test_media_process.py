"""Contents cross the pipe whole, and a decoder that misbehaves costs one file."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mmsearch.errors import DecodeError, MediaTooLarge, PluginError, UnsupportedMedia
from mmsearch.media import codec, isolation
from mmsearch.media.base import (
    AudioBlock,
    Content,
    Cue,
    CueRole,
    Described,
    Limits,
    LoadOptions,
    Passage,
    Picture,
    Reading,
)
from mmsearch.media.isolation import CancelledError, Decoder
from mmsearch.types import Metadata, Modality, PictureFit, Place, Span
from tests.fakes import write_picture, write_text
from tests.patience import HANG_S, wait_until

numbers = st.floats(allow_nan=False, allow_infinity=False)
places = st.builds(
    Place,
    span=st.none() | st.builds(Span, numbers, numbers),
    page=st.none() | st.integers(),
    chars=st.none() | st.tuples(st.integers(), st.integers()),
)
texts = st.text(st.characters())  # lone surrogates too
moments = st.datetimes(timezones=st.sampled_from([None, timezone.utc]))  # noqa: UP017
metadata = st.builds(
    Metadata,
    format=texts,
    width_px=st.none() | st.integers(),
    duration_s=st.none() | numbers,
    taken_at=st.none() | moments,
    latitude=st.none() | numbers,
    title=st.none() | texts,
)
contents = st.one_of(
    st.builds(Described, st.sampled_from(Modality), metadata),
    st.builds(
        Picture,
        arrays.arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5), st.just(3))),
        places,
        st.booleans(),
    ),
    st.builds(
        AudioBlock,
        arrays.arrays(np.float32, st.integers(0, 20), elements=st.floats(-1, 1, width=32)),
        numbers,
        st.integers(1_000, 192_000),
    ),
    st.builds(
        Reading,
        arrays.arrays(
            np.float32,
            arrays.array_shapes(min_dims=1, max_dims=3, max_side=4),
            elements=st.floats(width=32, allow_nan=False),
        ),
        places,
        st.none() | texts,
        texts,
    ),
    st.builds(
        Cue,
        texts,
        places,
        st.none() | st.sampled_from(["en", "pt-BR"]),
        st.sampled_from(get_args(CueRole)),
    ),
    st.builds(Passage, texts, st.none() | st.integers(), st.integers()),
)


def same(one: Content, other: Content) -> bool:
    if isinstance(one, Picture) and isinstance(other, Picture):
        return np.array_equal(one.pixels, other.pixels) and (
            (one.place, one.is_frame) == (other.place, other.is_frame)
        )
    if isinstance(one, AudioBlock) and isinstance(other, AudioBlock):
        return np.array_equal(one.samples, other.samples) and (
            (one.start_s, one.sample_rate_hz) == (other.start_s, other.sample_rate_hz)
        )
    if isinstance(one, Reading) and isinstance(other, Reading):
        return np.array_equal(one.values, other.values) and (
            (one.place, one.text, one.encoder) == (other.place, other.text, other.encoder)
        )
    return one == other


@given(st.lists(contents, max_size=4))
def test_contents_come_out_of_a_pipe_as_they_went_in(sent: list[Content]) -> None:
    pipe = io.BytesIO()
    for content in sent:
        codec.write_message(pipe, *codec.pack(content))
    pipe.seek(0)

    for content in sent:
        message = codec.read_message(pipe.read)
        assert message is not None
        assert same(codec.unpack(*message), content)
    assert codec.read_message(pipe.read) is None


@given(contents, st.data())
def test_a_message_that_is_cut_short_is_the_end_of_the_stream(
    content: Content, data: st.DataObject
) -> None:
    pipe = io.BytesIO()
    codec.write_message(pipe, *codec.pack(content))
    whole = pipe.getvalue()
    cut = io.BytesIO(whole[: data.draw(st.integers(0, len(whole) - 1))])

    assert codec.read_message(cut.read) is None


@given(st.binary(max_size=64))
def test_garbage_is_never_unpacked_into_something_else(garbage: bytes) -> None:
    try:
        message = codec.read_message(io.BytesIO(garbage).read)
        if message is not None:
            codec.unpack(*message)
    except (ValueError, TypeError, KeyError):
        return
    assert message is None


def test_an_endless_message_is_refused_before_it_is_read() -> None:
    asked: list[int] = []

    def read(size: int) -> bytes:
        asked.append(size)
        return b"\xff" * size

    with pytest.raises(ValueError, match="message of"):
        codec.read_message(read)
    assert max(asked) == 8


def test_options_come_back_as_they_were() -> None:
    options = LoadOptions(
        limits=Limits(pixels=7, stall_s=1.5),
        picture=PictureFit("squash", 99, "bilinear", 7),
        sample_rates_hz=(8000, 48000),
    )

    assert codec.unpack_options(codec.pack_options(options)) == options


# The decoder process. A file says in its first line how the decoder is to misbehave.

WORKER = """
import os, signal, sys, time
import numpy as np
from mmsearch.media import registry, worker
from mmsearch.media.base import Described, Passage
from mmsearch.types import Metadata, Modality

def misbehave(path, options):
    order = path.read_text()
    yield Described(Modality.TEXT, Metadata(format="test"))
    yield Passage(f"{order} by {os.getpid()}", None, 0)
    if order == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif order == "leave":
        os._exit(3)
    elif order == "hang":
        time.sleep(600)
    elif order == "trickle":
        for number in range(8):
            time.sleep(0.15)
            yield Passage(str(number), None, 0)
    elif order == "print":
        print("not a message", flush=True)
        os.write(1, b"not a message")
        yield Passage("after", None, 0)
    elif order == "garbage":
        for descriptor in range(3, 64):
            try:
                os.write(descriptor, b"\\xff" * 64)
            except OSError:
                pass
        time.sleep(600)
    elif order == "memory":
        kept = []
        while True:
            kept.append(np.ones(2**24))
    elif order == "import":
        import no_such_decoder

registry.load = misbehave
worker.main()
"""


@pytest.fixture
def orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Writes a file by which the decoder process misbehaves."""
    start = subprocess.Popen

    def started(arguments: list[str], **named: Any) -> subprocess.Popen[bytes]:
        assert arguments[-2:] == ["-m", "mmsearch.media.worker"]
        return start([*arguments[:-2], "-c", WORKER], **named)

    monkeypatch.setattr(isolation.subprocess, "Popen", started)

    def order(text: str) -> Path:
        return write_text(tmp_path / f"{text}.txt", text)

    return order


def quick(stall_s: float = 20.0, memory_bytes: int = 1024**3) -> LoadOptions:
    return LoadOptions(limits=Limits(stall_s=stall_s, memory_bytes=memory_bytes))


def passages(found: Iterator[Content]) -> list[str]:
    return [content.text for content in found if isinstance(content, Passage)]


def pid_of(decoder: Decoder, path: Path) -> int:
    return int(passages(decoder.load(path, quick()))[0].rsplit(" ", 1)[1])


def test_one_process_reads_many_files(orders: Callable[[str], Path]) -> None:
    with Decoder() as decoder:
        assert pid_of(decoder, orders("fine")) == pid_of(decoder, orders("well")) != os.getpid()


@pytest.mark.parametrize(
    ("order", "reason"),
    [("crash", "SIGSEGV"), ("leave", "code 3"), ("garbage", "broke down")],
)
def test_a_decoder_that_breaks_is_a_decode_error_and_the_next_file_is_read(
    orders: Callable[[str], Path], order: str, reason: str
) -> None:
    with Decoder() as decoder:
        with pytest.raises(DecodeError, match=reason) as caught:
            list(decoder.load(orders(order), quick()))
        assert caught.value.path == str(orders(order))
        assert passages(decoder.load(orders("fine"), quick()))[0].startswith("fine")


def test_a_decoder_that_hangs_is_stopped(orders: Callable[[str], Path]) -> None:
    begun = time.monotonic()
    with Decoder() as decoder:
        with pytest.raises(DecodeError, match=r"did nothing for 1 s"):
            list(decoder.load(orders("hang"), quick(stall_s=1.0)))
        assert passages(decoder.load(orders("fine"), quick()))
    assert time.monotonic() - begun < HANG_S


def test_a_decoder_that_is_slow_but_steady_is_left_alone(orders: Callable[[str], Path]) -> None:
    with Decoder() as decoder:
        list(decoder.load(orders("fine"), quick()))  # started
        found = passages(decoder.load(orders("trickle"), quick(stall_s=0.9)))

    assert found[1:] == [str(number) for number in range(8)]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux only")
def test_a_decoder_that_takes_all_memory_is_too_large(orders: Callable[[str], Path]) -> None:
    with Decoder() as decoder:
        with pytest.raises(MediaTooLarge, match="memory"):
            list(decoder.load(orders("memory"), quick(memory_bytes=700 * 1024**2)))
        assert passages(decoder.load(orders("fine"), quick()))


def test_what_a_decoder_prints_does_no_harm(orders: Callable[[str], Path]) -> None:
    with Decoder() as decoder:
        assert passages(decoder.load(orders("print"), quick()))[1:] == ["after"]


def test_a_decoder_that_is_not_installed_is_no_fault_of_the_file(
    orders: Callable[[str], Path],
) -> None:
    with Decoder() as decoder, pytest.raises(PluginError, match="no_such_decoder"):
        list(decoder.load(orders("import"), quick()))


def test_a_decoder_ends_with_its_parent_in_the_middle_of_a_file(tmp_path: Path) -> None:
    script = """
import subprocess, sys
start = "import time; from mmsearch.media import registry, worker; registry.load = "
start += "lambda path, options: (time.sleep(60) for _ in [0]); worker.main()"
child = subprocess.Popen([sys.executable, "-c", start], stdin=subprocess.PIPE)
print(child.pid, flush=True)
from mmsearch.media import codec
from mmsearch.media.base import LoadOptions
options = codec.pack_options(LoadOptions())
codec.write_message(child.stdin, {"path": "61", "options": options})
import os, time
time.sleep(0.5)
os._exit(0)
"""
    parent = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=HANG_S, check=True
    )
    child = int(parent.stdout.split()[0])
    wait_until(lambda: not Path(f"/proc/{child}").exists())


def test_a_decoder_that_was_killed_between_files_is_replaced(orders: Callable[[str], Path]) -> None:
    with Decoder() as decoder:
        first = pid_of(decoder, orders("fine"))
        os.kill(first, signal.SIGKILL)
        assert decoder._process is not None
        decoder._process.wait()
        assert pid_of(decoder, orders("well")) != first


def test_a_file_that_is_given_up_half_way_does_not_leak_into_the_next(
    orders: Callable[[str], Path],
) -> None:
    with Decoder() as decoder:
        half = decoder.load(orders("trickle"), quick())
        next(half)
        half.close()  # type: ignore[attr-defined]
        assert passages(decoder.load(orders("fine"), quick()))[0].startswith("fine")


def test_a_hanging_decoder_is_left_at_once_when_asked_to_stop(
    orders: Callable[[str], Path],
) -> None:
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    begun = time.monotonic()
    with Decoder(is_stopped=stop.is_set) as decoder, pytest.raises(CancelledError):
        list(decoder.load(orders("hang"), quick(stall_s=500)))
    assert time.monotonic() - begun < HANG_S


def test_the_process_is_gone_after_closing(orders: Callable[[str], Path]) -> None:
    with Decoder() as decoder:
        process = pid_of(decoder, orders("fine"))
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


# The real worker.


def test_the_real_decoder_gives_what_the_loaders_give(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "it's\nred.png")
    with Decoder() as decoder:
        described, picture = decoder.load(path, LoadOptions())

    assert isinstance(described, Described)
    assert described.modality is Modality.IMAGE
    assert isinstance(picture, Picture)
    assert picture.pixels.shape == (16, 24, 3)
    assert tuple(picture.pixels[0, 0]) == (200, 10, 10)


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"", UnsupportedMedia), (bytes(range(256)), UnsupportedMedia),
     (b"\x89PNG\r\n\x1a\n" + bytes(40), DecodeError)],
)  # fmt: skip
def test_the_real_decoder_types_its_errors(
    tmp_path: Path, content: bytes, error: type[Exception]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with Decoder() as decoder:
        with pytest.raises(error):
            list(decoder.load(path, LoadOptions()))
        with pytest.raises((DecodeError, UnsupportedMedia)):
            list(decoder.load(tmp_path / "none", LoadOptions()))
        assert passages(decoder.load(write_text(tmp_path / "a.txt", "Good."), LoadOptions()))


def test_limits_reach_the_decoder(tmp_path: Path) -> None:
    with Decoder() as decoder:
        with pytest.raises(MediaTooLarge):
            list(
                decoder.load(
                    write_picture(tmp_path / "a.png"), LoadOptions(limits=Limits(pixels=9))
                )
            )
        small = LoadOptions(limits=Limits(file_bytes=3))
        with pytest.raises(MediaTooLarge):
            list(decoder.load(write_text(tmp_path / "a.txt", "Good."), small))


def test_moments_keep_their_time_zone_or_their_lack_of_one() -> None:
    naive = Metadata(taken_at=datetime(2020, 2, 3, 4, 5, 6))  # noqa: DTZ001 - as cameras write it
    message = codec.pack(Described(Modality.IMAGE, naive))

    assert codec.unpack(message[0], b"") == Described(Modality.IMAGE, naive)
