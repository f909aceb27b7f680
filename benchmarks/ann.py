"""Vector indexes: ours against what a user would pick instead, on the same vectors, in one run.

`python -m benchmarks.ann` compares all at 1,000,000 x 512; `--rows 20000` tries the same within
three minutes. Topics: `speed` (queries a second at a recall, memory, build, open), `add`, `filter`,
`exact`, `growth` and `gpu`. Every peer has a process of its own with two threads, and is searched
at the least effort that reaches the recall, found on its own ladder; then all take turns in rounds,
so that noise hits all alike. What is measured is written down at once: a run that is cut off, or
`--minutes` ends, goes on where it was, and `--again` begins anew.
"""

from __future__ import annotations

import argparse
import subprocess
import time
from collections.abc import Mapping, Sequence

from benchmarks import ann_data, ann_peers, ann_run
from benchmarks.ann_data import MASKS, Dataset
from benchmarks.ann_peers import Effort
from benchmarks.ann_process import gpu_told
from benchmarks.ann_run import RACED, STEADY, Run, prepare, race, step

GPU_BATCHES = (1, 64, 1024)
COSTS = ("own", "mapped", "vectors", "on disk", "build", "open", "cold open", "new process")


def heading(run: Run) -> str:
    data = run.data
    count, dim = data.vectors().shape
    return (
        f"{data.kind}: {count:,} x {dim}, {data.raw_bytes() / 1e6:,.0f} MB as float32; "
        f"{run.threads} threads; recall@10 over {run.queries:,} queries"
    )


def speed(run: Run) -> None:
    prepare(run)
    race(run)
    print(heading(run))
    batches = ["single" if batch == 1 else f"batch {batch}" for batch in run.batches]
    print(f"queries/s, median of {run.race.get('rounds', 0)} rounds")
    headed = "".join(f"{one:>12}" for one in batches)
    print(" " * 20 + "".join(f"{f'>= {target}':>7}{headed}{'effort':>13}" for target in RACED))
    for peer in run.peers:
        print(f"{peer:<20}{speed_row(run, peer)}")
    print(
        "\nmemory and disk as shares of the float32 size: own, mapped, vectors mapped for refining;"
    )
    print("open: from the file to the first answer; cold: nothing of it in the page cache")
    print(f"{'':<20}{''.join(f'{one:>13}' for one in COSTS)}")
    for peer in run.peers:
        print(f"{peer:<20}{cost_row(run, peer)}")


def speed_row(run: Run, peer: str) -> str:
    known = run.of(peer)
    if "points" not in known:
        return f"  {known.get('failed', 'not reached')}"
    cells = ""
    for target in RACED:
        rates = run.rates(peer, target)
        shown = (
            f"{rates[batch]:,.0f}" if batch in rates else "-" for batch in map(str, run.batches)
        )
        cells += " " * 7 + "".join(f"{one:>12}" for one in shown)
        cells += f"{effort(known['points'].get(target, {})):>13}"
    return cells


def effort(points: Mapping[str, Sequence[float]]) -> str:
    """What a peer was searched with for a recall; the recall, where it takes no effort."""
    shown = {
        str(Effort(int(visited), int(refine))) or f"({recall:.3f})"
        for visited, refine, recall in points.values()
    }
    return "/".join(sorted(shown)) or "-"


def cost_row(run: Run, peer: str) -> str:
    known, raw = run.of(peer), run.data.raw_bytes()
    cells = ["-", "-", "-"]
    if memory := known.get("memory"):
        parts = [memory[name] / raw for name in ("own_bytes", "mapped_bytes", "vectors_bytes")]
        cells = [f"{part:.2f}" for part in parts]
    if built := known.get("built"):
        cells += [f"{built['disk_bytes'] / raw:.2f}", f"{built['build_s']:.1f} s"]
    if opened := known.get("opened"):
        cells += [f"{opened[name]:.3f} s" for name in ("open_s", "cold_s", "process_s")]
    if memory and memory["gpu_bytes"]:
        cells.append(f"{memory['gpu_bytes'] / 2**30:.1f} GiB")
    return "".join(f"{cell:>13}" for cell in cells)


def add(run: Run) -> None:
    prepare(run)
    print(f"{heading(run)}\n{ann_data.ADDITIONS:,} more, each looked for:")
    print(f"{'':<20}{'add':>10}{'first found':>14}{'all asked':>12}{'found':>9}")
    for peer in run.ready():
        step(run, peer, "added", ann_run.growing)
        if added := run.of(peer).get("added"):
            print(
                f"{peer:<20}{added['add_s']:>8.2f} s{added['first_s']:>12.2f} s"
                f"{added['all_s']:>10.2f} s{added['found']:>9.1%}"
            )


