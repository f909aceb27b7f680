"""One library, many threads."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mmsearch


def test_many_threads_search_while_another_writes(small_library: Path, tmp_path: Path) -> None:
    place = tmp_path / "library"
    shutil.copytree(small_library, place)
    queries = ["dog on a beach", "a man speaks", "food on a table", "bicycle chain", '"oil"']
    with mmsearch.open(place) as library, mmsearch.open(place) as writing:
        alone = {query: library.search(query, min_score=0) for query in queries}
        (tmp_path / "more").mkdir()

        def search(number: int) -> bool:
            query = queries[number % len(queries)]
            found = library.search(query, min_score=0, limit=20)
            return {hit.path for hit in alone[query]} <= {hit.path for hit in found}

        with ThreadPoolExecutor(8) as pool:
            answers = [pool.submit(search, number) for number in range(60)]
            for number in range(4):
                (tmp_path / "more" / f"{number}.txt").write_text(f"note number {number}")
                writing.index(tmp_path / "more")
            assert all(answer.result(60) for answer in answers)
        assert library.search("note number 3")[0].path.endswith("3.txt")
