"""`POST /v1/search`: a search by words, by what the library has, and by files that are sent."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from mmsearch import serialization
from mmsearch.errors import QueryError
from mmsearch.media.isolation import Stopped
from mmsearch.query import algebra as queries
from mmsearch.query.algebra import Query, TermKind
from mmsearch.query.ranking import Ranking
from mmsearch.search.highlight import highlights
from mmsearch.server.http import answers, openapi, problems, requests, uploads
from mmsearch.server.http.backend import Backend
from mmsearch.server.http.bodies import checked, media_type, read_json
from mmsearch.server.http.links import hit_links
from mmsearch.server.http.problems import Problem
from mmsearch.server.http.requests import (
    AssetTerm,
    SearchBody,
    TextTerm,
    UploadSearchBody,
    UploadTerm,
)
from mmsearch.server.http.uploads import Upload
from mmsearch.server.http.worker_pool import Ticket, TooSlow

if TYPE_CHECKING:
    from mmsearch.library.library import Library
    from mmsearch.types import Hit

router = APIRouter()

MULTIPART = "multipart/form-data"


@router.post(
    "/v1/search",
    summary="Search by words, by example, by files",
    tags=["search"],
    operation_id="search",
    response_model=answers.SearchAnswer,
    response_model_exclude_unset=True,
    responses=openapi.problems(
        problems.NO_SUCH_ASSET, problems.BAD_QUERY, problems.BAD_MEDIA, body=True, waits=True
    ),
    openapi_extra=openapi.search_body(),
)
async def search(request: Request) -> Response:
    """The best hits, best first; where nothing matches that is an answer too, with a hint.

    As `multipart/form-data` the part `request` holds the same JSON, and other parts are files to
    search by: those called `file` are looked for, others by the terms that name them. Files are
    decoded apart, and deleted when the answer is there.
    """
    backend = Backend.of(request)
    root = request.scope.get("root_path", "")
    if media_type(request) != MULTIPART:
        asked = await read_json(request, SearchBody)
        body = await backend.search(
            request, lambda ticket: _answer(backend, asked, (), root, ticket)
        )
        return Response(body, media_type="application/json")
    with backend.folder() as folder:
        received = await uploads.receive(
            request, folder, max_bytes=backend.settings.max_upload_bytes
        )
        with_files = checked(received.request, UploadSearchBody)
        body = await backend.labour(
            request, lambda ticket: _answer(backend, with_files, received.uploads, root, ticket)
        )
    return Response(body, media_type="application/json")


def _answer(
    backend: Backend,
    asked: SearchBody,
    files: Sequence[Upload],
    root: str,
    ticket: Ticket,
) -> bytes:
    """The answer as JSON; raises QueryError, and TooSlow where decoding was given up."""
    query = build_query(asked, files)
    _check_assets(query, backend.library)
    started = time.perf_counter()
    try:
        hits = _hits(backend, asked, query, ticket)
    except QueryError as exc:
        raise _named(exc, files) from exc
    except Stopped as exc:
        raise TooSlow from exc
    took_ms = (time.perf_counter() - started) * 1000
    shown = str(_shown(query, files))
    answer = serialization.answer_object(shown, backend.library.manifest.preset, took_ms, hits)
    words = _words(query) if asked.explain else ""
    for hit, told in zip(hits, answer["hits"], strict=True):
        told |= hit_links(hit, root)
        if asked.explain:
            _explain(told, hit, words)
    if not hits:
        answer["hint"] = _hint(asked, query, backend.library)
    return json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace")


def build_query(asked: SearchBody, files: Sequence[Upload]) -> Query:
    """What is asked for; raises QueryError for a line that cannot be read, Problem for a file."""
    query = Query(())
    if asked.query is not None:
        query += queries.parse(queries.split(asked.query), reads_files=False)
    named: set[str] = set()
    if len(query.terms) > requests.MAX_TERMS:
        raise QueryError(
            f"the query has {len(query.terms)} terms: at most {requests.MAX_TERMS} are looked for"
        )
    for terms, sign in ((asked.terms, 1.0), (asked.avoided, -1.0)):
        for one in terms:
            if isinstance(one, UploadTerm):
                named.add(one.upload)
            query += sign * _query(one, files)
    for file in files:
        if file.part == uploads.LOOSE:
            query += queries.file(file.path)
        elif file.part not in named:
            raise Problem(
                problems.INVALID,
                f"the part {file.part!r} is called neither {uploads.LOOSE!r}, nor as a term says",
            )
    if not query.seeks and not asked.is_narrowed:
        raise QueryError("the query is empty: say what to look for, not only what to avoid")
    return query


def _query(one: requests.AnyTerm, files: Sequence[Upload]) -> Query:
    match one:
        case TextTerm():
            return one.weight * queries.text(one.text.strip())
        case AssetTerm():
            return one.weight * queries.asset(one.asset)
    found = [queries.file(file.path) for file in files if file.part == one.upload]
    if not found:
        raise Problem(problems.INVALID, f"no file was sent as the part {one.upload!r}")
    return one.weight * sum(found[1:], found[0])


def _check_assets(query: Query, library: Library) -> None:
    snapshot = library.snapshot()
    for term in query.terms:
        if term.kind is TermKind.ASSET and snapshot.asset_row(term.value) is None:
            raise Problem(
                problems.NO_SUCH_ASSET,
                f"the library has no asset {term.value}: it may have been taken out",
                asset_id=term.value,
            )


def _hits(backend: Backend, asked: SearchBody, query: Query, ticket: Ticket) -> list[Hit]:
    ranking = replace(Ranking.parse(asked.ranking), group=asked.group, dedupe=asked.dedupe)
    return backend.library.search(
        query,
        limit=asked.limit,
        kinds=asked.kinds,
        under=asked.under,
        after=asked.after,
        before=asked.before,
        where=asked.where,
        without=asked.without,
        min_score=asked.min_score,
        ranking=ranking,
        decoding=backend.decoding(ticket),
    )


def _named(error: QueryError, files: Sequence[Upload]) -> Exception:
    """The same without the paths of this server: files go by the names they were sent under."""
    said = str(error)
    for one in files:
        if str(one.path) in said:
            # How to raise a limit is told to who indexes.
            detail = said.replace(str(one.path), one.called).partition(": raise it with")[0]
            return Problem(problems.BAD_MEDIA, detail, part=one.part)
    return error


def _shown(query: Query, files: Sequence[Upload]) -> Query:
    called = {str(one.path): one.called for one in files}
    return Query(
        tuple(replace(term, value=called.get(term.value, term.value)) for term in query.terms)
    )


def _words(query: Query) -> str:
    """The words that are looked for."""
    return " ".join(
        term.value for term in query.terms if term.kind is TermKind.TEXT and term.weight > 0
    )


def _explain(told: dict[str, Any], hit: Hit, words: str) -> None:
    text = hit.segment.text or ""
    told["matches"] = [list(one) for one in highlights(text, words)] if text and words else []
    for name, one in serialization.rounded(hit).spaces.items():
        told["spaces"][name]["similarity"] = one.similarity


def _hint(asked: SearchBody, query: Query, library: Library) -> str:
    if not library.snapshot().asset_keys.size:
        return "the library is empty: index something first"
    filters = (asked.kinds, asked.under, asked.after, asked.before, asked.where, asked.without)
    fewer = ", fewer filters" if any(filters) else ""
    if not query.seeks:
        return "nothing passes: try fewer filters"
    if asked.min_score == 0:
        return f"nothing passes: try other words{fewer}" if fewer else "nothing is there to compare"
    return f"nothing matches well enough: try other words{fewer}, or `min_score` 0 for the nearest"
