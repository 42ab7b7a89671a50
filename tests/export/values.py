"""Strategies: any value of a type of the model, made by what the type says, as the codec is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from sockwatch.model import STATES, FlagsSource, HaltKind, Holder, Origin, PortSet, Snapshot
from sockwatch.model.json_ranges import THAWS

PRINTABLE = st.text(st.characters(exclude_categories=("C", "Z")), max_size=6)
PORTS = st.integers(0, 65535)
IPV4 = st.ip_addresses(v=4).map(str)
IPV6 = st.ip_addresses(v=6).map(str)
NETWORKS = st.sampled_from(["10.0.0.0/8", "127.0.0.1/32", "fd00::/8", "::1/128"])
STATE = st.sampled_from([*STATES])
PORT_FIELDS = {
    "port", "peer_port", "number", "only_port", "lowest_port", "highest_port",
    "unprivileged_port_start",
}  # fmt: skip


def own_strategy(kind: str, field: str) -> st.SearchStrategy[Any] | None:
    """Of a field whose type says less than it takes."""
    if field in PORT_FIELDS:
        return PORTS
    if field == "reserved_ports":
        return st.lists(st.tuples(PORTS, PORTS), max_size=2).map(tuple)
    if field == "port_range":
        return st.tuples(PORTS, PORTS)
    if field in ("address", "peer_address"):
        return st.one_of(IPV4, IPV6)
    if field == "network":
        return NETWORKS
    if field == "networks":
        return st.lists(NETWORKS, max_size=2).map(tuple)
    if field == "state" and kind != "Process":
        return STATE
    if field == "states":
        return st.dictionaries(STATE, st.integers(0, 9), max_size=2)
    if kind == "Halt":
        return {"kind": st.sampled_from(HaltKind), "thaw": st.sampled_from(THAWS)}.get(field)
    if (kind, field) == ("ReuseFlags", "source"):
        return st.sampled_from(FlagsSource)
    if field == "client":
        return st.sampled_from([(), ("docker",), ("podman", "--root", "/srv")])
    if field == "own_command":
        return st.sampled_from([("sockwatch",), ("/usr/bin/python3", "-I", "-m", "sockwatch")])
    return None


@cache
def values(kind: Any) -> st.SearchStrategy[Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    plain = {
        str: PRINTABLE,
        int: st.integers(0, 2**64 - 1),
        float: st.floats(-1e9, 1e11),
        bool: st.booleans(),
        NoneType: st.none(),
    }
    if kind in plain:
        return plain[kind]
    if kind is PortSet:
        return st.lists(PORTS, max_size=4).map(PortSet.of)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, UnionType):
        return st.one_of(*map(values, arguments))
    if origin is tuple and arguments[-1] is not Ellipsis:
        return st.tuples(*map(values, arguments))
    if origin in (tuple, Sequence):
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if origin is frozenset:
        return st.frozensets(values(arguments[0]), max_size=2)
    if origin is Mapping:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=2)
    if issubclass(kind, str):
        return st.sampled_from(kind)
    return records(kind)


@cache
def records(kind: Any) -> st.SearchStrategy[Any]:
    if kind is PortSet:
        return values(kind)
    hints = get_type_hints(kind)
    fields = {}
    for name in field_names(kind):
        own = own_strategy(kind.__name__, name)
        if own is not None and NoneType in get_args(hints[name]):
            own = st.one_of(st.none(), own)
        if kind is Origin and name == "outer":
            own = st.none() | PRINTABLE.map(lambda name: Origin("pod", "", name, "cgroup"))
        fields[name] = values(hints[name]) if own is None else own
    made = st.fixed_dictionaries(fields).map(lambda chosen: _fitting(kind, chosen))
    if kind is Snapshot:
        return made.map(_without_twins)
    return made


def field_names(kind: Any) -> list[str]:
    """Of a record of the model."""
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind) if field.init]
    return list(kind._fields)


def _fitting(kind: Any, chosen: dict[str, Any]) -> Any:
    if "family" in chosen and chosen.get("address") is not None:
        chosen["family"] = "ipv6" if ":" in chosen["address"] else "ipv4"
    if kind is Holder and chosen["process"] is not None:
        chosen["pid"] = chosen["process"].pid
    return kind(**chosen)


def _without_twins(snapshot: Snapshot) -> Snapshot:
    by_key = {port.key: port for port in snapshot.ports}
    return dataclasses.replace(snapshot, ports=tuple(by_key.values()))
