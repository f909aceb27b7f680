"""The tree of the project: names, sizes and the import names of the wheel."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (
    ROOT / "mmsearch",
    ROOT / "indexers" / "mmsearch_indexers",
    ROOT / "ui" / "mmsearch_ui",
)
MODULES = sorted(path for package in PACKAGES for path in package.rglob("*.py"))
MAX_LINES = 350
MAX_PARAMETERS = 8
MAX_ROOT_MODULES = 10
RETIRED = frozenset(
    {
        "alike", "aside", "asked", "asking", "assembly", "avoid", "catalogue", "charter", "checkup",
        "evidence", "excerpt", "extensions", "handover", "hearing", "inventory", "lettering",
        "locating", "look", "looks", "said", "shelf", "supply", "supplying", "survey", "voice",
        "wanted", "wire", "wish", "wording", "writing",
    }
)  # fmt: skip
"""Words that docs/glossary.md retires, as names of modules."""
SHARED_CLASSES = frozenset({"MmsearchRetriever"})
"""The retrievers of `mmsearch.integrations`: each framework has one, under one name."""


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return len([argument for argument in named if argument.arg not in ("self", "cls")])


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_the_modules_are_found() -> None:
    assert len(MODULES) > 250


def test_no_public_class_name_stands_twice() -> None:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for path in MODULES:
        for node in parse(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path.relative_to(ROOT)))
    twice = {name: where for name, where in places.items() if len(where) > 1}
    assert {name: where for name, where in twice.items() if name not in SHARED_CLASSES} == {}


def test_no_module_bears_a_retired_name() -> None:
    retired = [
        str(path.relative_to(ROOT))
        for path in MODULES
        if RETIRED & set(path.stem.split("_")) or path.parent.name in RETIRED
    ]
    assert retired == []


def test_retired_words_are_those_of_the_glossary() -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = set(re.findall(r"[a-z]+", glossary.lower()))
    assert {word for word in RETIRED if word.removesuffix("s") not in words | RETIRED} == set()


def test_modules_are_short() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in MODULES
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    assert long == {}


def test_functions_take_few_parameters() -> None:
    many = {
        f"{path.relative_to(ROOT)}:{function.name}": parameters(function)
        for path in MODULES
        if "cli" not in path.parts
        for function in functions(path)
        if parameters(function) > MAX_PARAMETERS
    }
    assert many == {}


def test_the_root_of_the_package_has_few_modules() -> None:
    assert len(list((ROOT / "mmsearch").glob("*.py"))) <= MAX_ROOT_MODULES


def test_every_module_says_what_it_is() -> None:
    silent = [str(path.relative_to(ROOT)) for path in MODULES if not ast.get_docstring(parse(path))]
    assert silent == []


def test_docstrings_are_no_riddles() -> None:
    """A first line is a statement: no clause that begins with What, Which or Whether."""
    riddles = []
    for path in MODULES:
        tree = parse(path)
        for node in ast.walk(tree):
            if isinstance(
                node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
            ) and (text := ast.get_docstring(node)):
                first = text.splitlines()[0]
                if re.match(r"(What|Which|Whether)\b", first):
                    riddles.append(f"{path.relative_to(ROOT)}: {first}")
    assert riddles == []


@pytest.mark.slow
def test_a_wheel_claims_only_names_that_begin_with_mmsearch(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {Path(name).parts[0] for name in archive.namelist()}
    imported = {name for name in names if not name.endswith(".dist-info")}
    assert imported == {"mmsearch", "mmsearch_indexers", "mmsearch_ui"}


@pytest.mark.slow
def test_a_folder_called_indexers_hides_nothing(tmp_path: Path) -> None:
    for name in ("indexers", "ui"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    media = tmp_path / "media"
    media.mkdir()
    (media / "note.txt").write_text("The harbour is quiet this morning.\n")
    done = subprocess.run(
        [sys.executable, "-m", "mmsearch", "index", str(media), "--library", str(tmp_path / "lib")],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_questions_of_a_newcomer_are_answered_by_files_that_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    answers = re.findall(r"^\| [^|]+\? \| `([^`]+)` \| `(\w+)` \|$", page, re.MULTILINE)
    assert len(answers) == 10
    for path, name in answers:
        tree = parse(ROOT / path)
        assert name in {
            node.name
            for node in tree.body
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        }, (path, name)


def test_every_room_stands_in_the_architecture() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = {path.name for path in (ROOT / "mmsearch").iterdir() if (path / "__init__.py").exists()}
    assert {room for room in rooms if f"{room}/" not in page} == set()


def test_the_layers_of_the_architecture_are_those_that_are_checked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert "\n".join(layers) in page
