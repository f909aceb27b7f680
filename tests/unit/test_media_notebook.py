"""Notebooks are read cell by cell, without the bytes of their pictures."""

from __future__ import annotations

import base64
import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mmsearch.errors import DecodeError, MediaError
from mmsearch.media.base import Content, Described, Limits, LoadOptions, Passage, Picture
from mmsearch.media.documents.notebook import NotebookLoader
from mmsearch.media.registry import load
from mmsearch.media.sniff import sniff
from mmsearch.types import Omission, OmissionCause


def make_picture(colour: str = "red", kind: str = "PNG") -> str:
    file = io.BytesIO()
    Image.new("RGB", (320, 240), colour).save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


def make_noise() -> str:
    return base64.b64encode(random.Random(1).randbytes(20_000)).decode()


def make_notebook(*cells: dict[str, Any]) -> dict[str, Any]:
    return {"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def read(folder: Path, notebook: Any, name: str = "a.ipynb", **options: Any) -> list[Content]:
    path = folder / name
    path.write_text(json.dumps(notebook, ensure_ascii=False, indent=1), encoding="utf-8")
    return list(load(path, LoadOptions(**options)))


def text_of(contents: list[Content], page: int | None = None) -> str:
    passages = (each for each in contents if isinstance(each, Passage))
    return "".join(each.text for each in passages if page in (None, each.page))


def test_cells_are_pages_with_text_code_and_outputs(tmp_path: Path) -> None:
    contents = read(
        tmp_path,
        make_notebook(
            {"cell_type": "markdown", "source": ["# Käse harvest\n", "\n", "some <b>quince</b>"]},
            {
                "cell_type": "code",
                "source": "press = 1\nprint(press < 2)",
                "outputs": [
                    {"output_type": "stream", "name": "stdout", "text": ["\x1b[31mTrue\x1b[0m\n"]},
                    {
                        "output_type": "execute_result",
                        "data": {
                            "text/plain": ["   kg\n0  medlar"],
                            "text/html": "<table><tr><td>medlar</td></tr></table>",
                        },
                    },
                    {"output_type": "display_data", "data": {"text/html": "<p>only ma<b>rk</b>ed"}},
                    {
                        "output_type": "error",
                        "ename": "ValueError",
                        "evalue": "no plums",
                        "traceback": ["\x1b[0;31m---\x1b[0m"],
                    },
                ],
            },
            {"cell_type": "raw", "source": "raw words"},
        ),
    )
    assert isinstance(contents[0], Described)
    metadata = contents[0].metadata
    assert (metadata.format, metadata.title, metadata.page_count) == ("ipynb", "Käse harvest", 3)
    assert text_of(contents, 1).split() == ["#", "Käse", "harvest", "some", "quince"]
    assert "press = 1\nprint(press < 2)" in text_of(contents, 2)
    assert "True" in text_of(contents, 2)
    assert "\x1b" not in text_of(contents)
    assert text_of(contents).count("medlar") == 1
    assert "only marked" in text_of(contents, 2)
    assert "ValueError: no plums" in text_of(contents, 2)
    assert "raw words" in text_of(contents, 3)
    assert not [each for each in contents if isinstance(each, Omission)]


def test_pictures_of_outputs_are_pictures_of_their_cell(tmp_path: Path) -> None:
    plots = [
        {
            "output_type": "display_data",
            "data": {
                "image/png": make_picture(colour) + "\n",
                "text/plain": "<Figure size 640x480 with 1 Axes>",
            },
        }
        for colour in ("red", "blue")
    ]
    linked = f'![x](attachment:a.jpg) <img src="data:image/png;base64,{make_picture("green")}">'
    contents = read(
        tmp_path,
        make_notebook(
            {"cell_type": "code", "source": "plot()", "outputs": plots},
            {
                "cell_type": "markdown",
                "source": linked,
                "attachments": {"a.jpg": {"image/jpeg": make_picture("black", "JPEG")}},
            },
        ),
    )
    pictures = [each for each in contents if isinstance(each, Picture)]
    assert [each.place.page for each in pictures] == [1, 1, 2, 2]
    assert len({each.place.key() for each in pictures}) == 4
    assert "Figure" not in text_of(contents)
    assert "base64" not in text_of(contents)


def test_no_base64_is_text(tmp_path: Path) -> None:
    noise = make_noise()
    lines = base64.encodebytes(base64.b64decode(noise)).decode()
    contents = read(
        tmp_path,
        make_notebook(
            {
                "cell_type": "code",
                "source": f'data = """\n{lines}"""\nquince = 1',
                "outputs": [
                    {"output_type": "stream", "text": noise},
                    {"output_type": "display_data", "data": {"application/pdf": noise}},
                    {
                        "output_type": "display_data",
                        "data": {"text/html": f'<img src="data:image/png;base64,{noise}">medlar'},
                    },
                    {
                        "output_type": "execute_result",
                        "data": {"text/plain": f"b'data:x/y;base64,{noise}'"},
                    },
                ],
            }
        ),
    )
    assert "quince = 1" in text_of(contents)
    assert "medlar" in text_of(contents)
    assert len(text_of(contents)) < 300


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    cut = make_picture("red")[:80]
    output = {"output_type": "display_data", "data": {"image/png": cut}}
    cell = {"cell_type": "code", "source": "x", "outputs": [output]}
    contents = read(tmp_path, make_notebook(cell))
    assert [each.cause for each in contents if isinstance(each, Omission)] == [
        OmissionCause.DAMAGED
    ]


def test_the_format_before_is_read(tmp_path: Path) -> None:
    old = {
        "metadata": {"name": "old"},
        "nbformat": 3,
        "worksheets": [
            {
                "cells": [
                    {"cell_type": "heading", "level": 1, "source": ["Old harvest"]},
                    {
                        "cell_type": "code",
                        "input": ["quince = 1"],
                        "outputs": [
                            {"output_type": "stream", "text": ["medlar"]},
                            {
                                "output_type": "display_data",
                                "png": make_picture(),
                                "text": ["<matplotlib.figure.Figure at 0x1>"],
                            },
                        ],
                    },
                ]
            }
        ],
    }
    contents = read(tmp_path, old)
    assert "Old harvest" in text_of(contents, 1)
    assert "quince = 1" in text_of(contents, 2)
    assert "medlar" in text_of(contents, 2)
    assert "Figure" not in text_of(contents)
    assert [each.place.page for each in contents if isinstance(each, Picture)] == [2]


def test_cells_past_the_limit_are_named(tmp_path: Path) -> None:
    cells = [{"cell_type": "markdown", "source": f"word{at}"} for at in range(5)]
    contents = read(tmp_path, make_notebook(*cells), limits=Limits(pages=3))
    assert "word2" in text_of(contents)
    assert "word3" not in text_of(contents)
    (omission,) = (each for each in contents if isinstance(each, Omission))
    assert (omission.cause, omission.name) == (OmissionCause.LIMIT, "pages")


def test_notebooks_are_known_by_their_content(tmp_path: Path) -> None:
    notebook = json.dumps(make_notebook({"cell_type": "code", "source": "x", "outputs": []}))
    sorted_keys = json.dumps({"metadata": {}, "nbformat": 4, "nbformat_minor": 2, "cells": []})
    cases = {
        "a": (notebook, "notebook"),
        "a.json": (sorted_keys, "notebook"),
        "a.ipynb": ('{"metadata": {"x": 1}, "cells": []}', "notebook"),
        "b.json": ('{"cells": [1, 2, 3]}', "text"),
        "c.txt": ('A notebook has "cells": [ and "nbformat": 4.', "text"),
        "d.ipynb": ("no JSON at all", "text"),
    }
    for name, (source, loader) in cases.items():
        (tmp_path / name).write_text(source)
        assert sniff(tmp_path / name) == loader, name


@pytest.mark.parametrize("source", ["{", '{"cells": 3}', "[]", '{"a":' * 100_000])
def test_what_is_no_notebook_is_refused_with_a_reason(tmp_path: Path, source: str) -> None:
    path = tmp_path / "a.ipynb"
    path.write_text(source)
    with pytest.raises(DecodeError, match=r"notebook"):
        list(NotebookLoader().load(path, LoadOptions()))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "cell_type",
                    "source",
                    "outputs",
                    "data",
                    "image/png",
                    "text/plain",
                    "text",
                    "attachments",
                    "cells",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cells=st.lists(VALUES, max_size=5), metadata=VALUES)
def test_any_json_is_read_or_refused(tmp_path: Path, cells: list[Any], metadata: Any) -> None:
    notebook = {"nbformat": 4, "cells": cells, "metadata": metadata}
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(notebook))
    try:
        list(NotebookLoader().load(path, LoadOptions()))
    except MediaError as exc:
        if "cannot be read" not in exc.reason:
            pytest.fail(f"refused: {exc}")
