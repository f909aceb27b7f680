"""A library behind a server: the searches of `Library`, with the same arguments."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar, Unpack

from mmsearch.client import address, multipart, parsing
from mmsearch.client.http import Body, ServerConnection, ServerProblem, to_error
from mmsearch.errors import QueryError, StoreError
from mmsearch.query import algebra as queries
from mmsearch.query.algebra import Query, Term, TermKind
from mmsearch.query.request import SearchOptions, SearchRequest, as_request
from mmsearch.runtime.closing import Closing
from mmsearch.serialization.json_format import JsonShapeError
from mmsearch.types import Hit, Segment, SegmentKind

T = TypeVar("T")
TAGGED = frozenset({SegmentKind.IMAGE, SegmentKind.FRAME, SegmentKind.SOUND})


class RemoteLibrary(Closing):
    """A library behind `mmsearch serve`; close it, or use it as a context manager.

    `token` is that of the server. With `explains` hits have the similarities of their spaces, with
    `has_details` their tags and metadata: a request more for each. `preset` is that of the library
    once it was searched. For one thread.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout_s: float = 60.0,
        explains: bool = False,
        has_details: bool = False,
    ) -> None:
        self._exchange = ServerConnection(address.parse_address(url), token, timeout_s)
        self._explains = explains
        self._has_details = has_details
        self._ids: dict[tuple[Path, int, int], str] = {}
        self.preset = ""

    def close(self) -> None:
        """Closes the connection."""
        self._exchange.close()

    def search(
        self, query: str | Query | SearchRequest, **options: Unpack[SearchOptions]
    ) -> list[Hit]:
        """Returns the best hits, best first, as `Library.search` does.

        An example is sent only where the server does not have its content. Raises QueryError,
        ConfigError (a token is missing, nothing is served there) and StoreError (the server cannot
        be reached, or cannot answer now), with the words of the server.
        """
        request = as_request(query, **options)
        request.query.checked(is_narrowed=request.is_narrowed)
        ranking, where = request.ranking, request.where
        if request.after is not None or request.before is not None:
            where = request.condition()
        with ExitStack() as stack:
            files: dict[str, Path] = {}
            body: dict[str, Any] = {
                "terms": self._encode_terms(request, files, is_avoided=False),
                "not": self._encode_terms(request, files, is_avoided=True),
                "limit": request.limit,
                "kinds": request.kinds,
                "in": request.under,
                "without": request.without,
                "group": ranking.group,
                "dedupe": ranking.dedupe,
                "ranking": str(replace(ranking, group=True, dedupe=True)),
                "explain": self._explains or request.explain,
            }
            if where is not None:
                body["where"] = str(where)
            if request.min_score is not None:
                body["min_score"] = request.min_score
            request_body = (
                multipart.build_multipart_body(body, files, stack)
                if files
                else multipart.build_json_body(body)
            )
            answer = self._ask("POST", "/v1/search", request_body)
        self.preset = self._parsed(lambda: parsing.read_preset(answer))
        hits = self._parsed(lambda: parsing.read_hits(answer))
        return [self._add_details(hit) for hit in hits] if self._has_details else hits

    def similar(
        self, path: str | PathLike[str] | SearchRequest, **options: Unpack[SearchOptions]
    ) -> list[Hit]:
        """Returns the neighbours of a file of this machine, without itself; see `search`.

        `path` may be a request whose query is one file.
        """
        query = path if isinstance(path, SearchRequest) else queries.file(Path(path).expanduser())
        request = as_request(query, **options)
        (term,) = request.query.terms
        itself = self._content_id(Path(term.value).expanduser())
        return self.search(request, without=[*request.without, itself])

    def _encode_terms(
        self, request: SearchRequest, files: dict[str, Path], *, is_avoided: bool
    ) -> list[dict[str, Any]]:
        """Returns terms as they are sent; adds to `files` those that go with them."""
        return [
            {**self._encode_term(term, files), "weight": abs(term.weight)}
            for term in request.query.terms
            if (term.weight <= 0) is is_avoided
        ]

    def _encode_term(self, term: Term, files: dict[str, Path]) -> dict[str, Any]:
        if term.kind is TermKind.TEXT:
            return {"text": term.value}
        if term.kind is TermKind.ASSET:
            return {"asset": term.value}
        path = Path(term.value).expanduser()
        asset_id = self._content_id(path)
        kind = self._kind_of(asset_id)
        if kind is not None:
            if term.kind in (TermKind.IMAGE, TermKind.AUDIO) and kind != term.kind:
                raise QueryError(f"{path} is {kind}, not {term.kind}: name another")
            return {"asset": asset_id}
        _check_kind(path, term.kind)
        part = f"file-{len(files)}"
        files[part] = path
        return {"upload": part}

    def _content_id(self, path: Path) -> str:
        """Returns the id of a file as an asset; it is read once as long as it does not change."""
        # Here: who asks with words does not wait for it.
        from mmsearch.errors import MediaError
        from mmsearch.media.asset_ids import compute_asset_id

        if not path.is_file():
            raise QueryError(f"there is no file {path}: name a file to search by")
        try:
            info = path.stat()
            key = (path, info.st_size, info.st_mtime_ns)
            if key not in self._ids:
                self._ids[key] = compute_asset_id(path)
        except (MediaError, OSError) as exc:
            reason = exc.reason if isinstance(exc, MediaError) else exc.strerror
            raise QueryError(f"{path} cannot be searched by: {reason}") from exc
        return self._ids[key]

    def _kind_of(self, asset_id: str) -> str | None:
        """Returns the kind of an asset; None where the server has none of that id."""
        try:
            answer = self._exchange.ask("GET", f"/v1/assets/{asset_id}")
        except ServerProblem as exc:
            if exc.name == "no-such-asset":
                return None
            raise to_error(exc, self._exchange.address) from exc
        return self._parsed(lambda: parsing.read_kind(answer)).value

    def _add_details(self, hit: Hit) -> Hit:
        """Returns a hit with its metadata and the tags of its segments."""
        asset = self._ask("GET", f"/v1/assets/{hit.asset.id}")
        segments: dict[str, Segment] = {}

        def add_tags(segment: Segment) -> Segment:
            if segment.kind not in TAGGED:
                return segment
            if segment.id not in segments:
                answer = self._ask("GET", f"/v1/segments/{segment.id}")
                tags = self._parsed(lambda: parsing.read_tags(answer))
                segments[segment.id] = replace(segment, tags=tags)
            return segments[segment.id]

        moments = [replace(moment, segment=add_tags(moment.segment)) for moment in hit.moments]
        detailed = self._parsed(lambda: parsing.add_asset(hit, asset))
        return replace(detailed, segment=add_tags(hit.segment), moments=tuple(moments))

    def _ask(self, method: str, path: str, body: Body | None = None) -> Any:
        try:
            return self._exchange.ask(method, path, body)
        except ServerProblem as exc:
            raise to_error(exc, self._exchange.address) from exc

    def _parsed(self, parse: Callable[[], T]) -> T:
        try:
            return parse()
        except JsonShapeError as exc:
            raise StoreError(
                f"{self._exchange.address} answers otherwise than this mmsearch expects ({exc}): "
                f"are both of one version?"
            ) from exc


def _check_kind(path: Path, kind: TermKind) -> None:
    """Raises QueryError where a file is certainly of another kind than a term says."""
    from mmsearch.errors import MediaError
    from mmsearch.media.sniff import sniff

    try:
        content = sniff(path)
    except MediaError as exc:
        raise QueryError(f"{path} cannot be searched by: {exc.reason}") from exc
    if content != {TermKind.IMAGE: "image", TermKind.AUDIO: "av"}.get(kind, content):
        name = {"image": "image", "av": "audio or video"}.get(content, "text")
        raise QueryError(f"{path} is {name}, not {kind}: name another")
