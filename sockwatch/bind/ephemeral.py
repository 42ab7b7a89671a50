"""bind() to port 0: does the kernel find a port?

It takes a port of ip_local_port_range that is not reserved and has no owner in the way. For TCP
the reuse flags do not help (inet_csk_find_open_port), unless ip_autobind_reuse is set and all
ports are taken; for UDP they do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from itertools import chain

from sockwatch.bind.kernels import Quirk
from sockwatch.bind.model import BindRequest, Outcome, Owner, Rule
from sockwatch.bind.rules import NewSocket, judge
from sockwatch.model import NO_PORTS, Gap, GapCode, HostFacts, Snapshot

EXHAUSTED = Rule(
    "range-exhausted", "Every port that the kernel may choose is taken on this address or reserved."
)
FOLDED = Gap(
    GapCode.CLIENTS_FOLDED,
    "sockets of client ports were counted by their destination, not by port",
    "look at the port alone, or do not fold client ports",
)
ONE_LEFT = Gap(
    GapCode.ONE_PORT_LEFT,
    "the range has an odd number of ports: the kernel leaves out the first or the last, by chance,"
    " and no other is free",
    "try again, or make the number of ports even",
)
MOST_WITHOUT_HALVES = 4
RANGE_UNSEEN = Gap(
    GapCode.PORT_RANGE_UNSEEN,
    "ip_local_port_range could not be read; a free port is assumed to exist",
    "check `sysctl net.ipv4.ip_local_port_range`",
)


def range_of(request: BindRequest, facts: HostFacts) -> tuple[int, int] | None:
    """Return the first and the last port to choose from; None if the range could not be read.

    A bound of the socket's own range counts only if it lies within the namespace's
    (inet_sk_get_local_port_range, net/ipv4/inet_connection_sock.c).
    """
    if facts.port_range is None or request.port_range is None:
        return facts.port_range
    low, high = facts.port_range
    first, last = request.port_range
    low = first if low <= first <= high else low
    return low, last if low <= last <= high else high


def usable_ports(bounds: tuple[int, int], facts: HostFacts) -> list[int]:
    """Return the ports from the first to the last that are not reserved."""
    reserved = set(chain.from_iterable(range(a, b + 1) for a, b in facts.reserved_ports))
    return [number for number in range(bounds[0], bounds[1] + 1) if number not in reserved]


def find_port(
    new: NewSocket,
    request: BindRequest,
    snapshot: Snapshot,
    facts: HostFacts,
    owners_of: Callable[[int], Collection[Owner]],
    quirks: Collection[Quirk] = (),
) -> tuple[Outcome, list[Gap]]:
    """Return "ok" if a port is free, EADDRINUSE if none is, "depends" if unknown flags decide."""
    bounds = range_of(request, facts)
    if bounds is None:
        return "ok", [RANGE_UNSEEN]
    usable = usable_ports(bounds, facts)
    taken = {port.number for port in snapshot.ports if port.protocol == new.protocol}
    folded = snapshot.clients.ports if new.protocol == "tcp" else NO_PORTS
    free = (number for number in usable if number not in taken and number not in folded)
    if new.protocol == "tcp":
        if _surely_tried(free, bounds, new.reuseaddr):
            return "ok", []
    elif any(True for _ in free):
        return "ok", []
    if any(number in folded for number in usable):
        return "depends", [FOLDED]
    if new.protocol == "udp":
        return _best(lambda owner: judge(new, owner, quirks).blocks, usable, owners_of), []
    plain = new._replace(reuseaddr=False, reuseport=False)

    def blocks(owner: Owner) -> bool | None:
        return judge(plain, owner, quirks).blocks

    outcome = _best(blocks, usable, owners_of)
    if outcome == "ok":
        free = (n for n in usable if all(blocks(owner) is False for owner in owners_of(n)))
        return ("ok", []) if _surely_tried(free, bounds, new.reuseaddr) else ("depends", [ONE_LEFT])
    if new.reuseaddr and facts.autobind_reuse:
        outcome = _best(lambda owner: _blocks_reuse(new, owner, quirks), usable, owners_of)
    return outcome, []


def _surely_tried(free: Iterable[int], bounds: tuple[int, int], reuseaddr: bool) -> bool:
    """Whether one of the free ports is tried, wherever the kernel begins.

    Where the number of ports is odd, inet_csk_find_open_port() tries all but the first or all but
    the last; with SO_REUSEADDR that is so of the upper half, which it searches by itself.
    """
    first, last = bounds
    size = last - first + 1
    if size % 2 == 0 or size == 1:
        return any(True for _ in free)
    if reuseaddr and size >= MOST_WITHOUT_HALVES:
        first += size // 4 * 2
    ends = set()
    for number in free:
        if number not in (first, last):
            return True
        ends.add(number)
    return len(ends) > 1


def _blocks_reuse(new: NewSocket, owner: Owner, quirks: Collection[Quirk]) -> bool | None:
    """The test under ip_autobind_reuse: SO_REUSEADDR on both sides, but not SO_REUSEPORT too."""
    by_address = judge(new._replace(reuseport=False), owner, quirks).blocks
    shared = judge(new._replace(reuseaddr=False), owner, quirks).results
    if by_address or shared == {"shared"}:
        return True
    return None if by_address is None or "shared" in shared else False


def _best(
    blocks: Callable[[Owner], bool | None],
    usable: list[int],
    owners_of: Callable[[int], Collection[Owner]],
) -> Outcome:
    best: Outcome = "EADDRINUSE"
    for number in usable:
        results = {blocks(owner) for owner in owners_of(number)}
        if results <= {False}:
            return "ok"
        if True not in results:
            best = "depends"
    return best
