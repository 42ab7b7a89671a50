"""The values that a verdict is made of, all frozen."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal, NamedTuple

from sockwatch.bind.acts import Act
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
    "kernel patches",  # which fixes a distribution's kernel has
]
FlagName = Literal["SO_REUSEADDR", "SO_REUSEPORT"]
Step = Literal["or", "then", "later"]
Owner = Socket | SocketGroup
"""What has a port: a socket, or connections and TIME_WAITs that are alike."""


@dataclass(frozen=True, slots=True)
class BindRequest:
    """A bind() to ask about, followed by listen() for TCP.

    An IPv6 address, also a v4-mapped one, makes it an AF_INET6 socket; ``fe80::1%eth0`` names its
    interface. With `port` 0 the kernel chooses one. `reuseaddr`, `reuseport` and `v6only` are the
    socket options of socket(7) and ipv6(7) that the program sets before bind(); with
    net.ipv6.bindv6only = 1 `v6only` is on in any case. `freebind` is IP_FREEBIND or IP_TRANSPARENT
    of ip(7), by which bind() takes any address. `uid` is the user of the socket; None means
    the caller. `device` is the interface of SO_BINDTODEVICE; None means any. `port_range` is
    IP_LOCAL_PORT_RANGE of ip(7), from which the kernel chooses for port 0; None means not set.

    Raises SockwatchError if the protocol, the address or the port is not one.
    """

    protocol: Protocol
    address: str
    port: int
    _: KW_ONLY
    reuseaddr: bool = False
    reuseport: bool = False
    v6only: bool = False
    freebind: bool = False
    uid: int | None = None
    device: str | None = None
    port_range: tuple[int, int] | None = None

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
        """`address`, parsed."""
        return ip_address(self.address)

    @property
    def family(self) -> Family:
        """The family of `address`; a v4-mapped one is ipv6."""
        return "ipv4" if self.ip.version == 4 else "ipv6"

    @property
    def needs_zone(self) -> bool:
        """Whether the address is valid on one link only, so that bind() needs an interface."""
        ip = self.ip
        if ip.version == 4:
            return False
        return ip.is_link_local or (ip.is_multicast and ip.packed[1] & 0x0F in (1, 2))

    @property
    def bound_device(self) -> str | None:
        """The interface the socket is bound to: the zone of the address, else `device`."""
        zone = self.ip.scope_id if isinstance(self.ip, IPv6Address) else None
        return zone if zone and self.needs_zone else self.device


class Rule(NamedTuple):
    """A rule of the kernel: an id that scripts may rely on (REFERENCE.md), and a sentence."""

    id: str
    text: str


class Condition(NamedTuple):
    """Something unknown about `owner` that the outcome depends on.

    `yes` and `no` are the outcomes if `question` is answered so; "depends" if more is unknown.
    """

    owner: Owner
    unknown: Unknown
    yes: Outcome
    no: Outcome
    question: str


class Cause(NamedTuple):
    """Why a blocker is there: an id that stays the same, and a sentence that says how sure it is.

    `evidence` is what was seen that shows it, in clauses that go on after "because".
    """

    id: str
    text: str
    evidence: tuple[str, ...] = ()

    def or_seen(self, *evidence: str) -> Cause:
        """The cause, with this evidence where it has none of its own."""
        return self if self.evidence else self._replace(evidence=evidence)


class Fix(NamedTuple):
    """Something to do, with the exact shell command where there is one.

    `in_netns`: the command acts on the network namespace that it runs in, which has to be that of
    the request. `step` says how it goes with the fixes before it: "or" (also of the first one), it
    is enough by itself; "then", it has to follow the one before; "later", it helps future starts
    only. `options` are the socket options that the program has to set before bind(). `act` is what
    a program can do of it by itself; None where a person has to.
    """

    text: str
    command: str | None = None
    in_netns: bool = False
    step: Step = "or"
    options: tuple[str, ...] = ()
    act: Act | None = None

    def by_way_of(self, entry: str) -> Fix:
        """The same, with a command that enters the namespace first: ``nsenter -t 812 -n``."""
        if self.command is None:
            return self
        # Only root may enter, so sudo(8) has to come first.
        words = self.command.removeprefix("sudo ")
        sudo = self.command.removesuffix(words)
        return self._replace(command=f"{sudo}{entry} {words}", in_netns=False)


@dataclass(frozen=True, slots=True)
class Blocker:
    """An owner of the port by which bind() fails with EADDRINUSE, or may fail if not `certain`.

    `count` is how many sockets it stands for. `holders` is empty if no process has an fd of it, and
    also if none could be seen: then a gap says so. `rule` is the one that blocks. `frees_in_s` is
    how many seconds the last of the sockets has left; None if they stay until they are closed.
    `unknowns` is what it depends on if not `certain`. `cause` is None from matrix().
    `fixes` are what to do about it alone, the safest first.
    """

    owner: Owner
    count: int
    holders: tuple[Holder, ...]
    rule: Rule
    certain: bool
    frees_in_s: float | None
    unknowns: tuple[Unknown, ...]
    cause: Cause | None = None
    fixes: tuple[Fix, ...] = ()

    @property
    def what(self) -> str:
        """``TIME_WAIT``, ``801 TIME_WAIT``."""
        state = self.owner.state
        return f"{self.count} {state}" if self.count > 1 else state

    @property
    def without_fd(self) -> bool:
        """Whether it has no fd. That no holder was seen does not prove it."""
        owner = self.owner
        return owner.mini or (owner.inode if isinstance(owner, Socket) else owner.with_fd) == 0

    @property
    def may_last_longer(self) -> bool:
        """Whether its clock may start anew: a peer's FIN makes a FIN_WAIT2 a TIME_WAIT of 60 s."""
        return self.owner.mini and self.owner.state == "FIN_WAIT2"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the kernel would answer to a request.

    `kernel` is the release of the snapshot, as in uname(2). `bind` is the outcome of bind(),
    `listen` that of listen() if bind() succeeded now; None for UDP. `reason` is the precondition by
    which bind() fails, so that `blockers` are those of listen(); None if it is up to the blockers.
    `conditions` is empty unless an outcome is "depends". `gaps` are those of the snapshot and of
    the request. `cause` is that of the blocker that explains most; None if nothing fails or
    threatens, or from matrix(). `fixes` has the safest first. `frees_in_s` is how many seconds
    until every blocker has gone by itself, at least if one is a FIN_WAIT2; None if one stays.
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
        """The first failure, in words: ``ok``, ``EADDRINUSE``, ``listen EADDRINUSE``."""
        if self.bind == "ok" and self.listen not in (None, "ok"):
            return f"listen {self.listen}"
        return self.bind
