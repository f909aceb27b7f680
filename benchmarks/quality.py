"""What is found, on media whose truth is known: captions, moments of videos, words spoken.

Needs `$MMSEARCH_TEST_DATA`. The captions go through `mmsearch evaluate`, as a user would run it.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path
from statistics import median

import mmsearch
from benchmarks import measure
from mmsearch.encoders.speech.transcriber import WhisperTranscriber, open_named_whisper
from mmsearch.evaluation import overlaps_by_half
from mmsearch.media.base import AudioBlock, LoadOptions
from mmsearch.media.registry import load
from mmsearch.types import Span


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def index(library: str, *media: Path) -> None:
    subprocess.run(
        [*measure.MMSEARCH, "index", *map(str, media), "--library", library],
        check=True,
        capture_output=True,
    )


def captions(folder: Path) -> None:
    data = measure.test_data()
    queries = folder / "captions.jsonl"
    with queries.open("w") as stream:
        for row in lines(data / "captions" / "captions.jsonl"):
            for caption in row["captions"]:
                known = {"query": caption, "relevant": [str(data / "captions" / row["image"])]}
                stream.write(json.dumps(known) + "\n")
    library = f"{folder}/captions-library"
    index(library, data / "captions" / "images")
    told = subprocess.run(
        [*measure.MMSEARCH, "evaluate", str(queries), "--library", library, "--json"],
        check=True,
        capture_output=True,
        text=True,
    )
    report = json.loads(told.stdout)
    recall = ", ".join(f"R@{cut} {value:.3f}" for cut, value in report["recall"].items())
    print(f"captions, {report['queries']} queries: {recall} (targets 0.42, 0.81, 0.89)")


def videos(folder: Path) -> None:
    data = measure.test_data()
    library_path = f"{folder}/video-library"
    index(library_path, data / "video", data / "captions" / "images", data / "speech")
    shots = found_shots = first_shots = utterances = first = 0
    start_errors_s: list[float] = []
    with mmsearch.open(library_path, create=False) as library:
        for row in lines(data / "video" / "truth.jsonl"):
            video = str(data / "video" / row["video"])
            for shot in row["shots"]:
                wanted = Span(shot["start_s"], shot["end_s"])
                for caption in shot["captions"]:
                    shots += 1
                    hits = library.search(caption, limit=10, kinds=["video"], min_score=0)
                    best = next((hit for hit in hits if hit.path == video), None)
                    spans = [m.segment.span for m in best.moments] if best else []
                    inside = [span is not None and overlaps_by_half(span, wanted) for span in spans]
                    found_shots += any(inside)
                    first_shots += bool(hits and hits[0].path == video and inside[0])
            for said in row["speech"]:
                utterances += 1
                wanted = Span(said["start_s"], said["end_s"])
                hits = library.search(said["text"], limit=10, kinds=["video"], min_score=0)
                best = next((hit for hit in hits if hit.path == video), None)
                if best is not None and best.segment.span is not None:
                    start_errors_s.append(abs(best.segment.span.start_s - wanted.start_s))
                hits = library.search(said["text"], limit=1, min_score=0)
                first += bool(hits and hits[0].segment.kind == "speech")
    print(
        f"utterances: {len(start_errors_s)} of {utterances} found in the right video, their starts "
        f"wrong by {median(start_errors_s):.2f} s in the median and {max(start_errors_s):.2f} s at "
        f"worst (target 0.3 and 1.0); {first} first of all kinds"
    )
    print(
        f"shots: {found_shots} of {shots} captions find the right video with a moment in the shot; "
        f"{first_shots} with the video first and that moment its best"
    )


def word_errors(said: str, heard: str) -> tuple[int, int]:
    """Edit distance between words (Levenshtein), and the number of words said."""
    a, b = (re.findall(r"[a-z0-9']+", text.lower()) for text in (said, heard))
    row = list(range(len(b) + 1))
    for i, word in enumerate(a, start=1):
        before, row[0] = row[0], i
        for j, other in enumerate(b, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1], len(a)


def speech() -> None:
    data = measure.test_data()
    whisper = open_named_whisper()
    transcriber = WhisperTranscriber(whisper)
    ours = [0, 0]
    direct = [0, 0]
    for row in lines(data / "speech" / "transcripts.jsonl"):
        path = data / "speech" / row["audio"]
        blocks = [one for one in load(path, LoadOptions()) if isinstance(one, AudioBlock)]
        (block,) = blocks
        heard = " ".join(one.text for one in transcriber.transcribe(block.samples, block.start_s))
        segments, _ = whisper.transcribe(
            str(path), language="en", vad_filter=True, condition_on_previous_text=False
        )
        alone = " ".join(segment.text for segment in segments)
        for counts, text in ((ours, heard), (direct, alone)):
            errors, words = word_errors(row["text"], text)
            counts[0] += errors
            counts[1] += words
    print(
        f"word error rate: {ours[0] / ours[1]:.3f} ({ours[1]} words); "
        f"faster-whisper called directly on the files: {direct[0] / direct[1]:.3f}"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        captions(Path(folder))
        videos(Path(folder))
    speech()


if __name__ == "__main__":
    main()
