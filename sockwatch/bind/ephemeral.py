"""bind() to port 0: does the kernel find a port?

It takes a port of ip_local_port_range that is not reserved and has no owner in the way. For TCP
the reuse flags do not help (inet_csk_find_open_port), unless ip_autobind_reuse is set and all
ports are taken; for UDP they do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import chain

from sockwatch.bind.kernels import Quirk
from sockwatch.bind.model import Outcome, Owner, Rule
from sockwatch.bind.rules import NewSocket, judge
from sockwatch.model import Gap, GapCode, HostFacts, Snapshot

EXHAUSTED = Rule(
    "range-exhausted", "Every port of ip_local_port_range is taken on this address or reserved."
)
RANGE_UNSEEN = Gap(
    GapCode.PORT_RANGE_UNSEEN,
    "ip_local_port_range could not be read; a free port is assumed to exist",
    "check `sysctl net.ipv4.ip_local_port_range`",
)


def find_port(
    new: NewSocket,
    snapshot: Snapshot,
    facts: HostFacts,
    owners_of: Callable[[int], Collection[Owner]],
    quirks: Collection[Quirk] = (),
) -> tuple[Outcome, list[Gap]]:
    """Return "ok" if a port is free, EADDRINUSE if none is, "depends" if unknown flags decide."""
    if facts.port_range is None:
        return "ok", [RANGE_UNSEEN]
    first, last = facts.port_range
    reserved = set(chain.from_iterable(range(a, b + 1) for a, b in facts.reserved_ports))
    usable = [number for number in range(first, last + 1) if number not in reserved]
    taken = {port.number for port in snapshot.ports if port.protocol == new.protocol}
    if any(number not in taken for number in usable):
        return "ok", []
    if new.protocol == "udp":
        return _best(lambda owner: judge(new, owner, quirks).blocks, usable, owners_of), []
    plain = new._replace(reuseaddr=False, reuseport=False)
    outcome = _best(lambda owner: judge(plain, owner, quirks).blocks, usable, owners_of)
    if outcome != "ok" and new.reuseaddr and facts.autobind_reuse:
        outcome = _best(lambda owner: _blocks_reuse(new, owner, quirks), usable, owners_of)
    return outcome, []


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
