"""A blocker, and what was seen around it: what the causes are found by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from itertools import islice
from typing import Final, NamedTuple

from sockwatch.bind import fixes
from sockwatch.bind.generations import eldest_first, first_and_last, members
from sockwatch.bind.kernels import Quirk
from sockwatch.bind.model import BindRequest, Blocker, Cause, Fix, FlagName, Verdict
from sockwatch.bind.releases import possible_quirks
from sockwatch.model import Holder, HostFacts, Port, Process, Snapshot, Socket, SocketGroup
from sockwatch.units import endpoint, process_name, verb

MOST_LOOKED_AT: Final = 128  # of the connections of a port, which may be 100,000
MOST_MEMBERS: Final = 50


class Holding:
    """Holders, and what follows from them: found once for all blockers that have them.

    `failing` and `facts` are those of the Evidence.
    """

    def __init__(
        self, holders: Iterable[Holder], failing: Process | None, facts: HostFacts
    ) -> None:
        self.holders = tuple(holders)
        self._failing = failing
        self._facts = facts

    @cached_property
    def processes(self) -> list[Process]:
        """The processes, each once, in the order of eldest_first()."""
        return [h.process for h in eldest_first(self.holders) if h.process is not None]

    @cached_property
    def stop(self) -> tuple[Fix, ...]:
        """Stop every process; nothing where one has to stay."""
        return fixes.stop(self.processes, self._failing, self._facts)


class Sharing:
    """Blockers on the same address in the same state: the sockets of servers that share it."""

    def __init__(self, blockers: list[Blocker]) -> None:
        self.owners = [blocker.owner for blocker in blockers]
        self.holders = [holder for blocker in blockers for holder in blocker.holders]

    @cached_property
    def ends(self) -> tuple[Process, Process] | None:
        """The first and the last server to start of those with SO_REUSEPORT, see generations."""
        sockets = (sock for sock in self.owners if isinstance(sock, Socket))
        return first_and_last(members(sock for sock in sockets if sock.flags.reuseport))


class Evidence(NamedTuple):
    """A blocker, and what was seen around it.

    A server's socket has the holders of all that share its address: they are one cause.
    `failing` is the process whose call failed; None where nothing has been called yet.
    `flags_to_set` are the fewest by which the request would succeed now; none if none help.
    """

    verdict: Verdict
    blocker: Blocker
    sharing: Sharing
    holding: Holding
    port: Port
    snapshot: Snapshot
    failing: Process | None = None
    flags_to_set: tuple[FlagName, ...] = ()

    @property
    def request(self) -> BindRequest:
        """The request that is blocked."""
        return self.verdict.request

    @property
    def processes(self) -> list[Process]:
        """The processes that hold it, each once, in the order of eldest_first()."""
        return self.holding.processes

    @property
    def owner_holders(self) -> tuple[Holder, ...]:
        """The holders of the very sockets, without those of others on the same address."""
        return self.blocker.owner.holders

    def stop(self) -> tuple[Fix, ...]:
        """Stop every process that holds it; nothing where one has to stay."""
        return self.holding.stop

    def stop_or_leave(self) -> tuple[Fix, ...]:
        """The same, or else a word on the one that has to stay."""
        return self.stop() or fixes.leave(self.processes, self.snapshot.facts.ancestors)

    @property
    def is_server(self) -> bool:
        """Whether the blocker is a listener."""
        return self.blocker.owner.state in ("LISTEN", "UNCONN")

    @property
    def is_destroyable(self) -> bool:
        """Whether this kernel surely destroys the blockers, and that frees the port."""
        stays = Quirk.MINIS_STAY if self.blocker.owner.mini else Quirk.ORPHANS_STAY
        kernels = possible_quirks(self.snapshot)
        return self.none_has_an_fd and not any(stays in quirks for quirks in kernels)

    @property
    def who(self) -> str:
        """``nginx(812)``, ``nginx(812) and 3 more``."""
        first, *more = self.processes
        name = process_name(first.name, first.pid)
        return f"{name} and {len(more)} more" if more else name

    def does(self, singular: str) -> str:
        """``nginx(812) has``, ``nginx(812) and 3 more have``."""
        return f"{self.who} {self.verb(singular)}"

    def verb(self, singular: str) -> str:
        """The verb that goes with `who`."""
        return verb(len(self.processes), singular)

    @property
    def where(self) -> str:
        """``0.0.0.0:8080``."""
        owner = self.blocker.owner
        return endpoint(owner.address, self.request.port)

    @property
    def none_has_an_fd(self) -> bool:
        """Whether this holds for every socket of the port in the same state and on its address."""
        owner = self.blocker.owner
        alike = [
            g for g in self.port.groups if (g.state, g.address) == (owner.state, owner.address)
        ]
        return self.blocker.without_fd and all(g.mini or g.with_fd == 0 for g in alike)

    def members(self) -> list[Socket]:
        """A few sockets that the blocker stands for; none in a snapshot of all ports."""
        owner = self.blocker.owner
        if isinstance(owner, Socket):
            return [owner]
        connections = self.port.connections or ()
        # From all parts of the list, which is in the order of states.
        step = max(1, len(connections) // MOST_LOOKED_AT)
        some = (connections[i] for i in range(0, len(connections), step))
        return list(islice((sock for sock in some if is_of(owner, sock)), MOST_MEMBERS))


def is_of(group: SocketGroup, sock: Socket) -> bool:
    """Whether the socket is one of the group."""
    fields = ("family", "state", "mini", "address", "device", "automatic", "uid")
    if any(getattr(group, field) != getattr(sock, field) for field in fields):
        return False
    return group.mini or group.flags[:2] == sock.flags[:2]


def each_evidence(
    verdict: Verdict,
    port: Port,
    snapshot: Snapshot,
    failing: Process | None,
    flags_to_set: tuple[FlagName, ...],
) -> Iterator[Evidence]:
    """The evidence on each blocker of the verdict, in their order."""

    def holding(holders: Iterable[Holder]) -> Holding:
        return Holding(holders, failing, snapshot.facts)

    groups = defaultdict(list)
    for blocker in verdict.blockers:
        groups[_bound_to(blocker)].append(blocker)
    sharing = {key: Sharing(group) for key, group in groups.items()}
    of_all = {key: holding(shared.holders) for key, shared in sharing.items()}
    # Whose a group of connections is shows only in a snapshot of its port alone.
    of_port = holding(port.holders)
    for each in verdict.blockers:
        blocker, key = each, _bound_to(each)
        if len(sharing[key].owners) > 1 and not blocker.owner.mini:
            held = of_all[key]
            blocker = replace(blocker, holders=held.holders)
        elif blocker.holders or isinstance(blocker.owner, Socket):
            held = holding(blocker.holders)
        else:
            held = of_port
        yield Evidence(verdict, blocker, sharing[key], held, port, snapshot, failing, flags_to_set)


def _bound_to(blocker: Blocker) -> tuple[str, str, str | None]:
    """What servers that share an address have in common."""
    owner = blocker.owner
    return (owner.state, owner.address, owner.device)


Explanation = tuple[Cause, tuple[Fix, ...]]
Finder = Callable[[Evidence], Explanation | None]


def in_ephemeral_range(port: int, snapshot: Snapshot) -> bool:
    """Whether the kernel may choose the port for an outgoing connection."""
    facts = snapshot.facts
    if facts.port_range is None or not facts.port_range[0] <= port <= facts.port_range[1]:
        return False
    return not any(first <= port <= last for first, last in facts.reserved_ports)
