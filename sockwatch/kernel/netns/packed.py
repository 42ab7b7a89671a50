"""Values of the model as JSON and back: nothing that is read here can run anything.

A record becomes a list of its fields. Its type says how to read it, so that what comes back is made
of the types of the model, or refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

Reader: TypeAlias = Callable[[Any, "Amend"], Any]
Amend: TypeAlias = Callable[[Any], Any]  # what becomes of each record
PLAIN: Final = (str, int, float, bool, NoneType)


def packed(value: Any, without: type = NoneType) -> Any:
    """What json.dumps() takes; a value of the type `without` becomes None.

    Raises TypeError for a type that the model does not use.
    """
    if isinstance(value, without):
        return None
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if dataclasses.is_dataclass(value):
        return [packed(getattr(value, field.name), without) for field in _fields(type(value))]
    if isinstance(value, Mapping):
        return [[packed(key, without), packed(entry, without)] for key, entry in value.items()]
    if isinstance(value, Sequence | AbstractSet):
        return [packed(element, without) for element in value]
    raise TypeError(type(value))


def unpacked(kind: Any, data: Any, amend: Amend = lambda record: record) -> Any:
    """The value of that type; `amend` replaces each record in it.

    Raises ValueError or TypeError where the data are none of that type.
    """
    return _reader(kind)(data, amend)


def _fields(record: Any) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(record) if field.init]


@cache
def _reader(kind: Any) -> Reader:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _optional(arguments)
    if origin is Literal:
        return _plain((str,))
    if origin is tuple and arguments[-1] is not Ellipsis:
        return _record(tuple, arguments)
    if origin in (tuple, Sequence, frozenset):
        made = frozenset if origin is frozenset else tuple
        return lambda data, amend: made(_reader(arguments[0])(e, amend) for e in _list(data))
    if origin is Mapping:
        return lambda data, amend: {
            _reader(arguments[0])(key, amend): _reader(arguments[1])(entry, amend)
            for key, entry in _list(data)
        }
    if kind is bytes:
        return lambda data, _: bytes.fromhex(data)
    if kind is float:
        return _plain((float, int))
    if kind in PLAIN:
        return _plain((kind,))
    if dataclasses.is_dataclass(kind):
        names = [field.name for field in _fields(kind)]
    elif issubclass(kind, str):  # an Id
        return lambda data, _: kind(data)
    else:
        names = list(kind._fields)
    hints = get_type_hints(kind)
    return _record(lambda values: kind(*values), [hints[name] for name in names])


def _plain(kinds: tuple[type, ...]) -> Reader:
    def read(data: Any, _: Amend) -> Any:
        if type(data) not in kinds:
            raise TypeError(type(data))
        return data

    return read


def _optional(kinds: tuple[Any, ...]) -> Reader:
    (some,) = (kind for kind in kinds if kind is not NoneType)
    return lambda data, amend: None if data is None else _reader(some)(data, amend)


def _record(make: Callable[[list[Any]], Any], kinds: Sequence[Any]) -> Reader:
    def read(data: Any, amend: Amend) -> Any:
        pairs = zip(kinds, _list(data), strict=True)
        return amend(make([_reader(kind)(entry, amend) for kind, entry in pairs]))

    return read


def _list(data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise TypeError(type(data))
    return data
