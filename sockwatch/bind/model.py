"""The words of a verdict as frozen values."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal, NamedTuple

from sockwatch.model import (
    Family,
    Gap,
    Holder,
    Protocol,
    Socket,
    SocketGroup,
    SockwatchError,
)

Outcome = Literal[
    "ok",
    "depends",
    "EACCES",
    "EADDRINUSE",
    "EADDRNOTAVAIL",
    "EAFNOSUPPORT",
    "EINVAL",
    "ENODEV",
]
Unknown = Literal[
    "SO_REUSEADDR",  # a flag of the owner
    "SO_REUSEPORT",  # a flag of the owner
    "IPV6_V6ONLY",  # a flag of the owner
    "same user",  # whether the owner belongs to the request's user
    "port memory",  # whether the kernel still remembers the owner and skips its test
    "scan order",  # whether the kernel meets the owner before the one that blocks
    "scan reach",  # whether the kernel's scan finds the owner at all
]
Owner = Socket | SocketGroup


@dataclass(frozen=True, slots=True)
class BindRequest:
    """A bind()+listen() somebody wants.

    An IPv6 address, a v4-mapped one too, makes it an AF_INET6 request; ``fe80::1%eth0`` carries
    its device along. `port` 0 lets the kernel choose. `v6only` says that the program sets
    IPV6_V6ONLY; a host with ``bindv6only`` = 1 sets it unasked. `uid` None means the caller's.

    Raises SockwatchError for what is no address, port or protocol.
    """

    protocol: Protocol
    address: str
    port: int
    _: KW_ONLY
    reuseaddr: bool = False
    reuseport: bool = False
    v6only: bool = False
    uid: int | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        if self.protocol not in ("tcp", "udp"):
            raise SockwatchError(f"{self.protocol!r} is not a protocol: say tcp or udp")
        if not 0 <= self.port <= 65535:
            raise SockwatchError(f"{self.port} is not a port: it has to be 0 to 65535")
        try:
            ip_address(self.address)
        except ValueError:
            raise SockwatchError(f"{self.address!r} is not an IPv4 or IPv6 address") from None

    @property
    def ip(self) -> IPv4Address | IPv6Address:
        return ip_address(self.address)

    @property
    def family(self) -> Family:
        return "ipv4" if self.ip.version == 4 else "ipv6"

    @property
    def needs_zone(self) -> bool:
        """Whether the address means something on one link only, so that a device must be named."""
        ip = self.ip
        if ip.version == 4:
            return False
        return ip.is_link_local or (ip.is_multicast and ip.packed[1] & 0x0F in (1, 2))

    @property
    def bound_device(self) -> str | None:
        """The device the socket ends up bound to: the zone of a link-local address wins."""
        zone = self.ip.scope_id if isinstance(self.ip, IPv6Address) else None
        return zone if zone and self.needs_zone else self.device


class Rule(NamedTuple):
    """A rule of the kernel: a short id that stays the same, and a plain sentence."""

    id: str
    text: str


class Condition(NamedTuple):
    """Something unknown that the answer depends on: `yes` and `no` are what it would be then.

    `yes` and `no` may be "depends" again, if more than this one thing is unknown.
    """

    owner: Owner
    unknown: Unknown
    yes: Outcome
    no: Outcome
    question: str


class Cause(NamedTuple):
    """Why a blocker is there: an id that stays the same, and a sentence with the evidence."""

    id: str
    text: str


class Fix(NamedTuple):
    """Something to do, with the exact command or line of code where there is one."""

    text: str
    command: str | None


@dataclass(frozen=True, slots=True)
class Blocker:
    """An owner that makes, or (`certain` False) may make, the answer EADDRINUSE.

    `count` is how many sockets it stands for. `frees_in_s` is when the last of them goes away by
    itself; None if nothing but its holders ends it.
    """

    owner: Owner
    count: int
    holders: tuple[Holder, ...]
    rule: Rule
    certain: bool
    frees_in_s: float | None
    unknowns: tuple[Unknown, ...]
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the kernel would answer to a request.

    `listen` is what listen() would answer if bind() succeeded now; None for UDP. `reason` is the
    rule by which bind() fails before or without a blocker; `blockers` are then those that listen()
    would meet. `conditions` is empty unless one of the answers is "depends". `kernel` is the
    release whose rules were applied. `cause` is that of the blocker that explains most, `fixes` are
    in the order of what is safest now; `frees_in_s` is when every blocker has gone by itself.
    """

    request: BindRequest
    kernel: str
    bind: Outcome
    listen: Outcome | None
    reason: Rule | None = None
    blockers: tuple[Blocker, ...] = ()
    conditions: tuple[Condition, ...] = ()
    gaps: tuple[Gap, ...] = ()
    cause: Cause | None = None
    fixes: tuple[Fix, ...] = ()
    frees_in_s: float | None = None

    @property
    def outcome(self) -> str:
        """What the program meets first: ``ok``, ``EADDRINUSE``, ``listen EADDRINUSE``."""
        if self.bind == "ok" and self.listen not in (None, "ok"):
            return f"listen {self.listen}"
        return self.bind
