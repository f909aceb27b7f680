"""Writes dataclasses as JSON objects, and reads JSON by the type hints of dataclasses."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from types import UnionType
from typing import Annotated, Any, ClassVar, get_args, get_origin, get_type_hints

from mmsearch.formatting import replace_surrogates


class JsonObject:
    """Base of the dataclasses that declare a JSON object; all their keys are always written.

    The configuration is for pydantic, which describes them in OpenAPI but is not needed here.
    """

    __slots__ = ()
    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "extra": "forbid",
        "json_schema_serialization_defaults_required": True,
    }


class SparseJsonObject(JsonObject):
    """Base of those whose keys with the default None are left out where they have it."""

    __slots__ = ()
    __pydantic_config__ = JsonObject.__pydantic_config__ | {
        "json_schema_serialization_defaults_required": False
    }


class JsonShapeError(Exception):
    """JSON is not of the declared shape; the message names the key."""


def write_json(value: Any) -> str:
    """Writes a value with its dataclasses as a line of JSON."""
    return json.dumps(value, ensure_ascii=False, default=to_plain)


def write_json_bytes(value: Any) -> bytes:
    """Writes the same in UTF-8; bytes of a path that are not UTF-8 become question marks."""
    return write_json(value).encode("utf-8", "replace")


def to_plain(value: Any) -> Any:
    """Turns a dataclass into a dict of its fields, a time into ISO 8601; for `json.dumps`."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    kind: Any = type(value)
    names, optional = _list_keys(kind)
    members = {name: getattr(value, name) for name in names}
    for name in optional:
        if members[name] is None:
            del members[name]
    return members


@cache
def _list_keys(declaration: Any) -> tuple[list[str], list[str]]:
    """The keys of an object, and those of them that may be left out."""
    is_sparse = issubclass(declaration, SparseJsonObject)
    listed = fields(declaration)
    return (
        [field.name for field in listed],
        [field.name for field in listed if is_sparse and field.default is None],
    )


def read_member(declaration: Any, key: str, data: Any) -> Any:
    """Reads one key of a JSON object as the type that `declaration` gives it.

    Keys that are not declared are passed over, and a missing key is null. Raises JsonShapeError.
    """
    return _read(_read_hints(declaration)[key], _expect(dict, data, "the answer").get(key), key)


@cache
def _read_hints(declaration: Any) -> dict[str, Any]:
    hints = get_type_hints(declaration, include_extras=True)
    return {field.name: hints[field.name] for field in fields(declaration)}


def _read(hint: Any, data: Any, key: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is UnionType:
        return None if data is None else _read(arguments[0], data, key)
    if origin is tuple:
        return tuple([_read(arguments[0], item, key) for item in _expect(list, data, key)])
    if origin is dict:
        members = _expect(dict, data, key).items()
        return {
            replace_surrogates(name): _read(arguments[1], member, key) for name, member in members
        }
    if is_dataclass(hint):
        members = _expect(dict, data, key)
        declared: Any = hint
        hints = _read_hints(declared).items()
        return declared(**{name: _read(member, members.get(name), name) for name, member in hints})
    if origin is Annotated:
        text = _read_scalar(arguments[0], data, key)
        if arguments[1].fullmatch(text) is None:
            raise JsonShapeError(f"{key} is no id")
        return text
    return _read_scalar(hint, data, key)


def _read_scalar(kind: type[Any], data: Any, key: str) -> Any:
    if kind is int:
        return _expect(int, data, key)
    if kind is float:
        return _read_number(data, key)
    text = replace_surrogates(_expect(str, data, key))
    try:
        if issubclass(kind, Enum):
            return kind(text)
        return datetime.fromisoformat(text) if kind is datetime else text
    except ValueError as exc:
        noun = "time" if kind is datetime else "kind that this mmsearch has"
        raise JsonShapeError(f"{key} {text[:40]!r} is no {noun}") from exc


def _read_number(data: Any, key: str) -> float:
    try:
        number = float(data if isinstance(data, float) else _expect(int, data, key))
    except OverflowError as exc:
        raise JsonShapeError(f"{key} is too large") from exc
    if not math.isfinite(number):
        raise JsonShapeError(f"{key} is not finite")
    return number


_NOUNS = {dict: "object", list: "list", str: "text", int: "number"}


def _expect(kind: type[Any], data: Any, key: str) -> Any:
    if not isinstance(data, kind) or isinstance(data, bool):
        raise JsonShapeError(f"{key} is no {_NOUNS[kind]}")
    return data
