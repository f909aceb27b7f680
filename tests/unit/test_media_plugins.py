"""Loaders of plugins come first, keep to the limits, and take nothing else down with them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmsearch import plugins
from mmsearch.errors import DecodeError, MediaTooLarge, PluginError, UnsupportedMedia
from mmsearch.media.base import Content, Described, Limits, LoadOptions, Passage, Picture, Reading
from mmsearch.media.isolation import Decoder
from mmsearch.media.registry import find_loaders, load
from mmsearch.types import Modality, PictureFit, Span

HEAD = """
import numpy as np
from mmsearch.errors import DecodeError
from mmsearch.media.base import AudioBlock, Cue, Described, Passage, Picture, Reading
from mmsearch.types import Metadata, Modality, Place, Span

OTHER = Described(Modality.OTHER, Metadata(format="trace"))

class Base:
    def claims(self, path, head):
        return head.startswith(b"TRACE")
    def load(self, path, options):
        yield OTHER
"""
TRACE = """
class Loader(Base):
    def load(self, path, options):
        values = np.frombuffer(path.read_bytes()[5:], dtype="<f4")
        yield OTHER
        for at in range(0, len(values), 4):
            part = values[at:at + 4]
            yield Reading(part, Place(span=Span(at, at + len(part))), "four values", "trace")
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Lays a plugin out as pip does: a module, and the metadata of its package."""
    count = 0

    def installed(source: str, *, name: str = "trace", package: str = "acme-traces") -> None:
        nonlocal count
        count += 1
        site = tmp_path / f"site{count}"
        module = f"plugin_of_test_{tmp_path.name}_{count}".replace("-", "_")
        info = site / f"{package.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{module}.py").write_text(HEAD + source)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{plugins.LOADERS}]\n{name} = {module}:Loader\n")
        monkeypatch.syspath_prepend(str(site))

    return installed


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "a.trace"
    path.write_bytes(b"TRACE" + np.arange(10, dtype="<f4").tobytes())
    return path


def read(path: Path, limits: Limits | None = None) -> list[Content]:
    return list(load(path, LoadOptions(limits=limits or Limits())))


def loading(body: str) -> str:
    """A loader whose `load` does that, and is a generator."""
    return (
        "class Loader(Base):\n    def load(self, path, options):\n"
        f"        {body}\n        if 0: yield\n"
    )


def test_a_plugin_reads_what_nothing_else_does(install: Install, trace: Path) -> None:
    with pytest.raises(UnsupportedMedia):
        read(trace)
    install(TRACE)

    described, *readings = read(trace)

    assert isinstance(described, Described)
    assert described.modality is Modality.OTHER
    found = [one for one in readings if isinstance(one, Reading)]
    assert [one.values.tolist() for one in found] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert found[2].place.span == Span(8, 10)
    assert (found[0].text, found[0].encoder) == ("four values", "trace")


def test_a_plugin_reads_in_the_decoder_process(install: Install, trace: Path) -> None:
    install(TRACE)
    before = set(sys.modules)
    with Decoder() as decoder:
        _, first, *rest = decoder.load(trace, LoadOptions())

    assert isinstance(first, Reading)
    assert np.array_equal(first.values, [0, 1, 2, 3])
    assert len(rest) == 2
    assert not any(name.startswith("plugin_of_test") for name in set(sys.modules) - before)


def test_plugins_come_before_the_built_in_loaders_in_the_order_of_their_names(
    install: Install, tmp_path: Path
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("TRACE is a word too")
    assert find_loaders(path)[0].name == "text"
    install(TRACE, name="zebra", package="last")
    install(TRACE, name="ant", package="first")

    assert find_loaders(path)[0].name == "ant"


def test_of_two_with_one_name_the_first_on_the_path_counts(install: Install) -> None:
    install(TRACE, package="one")
    install(TRACE, package="two")

    assert plugins.package_name(plugins.list_entry_points(plugins.LOADERS)["trace"]) == "two"


def test_a_plugin_that_fails_to_look_is_named_where_nothing_else_reads_the_file(
    install: Install, trace: Path, tmp_path: Path
) -> None:
    install(
        "class Loader(Base):\n"
        "    def claims(self, path, head):\n"
        "        raise IndexError('too short')\n"
    )
    text = tmp_path / "a.txt"
    text.write_text("Still read.")

    assert any(isinstance(one, Passage) for one in read(text))
    with pytest.raises(DecodeError, match=r"'trace' of the package 'acme-traces'.*too short"):
        read(trace)


def test_after_a_plugin_that_fails_to_look_the_next_is_asked(install: Install, trace: Path) -> None:
    install(
        "class Loader(Base):\n    def claims(self, path, head):\n        raise ValueError\n",
        name="a-bad-one",
    )
    install(TRACE, name="good", package="other")

    assert len(read(trace)) == 4


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_package_here\nclass Loader(Base): pass\n", "no_such_package_here"),
        (
            "class Loader(Base):\n    def __init__(self):\n        raise OSError('no key')\n",
            "no key",
        ),
        ("class Loader: claims = None\n", "has no method 'claims'"),
        ("raise SystemError('at once')\n", "at once"),
    ],
)
def test_a_plugin_that_cannot_be_imported_takes_no_file_down(
    install: Install, trace: Path, tmp_path: Path, source: str, reason: str
) -> None:
    install(source)
    text = tmp_path / "a.txt"
    text.write_text("Still read.")

    assert any(isinstance(one, Passage) for one in read(text))
    with pytest.raises(UnsupportedMedia, match="acme-traces") as caught:
        read(trace)
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    ("body", "error", "reason"),
    [
        ("raise KeyError('x')", DecodeError, "plugin 'trace' of the package 'acme-traces' failed"),
        ("raise DecodeError(path, 'cut off')", DecodeError, "^cut off$"),
        ("import no_such_package_here", DecodeError, "no_such_package_here"),
        ("raise MemoryError", MediaTooLarge, "memory"),
        ("yield Passage('x', None, 0)", DecodeError, "did not begin with a Described"),
        ("pass", DecodeError, "yielded nothing"),
        ("yield OTHER; yield 'text'", DecodeError, "gave a str, no content"),
        ("yield OTHER; yield Reading(np.ones(3), Place())", DecodeError, "float64"),
        ("yield OTHER; yield Reading([1.0], Place())", DecodeError, "of list"),
        (
            "yield OTHER; yield Reading(np.ones((2,) * 4, np.float32), Place())",
            DecodeError,
            "1 or 2 or 3 dimensions",
        ),
        ("yield OTHER; yield Reading(np.ones(0, np.float32), Place())", DecodeError, "not empty"),
        ("yield OTHER; yield Reading(np.ones(2001, np.float32), Place())", MediaTooLarge, "2,001"),
        ("yield OTHER; yield AudioBlock(np.ones(2001, np.float32), 0)", MediaTooLarge, "2,001"),
        ("yield OTHER; yield Picture(np.ones((9, 9), np.uint8), Place())", DecodeError, "(9, 9)"),
        ("yield OTHER; yield Picture(np.ones((9, 9, 4), np.uint8), Place())", DecodeError, "RGB"),
        (
            "yield OTHER; yield Picture(np.ones((99, 99, 3), np.uint8), Place())",
            MediaTooLarge,
            "99x99",
        ),
        ("yield OTHER; yield Passage('x' * 501, None, 0)", MediaTooLarge, "501"),
        ("for _ in range(60): yield OTHER", MediaTooLarge, "more than 50 parts"),
    ],
)
def test_what_a_plugin_does_wrong_costs_its_file(
    install: Install, trace: Path, body: str, error: type[Exception], reason: str
) -> None:
    install(loading(body))
    limits = Limits(values=2_000, contents=50, pixels=5_000, text_chars=500)

    with pytest.raises(error) as caught:
        read(trace, limits)
    said = caught.value.reason  # type: ignore[attr-defined]
    assert (said == "cut off") if reason.startswith("^") else (reason in said)


def test_pictures_of_a_plugin_are_fitted(install: Install, trace: Path) -> None:
    install(
        "class Loader(Base):\n"
        "    def load(self, path, options):\n"
        "        yield OTHER\n"
        "        yield Picture(np.full((300, 500, 3), 7, np.uint8), Place())\n"
    )
    fit = PictureFit("shortest", 64, "bicubic")

    _, picture = load(trace, LoadOptions(picture=fit))

    assert isinstance(picture, Picture)
    assert picture.pixels.shape == (64, 64, 3)


def test_a_plugin_that_is_missing_or_broken_is_an_error_that_helps(install: Install) -> None:
    install("import no_such_package_here\n")

    with pytest.raises(PluginError, match=r"'acme-traces' cannot be imported .*no_such_package"):
        plugins.load_plugin(plugins.LOADERS, "trace")
    with pytest.raises(PluginError, match=r"offers 'nothing'.*there are: trace"):
        plugins.load_plugin(plugins.LOADERS, "nothing")


def test_a_plugin_is_what_its_entry_point_says(install: Install) -> None:
    install(TRACE)

    assert list(plugins.list_entry_points(plugins.LOADERS)) == ["trace"]
    assert plugins.load_plugin(plugins.LOADERS, "trace").__name__ == "Loader"
    assert plugins.list_entry_points("mmsearch.nothing") == {}
