"""`POST /v1/search`: a search by words, by what the library has, and by files that are sent."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from mmsearch.errors import QueryError
from mmsearch.media.isolation import CancelledError
from mmsearch.query import algebra as queries
from mmsearch.query.algebra import Query, TermKind
from mmsearch.query.ranking import Ranking
from mmsearch.query.request import as_request
from mmsearch.search.highlight import find_highlights
from mmsearch.serialization.answers import build_hit
from mmsearch.serialization.json_format import to_plain, write_json_bytes
from mmsearch.server import problems
from mmsearch.server.http import openapi, requests, uploads
from mmsearch.server.http.answers import LinkedHitAnswer, LinkedSearchAnswer
from mmsearch.server.http.backend import Backend
from mmsearch.server.http.bodies import get_media_type, read_json, validate_json
from mmsearch.server.http.links import build_hit_links, get_root_path
from mmsearch.server.http.requests import (
    AssetTerm,
    SearchBody,
    TextTerm,
    UploadSearchBody,
    UploadTerm,
)
from mmsearch.server.http.uploads import UploadedPart
from mmsearch.server.http.worker_pool import CancellationToken, WorkTimeout
from mmsearch.server.problems import Problem

if TYPE_CHECKING:
    from mmsearch.library.library import Library
    from mmsearch.query.request import SearchRequest
    from mmsearch.types import Hit

router = APIRouter()

MULTIPART = "multipart/form-data"


@router.post(
    "/v1/search",
    summary="Search by words, by example, by files",
    tags=["search"],
    operation_id="search",
    response_model=LinkedSearchAnswer,
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
    backend = Backend.get(request)
    root = get_root_path(request)
    if get_media_type(request) != MULTIPART:
        body = await read_json(request, SearchBody)
        answer = await backend.run_quick(
            request, lambda token: _answer(backend, build_request(body), (), root, token)
        )
        return Response(answer, media_type="application/json")
    with backend.open_upload_folder() as folder:
        received = await uploads.read_multipart(
            request, folder, max_bytes=backend.settings.max_upload_bytes
        )
        files = received.parts
        with_files = validate_json(received.request, UploadSearchBody)
        answer = await backend.run_slow(
            request,
            lambda token: _answer(backend, build_request(with_files, files), files, root, token),
        )
    return Response(answer, media_type="application/json")


def _answer(
    backend: Backend,
    request: SearchRequest,
    files: Sequence[UploadedPart],
    root: str,
    token: CancellationToken,
) -> bytes:
    """Answers a request in JSON; raises QueryError, and TooSlow where decoding was given up."""
    query, library = request.query, backend.library
    _check_assets(query, library)
    started = time.perf_counter()
    try:
        hits = library.search(request, decoding=backend.create_decoding(token))
    except QueryError as exc:
        raise _hide_paths(exc, files) from exc
    except CancelledError as exc:
        raise WorkTimeout from exc
    took_ms = (time.perf_counter() - started) * 1000
    words = query.words if request.explain else None
    answer = LinkedSearchAnswer(
        query=str(_name_uploads(query, files)),
        preset=library.manifest.preset,
        took_ms=round(took_ms, 1),
        total=len(hits),
        hits=tuple(_build_linked_hit(hit, root, words) for hit in hits),
        hint=None if hits else _suggest(request, library),
    )
    return write_json_bytes(answer)


def build_request(body: SearchBody, files: Sequence[UploadedPart] = ()) -> SearchRequest:
    """Builds the request of a body and the files that came with it.

    Raises QueryError for a line or a ranking that cannot be read, Problem for a file.
    """
    ranking = Ranking.parse(body.ranking)
    return as_request(
        _build_query(body, files),
        kinds=body.kinds,
        under=body.under,
        after=body.after,
        before=body.before,
        where=body.where,
        without=body.without,
        limit=body.limit,
        min_score=body.min_score,
        ranking=replace(ranking, group=body.group, dedupe=body.dedupe),
        explain=body.explain,
    )


def _build_query(body: SearchBody, files: Sequence[UploadedPart]) -> Query:
    query = Query(())
    if body.query is not None:
        query += queries.parse(queries.split(body.query), reads_files=False)
    if len(query.terms) > requests.MAX_TERMS:
        raise QueryError(
            f"the query has {len(query.terms)} terms: at most {requests.MAX_TERMS} are looked for"
        )
    for terms, sign in ((body.terms, 1.0), (body.avoided, -1.0)):
        for term in terms:
            query += sign * term.weight * _build_term(term, files)
    parts = {one.upload for one in (*body.terms, *body.avoided) if isinstance(one, UploadTerm)}
    for file in files:
        if file.field_name == uploads.FILE_PART:
            query += queries.file(file.path)
        elif file.field_name not in parts:
            raise Problem(
                problems.INVALID,
                f"the part {file.field_name!r} is called neither {uploads.FILE_PART!r}, "
                f"nor as a term says",
            )
    if not query.seeks and not body.is_narrowed:
        raise QueryError("the query is empty: say what to look for, not only what to avoid")
    return query


def _build_term(term: requests.AnyTerm, files: Sequence[UploadedPart]) -> Query:
    match term:
        case TextTerm():
            return queries.text(term.text.strip())
        case AssetTerm():
            return queries.asset(term.asset)
    sent = [queries.file(file.path) for file in files if file.field_name == term.upload]
    if not sent:
        raise Problem(problems.INVALID, f"no file was sent as the part {term.upload!r}")
    return sum(sent[1:], sent[0])


def _check_assets(query: Query, library: Library) -> None:
    snapshot = library.snapshot()
    for term in query.terms:
        if term.kind is TermKind.ASSET and snapshot.asset_row(term.value) is None:
            raise Problem(
                problems.NO_SUCH_ASSET,
                f"the library has no asset {term.value}: it may have been taken out",
                asset_id=term.value,
            )


def _hide_paths(error: QueryError, files: Sequence[UploadedPart]) -> Exception:
    """Returns the error with the names that files were sent under instead of their paths."""
    message = str(error)
    for file in files:
        if str(file.path) in message:
            # How to raise a limit is told to who indexes.
            detail = message.replace(str(file.path), file.file_name).partition(": raise it with")[0]
            return Problem(problems.BAD_MEDIA, detail, part=file.field_name)
    return error


def _name_uploads(query: Query, files: Sequence[UploadedPart]) -> Query:
    """Returns the query with the names that files were sent under instead of their paths."""
    names = {str(file.path): file.file_name for file in files}
    terms = (replace(term, value=names.get(term.value, term.value)) for term in query.terms)
    return Query(tuple(terms))


def _build_linked_hit(hit: Hit, root: str, words: str | None) -> LinkedHitAnswer:
    """A hit with its URLs, and explained where the words of the query are given."""
    members = to_plain(build_hit(hit, explains=words is not None)) | build_hit_links(hit, root)
    matches = None
    if words is not None:
        matches = find_highlights(hit.segment.text, words) if hit.segment.text else ()
    return LinkedHitAnswer(**members, matches=matches)


def _suggest(request: SearchRequest, library: Library) -> str:
    """Returns what to try where there is no hit."""
    if not library.snapshot().asset_keys.size:
        return "the library is empty: index something first"
    if not request.query.seeks:
        return "nothing passes: try fewer filters"
    fewer = ", fewer filters" if request.is_narrowed or request.without else ""
    if request.min_score == 0:
        return f"nothing passes: try other words{fewer}" if fewer else "nothing is there to compare"
    return f"nothing matches well enough: try other words{fewer}, or `min_score` 0 for the nearest"
