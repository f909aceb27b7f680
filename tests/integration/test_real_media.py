"""The whole way with the real encoders: real photographs, recordings, films and documents."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsearch import image, text
from mmsearch.encoders.base import Utterance
from mmsearch.encoders.speech.transcriber import WhisperTranscriber, open_named_whisper
from mmsearch.evaluation import overlaps_by_half, read_queries
from mmsearch.index.word_index import split_words
from mmsearch.library.library import Library
from mmsearch.media.base import AudioBlock, LoadOptions
from mmsearch.media.registry import load
from mmsearch.types import Hit, Modality, SegmentKind, Span
from tests.fakes import RATE, write_text


@pytest.fixture(scope="module")
def library(small_library: Path) -> Library:
    return Library.open(small_library, create=False)


@pytest.fixture(scope="module")
def transcriber() -> WhisperTranscriber:
    return WhisperTranscriber(open_named_whisper(threads=2))


def names(hits: list[Hit]) -> list[str]:
    return [Path(hit.path).name for hit in hits]


def samples_of(path: Path) -> np.ndarray:
    return np.concatenate(
        [
            content.samples
            for content in load(path, LoadOptions())
            if isinstance(content, AudioBlock)
        ]
    )


def heard(transcriber: WhisperTranscriber, path: Path) -> list[Utterance]:
    return transcriber.transcribe(samples_of(path), 0.0)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


# Searching


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("a kitten playing with a ball of yarn", "IMG_0144.jpg"),
        ("a raccoon among green leaves", "P1020345.jpg"),
        ("a cup of coffee", "breakfast.jpg"),
    ],
)
def test_a_photograph_is_found_by_a_sentence(library: Library, query: str, expected: str) -> None:
    hits = library.search(query, kinds=["image"], min_score=0.0, limit=2)

    assert expected in names(hits)
    assert hits[0].segment.kind is SegmentKind.IMAGE


def test_a_photograph_is_found_by_another_one(library: Library, samples: Path) -> None:
    hits = library.similar(samples / "photos/IMG_0031.jpg", kinds=["image"], min_score=0.0)

    assert names(hits)[0] == "IMG_0144.jpg"  # the other cat
    assert "IMG_0031.jpg" not in names(hits)


def test_a_photograph_that_is_not_indexed_is_an_example(
    library: Library, sample_data: Path
) -> None:
    path = sample_data / "photos/IMG_0190.jpg"

    hits = library.search(image(path), kinds=["image"], min_score=0.0, limit=2)

    assert set(names(hits)) == {"IMG_0031.jpg", "IMG_0144.jpg"}
    assert names(library.similar(path, kinds=["image"], min_score=0.0))[:2] == names(hits)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("how to mend a flat tyre", "bike_care.md"),
        ("keeping slugs away from lettuce", "kitchen_garden.pdf"),
        ("a speech at a battlefield about democracy", "gettysburg_address.txt"),
    ],
)
def test_a_document_is_found_by_its_meaning(library: Library, query: str, expected: str) -> None:
    assert names(library.search(query))[0] == expected


def test_a_document_is_near_one_on_the_same_subject(library: Library, tmp_path: Path) -> None:
    path = write_text(
        tmp_path / "note.txt", "Cycling: oil the chain, pump up the tyres, check brakes."
    )

    assert names(library.similar(path, min_score=0.0))[0] == "bike_care.md"


def test_the_page_is_given_for_a_pdf(library: Library) -> None:
    (hit, *_) = library.search("storing carrots over the winter")

    assert Path(hit.path).name == "kitchen_garden.pdf"
    assert hit.segment.place.page is not None
    assert "carrot" in (hit.segment.text or "").lower()


@pytest.mark.parametrize(
    "query",
    ["ask not what your country can do for you", "a president tells citizens to serve the nation"],
)
def test_spoken_words_are_found_where_they_are_spoken(
    library: Library, sample_data: Path, query: str
) -> None:
    (known,) = (one for one in read_queries(sample_data / "queries.jsonl") if one.query == query)
    hits = {Path(hit.path).name: hit for hit in library.search(query, min_score=0.0, limit=3)}

    assert {"voice_memo_03.flac", "MVI_0007.mp4"} <= set(hits)
    for path, span in known.spans:
        found = hits[Path(path).name].segment
        assert found.kind is SegmentKind.SPEECH
        assert found.span is not None
        assert overlaps_by_half(found.span, span)


def test_a_search_for_nonsense_finds_nothing(library: Library) -> None:
    assert library.search("quarterly tax return of a dentist in Ohio") == []


def test_what_matches_a_term_to_avoid_is_left_out(library: Library) -> None:
    plain = names(library.search("a cat", kinds=["image"], min_score=0.0))
    without = names(
        library.search(text("a cat") - text("a ball of yarn"), kinds=["image"], min_score=0.0)
    )

    assert set(plain[:2]) == {"IMG_0031.jpg", "IMG_0144.jpg"}
    assert "IMG_0144.jpg" not in without
    assert without[0] == "IMG_0031.jpg"


def test_a_film_is_cut_into_frames_that_cover_it(library: Library) -> None:
    reader = library.snapshot().reader
    segments = reader.read_segments(list(range(reader.count_rows("segments"))))
    frames = [segment for segment in segments if segment.kind is SegmentKind.FRAME]

    assert len(frames) >= 3
    spans = sorted((segment.span.start_s, segment.span.end_s) for segment in frames if segment.span)
    assert len(spans) == len(frames)
    assert spans[0][0] < 1.0
    for (_, end_s), (start_s, _) in pairwise(spans):
        assert abs(start_s - end_s) < 0.5


# Speech


def test_silence_and_noise_have_no_words(transcriber: WhisperTranscriber) -> None:
    rng = np.random.default_rng(0)
    silence = np.zeros(15 * RATE, dtype=np.float32)
    white = rng.standard_normal(15 * RATE).astype(np.float32)

    assert transcriber.transcribe(silence, 0.0) == []
    for level in (0.01, 0.1, 0.5):
        assert transcriber.transcribe(np.clip(level * white, -1, 1), 0.0) == []
    hum = 0.3 * np.sin(2 * np.pi * 50 * np.arange(15 * RATE) / RATE)
    assert transcriber.transcribe(hum.astype(np.float32), 0.0) == []


@pytest.mark.parametrize(
    "name",
    [
        "applause",
        "car-horn",
        "cinematic",
        "dog",
        "guitar",
        "jazz_guitar",
        "piano",
        "rain",
        "typing",
    ],
)
def test_sounds_without_speech_have_no_words(
    data: Path, transcriber: WhisperTranscriber, name: str
) -> None:
    assert heard(transcriber, data / "sounds" / f"{name}.flac") == []


@pytest.mark.parametrize("name", ["airfield.mp3", "canal.flac", "clip_009.ogg", "clip_020.flac"])
def test_the_sounds_of_the_sample_data_have_no_words(
    sample_data: Path, transcriber: WhisperTranscriber, name: str
) -> None:
    assert heard(transcriber, sample_data / "sounds" / name) == []


def word_errors(said: list[str], told: list[str]) -> int:
    """The edit distance between two lists of words."""
    row = list(range(len(told) + 1))
    for i, word in enumerate(said, start=1):
        above, row[0] = row[0], i
        for j, other in enumerate(told, start=1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (word != other))
    return row[-1]


def test_the_edit_distance_is_that_of_words() -> None:
    assert word_errors(["a", "b", "c"], ["a", "c"]) == 1
    assert word_errors([], ["a"]) == 1
    assert word_errors(["a", "b"], ["b", "a"]) == 2


@pytest.mark.slow
def test_transcripts_are_those_of_faster_whisper_and_nearly_right(
    data: Path, transcriber: WhisperTranscriber
) -> None:
    errors = count = 0
    for row in rows(data / "speech" / "transcripts.jsonl"):
        path = next(
            data / "speech" / Path(str(value)).name
            for value in row.values()
            if str(value).endswith(".flac")
        )
        told = " ".join(utterance.text for utterance in heard(transcriber, path))
        direct, _ = transcriber._whisper.transcribe(
            str(path),
            language="en",
            vad_filter=True,
            condition_on_previous_text=False,
            temperature=0.0,
        )
        assert told.split() == " ".join(segment.text.strip() for segment in direct).split()
        truth = split_words(row["text"])
        errors += word_errors(truth, split_words(told))
        count += len(truth)

    assert errors / count < 0.15


def test_times_are_those_of_the_file_wherever_the_stretch_begins(
    data: Path, transcriber: WhisperTranscriber
) -> None:
    samples = samples_of(data / "speech" / "LJ001-0001.flac")
    at_start = transcriber.transcribe(samples, 0.0)
    later = transcriber.transcribe(samples, 600.0)

    assert at_start
    assert [one.text for one in later] == [one.text for one in at_start]
    for one, other in zip(at_start, later, strict=True):
        assert other.span.start_s == pytest.approx(one.span.start_s + 600.0)
        assert other.span.end_s == pytest.approx(one.span.end_s + 600.0)
        assert 0.0 <= one.span.start_s < one.span.end_s <= len(samples) / RATE + 0.5


@pytest.mark.slow
def test_the_words_of_a_film_are_found_where_they_are_spoken(data: Path, tmp_path: Path) -> None:
    truth = {row["video"]: row for row in rows(data / "video" / "truth.jsonl")}
    with Library.open(tmp_path / "library") as library:
        report = library.index(data / "video")
        assert report.failed == 0
        films = [row["video"] for row in truth.values()]
        for film in films:
            for spoken in truth[film]["speech"]:
                hits = {
                    Path(hit.path).name: hit
                    for hit in library.search(spoken["text"], kinds=["video"], min_score=0.0)
                }
                assert film in hits, spoken["text"]
                best = hits[film].segment
                assert best.kind is SegmentKind.SPEECH
                assert best.span is not None
                wanted = Span(spoken["start_s"], spoken["end_s"])
                assert best.span.overlap_s(wanted) >= 0.5 * (wanted.end_s - wanted.start_s)
        shots_hit = shots = 0
        for film in films:
            for shot in truth[film]["shots"]:
                wanted = Span(shot["start_s"], shot["end_s"])
                for caption in shot["captions"][:2]:
                    hits = library.search(caption, kinds=["video"], min_score=0.0)
                    shots += 1
                    shots_hit += any(
                        Path(hit.path).name == film
                        and any(
                            moment.segment.kind is SegmentKind.FRAME
                            and moment.segment.span is not None
                            and overlaps_by_half(moment.segment.span, wanted)
                            for moment in hit.moments[:2]
                        )
                        for hit in hits
                    )
        assert shots_hit >= 0.6 * shots
        assert library.status().assets[Modality.VIDEO] == len(films)


@pytest.mark.slow
def test_the_same_files_make_the_same_library_each_time(samples: Path, tmp_path: Path) -> None:
    """Ids, spans, texts and vectors do not depend on the run or on the order of threads."""

    def content(name: str, workers: int) -> dict[str, Any]:
        from mmsearch_indexers.local import IndexOptions

        with Library.open(tmp_path / name) as library:
            library.index(
                samples / "recordings", samples / "documents", samples / "photos",
                wishes=IndexOptions(workers=workers),
            )  # fmt: skip
            reader = library.snapshot().reader
            segments = reader.read_segments(list(range(reader.count_rows("segments"))))
            vectors = {
                space: {
                    (row["segment_id"], str(row["box"])): row["vector"]
                    for row in reader.read_columns(
                        f"vectors_{space}", "segment_id", "box", "vector"
                    ).to_pylist()
                }
                for space in reader.space_names
            }
        return {"segments": {one.id: one for one in segments}, **vectors}

    one, other = content("one", 1), content("other", 3)

    assert one["segments"].keys() == other["segments"].keys()
    for key, segment in one["segments"].items():
        again = other["segments"][key]
        assert (segment.kind, segment.place, segment.text) == (again.kind, again.place, again.text)
    for space in ("text", "image", "sound"):
        assert one[space].keys() == other[space].keys()
        for key, vector in one[space].items():
            a, b = np.array(vector, dtype=np.float32), np.array(other[space][key], dtype=np.float32)
            assert float(a @ b) > 0.999


def test_words_of_a_hit_have_their_times(small_library: Path) -> None:
    with Library.open(small_library, create=False) as library:
        (hit, *_) = library.search("ask not what your country can do for you", kinds=["audio"])
        words = library.words(hit)

    assert hit.segment.span is not None
    said = [word.text.strip().lower().strip(",.") for word in words]
    assert "country" in said
    assert all(word.span.overlap_s(hit.segment.span) > 0 for word in words)
    starts = [word.span.start_s for word in words]
    assert starts == sorted(starts)
    (country, *_) = [word for word, text in zip(words, said, strict=True) if text == "country"]
    assert 0.0 < country.span.end_s - country.span.start_s < 1.5


def test_what_has_no_sound_has_no_words(small_library: Path) -> None:
    with Library.open(small_library, create=False) as library:
        (hit, *_) = library.search("a kitten", kinds=["image"])

        assert library.words(hit) == ()
