"""The page of the library by itself: adding, failures, parts, without a browser."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="streamlit is not installed: the extra `ui`")

from mmsearch_ui import shared_state
from streamlit.testing.v1 import AppTest

from mmsearch.library.library import Library

RUN_S = 60
JOB_S = 120
Open = Callable[..., AppTest]


def script() -> None:
    from mmsearch_ui import library_page

    library_page.render()


@pytest.fixture
def opened() -> Iterator[Open]:
    """The page over a library, run once, with a view chosen."""

    def start(library: Path, view: str = "Folders") -> AppTest:
        shared_state.use_library(library)
        page = AppTest.from_function(script, default_timeout=RUN_S)
        page.query_params["view"] = view
        page.run()
        assert not page.exception
        return page

    yield start
    shared_state.close_all()


@pytest.fixture(scope="module")
def mixed(sample_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of three files, one of which is broken and two of which have awkward names."""
    root = tmp_path_factory.mktemp("mixed")
    folder = root / "media/:red[sub] <b>"
    folder.mkdir(parents=True)
    shutil.copy(sample_data / "documents/bike_care.md", folder / "# *notes*.md")
    shutil.copy(sample_data / "photos/beach.jpg", root / "media/beach.jpg")
    whole = (sample_data / "photos/breakfast.jpg").read_bytes()
    (folder / "`broken` <i>.jpg").write_bytes(whole[: len(whole) // 50])
    with Library.open(root / "library") as library:
        report = library.index(root / "media")
    assert (report.indexed, report.failed) == (2, 1)
    return root


def texts(page: AppTest) -> str:
    kinds = (page.markdown, page.caption, page.error, page.success, page.warning, page.code)
    return "\n".join(one.value for kind in kinds for one in kind)


def wait_for_jobs() -> None:
    end = time.monotonic() + JOB_S
    while any(not job.is_over for job in shared_state.get_jobs().all()):
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_wrong_path_is_said_and_starts_nothing(opened: Open, tmp_path: Path) -> None:
    page = opened(tmp_path / "library")

    page.text_input(key="add_path").set_value(str(tmp_path / "*none*"))
    page.button(key="index").click().run()

    assert "does not exist" in page.error[0].value.replace("\\", "")
    assert "*none*" not in page.error[0].value  # escaped
    assert shared_state.get_jobs().all() == []


@pytest.mark.slow
def test_a_folder_whose_name_is_no_utf_8_can_be_chosen_and_is_told_to_be_renamed(
    opened: Open, sample_data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / os.fsdecode(b"m\xfcsic")
    folder.mkdir()
    shutil.copy(sample_data / "photos/beach.jpg", folder)
    page = opened(tmp_path / "library")
    page.session_state["browsing"] = str(folder)
    page.run()

    page.button(key="take_folder").click().run()
    page.button(key="index").click().run()

    assert not page.exception
    (job,) = shared_state.get_jobs().all()
    assert job.paths == (str(folder),)
    wait_for_jobs()
    page.run()
    assert not page.exception
    assert page.dataframe[0].value["reason"][0].endswith("rename the file")


@pytest.mark.slow
def test_a_folder_is_indexed_into_a_new_library(
    opened: Open, sample_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "media").mkdir()
    shutil.copy(sample_data / "photos/beach.jpg", tmp_path / "media")
    page = opened(tmp_path / "library")
    assert "Nothing is indexed yet" in texts(page)

    page.text_input(key="add_path").set_value(str(tmp_path / "media"))
    page.button(key="index").click().run()
    (job,) = shared_state.get_jobs().all()
    assert job.paths == (str(tmp_path / "media"),)
    wait_for_jobs()
    page.run()

    assert not page.exception
    assert "1 indexed" in texts(page)
    assert page.dataframe[0].value["folder"][0] == str(tmp_path / "media")


def test_folders_are_entered_and_left(opened: Open, mixed: Path) -> None:
    page = opened(mixed / "library")

    (row,) = page.dataframe[0].value.to_dict("records")
    assert row == {"folder": str(mixed / "media"), "files": 3, "failed": 1, "size": row["size"]}

    page.session_state["folder_trail"] = [str(mixed / "media")]
    page.run()
    assert list(page.dataframe[0].value["folder"]) == [":red[sub] <b>"]

    page.button(key="folder_up").click().run()
    assert list(page.dataframe[0].value["folder"]) == [str(mixed / "media")]


def test_failures_have_reasons_and_can_be_filtered(opened: Open, mixed: Path) -> None:
    page = opened(mixed / "library", "Failed files")

    (row,) = page.dataframe[0].value.to_dict("records")
    assert row["file"] == "`broken` <i>.jpg"
    assert row["what"] == "broken"
    assert "picture" in row["reason"]
    assert str(mixed) not in row["reason"]

    page.text_input(key="failed_words").set_value("nothing of that name").run()
    assert "0 of 1 could not be indexed" in texts(page)
    assert page.button(key="retry").disabled


@pytest.mark.slow
def test_another_try_counts_the_file_again(opened: Open, mixed: Path) -> None:
    page = opened(mixed / "library", "Failed files")

    page.button(key="retry").click().run()
    (job,) = shared_state.get_jobs().all()
    assert job.paths == (str(mixed / "media/:red[sub] <b>/`broken` <i>.jpg"),)
    wait_for_jobs()
    page.run()

    assert not page.exception
    (job,) = shared_state.get_jobs().all()
    assert job.counts["failed"] == 1
    assert "1 file could not be indexed" in [one.label for one in page.expander]


def test_a_library_without_failures_says_so(opened: Open, small_library: Path) -> None:
    assert "could be indexed" in texts(opened(small_library, "Failed files"))


def test_files_read_in_part_are_listed_with_what_is_missing(
    opened: Open, sample_data: Path, tmp_path: Path
) -> None:
    whole = (sample_data / "photos/breakfast.jpg").read_bytes()
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "cut.jpg").write_bytes(whole[: len(whole) * 9 // 10])
    with Library.open(tmp_path / "library") as library:
        assert library.index(tmp_path / "media").partial == 1

    page = opened(tmp_path / "library", "Read in part")

    (row,) = page.dataframe[0].value.to_dict("records")
    assert row["file"] == "cut.jpg"
    assert row["not read"]


def test_each_space_has_its_index_with_what_was_measured(opened: Open, small_library: Path) -> None:
    page = opened(small_library, "Search index")

    indexes = page.dataframe[0].value
    assert set(indexes["space"]) == {"text", "image", "sound"}
    assert set(indexes["kind"]) == {"exact"}
    assert set(indexes["recall@10"]) == {1.0}
    assert list(page.dataframe[1].value["numbers in a vector"]) == [384, 384, 768]


def test_the_preset_of_the_library_is_marked(opened: Open, small_library: Path) -> None:
    page = opened(small_library, "Models")

    said = [one.value for one in page.markdown if "this library" in one.value]
    assert len(said) == 1
    assert "mini" in said[0]
    assert any("comes with mmsearch" in list(one.value["state"]) for one in page.dataframe)


def test_the_parts_on_disk_add_up(opened: Open, small_library: Path) -> None:
    page = opened(small_library, "Disk")

    assert page.metric[0].label == "On disk"
    assert page.dataframe[0].value["share"].sum() == pytest.approx(100)
    assert "table segments" in list(page.dataframe[0].value["part"])


@pytest.mark.slow
def test_the_check_up_finds_all_well(opened: Open, small_library: Path) -> None:
    page = opened(small_library, "Check-up")

    page.button(key="check").click().run(timeout=RUN_S)

    assert not page.exception
    assert "All is well" in texts(page)
    assert "✗" not in list(page.dataframe[0].value[""])


def test_a_folder_is_taken_out_only_when_that_is_confirmed(
    opened: Open, mixed: Path, tmp_path: Path
) -> None:
    shutil.copytree(mixed / "library", tmp_path / "library")
    shared_state.use_library(tmp_path / "library")
    page = AppTest.from_function(removing, default_timeout=RUN_S).run()
    assert "3 files" in texts(page)
    assert (
        len(shared_state.open_library().snapshot().asset_keys) == 3
    )  # the broken one has its name

    page.button(key="remove_sure").click().run()

    assert len(shared_state.open_library().status().assets) >= 1
    assert shared_state.open_library().status().files == 0
    assert (mixed / "media/beach.jpg").is_file()
    del opened


def removing() -> None:
    from mmsearch_ui import library_sections, shared_state

    from mmsearch import analytics

    library = shared_state.open_library()
    found = analytics.list_folders(library.snapshot())
    if found:
        library_sections._confirm_removal(library, found[0])
