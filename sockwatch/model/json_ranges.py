"""What the types of the model do not say: the ranges of their fields, and what fits together."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any, Final, TypeAlias

from sockwatch.model.json_values import MalformedError
from sockwatch.model.port_set import SIZE
from sockwatch.model.publications import PODMAN_OPTIONS
from sockwatch.model.sockets import STATES, FlagsSource, HaltKind

Check: TypeAlias = Callable[[Any], bool]

LAST_PORT: Final = 65535
MOST_ORIGINS: Final = 8  # one in another
AS_A_MODULE: Final = ("-I", "-m", "sockwatch")
THAWS: Final = ("echo 0 > {}/cgroup.freeze", "echo THAWED > {}/freezer.state")


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


def _are_reserved(ranges: tuple[tuple[int, int], ...]) -> bool:
    """Ports, in about as many ranges as there can be: each port of them is gone through."""
    return _is_port(ranges) and sum(max(0, last - first) for first, last in ranges) <= 2 * LAST_PORT


def _is_own_command(words: tuple[str, ...]) -> bool:
    """What sockwatch may be started by, as kernel.facts has it: it is printed behind sudo(8)."""
    if len(words) == 1:
        name = words[0].rpartition("/")[2]
        return name == "sockwatch" or name.endswith(".pyz")
    if not words or "py" not in words[0].rpartition("/")[2]:
        return False
    return words[1:] == AS_A_MODULE or (len(words) == 2 and words[1].endswith(".pyz"))


def _is_client(words: tuple[str, ...]) -> bool:
    """What a command about a container may begin with: it is printed to be typed."""
    program, options, values = words[:1], words[1::2], words[2::2]
    if program == ("docker",):
        return words == program or (
            options == ("-H",) and len(values) == 1 and values[0].startswith("unix://")
        )
    is_paired = len(options) == len(values) and {*options} <= {*PODMAN_OPTIONS}
    return not words or (program == ("podman",) and is_paired)


_STATE: Final[tuple[Check, str]] = (STATES.__contains__, "state of a socket")
_ADDRESS: Final[tuple[Check, str]] = (_is_address, "IP address")
_CHECKS: Final[dict[str, tuple[Check, str]]] = {
    **dict.fromkeys(
        ("port", "peer_port", "number", "only_port", "lowest_port", "highest_port", "port_range",
         "unprivileged_port_start"), (_is_port, "port"),
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
    "reserved_ports": (_are_reserved, "list of reserved ports"),
    "client": (_is_client, "command about a container"),
}  # fmt: skip


def check_of(kind: str, field: str) -> tuple[Check | None, str]:
    """What the values of that field have to pass, and what they are then; None if all may be."""
    return _CHECKS.get(f"{kind}.{field}") or _CHECKS.get(field) or (None, "")


def consistent(record: Any) -> Any:
    """The record, if its fields fit together. Raises MalformedError."""
    family = getattr(record, "family", None)
    address = getattr(record, "address", None)
    if family is not None and address is not None and (":" in address) != (family == "ipv6"):
        raise MalformedError(f"{address} is no {family} address")
    process = getattr(record, "process", None)
    if process is not None and process.pid != record.pid:
        raise MalformedError(f"process {process.pid} is not pid {record.pid}")
    if type(record).__name__ == "Origin" and sum(1 for _ in record.chain) > MOST_ORIGINS:
        raise MalformedError("too many origins are in one another")
    return record