def filters(run: Run) -> None:
    for name in MASKS:
        run.data.truth(name)
    prepare(run)
    print(f"{heading(run)}\nfiltered, at the effort for {STEADY} without: recall@10, ms a query")
    print("(and of the first query under a filter, times the unfiltered)")
    print(f"{'':<20}{'unfiltered':>16}" + "".join(f"{f'{name} %':>26}" for name in MASKS))
    for peer in run.ready():
        step(run, peer, "filtered", ann_run.filtering)
        found = run.of(peer).get("filtered")
        if not found:
            continue
        alone_ms = found[""][1]
        cells = f"{found[''][0]:>8.3f}{alone_ms:>8.2f}"
        for name in MASKS:
            recall, time_ms, first_ms = found[name]
            times = f"{time_ms / alone_ms:.1f}"
            times += f", {first_ms / alone_ms:.1f}" if first_ms else ""
            cells += f"{recall:>8.3f}{time_ms:>7.2f} {f'({times})':>10}"
        print(f"{peer:<20}{cells}")


def exact(run: Run) -> None:
    prepare(run)
    race(run)
    print(f"{heading(run)}\nexact, ms a query; median of {run.race.get('rounds', 0)} rounds")
    headed = "".join(f"{f'batch {batch}':>13}" for batch in run.batches)
    print(f"{'':<20}{headed}{'build':>13}")
    for peer in run.ready():
        rates = run.rates(peer, RACED[-1])
        cells = "".join(f"{1000 / rates[str(batch)]:>13.2f}" for batch in run.batches)
        print(f"{peer:<20}{cells}{run.of(peer)['built']['build_s']:>11.2f} s")


def growth(runs: Sequence[Run]) -> None:
    """Each size in turn; a table of all at the end."""
    for run in runs:
        prepare(run)
        race(run)
    print(f"{heading(runs[-1])}\nms for a single query, and at batch 64; then what it costs")
    headed = "".join(f"{f'>= {target}':>9}{'batch':>9}{'effort':>11}" for target in RACED)
    print(f"{'':<31}{headed}{''.join(f'{one:>13}' for one in COSTS)}")
    for peer in dict.fromkeys(peer for run in runs for peer in run.peers):
        for run in runs:
            cells = ""
            for target in RACED:
                rates = run.rates(peer, target)
                times = (f"{1000 / rates[one]:.3f}" if one in rates else "-" for one in ("1", "64"))
                cells += "".join(f"{one:>9}" for one in times)
                cells += f"{effort(run.of(peer).get('points', {}).get(target, {})):>11}"
            print(f"{peer:<20}{run.data.rows:>11,}{cells}{cost_row(run, peer)}")


def gpu(run: Run) -> None:
    """Flat, IVF-PQ and CAGRA on the first GPU, and their like on the CPU."""
    try:
        name = gpu_told("name")
    except (OSError, subprocess.CalledProcessError):
        print("there is no GPU here")
        return
    print(f"GPU: {name}")
    speed(run)


def available(names: Sequence[str]) -> list[str]:
    """Those whose modules are installed; a line for each other."""
    found = []
    for name in names:
        if module := ann_peers.missing(name):
            print(f"{name} is left out: {module} is not installed")
        else:
            found.append(name)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    topics = ("speed", "add", "filter", "exact", "growth", "gpu")
    parser.add_argument("topics", nargs="*", choices=topics)
    parser.add_argument("--kind", choices=("made", "text"), help="of vectors; exact takes text")
    parser.add_argument("--rows", type=int, help="default 1000000; exact: 100000")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--peers", nargs="+", help=f"default: {' '.join(ann_peers.PEERS)}")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slice", type=float, help="seconds of a turn; default 1, 0.2 when small")
    parser.add_argument("--minutes", type=float, default=600, help="for everything")
    parser.add_argument("--build-minutes", type=float, default=90, help="for one index")
    parser.add_argument("--again", action="store_true", help="forget what was measured")
    asked = parser.parse_args()
    until = time.monotonic() + 60 * asked.minutes
    rows = asked.rows or 1_000_000

    def run(kind: str, count: int, peers: Sequence[str], batches: Sequence[int] = (1, 64)) -> Run:
        is_small = count <= ann_peers.SMALL_ROWS
        found = Run(
            Dataset(asked.kind or kind, count),
            available(asked.peers or peers),
            asked.threads,
            asked.rounds,
            asked.slice or (0.2 if is_small else 1.0),
            until,
            60 * asked.build_minutes,
            batches,
            400 if is_small else ann_data.QUERIES,
            "-gpu" if batches == GPU_BATCHES else "",
        )
        found.load(again=asked.again)
        return found

    for topic in asked.topics or topics[:3]:
        print(f"\n== {topic}")
        if topic == "growth":
            growth([run("made", rows, ann_peers.OURS) for rows in asked.sizes])
        elif topic == "exact":
            exact(run("text", asked.rows or 100_000, ann_peers.EXACT))
        elif topic == "gpu":
            gpu(run("made", rows, (*ann_peers.GPU, *ann_peers.ON_CPU), GPU_BATCHES))
        else:
            work = {"speed": speed, "add": add, "filter": filters}[topic]
            work(run("made", rows, ann_peers.usual(rows)))
            asked.again = False  # what one topic measured serves the next


if __name__ == "__main__":
    main()
