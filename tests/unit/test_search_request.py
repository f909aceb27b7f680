"""The search request: its defaults and bounds, and that every interface has the same."""

from __future__ import annotations

import dataclasses
import inspect
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import typer

from mmsearch.cli.app import app
from mmsearch.client import RemoteLibrary
from mmsearch.errors import QueryError
from mmsearch.library.library import Library
from mmsearch.query import request as requests
from mmsearch.query.algebra import Query, text
from mmsearch.query.filters.expressions import And, Compare
from mmsearch.query.filters.parser import parse
from mmsearch.query.ranking import RRF, Ranking
from mmsearch.query.request import SearchOptions, SearchRequest, as_request

DEFAULTS = {
    one.name: one.default
    for one in dataclasses.fields(SearchRequest)
    if one.default is not dataclasses.MISSING
}
SCORES = (requests.LOWEST_SCORE, requests.HIGHEST_SCORE)


# the value


def test_the_options_of_search_are_the_fields_of_a_request() -> None:
    assert set(SearchOptions.__annotations__) == set(DEFAULTS)


def test_words_a_query_and_a_request_are_the_same_request() -> None:
    assert as_request("dog") == as_request(text("dog")) == SearchRequest(text("dog"))
    assert as_request(SearchRequest(text("dog")), limit=3) == as_request("dog", limit=3)
    assert as_request("  ").query == Query(())


def test_options_become_values_and_folders_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    request = as_request(
        "dog", kinds=iter(["image"]), under=[Path("a/../b"), "/c"], without=["0" * 32]
    )

    assert request.kinds == ("image",)
    assert request.under == ("/b", "/c")
    assert request.without == ("0" * 32,)
    assert hash(request)


def test_an_unknown_option_is_an_error() -> None:
    with pytest.raises(TypeError, match="colour"):
        as_request("dog", colour="red")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "the limit must be at least 1, not 0"),
        ({"kinds": ["film"]}, "there is no kind 'film'"),
        ({"after": "soon"}, "after: 'soon' is no date"),
        ({"before": "soon"}, "before: 'soon' is no date"),
        ({"where": "nonsense"}, "nonsense"),
        ({"ranking": Ranking(fusion="sum")}, "there is no fusion 'sum'"),
        ({"ranking": Ranking(vectors=False, words=False)}, "nothing to look for"),
    ],
    ids=str,
)
def test_what_cannot_be_answered_is_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        as_request("dog", **options).checked()


def test_an_empty_query_needs_a_filter() -> None:
    with pytest.raises(QueryError, match="the query is empty"):
        as_request("", without=["0" * 32]).checked()
    assert as_request("", kinds=["image"]).checked().is_narrowed


def test_filters_are_read_as_one_condition_once() -> None:
    request = as_request("dog", after="2024", before=date(2025, 1, 1), where="ext = jpg").checked()

    assert isinstance(request.where, And)
    assert [type(part) for part in request.where.parts[:2]] == [Compare, Compare]
    assert request.where.parts[2] == parse("ext = jpg")
    assert (request.after, request.before) == (None, None)
    assert request.condition() is request.where
    assert request.checked() == request


@pytest.mark.parametrize(
    "ranking", [Ranking(), Ranking(fusion=RRF, words=False), Ranking(dedupe=False, group=False)]
)
def test_a_ranking_is_what_its_text_says(ranking: Ranking) -> None:
    assert Ranking.parse(str(ranking)) == ranking


# the interfaces


@pytest.mark.parametrize("library", [Library, RemoteLibrary])
@pytest.mark.parametrize("name", ["search", "similar"])
def test_libraries_take_the_options_of_a_request(library: Any, name: str) -> None:
    method = getattr(library, name)
    (options,) = (
        one for one in inspect.signature(method).parameters.values() if one.kind is one.VAR_KEYWORD
    )
    assert options.annotation == "Unpack[SearchOptions]"


def bounds(schema: dict[str, Any]) -> tuple[Any, Any]:
    """The smallest and the largest value, also where null is allowed."""
    alone = next(
        (one for one in schema.get("anyOf", ()) if one.get("type") in ("number", "integer")), schema
    )
    return alone.get("minimum"), alone.get("maximum")


@pytest.mark.parametrize("name", ["search", "similar"])
def test_the_command_line_has_its_defaults_and_bounds(name: str) -> None:
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    options = {option.name: option for option in command.params}

    assert options["limit"].default == DEFAULTS["limit"]
    limit, score = options["limit"], options["min_score"]
    assert (limit.min, limit.max) == (requests.MIN_LIMIT, requests.MAX_LIMIT)
    assert (score.min, score.max) == SCORES
    assert score.default is DEFAULTS["min_score"]
    assert options["group"].default is DEFAULTS["ranking"].group
    assert options["dedupe"].default is DEFAULTS["ranking"].dedupe
    assert Ranking.parse(options["ranking"].default) == DEFAULTS["ranking"]
    for option in ("kinds", "under", "after", "before", "where"):
        assert not options[option].default
        assert not DEFAULTS[option]


def test_http_has_its_defaults_and_bounds() -> None:
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    from mmsearch.server.http.requests import SearchBody
    from mmsearch.server.http.search import build_request

    schema = SearchBody.model_json_schema()["properties"]
    assert schema["limit"]["default"] == DEFAULTS["limit"]
    assert bounds(schema["limit"]) == (requests.MIN_LIMIT, requests.MAX_LIMIT_HTTP)
    assert bounds(schema["min_score"]) == SCORES
    assert build_request(SearchBody(query="dog")) == SearchRequest(text("dog"))


@pytest.mark.parametrize("name", ["search", "similar"])
def test_mcp_has_its_defaults_and_bounds(name: str) -> None:
    pytest.importorskip("mcp", reason="the extra mcp is not installed")
    from mcp.server.mcpserver.tools import Tool

    from mmsearch.server.mcp.search_tools import ReadingTools

    schema = Tool.from_function(getattr(ReadingTools, name)).parameters["properties"]
    assert schema["limit"]["default"] == DEFAULTS["limit"]
    assert bounds(schema["limit"]) == (requests.MIN_LIMIT, requests.MAX_LIMIT_MCP)
    assert bounds(schema["min_score"]) == SCORES
    for option in schema.keys() & DEFAULTS.keys() - {"limit"}:
        assert not schema[option]["default"]
        assert not DEFAULTS[option]
