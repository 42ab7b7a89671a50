"""What is on one port."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from sockwatch.model.netns import Netns, NetnsKey
from sockwatch.model.sockets import Holder, Protocol, Socket, SocketGroup


class FlagCounts(NamedTuple):
    """How many sockets have a flag, lack it, or hide it."""

    yes: int = 0
    no: int = 0
    unknown: int = 0

    @classmethod
    def of(cls, values: Iterable[tuple[bool | None, int]]) -> FlagCounts:
        """Add up pairs of a flag (None means unknown) and a number of sockets."""
        counts: Counter[bool | None] = Counter()
        for value, number in values:
            counts[value] += number
        return cls(counts[True], counts[False], counts[None])


class TimeWait(NamedTuple):
    """The TIME_WAITs of a port.

    `first_frees_in_s` and `last_frees_in_s` are how many seconds the first and the last have
    left; None where there are none or the table shows no clock.
    """

    count: int = 0  # type: ignore[assignment] # nobody wants tuple.count here
    first_frees_in_s: float | None = None
    last_frees_in_s: float | None = None
    reuseaddr: FlagCounts = FlagCounts()
    reuseport: FlagCounts = FlagCounts()

    @classmethod
    def of(cls, groups: Iterable[SocketGroup]) -> TimeWait:
        """Sum up the TIME_WAITs among the groups of a port."""
        time_waits = [group for group in groups if group.state == "TIME_WAIT"]
        if not time_waits:
            return NO_TIME_WAIT
        firsts = [g.first_frees_in_s for g in time_waits if g.first_frees_in_s is not None]
        lasts = [g.last_frees_in_s for g in time_waits if g.last_frees_in_s is not None]
        return cls(
            sum(group.count for group in time_waits),
            min(firsts, default=None),
            max(lasts, default=None),
            FlagCounts.of((group.flags.reuseaddr, group.count) for group in time_waits),
            FlagCounts.of((group.flags.reuseport, group.count) for group in time_waits),
        )


NO_TIME_WAIT: Final = TimeWait()
RowKey: TypeAlias = tuple[NetnsKey | None, Protocol, int]


class Port(NamedTuple):
    """Protocol + number within one network namespace, with everything seen on it.

    `states` counts owners by state; half-open requests own nothing and are counted in `half_open`
    only. `listeners` are the sockets in LISTEN, or for UDP those in UNCONN; `bound` those in BOUND;
    `groups` all others. `orphans` were closed by their process but not yet by the peer,
    `unaccepted` wait in an accept queue; None where the table does not tell. `holders` are those of
    the listeners and bound sockets, or of the connections if there are neither. `connections`
    holds each socket of `groups`, decoded on access; None in a snapshot of all ports.
    `to_itself` is how many of the TCP connections come from a process that has a listener here;
    None where that was not looked at, as in a snapshot of all ports.
    `netns` is set where ports of several network namespaces stand together; None in a snapshot,
    which is of one.
    """

    protocol: Protocol
    number: int
    states: Mapping[str, int]
    listeners: tuple[Socket, ...] = ()
    bound: tuple[Socket, ...] = ()
    groups: tuple[SocketGroup, ...] = ()
    time_wait: TimeWait = NO_TIME_WAIT
    orphans: int | None = 0
    unaccepted: int | None = 0
    half_open: int = 0
    holders: tuple[Holder, ...] = ()
    connections: Sequence[Socket] | None = None
    to_itself: int | None = None
    netns: Netns | None = None

    @property
    def key(self) -> tuple[Protocol, int]:
        """(protocol, number), which no two ports of a snapshot share."""
        return (self.protocol, self.number)

    @property
    def row_key(self) -> RowKey:
        """What no two ports of several network namespaces share, either."""
        return (self.netns and self.netns.key, self.protocol, self.number)
