"""Meaning, exact words, and both: which finds what, and when is it honest to find nothing.

`MMSEARCH_TEST_DATA=... python -m benchmarks.hybrid`; `--library DIR` takes a library of the test
data that is there already. Sets: captions of photographs, what is said in recordings and films,
paraphrases of that, names of files, and the queries of sample_data.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import mmsearch
from benchmarks import measure
from mmsearch.evaluation import (
    JudgedHit,
    Judgements,
    KnownQuery,
    Search,
    build_report,
    compare_judgements,
    read_queries,
    run_queries,
)
from mmsearch.library.library import Library
from mmsearch.query.ranking import DEFAULT_CUTOFF, Ranking

HERE = Path(__file__).parent
WAYS = {
    "meaning": "words=off",
    "words": "vectors=off",
    "both": "",
    "both, by rank": "fusion=rrf",
}


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def known(query: str, *paths: Path, kinds: Sequence[str] = ()) -> KnownQuery:
    return KnownQuery(query, frozenset(map(str, paths)), tuple(kinds))


def captions(data: Path) -> Iterator[KnownQuery]:
    for row in rows(data / "captions/captions.jsonl"):
        for caption in row["captions"]:
            yield known(caption, data / "captions" / row["image"])


def spoken(data: Path) -> dict[str, tuple[str, list[Path]]]:
    """What each recording says, and all files in which it is said."""
    films = rows(data / "video/truth.jsonl")
    found = {}
    for row in rows(data / "speech/transcripts.jsonl"):
        where = [data / "speech" / row["audio"]]
        where += [
            data / "video" / film["video"]
            for film in films
            if any(said["text"] == row["text"] for said in film["speech"])
        ]
        found[row["audio"]] = (row["text"], where)
    return found


def names(data: Path) -> Iterator[KnownQuery]:
    for path in sorted((data / "sounds").glob("*.flac")):
        yield known(path.stem.replace("-", " ").replace("_", " "), path)
    for path in sorted((data / "captions/images").glob("*.jpg"))[::4]:
        yield known(path.stem, path)
    for path in sorted((data / "speech").glob("*.flac")):
        yield known(path.stem, path)


def search(library: Library, settings: str) -> Search:
    ranking = Ranking.parse(settings)

    def asked(query: KnownQuery, limit: int) -> list[JudgedHit]:
        hits = library.search(
            query.query, limit=limit, kinds=query.kinds, min_score=0, ranking=ranking
        )
        return [JudgedHit.from_hit(hit) for hit in hits]

    return asked


def compare(title: str, library: Library, queries: Sequence[KnownQuery]) -> dict[str, Judgements]:
    judged = {}
    for name, settings in WAYS.items():
        judged[name] = run_queries(queries, search(library, settings), cut_off=DEFAULT_CUTOFF.first)
        told = build_report(judged[name])
        recall = "".join(
            f"{told.recall[str(cut)]:>8.3f}" for cut in (1, 5, 10) if str(cut) in told.recall
        )
        print(
            f"{title:<14}{name:<16}{len(queries):>6}{told.ndcg_at_10:>9.3f}{told.mrr:>8.3f}{recall}"
            f"{told.latency_ms_p50:>8.1f}"
        )
        title = ""
    return judged


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", type=Path)
    asked = parser.parse_args()
    data = measure.test_data().resolve()
    sample = HERE.parent / "sample_data"
    said = spoken(data)
    told = json.loads((HERE / "queries/paraphrases.json").read_text())
    sets = {
        "captions": list(captions(data)),
        "utterances": [known(text, *paths) for text, paths in said.values()],
        "quoted": [
            known(f'"{text[:60].rpartition(" ")[0]}"', *paths) for text, paths in said.values()
        ],
        "paraphrases": [known(one, *said[name][1]) for name, many in told.items() for one in many],
        "names": list(names(data)),
    }
    absent = [
        KnownQuery(line, frozenset())
        for line in (HERE / "queries/absent.txt").read_text().splitlines()
    ]
    print(f"{'':<14}{'':<16}{'':>6}{'nDCG@10':>9}{'MRR':>8}{'R@1':>8}{'R@10':>8}{'ms p50':>8}")
    with tempfile.TemporaryDirectory() as folder:
        with mmsearch.open(asked.library or f"{folder}/library") as library:
            if asked.library is None:
                media = ("captions/images", "speech", "sounds", "video")
                library.index(*(data / one for one in media))
            every = []
            for title, queries in sets.items():
                every.append(compare(title, library, queries))
            refused(library, [*sets["captions"], *sets["utterances"], *sets["paraphrases"]], absent)
        with mmsearch.open(f"{folder}/sample") as library:
            media = [one for one in sample.iterdir() if one.is_dir()]
            library.index(*media)
            every.append(compare("sample_data", library, read_queries(sample / "queries.jsonl")))
    for one in compare_judgements(every[0]["meaning"], every[0]["both"]):
        print("captions, meaning against both:", one)


def refused(library: Library, true: Sequence[KnownQuery], absent: Sequence[KnownQuery]) -> None:
    """At the usual cut-off; 'kept' is over the queries with an answer."""
    judged = run_queries([*true, *absent], search(library, ""), cut_off=DEFAULT_CUTOFF.first)
    told = build_report(judged).no_match
    shown = sum(
        any(str(path) in {hit.path, *hit.also_at, *hit.duplicates} for path in query.relevant)
        for query in true
        for hit in library.search(query.query)
    )
    print(
        f"\nno match: AUROC {told.auroc:.3f}; kept {1 - told.refused_wrongly:.1%} of {len(true)}, "
        f"refused {told.recall:.1%} of {len(absent)}; right files shown for {shown} queries\n"
    )


if __name__ == "__main__":
    main()
