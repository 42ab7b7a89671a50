"""Client ports: which they are, and what one row says about all of a protocol."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from sockwatch.bind.ephemeral import usable_ports
from sockwatch.model import Port, Socket, SocketGroup
from sockwatch.units import endpoint, plural
from sockwatch.view.fit import cell_width
from sockwatch.view.lines import Line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sockwatch.model import ClientGroup, HostFacts, Netns, Protocol, Snapshot

SHOWN: Final = 2
WORTH_A_WORD: Final = 0.5  # of the range that one destination has taken
ROW_NUMBER: Final = 0  # stands for the number of the row's port: no socket has that one
OPEN: Final = ("ESTABLISHED", "SYN_SENT")

Destination: TypeAlias = tuple[str, str | None, int | None]  # own address, peer address, its port


class Share(NamedTuple):
    """How much of a range is taken."""

    taken: int
    of: int

    def __str__(self) -> str:
        percent = self.taken * 100 // self.of if self.of else 0
        return f"{percent} %" if percent or not self.taken else "under 1 %"


class ClientRow(NamedTuple):
    """The client ports of a protocol.

    `ports` is how many there are, `share` how much of ip_local_port_range that is; None where only
    sockets were counted, or the range could not be read. `destinations` are where their sockets
    lead and how many do, most first; of ports that were not folded that is unknown.
    """

    protocol: Protocol
    ports: int | None
    share: Share | None
    destinations: tuple[tuple[Destination, int], ...] = ()
    netns: Netns | None = None  # as that of a Port

    @property
    def port(self) -> Port:
        """What stands for the row among the ports of a table."""
        return Port(self.protocol, ROW_NUMBER, {}, netns=self.netns)

    def text(self, width: int | None = None) -> str:
        """``client ports: 3,104, 11 % of the range, 2,911 to 10.0.0.5:5432``.

        Without what does not fit into `width` cells; what is there is whole.
        """
        first, *others = self._parts()
        text = first
        for part in others:
            if width is not None and cell_width(f"{text}, {part}") > width:
                break
            text = f"{text}, {part}"
        return text

    def lines(self) -> Iterator[Line]:
        """The same, with each destination in a line."""
        counted = self._replace(destinations=()).text()
        yield Line("title", f"{self.protocol} {counted}")
        for destination, count in self.destinations:
            own, *_ = destination
            yield Line("text", f"{_place(destination, count, self.share)} from {own}", 2)

    def _parts(self) -> Iterator[str]:
        yield "client ports" if self.ports is None else f"client ports: {self.ports:,}"
        if self.share is not None:
            yield f"{self.share} of the range"
        for place, count in self.destinations[:SHOWN]:
            yield _place(place, count, self.share)
        if (rest := len(self.destinations) - SHOWN) > 0:
            yield f"and {plural(rest, 'more destination')}"


def is_client(port: Port, snapshot: Snapshot) -> bool:
    """Whether nothing but connections of this host to elsewhere has the port.

    Where the snapshot has told them apart, no other TCP port is one. Else that is a port of
    ip_local_port_range without a server and with an open connection: without one it may be left
    over from a server.
    """
    if port.listeners or port.bound or not port.groups:
        return False
    bounds = snapshot.facts.port_range
    if bounds is None or not bounds[0] <= port.number <= bounds[1]:
        return False
    if port.protocol == "tcp" and snapshot.clients.told_apart:
        return False
    return any(port.states.get(state) for state in OPEN)


def client_row(
    protocol: Protocol, ports: Sequence[Port], groups: Sequence[ClientGroup], snapshot: Snapshot
) -> ClientRow | None:
    """The row of these ports and of these folded groups; None if there are neither."""
    if not (ports or groups):
        return None
    numbers = {port.number for port in ports}
    if groups:
        if len(groups) < len(snapshot.clients.groups):
            return ClientRow(protocol, None, None, destinations(groups))
        numbers.update(snapshot.clients.ports)
    share = range_share(numbers, snapshot.facts)
    return ClientRow(protocol, len(numbers), share, destinations(groups))


def as_ports(group: ClientGroup) -> tuple[Port, Port]:
    """The first and the last port of a group, with one socket of it, for what looks at ports."""
    first, last = (_as_port(group, number) for number in (group.lowest_port, group.highest_port))
    return first, last


def _as_port(group: ClientGroup, number: int) -> Port:
    sockets = SocketGroup(
        group.family, group.state, group.mini, group.address, group.device, None, group.uid,
        group.count, group.with_fd, group.first_frees_in_s, group.last_frees_in_s, group.flags,
        group.holders,
    )  # fmt: skip
    one = Socket(
        group.protocol, group.family, group.state, group.address, number, group.peer_address,
        group.peer_port, group.device, None, group.uid, None, 0, group.mini, None, None, None,
        group.flags, group.holders,
    )  # fmt: skip
    return Port(
        group.protocol, number, {group.state: group.count}, groups=(sockets,),
        holders=group.holders, connections=(one,),
    )  # fmt: skip


def destinations(groups: Iterable[ClientGroup]) -> tuple[tuple[Destination, int], ...]:
    """How many sockets lead from one address of this host to one of elsewhere, most first."""
    counts: Counter[Destination] = Counter()
    for group in groups:
        counts[group.address, group.peer_address, group.peer_port] += group.count
    return tuple(counts.most_common())


def range_share(numbers: Iterable[int], facts: HostFacts) -> Share | None:
    """How much of ip_local_port_range these ports are; None if that could not be read."""
    if facts.port_range is None:
        return None
    usable = set(usable_ports(facts.port_range, facts))
    return Share(sum(number in usable for number in numbers), len(usable))


def _place(destination: Destination, count: int, share: Share | None) -> str:
    _, address, port = destination
    if address is None:
        return f"{count:,} to other places"
    text = f"{count:,} to {endpoint(address, port)}"
    if share is not None and share.of and count >= WORTH_A_WORD * share.of:
        text += f" ({Share(count, share.of)} of the range)"
    return text
