"""A library that a server answers for: the searches of `Library`, with the same arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from mmsearch.client import address, multipart, parsing
from mmsearch.client.http import Body, Exchange, ServerProblem, as_error
from mmsearch.errors import QueryError, StoreError
from mmsearch.query import algebra as queries
from mmsearch.query.algebra import Query, Term, TermKind
from mmsearch.query.ranking import DEFAULT_RANKING, Ranking
from mmsearch.types import Hit, Moment, Segment, SegmentKind

if TYPE_CHECKING:
    from mmsearch.query.filters.expressions import Expression

T = TypeVar("T")
TAGGED = frozenset({SegmentKind.IMAGE, SegmentKind.FRAME, SegmentKind.SOUND})


@dataclass(frozen=True, slots=True)
class _Asked:
    """The terms of a query as they are sent, and the files that go with them."""

    looked_for: list[dict[str, Any]] = field(default_factory=list)
    avoided: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)


class RemoteLibrary:
    """A library behind `mmsearch serve`; close it, or use it as a context manager.

    `token` is what the server asks for. With `explains` hits have the similarities of their spaces,
    with `has_details` their tags and what their files say of themselves: a request more for each.
    `preset` is that of the library once it was searched. For one thread.
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
        self._exchange = Exchange(address.parse(url), token, timeout_s)
        self._explains = explains
        self._has_details = has_details
        self._ids: dict[tuple[Path, int, int], str] = {}
        self.preset = ""

    def __enter__(self) -> RemoteLibrary:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._exchange.close()

    def search(
        self,
        query: str | Query,
        *,
        limit: int = 10,
        kinds: Iterable[str] = (),
        under: Iterable[str | PathLike[str]] = (),
        where: str | Expression | None = None,
        without: Iterable[str] = (),
        min_score: float | None = None,
        ranking: Ranking = DEFAULT_RANKING,
    ) -> list[Hit]:
        """The best hits, best first, as of `Library.search`.

        A file that is asked with is sent only where the server does not have its content. Raises
        QueryError, ConfigError (a token is missing, nothing is served there) and StoreError (the
        server cannot be reached, or cannot answer now), with the words of the server.
        """
        kinds, under = list(kinds), [_absolute(folder) for folder in under]
        is_narrowed = bool(kinds or under or where is not None)
        asked = queries.as_query(query).checked(is_narrowed=is_narrowed)
        with ExitStack() as stack:
            terms = self._terms(asked)
            request: dict[str, Any] = {
                "terms": terms.looked_for,
                "not": terms.avoided,
                "limit": limit,
                "kinds": kinds,
                "in": under,
                "without": list(without),
                "group": ranking.group,
                "dedupe": ranking.dedupe,
                "ranking": _written(ranking),
                "explain": self._explains,
            }
            if where is not None:
                request["where"] = str(where)
            if min_score is not None:
                request["min_score"] = min_score
            body = (
                multipart.with_files(request, terms.files, stack)
                if terms.files
                else multipart.plain(request)
            )
            told = self._ask("POST", "/v1/search", body)
        self.preset, hits = self._parsed(lambda: (parsing.preset(told), parsing.hits(told)))
        return [self._detailed(hit) for hit in hits] if self._has_details else hits

    def similar(
        self,
        path: str | PathLike[str],
        *,
        limit: int = 10,
        kinds: Iterable[str] = (),
        under: Iterable[str | PathLike[str]] = (),
        where: str | Expression | None = None,
        min_score: float | None = None,
        ranking: Ranking = DEFAULT_RANKING,
    ) -> list[Hit]:
        """The neighbours of a file of this machine, without itself; see `search`."""
        file = Path(path).expanduser()
        return self.search(
            queries.file(file),
            limit=limit,
            kinds=kinds,
            under=under,
            where=where,
            without=[self._content_id(file)],
            min_score=min_score,
            ranking=ranking,
        )

    def _terms(self, query: Query) -> _Asked:
        asked = _Asked()
        for term in query.terms:
            told = {**self._term(term, asked.files), "weight": abs(term.weight)}
            (asked.looked_for if term.weight > 0 else asked.avoided).append(told)
        return asked

    def _term(self, term: Term, files: dict[str, Path]) -> dict[str, Any]:
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
        """The id that a file has as an asset; it is read once as long as it does not change."""
        # Here: who asks with words does not wait for it.
        from mmsearch.errors import MediaError
        from mmsearch.media.files import content_hash

        if not path.is_file():
            raise QueryError(f"there is no file {path}: name a file to search by")
        try:
            info = path.stat()
            key = (path, info.st_size, info.st_mtime_ns)
            if key not in self._ids:
                self._ids[key] = content_hash(path)
        except (MediaError, OSError) as exc:
            reason = exc.reason if isinstance(exc, MediaError) else exc.strerror
            raise QueryError(f"{path} cannot be searched by: {reason}") from exc
        return self._ids[key]

    def _kind_of(self, asset_id: str) -> str | None:
        """The kind of an asset; None where the server has none of that id."""
        try:
            told = self._exchange.ask("GET", f"/v1/assets/{asset_id}")
        except ServerProblem as exc:
            if exc.name == "no-such-asset":
                return None
            raise as_error(exc, self._exchange.address) from exc
        return self._parsed(lambda: parsing.kind_of(told)).value

    def _detailed(self, hit: Hit) -> Hit:
        told = self._ask("GET", f"/v1/assets/{hit.asset.id}")
        known: dict[str, Segment] = {}

        def tagged(segment: Segment) -> Segment:
            if segment.kind not in TAGGED:
                return segment
            if segment.id not in known:
                said = self._ask("GET", f"/v1/segments/{segment.id}")
                known[segment.id] = replace(segment, tags=self._parsed(lambda: parsing.tags(said)))
            return known[segment.id]

        moments: Sequence[Moment] = [
            replace(moment, segment=tagged(moment.segment)) for moment in hit.moments
        ]
        found = self._parsed(lambda: parsing.with_asset(hit, told))
        return replace(found, segment=tagged(hit.segment), moments=tuple(moments))

    def _ask(self, method: str, path: str, body: Body | None = None) -> Any:
        try:
            return self._exchange.ask(method, path, body)
        except ServerProblem as exc:
            raise as_error(exc, self._exchange.address) from exc

    def _parsed(self, parse: Callable[[], T]) -> T:
        try:
            return parse()
        except parsing.NotUnderstood as exc:
            raise StoreError(
                f"{self._exchange.address} answers otherwise than this mmsearch expects ({exc}): "
                f"are both of one version?"
            ) from exc


def _check_kind(path: Path, kind: TermKind) -> None:
    """Raise QueryError where a file is certainly of another kind than a term says."""
    from mmsearch.errors import MediaError
    from mmsearch.media.sniff import sniff

    try:
        found = sniff(path)
    except MediaError as exc:
        raise QueryError(f"{path} cannot be searched by: {exc.reason}") from exc
    wanted = {TermKind.IMAGE: "image", TermKind.AUDIO: "av"}.get(kind, found)
    if found != wanted:
        told = {"image": "image", "av": "audio or video"}.get(found, "text")
        raise QueryError(f"{path} is {told}, not {kind}: name another")


def _absolute(folder: str | PathLike[str]) -> str:
    from mmsearch.media.files import absolute, storable

    return storable(absolute(Path(folder)))


def _written(ranking: Ranking) -> str:
    """A ranking as `Ranking.parse` takes it; what has a member of its own is left out."""
    switches = {"vectors": ranking.vectors, "words": ranking.words}
    off = [f"{name}=off" for name, is_on in switches.items() if not is_on]
    return ",".join([f"fusion={ranking.fusion}", *off])
