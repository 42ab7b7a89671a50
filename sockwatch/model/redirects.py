"""NAT rules by which clients of a port reach something else."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from sockwatch.model.origin import Origin
from sockwatch.model.sockets import Family, Protocol

Hook: TypeAlias = Literal["prerouting", "output"]
Target: TypeAlias = Literal["DNAT", "REDIRECT"]


class Destinations(NamedTuple):
    """The networks, as ``10.0.0.0/8``, to which a NAT rule is limited, or which it leaves out."""

    networks: tuple[str, ...]
    left_out: bool = False


class Redirect(NamedTuple):
    """A NAT rule that changes where packets for a port go, before the kernel looks for a socket.

    `target` is ``DNAT``, to another address, or ``REDIRECT``, to another port of this host. Of it
    `address` and `port` are None where the rule chooses among several, and `address` of a REDIRECT.
    `hook` tells whose packets pass it: those of other hosts (prerouting), or of this
    namespace (output). Every one of the `limits` has to hold. `is_conditional`: it or a rule
    that leads to it depends on more than protocol, port and destination, or a rule before it makes
    exceptions. `rule` is its text, with the command that shows it.
    `container` is the one that has the address; None if none was found.
    """

    protocol: Protocol
    family: Family
    target: Target
    address: str | None
    port: int | None
    hook: Hook
    limits: tuple[Destinations, ...]
    is_conditional: bool
    rule: str
    container: Origin | None = None
