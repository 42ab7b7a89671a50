"""What the values in libnftables-json(5) mean: ports, networks, protocols, elements of sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network, summarize_address_range
from typing import Any, Final, TypeAlias

from sockwatch.kernel.netfilter.rules import MAX_PORT, Numbers

Json: TypeAlias = Any
PROTOCOL_NAMES: Final = {6: "tcp", 17: "udp"}
EXACT: Final = frozenset({"==", "in"})


class UnreadError(Exception):
    """A rule of a form that is not known here."""


def elements(values: Json) -> Iterator[Json]:
    """Each of the elements of a set or map, or the one value."""
    if isinstance(values, dict) and "set" in values:
        values = values["set"]
    for value in values if isinstance(values, list) else [values]:
        yield _bare(value)


def _bare(value: Json) -> Json:
    """An element without its timeout, counter or comment; of a map, the key without them."""
    if isinstance(value, list) and len(value) == 2:
        return [_bare(value[0]), value[1]]
    return value["elem"]["val"] if isinstance(value, dict) and "elem" in value else value


def is_map(value: Json) -> bool:
    """Whether it is looked up in a map."""
    return isinstance(value, dict) and "map" in value


def numbers(operator: str, values: Iterable[Json]) -> Numbers:
    """The ports that compare so with the values. Raises UnreadError."""
    ranges = tuple(map(_range, values))
    if operator in EXACT or operator == "!=":
        return Numbers(ranges, left_out=operator == "!=")
    ((first, last),) = ranges
    compared = {
        "<": (0, first - 1),
        "<=": (0, last),
        ">": (last + 1, MAX_PORT),
        ">=": (first, MAX_PORT),
    }
    if operator not in compared:
        raise UnreadError
    return Numbers((compared[operator],))


def _range(value: Json) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    if isinstance(value, dict) and "range" in value:
        first, last = value["range"]
        if isinstance(first, int) and isinstance(last, int):
            return first, last
    raise UnreadError


def networks(values: Iterable[Json]) -> tuple[str, ...]:
    """The networks that the values name. Raises UnreadError."""
    found: list[str] = []
    for value in values:
        if isinstance(value, dict) and "prefix" in value:
            found.append(f"{value['prefix']['addr']}/{value['prefix']['len']}")
        elif isinstance(value, dict) and "range" in value:
            ends = map(ip_address, value["range"])
            found += map(str, summarize_address_range(*ends))
        elif isinstance(value, str):
            found.append(value)
        else:
            raise UnreadError
    return tuple(str(ip_network(network, strict=False)) for network in found)


def protocols(values: Iterable[Json]) -> frozenset[str]:
    """The names of the protocols, or their numbers where they have none here."""
    return frozenset(str(PROTOCOL_NAMES.get(value, value)) for value in values)


def address_and_port(address: Json, port: Json) -> tuple[str | None, int | None]:
    """Where a rule sends packets; None for what it chooses out of several, port 0 for the same."""
    if isinstance(address, dict) and "concat" in address:
        address, port = address["concat"]
    elif port is None:
        port = 0
    where = str(ip_address(address)) if isinstance(address, str) else None
    return where, port if isinstance(port, int) else None
