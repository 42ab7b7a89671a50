"""Values of the model as JSON values and back, by what their types say.

A record is an object without the fields that have their default. What comes back is made of the
types of the model, and within the ranges of the kernel, or refused: the JSON may be anybody's.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from sockwatch.model.json_ranges import Check, check_of, consistent
from sockwatch.model.json_values import (
    PLAIN,
    MalformedError,
    elements,
    shown,
    text,
    whole_number,
    word,
)
from sockwatch.model.sockets import Process

Shared: TypeAlias = dict[Any, int]  # processes that were written, each with its number
Writer: TypeAlias = Callable[[Any, Shared], Any]
Reader: TypeAlias = Callable[[Any, Sequence[Any]], Any]

DIGITS: Final = 20  # of the largest number
_MISSING: Final = object()


def written(kind: Any, value: Any, shared: Shared) -> Any:
    """What json.dumps() takes for a value of that type; processes are numbers into `shared`."""
    return _writer(kind)(value, shared)


def read(kind: Any, data: Any, shared: Sequence[Any] = ()) -> Any:
    """The value of that type. Raises MalformedError."""
    return _reader(kind)(data, shared)


def write_processes(shared: Shared) -> list[Any]:
    """The processes that written() has numbered, in that order."""
    return [_record_writer(Process)(process, {}) for process in shared]


def read_processes(data: Any) -> tuple[Process, ...]:
    """What write_processes() has written. Raises MalformedError."""
    reader = _record_reader(Process)
    return tuple(_each(elements(data), lambda entry: reader(entry, ())))


# Writing


def _plain_writer(value: Any, _: Shared) -> Any:
    return value


@cache
def _writer(kind: Any) -> Writer:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is bytes:
        return lambda value, _: base64.b64encode(value).decode()
    if origin is Literal or kind in (str, int, float, bool, NoneType):
        return _plain_writer
    if origin in (Union, UnionType):
        some = _writer(_some(arguments))
        if some is _plain_writer:
            return some
        return lambda value, shared: None if value is None else some(value, shared)
    if origin is tuple and arguments[-1] is not Ellipsis:
        writers = [_writer(argument) for argument in arguments]
        return lambda value, shared: [
            write(e, shared) for write, e in zip(writers, value, strict=True)
        ]
    if origin is frozenset:
        return lambda value, _: sorted(value)
    if origin in (tuple, Sequence):
        each = _writer(arguments[0])
        return lambda value, shared: [each(element, shared) for element in value]
    if origin is Mapping:
        entry = _writer(arguments[1])
        return lambda value, shared: {str(k): entry(v, shared) for k, v in value.items()}
    if kind is Process:
        return lambda value, shared: shared.setdefault(value, len(shared))
    if isinstance(kind, type) and issubclass(kind, str):  # an Id
        return lambda value, _: value.value
    return _record_writer(kind)


@cache
def _record_writer(kind: Any) -> Writer:
    defaults, hints = _fields(kind), get_type_hints(kind)

    @cache
    def fields() -> list[tuple[str, Any, Writer]]:  # asked for later: an Origin has an Origin
        return [(name, default, _writer(hints[name])) for name, default in defaults.items()]

    def write(value: Any, shared: Shared) -> dict[str, Any]:
        data = {}
        for name, default, writer in fields():
            entry = getattr(value, name)
            if entry is not default and (default is _MISSING or entry != default):
                data[name] = writer(entry, shared)
        return data

    return write


def _fields(kind: Any) -> dict[str, Any]:
    """The names of its fields, each with its default, or _MISSING."""
    if not dataclasses.is_dataclass(kind):
        return {name: kind._field_defaults.get(name, _MISSING) for name in kind._fields}
    return {
        field.name: field.default_factory()
        if field.default_factory is not dataclasses.MISSING
        else _MISSING
        if field.default is dataclasses.MISSING
        else field.default
        for field in dataclasses.fields(kind)
        if field.init
    }


# Reading


@cache
def _reader(kind: Any) -> Reader:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in PLAIN:
        plain = PLAIN[kind]
        return lambda data, _: plain(data)
    if origin is Literal:
        return lambda data, _: word(data, arguments)
    if origin in (Union, UnionType):
        some = _reader(_some(arguments))
        return lambda data, shared: None if data is None else some(data, shared)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return _fixed_reader([_reader(argument) for argument in arguments])
    if origin in (tuple, Sequence, frozenset):
        each = _reader(arguments[0])
        made = frozenset if origin is frozenset else tuple
        return lambda data, shared: made(_each(elements(data), lambda e: each(e, shared)))
    if origin is Mapping:
        return _mapping_reader(arguments[0], _reader(arguments[1]))
    if kind is Process:
        return _process
    if issubclass(kind, str):  # an Id
        words = tuple(kind)
        return lambda data, _: kind(word(data, words))
    return _record_reader(kind)


@cache
def _record_reader(kind: Any) -> Reader:
    defaults, hints = _fields(kind), get_type_hints(kind)
    name_of_kind = kind.__name__

    @cache
    def fields() -> list[tuple[str, Any, Reader, Check | None, str]]:
        return [
            (name, default, _reader(hints[name]), *check_of(name_of_kind, name))
            for name, default in defaults.items()
        ]

    def read_record(data: Any, shared: Sequence[Any]) -> Any:
        if type(data) is not dict:
            raise MalformedError(f"{shown(data)} is no object")
        values = []
        name = ""
        try:
            for name, default, reader, check, what in fields():
                entry = data.get(name, _MISSING)
                if entry is _MISSING:
                    if default is _MISSING:
                        raise MalformedError("it is missing")  # noqa: TRY301
                    values.append(default)
                    continue
                value = reader(entry, shared)
                if check is not None and value is not None and not check(value):
                    raise MalformedError(f"{shown(entry)} is no {what}")  # noqa: TRY301
                values.append(value)
        except MalformedError as error:
            error.path += (f".{name}",)
            raise
        return consistent(kind(*values))

    return read_record


def _fixed_reader(readers: Sequence[Reader]) -> Reader:
    def read_fixed(data: Any, shared: Sequence[Any]) -> tuple[Any, ...]:
        if len(elements(data)) != len(readers):
            raise MalformedError(f"{shown(data)} has not {len(readers)} elements")
        return tuple(reader(entry, shared) for reader, entry in zip(readers, data, strict=True))

    return read_fixed


def _mapping_reader(key_kind: Any, entry_reader: Reader) -> Reader:
    def key_of(key: str) -> Any:
        if key_kind is not int:
            return text(key)
        if not (key.isascii() and key.isdecimal() and len(key) <= DIGITS):
            raise MalformedError(f"{shown(key)} is no number")
        return whole_number(int(key))

    def read_mapping(data: Any, shared: Sequence[Any]) -> dict[Any, Any]:
        if type(data) is not dict:
            raise MalformedError(f"{shown(data)} is no object")
        return {key_of(key): entry_reader(entry, shared) for key, entry in data.items()}

    return read_mapping


def _process(data: Any, shared: Sequence[Any]) -> Any:
    number = whole_number(data)
    if number >= len(shared):
        raise MalformedError(f"there is no process {number} in the document")
    return shared[number]


def _each(data: Iterable[Any], reader: Callable[[Any], Any]) -> Iterable[Any]:
    index = 0
    try:
        for index, entry in enumerate(data):  # noqa: B007 - read below
            yield reader(entry)
    except MalformedError as error:
        error.path += (f"[{index}]",)
        raise


def _some(kinds: tuple[Any, ...]) -> Any:
    (some,) = (kind for kind in kinds if kind is not NoneType)
    return some
