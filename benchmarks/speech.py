"""Speech: mmsearch, faster-whisper called directly, and batches, side by side on the same sound.

Needs `$MMSEARCH_TEST_DATA`. `--device cuda` and `--model FOLDER` measure another device and model.
`--pauses` measures when sentences are heard that have pauses of up to 40 s between them, in five
containers.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measure
from benchmarks.pauses import (
    CONTAINERS,
    PausedSpeech,
    SpokenSentence,
    compose,
    measure_start_errors,
)
from benchmarks.quality import lines, word_errors
from mmsearch.encoders.base import Utterance
from mmsearch.encoders.speech.transcriber import (
    PACKAGED,
    SpeechSplitter,
    WhisperTranscriber,
    open_named_whisper,
)
from mmsearch.encoders.speech.transcription import (
    BatchTranscriber,
    TranscriptionOptions,
    transcribe_sequentially,
)
from mmsearch.encoders.speech.utterances import assemble_utterances, shift_utterance
from mmsearch.encoders.speech.vad import SAMPLE_RATE_HZ
from mmsearch.media.base import AudioBlock, LoadOptions
from mmsearch.media.registry import load
from mmsearch.types import Span

BATCHES = (2, 4, 8, 16)
Way = Callable[[np.ndarray], list[Utterance]]


@dataclass(frozen=True, slots=True)
class Recording:
    """Sound, and what is said in it when."""

    name: str
    samples: np.ndarray
    said: Sequence[tuple[str, Span]]

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE_HZ


@dataclass(slots=True)
class Score:
    """What one way to transcribe took, and how it fared, over all recordings."""

    walls_s: list[float] = field(default_factory=list)
    cpus_s: list[float] = field(default_factory=list)
    errors: int = 0
    words: int = 0
    starts_s: list[float] = field(default_factory=list)
    ends_s: list[float] = field(default_factory=list)


def samples_of(path: Path) -> np.ndarray:
    blocks = [one.samples for one in load(path, LoadOptions()) if isinstance(one, AudioBlock)]
    return np.concatenate(blocks)


def recordings() -> list[Recording]:
    """The films, and the spoken clips eight times over, with pauses of 0.2 to 3 s."""
    data = measure.test_data()
    draw = random.Random(3)
    rows = lines(data / "speech" / "transcripts.jsonl")
    clips = [(samples_of(data / "speech" / row["audio"]), row["text"]) for row in rows]
    parts, said, at_s = [], [], 0.0
    for clip, text in (one for _ in range(8) for one in draw.sample(clips, len(clips))):
        pause_s = draw.choice([0.2, 0.5, 1.0, 3.0])
        parts += [np.zeros(int(pause_s * SAMPLE_RATE_HZ), np.float32), clip]
        at_s += pause_s
        said.append((text, Span(at_s, at_s + len(clip) / SAMPLE_RATE_HZ)))
        at_s = said[-1][1].end_s
    found = [Recording("clips", np.concatenate(parts), said)]
    for row in lines(data / "video" / "truth.jsonl"):
        spoken = [(one["text"], Span(one["start_s"], one["end_s"])) for one in row["speech"]]
        found.append(Recording(row["video"], samples_of(data / "video" / row["video"]), spoken))
    return found


def ways(whisper: Any, model: str, device: str) -> dict[str, Way]:
    transcriber = WhisperTranscriber(whisper, model=model, language="en", device=device)
    asked = TranscriptionOptions(language="en")

    def direct(samples: np.ndarray) -> list[Utterance]:
        segments, _ = whisper.transcribe(
            samples,
            language="en",
            vad_filter=True,
            condition_on_previous_text=False,
            temperature=0.0,
        )
        return [Utterance(one.text, Span(one.start, one.end)) for one in segments]

    def batched(size: int) -> Way:
        return lambda samples: assemble_utterances(BatchTranscriber(size)(whisper, samples, asked))

    return {
        "mmsearch": lambda samples: transcriber.transcribe(samples, 0.0),
        "faster-whisper called directly": direct,
        "one by one": lambda samples: assemble_utterances(
            transcribe_sequentially(whisper, samples, asked)
        ),
        **{f"batches of {size}": batched(size) for size in BATCHES},
    }


def judge(score: Score, recording: Recording, heard: list[Utterance]) -> None:
    """Word errors, and how far the nearest boundaries are from those of what was said."""
    texts = (" ".join(text for text, _ in recording.said), " ".join(one.text for one in heard))
    # "forty-two" and "42" are the same words.
    plain = [re.sub(r"forty[- ]two", "42", text.lower()) for text in texts]
    errors, words = word_errors(*plain)
    score.errors, score.words = score.errors + errors, score.words + words
    for _, span in recording.said:
        score.starts_s.append(min(abs(one.span.start_s - span.start_s) for one in heard))
        score.ends_s.append(min(abs(one.span.end_s - span.end_s) for one in heard))


def compose_pauses(**options: Any) -> PausedSpeech:
    """Composes the spoken clips of the test data with pauses between."""
    folder = measure.test_data() / "speech"
    rows = lines(folder / "transcripts.jsonl")
    return compose(
        [SpokenSentence(samples_of(folder / row["audio"]), row["text"]) for row in rows], **options
    )


def hear_file(path: Path, way: Way) -> list[Utterance]:
    """Transcribes a file in sections, as the index does."""
    splitter = SpeechSplitter()
    blocks = [one for one in load(path, LoadOptions()) if isinstance(one, AudioBlock)]
    sections = [part for one in blocks for part in splitter.push(one.samples, one.start_s)]
    sections += splitter.finish()
    return [
        shift_utterance(said, start_s) for samples, start_s in sections for said in way(samples)
    ]


def measure_pauses(tried: dict[str, Way], rounds: int) -> None:
    """Prints how far the starts of sentences after pauses are off, and the processor time."""
    print(f"{'':22}{'':32}median    worst   within 1 s  longest  processor s")
    for round_ in range(rounds):
        speech = compose_pauses(seed=round_)
        with tempfile.TemporaryDirectory() as folder:
            for name, write in CONTAINERS.items():
                path = Path(folder) / name
                write(path, speech.samples)
                for title, way in tried.items():
                    cpu = time.process_time()
                    heard = hear_file(path, way)
                    cpu = time.process_time() - cpu
                    spans = [one.span for one in heard]
                    errors = measure_start_errors(speech.said, spans)
                    near = sum(error <= 1.0 for error in errors)
                    middle, worst = statistics.median(errors), max(errors)
                    print(
                        f"{name:22}{title:32}{middle:>6.2f} s{worst:>7.2f} s"
                        f"{near:>6} of {len(errors)}"
                        f"{max(span.end_s - span.start_s for span in spans):>7.1f} s{cpu:>10.1f}",
                        flush=True,
                    )


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=PACKAGED)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--pair-only", action="store_true", help="only mmsearch and the direct call"
    )
    parser.add_argument("--pauses", action="store_true", help="only starts after pauses")
    options = parser.parse_args(arguments)
    whisper = open_named_whisper(options.model, threads=options.threads, device=options.device)
    if options.pauses:
        tried = ways(whisper, options.model, options.device)
        names = ("mmsearch", "batches of 16", "faster-whisper called directly")
        measure_pauses({name: tried[name] for name in names}, options.rounds)
        return
    sound = recordings()
    seconds = sum(one.seconds for one in sound)
    candidates = list(ways(whisper, options.model, options.device).items())
    candidates = candidates[:2] if options.pair_only else candidates
    scores = {name: Score() for name, _ in candidates}
    for round_ in range(-1, options.rounds):  # the first is not counted
        # Every other round in the other order: what comes first finds another state of the machine.
        for name, way in candidates if round_ % 2 else candidates[::-1]:
            score = scores[name]
            wall, cpu = time.perf_counter(), time.process_time()
            heard = [way(one.samples) for one in (sound if round_ >= 0 else sound[-1:])]
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            if round_ >= 0:
                score.walls_s.append(wall)
                score.cpus_s.append(cpu)
            if round_ == 0:
                for recording, told in zip(sound, heard, strict=True):
                    judge(score, recording, told)
    print(f"{seconds:.0f} s of sound, {options.model} on {options.device}, {options.rounds} rounds")
    print(f"{'':32}real-time factor  processor  word errors  starts off  ends off")
    for name, score in scores.items():
        print(
            f"{name:32}{statistics.median(score.walls_s) / seconds:>16.4f}"
            f"{statistics.median(score.cpus_s) / seconds:>11.4f}"
            f"{score.errors / score.words:>13.4f}"
            f"{statistics.median(score.starts_s):>10.2f} s{statistics.median(score.ends_s):>8.2f} s"
        )
    ours, direct = scores["mmsearch"], scores["faster-whisper called directly"]
    pairs = [ours_s / its_s for ours_s, its_s in zip(ours.walls_s, direct.walls_s, strict=True)]
    busy = [ours_s / its_s for ours_s, its_s in zip(ours.cpus_s, direct.cpus_s, strict=True)]
    print(
        f"mmsearch takes {statistics.median(pairs):.3f} times as long as faster-whisper "
        f"({statistics.median(busy):.3f} times the processor time; target <= 1.05)"
    )


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
