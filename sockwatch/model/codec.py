"""Values of the model as JSON values and back, by what their types say.

A record is an object without the fields that have their default. What comes back is made of the
types of the model, and within the ranges of the kernel, or refused: the JSON may be anybody's.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from ipaddress import ip_address, ip_network
from types import NoneType, UnionType
from typing import Any, Final, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from sockwatch.model.errors import SockwatchError
from sockwatch.model.port_set import SIZE
from sockwatch.model.sockets import STATES, FlagsSource, HaltKind, Process
from sockwatch.text import clean

Shared: TypeAlias = dict[Any, int]  # processes that were written, each with its number
Writer: TypeAlias = Callable[[Any, Shared], Any]
Reader: TypeAlias = Callable[[Any, Sequence[Any]], Any]
Check: TypeAlias = Callable[[Any], bool]

TEXT_LIMIT: Final = 1 << 14  # characters; a path has 4096 at most
LAST_PORT: Final = 65535
INT_END: Final = 1 << 64
DIGITS: Final = 20  # of the largest
FLOAT_END: Final = 1e11  # seconds: what a calendar still has a year for
MOST_ORIGINS: Final = 8  # one in another
SHOWN: Final = 40  # characters of foreign data in a message
THAWS: Final = ("echo 0 > {}/cgroup.freeze", "echo THAWED > {}/freezer.state")
_MISSING: Final = object()


class MalformedError(SockwatchError):
    """Data that are no value of the model. `path` leads to them, the outermost name last."""

    path: tuple[str, ...] = ()

    def __str__(self) -> str:
        """``ports[3].number: 70000 is no port``."""
        where = "".join(reversed(self.path)).removeprefix(".")
        return f"{where}: {self.args[0]}" if where else str(self.args[0])


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
    return tuple(_each(_list(data), lambda entry: reader(entry, ())))


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
    if kind in _PLAIN:
        plain = _PLAIN[kind]
        return lambda data, _: plain(data)
    if origin is Literal:
        return lambda data, _: _word(data, arguments)
    if origin in (Union, UnionType):
        some = _reader(_some(arguments))
        return lambda data, shared: None if data is None else some(data, shared)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return _fixed_reader([_reader(argument) for argument in arguments])
    if origin in (tuple, Sequence, frozenset):
        each = _reader(arguments[0])
        made = frozenset if origin is frozenset else tuple
        return lambda data, shared: made(_each(_list(data), lambda e: each(e, shared)))
    if origin is Mapping:
        return _mapping_reader(arguments[0], _reader(arguments[1]))
    if kind is Process:
        return _process
    if issubclass(kind, str):  # an Id
        words = tuple(kind)
        return lambda data, _: kind(_word(data, words))
    return _record_reader(kind)


@cache
def _record_reader(kind: Any) -> Reader:
    defaults, hints = _fields(kind), get_type_hints(kind)
    name_of_kind = kind.__name__

    @cache
    def fields() -> list[tuple[str, Any, Reader, Check | None, str]]:
        return [
            (name, default, _reader(hints[name]), *_check(name_of_kind, name))
            for name, default in defaults.items()
        ]

    def read_record(data: Any, shared: Sequence[Any]) -> Any:
        if type(data) is not dict:
            raise MalformedError(f"{_shown(data)} is no object")
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
                    raise MalformedError(f"{_shown(entry)} is no {what}")  # noqa: TRY301
                values.append(value)
        except MalformedError as error:
            error.path += (f".{name}",)
            raise
        return _consistent(kind(*values))

    return read_record


def _fixed_reader(readers: Sequence[Reader]) -> Reader:
    def read_fixed(data: Any, shared: Sequence[Any]) -> tuple[Any, ...]:
        if len(_list(data)) != len(readers):
            raise MalformedError(f"{_shown(data)} has not {len(readers)} elements")
        return tuple(reader(entry, shared) for reader, entry in zip(readers, data, strict=True))

    return read_fixed


def _mapping_reader(key_kind: Any, entry_reader: Reader) -> Reader:
    def key_of(text: str) -> Any:
        if key_kind is not int:
            return _text(text)
        if not (text.isascii() and text.isdecimal() and len(text) <= DIGITS):
            raise MalformedError(f"{_shown(text)} is no number")
        return _int(int(text))

    def read_mapping(data: Any, shared: Sequence[Any]) -> dict[Any, Any]:
        if type(data) is not dict:
            raise MalformedError(f"{_shown(data)} is no object")
        return {key_of(key): entry_reader(entry, shared) for key, entry in data.items()}

    return read_mapping


def _process(data: Any, shared: Sequence[Any]) -> Any:
    number = _int(data)
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


def _text(data: Any) -> str:
    if type(data) is not str:
        raise MalformedError(f"{_shown(data)} is no text")
    return clean(data, TEXT_LIMIT)


def _int(data: Any) -> int:
    if type(data) is not int or not 0 <= data < INT_END:
        raise MalformedError(f"{_shown(data)} is no whole number from 0 to 2**64 - 1")
    return data


def _float(data: Any) -> float:
    if type(data) not in (int, float) or not math.isfinite(data) or abs(data) > FLOAT_END:
        raise MalformedError(f"{_shown(data)} is no number of seconds")
    return float(data)


def _bool(data: Any) -> bool:
    if type(data) is not bool:
        raise MalformedError(f"{_shown(data)} is neither true nor false")
    return data


def _bytes(data: Any) -> bytes:
    try:
        return base64.b64decode(_text(data), validate=True)
    except (binascii.Error, ValueError):
        raise MalformedError("this is no base64") from None


_PLAIN: Final[dict[Any, Callable[[Any], Any]]] = {
    str: _text,
    int: _int,
    float: _float,
    bool: _bool,
    bytes: _bytes,
}


def _list(data: Any) -> list[Any]:
    if type(data) is not list:
        raise MalformedError(f"{_shown(data)} is no list")
    return data


def _word(data: Any, words: Sequence[str]) -> str:
    if type(data) is not str or data not in words:
        raise MalformedError(f"{_shown(data)} is no word that this sockwatch knows")
    return data


def _some(kinds: tuple[Any, ...]) -> Any:
    (some,) = (kind for kind in kinds if kind is not NoneType)
    return some


def _shown(data: Any) -> str:
    """Foreign data in a sentence."""
    if isinstance(data, list | dict):
        return "a list" if isinstance(data, list) else "an object"
    if data is None or isinstance(data, bool):
        return {None: "null", True: "true", False: "false"}[data]
    if isinstance(data, int) and abs(data) >= INT_END:
        return "a huge number"
    return clean(repr(data[:SHOWN] if isinstance(data, str) else data), SHOWN)


# What a type alone does not say


@lru_cache(maxsize=8192)
def _is_address(text: str) -> bool:
    try:
        return "%" not in str(ip_address(text))
    except ValueError:
        return False


@lru_cache(maxsize=8192)
def _is_network(text: str) -> bool:
    try:
        return bool(ip_network(text))
    except ValueError:
        return False


def _is_port(value: Any) -> bool:
    """A port, or a range of ports, or several."""
    if isinstance(value, tuple):
        return all(map(_is_port, value))
    return bool(value <= LAST_PORT)


def _is_own_command(words: tuple[str, ...]) -> bool:
    """What sockwatch may be started by: it is printed behind sudo(8)."""
    return bool(words) and words[-1].rpartition("/")[2] == "sockwatch" and len(words) <= 4


_STATE: Final[tuple[Check, str]] = (STATES.__contains__, "state of a socket")
_ADDRESS: Final[tuple[Check, str]] = (_is_address, "IP address")
_CHECKS: Final[dict[str, tuple[Check, str]]] = {
    **dict.fromkeys(
        ("port", "peer_port", "number", "only_port", "lowest_port", "highest_port", "port_range",
         "reserved_ports", "unprivileged_port_start"), (_is_port, "port"),
    ),
    **dict.fromkeys(("address", "peer_address"), _ADDRESS),
    "network": (_is_network, "network"),
    "networks": (lambda networks: all(map(_is_network, networks)), "list of networks"),
    **dict.fromkeys(("Socket.state", "SocketGroup.state", "ClientGroup.state"), _STATE),
    "states": (lambda states: STATES.keys() >= states.keys(), "count by state"),
    "bits": (lambda bits: len(bits) == SIZE, "set of ports"),
    "Halt.kind": (lambda kind: kind in tuple(HaltKind), "kind of halt"),
    "thaw": (THAWS.__contains__, "way to thaw"),
    "ReuseFlags.source": (lambda source: source in tuple(FlagsSource), "source of flags"),
    "own_command": (_is_own_command, "command that starts sockwatch"),
}  # fmt: skip


def _check(kind: str, field: str) -> tuple[Check | None, str]:
    return _CHECKS.get(f"{kind}.{field}") or _CHECKS.get(field) or (None, "")


def _consistent(record: Any) -> Any:
    """The record, if its fields fit together. Raises MalformedError."""
    family = getattr(record, "family", None)
    address = getattr(record, "address", None)
    if family is not None and address is not None and (":" in address) != (family == "ipv6"):
        raise MalformedError(f"{address} is no {family} address")
    if type(record).__name__ == "Origin" and sum(1 for _ in record.chain) > MOST_ORIGINS:
        raise MalformedError("too many origins are in one another")
    return record
