"""Answers `/v1/embeddings` and `/v1/models` in OpenAI's shape, for texts and pictures."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from fastapi import APIRouter
from fastapi import Path as PathParameter
from starlette.requests import Request
from starlette.responses import Response

from mmsearch.errors import MediaError
from mmsearch.library.examples import encode_file
from mmsearch.media.isolation import CancelledError
from mmsearch.server import problems
from mmsearch.server.http import openapi
from mmsearch.server.http.answers import (
    EmbeddingAnswer,
    EmbeddingsAnswer,
    ModelAnswer,
    ModelsAnswer,
    UsageAnswer,
)
from mmsearch.server.http.backend import Backend
from mmsearch.server.http.bodies import read_json, write_response
from mmsearch.server.http.requests import EmbeddingsRequest
from mmsearch.server.http.worker_pool import CancellationToken, WorkTimeout
from mmsearch.server.problems import Problem
from mmsearch.types import Modality, Space

if TYPE_CHECKING:
    from mmsearch.encoders.bundle import Encoders
    from mmsearch.library.examples import Decoding
    from mmsearch.types import FloatArray

router = APIRouter()

Inputs = tuple[Literal["text", "image"], ...]

BATCH = 32
MAX_PICTURES = 64
MAX_CHARS = 200_000
"""Longest text. A model reads less of it, but counts its tokens."""
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
class EmbeddingBatch:
    """(n, dim) float32 unit rows of a space in the order of the inputs, and the count of tokens."""

    space: Space
    vectors: FloatArray
    tokens: int


@router.post(
    "/v1/embeddings",
    summary="Vectors of texts and pictures",
    tags=["embeddings"],
    operation_id="embeddings",
    response_model=EmbeddingsAnswer,
    responses=openapi.problems(problems.NO_SUCH_MODEL, problems.BAD_MEDIA, body=True, waits=True),
    openapi_extra=openapi.json_body(EmbeddingsRequest, _EXAMPLES),
)
async def embeddings(request: Request) -> Response:
    """Embeds as OpenAI's clients ask for it; `model` is a space of the library.

    A picture is one input: a `data:` URL. What has another scheme is refused: nothing is fetched.
    """
    backend = Backend.get(request)
    body = await read_json(request, EmbeddingsRequest, limit=backend.settings.max_upload_bytes)
    with backend.open_upload_folder() as folder:
        batch = await backend.run_slow(request, partial(_embed, backend, body, folder))
    listed = tuple(
        EmbeddingAnswer("embedding", index, _format_vector(row, body.encoding_format))
        for index, row in enumerate(batch.vectors)
    )
    usage = UsageAnswer(prompt_tokens=batch.tokens, total_tokens=batch.tokens)
    return write_response(EmbeddingsAnswer("list", listed, batch.space.name, usage))


def _format_vector(row: FloatArray, form: str) -> list[float] | str:
    if form == "float":
        return [float(value) for value in row.tolist()]
    return base64.b64encode(row.astype("<f4").tobytes()).decode()


def _embed(
    backend: Backend, body: EmbeddingsRequest, folder: Path, token: CancellationToken
) -> EmbeddingBatch:
    """Embeds the inputs; raises Problem for one that cannot be, TooSlow when it was given up."""
    inputs = [body.input] if isinstance(body.input, str) else body.input
    encoders = backend.library.encoders
    space = _find_space(encoders, body.model)
    if body.dimensions not in (None, space.dim):
        raise Problem(
            problems.NO_SUCH_MODEL,
            f"there is no model {space.name!r} of {body.dimensions} dimensions: it has "
            f"{space.dim}, and nothing is cut off",
        )
    pictures = {
        index: _decode_picture(item) for index, item in enumerate(inputs) if item.startswith(_DATA)
    }
    for index, item in enumerate(inputs):
        if index not in pictures and len(item) > MAX_CHARS:
            raise _refuse(index, f"has {len(item):,} characters: {MAX_CHARS:,} are read at most")
        if item.lower().startswith(_FETCHED) and not any(char.isspace() for char in item.strip()):
            raise _refuse(
                index, "is a URL, and nothing is ever fetched: send a picture as a data: URL"
            )
    if len(pictures) > MAX_PICTURES:
        raise Problem(problems.INVALID, f"at most {MAX_PICTURES} pictures may be sent at once")
    if pictures and space.name != encoders.image.space.name:
        raise Problem(
            problems.NO_SUCH_MODEL,
            f"there is no model {space.name!r} for pictures: {encoders.image.space.name!r} is one",
            index=min(pictures),
        )
    vectors = np.empty((len(inputs), space.dim), dtype=np.float32)
    texts = [index for index in range(len(inputs)) if index not in pictures]
    for begin in range(0, len(texts), BATCH):
        _check(token)
        rows = texts[begin : begin + BATCH]
        vectors[rows] = _encode(encoders, space, [inputs[index] for index in rows], body.input_type)
    for index, content in pictures.items():
        _check(token)
        path = folder / f"picture-{index}"
        path.write_bytes(content)
        vectors[index] = _encode_picture(
            path, index, encoders, space, backend.create_decoding(token)
        )
        path.unlink()
    tokens = sum(encoders.text.count_tokens([inputs[index] for index in texts])) if texts else 0
    return EmbeddingBatch(space, vectors, tokens)


def _check(token: CancellationToken) -> None:
    if token.is_stopped():
        raise WorkTimeout


def _refuse(index: int, reason: str) -> Problem:
    return Problem(problems.INVALID, f"input {index} {reason}", index=index)


def _decode_picture(url: str) -> bytes:
    """Decodes the content of a `data:` URL in base64 (RFC 2397)."""
    header, comma, content = url.partition(",")
    if not comma or not header.lower().endswith(";base64"):
        raise Problem(problems.INVALID, "a picture is sent as data:image/png;base64,...")
    try:
        return base64.b64decode(content.strip(), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Problem(problems.INVALID, f"a data: URL is no base64: {exc}") from exc


def _encode_picture(
    path: Path, index: int, encoders: Encoders, space: Space, decoding: Decoding
) -> FloatArray:
    """Encodes a picture as a whole: (dim,) float32, a unit vector."""
    try:
        modality, encoded = encode_file(path, encoders, decoding)
    except MediaError as exc:
        raise Problem(problems.BAD_MEDIA, f"input {index}: {exc.reason}", index=index) from exc
    except CancelledError as exc:
        raise WorkTimeout from exc
    if modality is not Modality.IMAGE:
        raise Problem(problems.BAD_MEDIA, f"input {index} is {modality}, no picture", index=index)
    row: FloatArray = encoded.vectors[space.name][0]
    return row


def _encode(encoders: Encoders, space: Space, texts: Sequence[str], input_type: str) -> FloatArray:
    if space.name == encoders.image.space.name:
        return encoders.image.encode_texts(texts)
    if space.name == encoders.sound.space.name:
        return encoders.sound.encode_texts(texts)
    if input_type == "query":
        return encoders.text.encode_queries(texts)
    return encoders.text.encode(texts)


def _list_spaces(encoders: Encoders) -> dict[str, tuple[Space, Inputs]]:
    """Lists the spaces of `/v1/models` with the inputs that they take; the text space is first."""
    spaces: dict[str, tuple[Space, Inputs]] = {
        encoders.text.space.name: (encoders.text.space, ("text",)),
        encoders.image.space.name: (encoders.image.space, ("text", "image")),
    }
    if encoders.sound.takes_words:
        spaces[encoders.sound.space.name] = (encoders.sound.space, ("text",))
    return spaces


def _find_space(encoders: Encoders, name: str) -> Space:
    spaces = _list_spaces(encoders)
    if name not in spaces:
        raise Problem(
            problems.NO_SUCH_MODEL,
            f"there is no model {name!r} here: models are spaces of the library, "
            f"{', '.join(spaces)}",
            models=list(spaces),
        )
    return spaces[name][0]


def _build_model(encoders: Encoders, name: str) -> ModelAnswer:
    space = _find_space(encoders, name)
    _, takes = _list_spaces(encoders)[name]
    owner, _, _ = space.model.rpartition("/")
    return ModelAnswer(
        id=space.name,
        object="model",
        created=0,
        owned_by=owner or "mmsearch",
        dimensions=space.dim,
        takes=takes,
        model=space.model,
        revision=space.revision,
    )


@router.get(
    "/v1/models",
    summary="The spaces that something can be embedded into",
    tags=["embeddings"],
    operation_id="models",
    response_model=ModelsAnswer,
    responses=openapi.problems(waits=True),
)
async def list_models(request: Request) -> Response:
    """In OpenAI's shape."""
    backend = Backend.get(request)
    encoders = backend.library.encoders
    listed = await backend.run_slow(
        request,
        lambda _token: tuple(_build_model(encoders, name) for name in _list_spaces(encoders)),
    )
    return write_response(ModelsAnswer("list", listed))


@router.get(
    "/v1/models/{name}",
    summary="One of them",
    tags=["embeddings"],
    operation_id="model",
    response_model=ModelAnswer,
    responses=openapi.problems(problems.NO_SUCH_MODEL, problems.INVALID, waits=True),
)
async def get_model(
    request: Request, name: Annotated[str, PathParameter(max_length=200)]
) -> Response:
    """In OpenAI's shape."""
    backend = Backend.get(request)
    encoders = backend.library.encoders
    return write_response(
        await backend.run_slow(request, lambda _token: _build_model(encoders, name))
    )
