"""`POST /v1/embeddings` and `GET /v1/models` in OpenAI's shape, for texts and pictures."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from fastapi import APIRouter
from fastapi import Path as PathParameter
from starlette.requests import Request
from starlette.responses import Response

from mmsearch.errors import MediaError
from mmsearch.library.examples import encode_file
from mmsearch.media.isolation import Stopped
from mmsearch.server.http import answers, openapi, problems
from mmsearch.server.http.assets import as_json
from mmsearch.server.http.backend import Backend
from mmsearch.server.http.bodies import read_json
from mmsearch.server.http.problems import Problem
from mmsearch.server.http.requests import EmbeddingsRequest
from mmsearch.server.http.worker_pool import Ticket, TooSlow
from mmsearch.types import Modality, Space

if TYPE_CHECKING:
    from mmsearch.encoders.bundle import Encoders
    from mmsearch.library.examples import Decoding
    from mmsearch.types import FloatArray

router = APIRouter()

BATCH = 32
MAX_PICTURES = 64
MAX_CHARS = 200_000
"""Of one text. A model reads less of it, but counts its tokens."""
_DATA = "data:"
_FETCHED = ("http://", "https://", "file://", "ftp://")
_EXAMPLES = {
    "texts": {
        "summary": "Two texts",
        "value": {"model": "text", "input": ["a quiet harbour", "rain on a roof"]},
    },
    "picture": {
        "summary": "A picture",
        "value": {
            "model": "image",
            "input": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElE"
            "QVR4nGP4z8AARAwQCgAf7gP9i18U1AAAAABJRU5ErkJggg==",
        },
    },
}


@dataclass(frozen=True, slots=True)
class Embedded:
    """(n, dim) float32 unit rows of a space in the order of the inputs, and the texts' tokens."""

    space: Space
    vectors: FloatArray
    tokens: int


@router.post(
    "/v1/embeddings",
    summary="Vectors of texts and pictures",
    tags=["embeddings"],
    operation_id="embeddings",
    response_model=answers.Embeddings,
    responses=openapi.problems(problems.NO_SUCH_MODEL, problems.BAD_MEDIA, body=True, waits=True),
    openapi_extra=openapi.json_body(EmbeddingsRequest, _EXAMPLES),
)
async def embeddings(request: Request) -> Response:
    """As OpenAI's clients ask for them; `model` is a space of the library.

    A picture is one input: a `data:` URL. What has another scheme is refused: nothing is fetched.
    """
    backend = Backend.of(request)
    asked = await read_json(request, EmbeddingsRequest, limit=backend.settings.max_upload_bytes)
    with backend.folder() as folder:
        found = await backend.labour(request, partial(_embedded, backend, asked, folder))
    listed = [
        {"object": "embedding", "index": at, "embedding": _written(row, asked.encoding_format)}
        for at, row in enumerate(found.vectors)
    ]
    usage = {"prompt_tokens": found.tokens, "total_tokens": found.tokens}
    return as_json({"object": "list", "data": listed, "model": found.space.name, "usage": usage})


def _written(row: FloatArray, form: str) -> list[float] | str:
    if form == "float":
        return [float(value) for value in row.tolist()]
    return base64.b64encode(row.astype("<f4").tobytes()).decode()


def _embedded(backend: Backend, asked: EmbeddingsRequest, folder: Path, ticket: Ticket) -> Embedded:
    """Raises Problem for what cannot be embedded there, TooSlow where it was given up."""
    inputs = [asked.input] if isinstance(asked.input, str) else asked.input
    encoders = backend.library.encoders
    space = _space(encoders, asked.model)
    if asked.dimensions not in (None, space.dim):
        raise Problem(
            problems.NO_SUCH_MODEL,
            f"there is no model {space.name!r} of {asked.dimensions} dimensions: it has "
            f"{space.dim}, and nothing is cut off",
        )
    pictures = {at: _picture(one) for at, one in enumerate(inputs) if one.startswith(_DATA)}
    for at, one in enumerate(inputs):
        if at not in pictures and len(one) > MAX_CHARS:
            raise _wrong(at, f"has {len(one):,} characters: {MAX_CHARS:,} are read at most")
        if one.lower().startswith(_FETCHED) and not any(char.isspace() for char in one.strip()):
            raise _wrong(at, "is a URL, and nothing is ever fetched: send a picture as a data: URL")
    if len(pictures) > MAX_PICTURES:
        raise Problem(problems.INVALID, f"at most {MAX_PICTURES} pictures may be sent at once")
    if pictures and space.name != encoders.image.space.name:
        raise Problem(
            problems.NO_SUCH_MODEL,
            f"there is no model {space.name!r} for pictures: {encoders.image.space.name!r} is one",
            index=min(pictures),
        )
    vectors = np.empty((len(inputs), space.dim), dtype=np.float32)
    texts = [at for at in range(len(inputs)) if at not in pictures]
    for begin in range(0, len(texts), BATCH):
        _check(ticket)
        rows = texts[begin : begin + BATCH]
        vectors[rows] = _encode(encoders, space, [inputs[at] for at in rows], asked.input_type)
    for at, content in pictures.items():
        _check(ticket)
        path = folder / f"picture-{at}"
        path.write_bytes(content)
        vectors[at] = _encode_picture(path, at, encoders, space, backend.decoding(ticket))
        path.unlink()
    tokens = sum(encoders.text.count_tokens([inputs[at] for at in texts])) if texts else 0
    return Embedded(space, vectors, tokens)


