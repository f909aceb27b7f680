"""A search over HTTP as one writes it in an afternoon: FastAPI, LanceDB, the same text encoder.

`python -m benchmarks.http_peer LIBRARY PORT` copies the text vectors of a library into a table of
its own and serves them. It searches one space only, without words, filters, moments or scores.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import lancedb
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from mmsearch.encoders.bundle import Encoders
from mmsearch.models import presets
from mmsearch.models.provisioning import Runtime
from mmsearch.store.reader import Reader


class Query(BaseModel):
    query: str
    limit: int = 10


def copied(library: Path, folder: Path) -> lancedb.table.Table:
    """The vectors of the text space and their texts."""
    reader = Reader.open(library)
    vectors = reader.read_columns("vectors_text", "segment_id", "vector")
    segments = reader.read_columns("segments", "segment_id", "text")
    texts = dict(zip(*(segments.column(at).to_pylist() for at in (0, 1)), strict=True))
    owned = [texts[one] for one in vectors.column("segment_id").to_pylist()]
    return lancedb.connect(folder).create_table("texts", vectors.append_column("text", [owned]))


def create_app(table: lancedb.table.Table) -> FastAPI:
    app = FastAPI()
    encoder = Encoders(
        presets.find_preset(presets.DEFAULT_PRESET), Runtime(device="cpu").create_context()
    ).text

    @app.post("/v1/search")
    def search(query: Query) -> list[dict]:
        (vector,) = encoder.encode_queries([query.query])
        found = table.search(vector).distance_type("cosine").limit(query.limit)
        return found.select(["segment_id", "text", "_distance"]).to_list()

    return app


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(copied(Path(sys.argv[1]), Path(folder)))
        uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