def _check(ticket: Ticket) -> None:
    if ticket.is_stopped():
        raise TooSlow


def _wrong(at: int, reason: str) -> Problem:
    return Problem(problems.INVALID, f"input {at} {reason}", index=at)


def _picture(url: str) -> bytes:
    """The content of a `data:` URL in base64 (RFC 2397)."""
    header, comma, content = url.partition(",")
    if not comma or not header.lower().endswith(";base64"):
        raise Problem(problems.INVALID, "a picture is sent as data:image/png;base64,...")
    try:
        return base64.b64decode(content.strip(), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Problem(problems.INVALID, f"a data: URL is no base64: {exc}") from exc


def _encode_picture(
    path: Path, at: int, encoders: Encoders, space: Space, decoding: Decoding
) -> FloatArray:
    """(dim,) float32, a unit vector: that of a picture as a whole."""
    try:
        modality, found = encode_file(path, encoders, decoding)
    except MediaError as exc:
        raise Problem(problems.BAD_MEDIA, f"input {at}: {exc.reason}", index=at) from exc
    except Stopped as exc:
        raise TooSlow from exc
    if modality is not Modality.IMAGE:
        raise Problem(problems.BAD_MEDIA, f"input {at} is {modality}, no picture", index=at)
    row: FloatArray = found.vectors[space.name][0]
    return row


def _encode(encoders: Encoders, space: Space, texts: Sequence[str], input_type: str) -> FloatArray:
    if space.name == encoders.image.space.name:
        return encoders.image.encode_texts(texts)
    if space.name == encoders.sound.space.name:
        return encoders.sound.encode_texts(texts)
    if input_type == "query":
        return encoders.text.encode_queries(texts)
    return encoders.text.encode(texts)


def _taken(encoders: Encoders) -> dict[str, tuple[Space, list[str]]]:
    """The spaces that something can be embedded into, and what: the text space comes first."""
    found = {encoders.text.space.name: (encoders.text.space, ["text"])}
    found[encoders.image.space.name] = (encoders.image.space, ["text", "image"])
    if encoders.sound.takes_words:
        found[encoders.sound.space.name] = (encoders.sound.space, ["text"])
    return found


def _space(encoders: Encoders, name: str) -> Space:
    taken = _taken(encoders)
    if name not in taken:
        raise Problem(
            problems.NO_SUCH_MODEL,
            f"there is no model {name!r} here: models are spaces of the library, "
            f"{', '.join(taken)}",
            models=list(taken),
        )
    return taken[name][0]


def _model(encoders: Encoders, name: str) -> dict[str, Any]:
    space = _space(encoders, name)
    _, takes = _taken(encoders)[name]
    owner, _, _ = space.model.rpartition("/")
    return {
        "id": space.name,
        "object": "model",
        "created": 0,
        "owned_by": owner or "mmsearch",
        "dimensions": space.dim,
        "takes": takes,
        "model": space.model,
        "revision": space.revision,
    }


@router.get(
    "/v1/models",
    summary="The spaces that something can be embedded into",
    tags=["embeddings"],
    operation_id="models",
    response_model=answers.Models,
    responses=openapi.problems(waits=True),
)
async def list_models(request: Request) -> Response:
    """In OpenAI's shape."""
    backend = Backend.of(request)
    encoders = backend.library.encoders
    listed = await backend.labour(
        request, lambda _ticket: [_model(encoders, name) for name in _taken(encoders)]
    )
    return as_json({"object": "list", "data": listed})


@router.get(
    "/v1/models/{name}",
    summary="One of them",
    tags=["embeddings"],
    operation_id="model",
    response_model=answers.Model,
    responses=openapi.problems(problems.NO_SUCH_MODEL, problems.INVALID, waits=True),
)
async def one_model(
    request: Request, name: Annotated[str, PathParameter(max_length=200)]
) -> Response:
    """In OpenAI's shape."""
    backend = Backend.of(request)
    encoders = backend.library.encoders
    return as_json(await backend.labour(request, lambda _ticket: _model(encoders, name)))
