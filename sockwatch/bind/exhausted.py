"""Why bind() to port 0 finds no port, and what to do about it."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Iterator
from typing import Final

from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.ephemeral import range_of, usable_ports
from sockwatch.bind.generations import eldest_first
from sockwatch.bind.model import Cause, Fix, Verdict
from sockwatch.model import HostFacts, Port, Snapshot
from sockwatch.units import plural, process_name

# The default of Linux, then what busy hosts set; each is joined with the range there is.
WIDER: Final = ((32768, 60999), (15000, 60999), (1024, 65535))
SHOWN: Final = 3
NO_PORT_YET: Final = Fix(
    "in a client that connects afterwards, set IP_BIND_ADDRESS_NO_PORT before bind(): connect()"
    " then chooses a port that is free for its destination",
    options=("IP_BIND_ADDRESS_NO_PORT",),
)


def explain_exhausted(
    verdict: Verdict, snapshot: Snapshot, facts: HostFacts
) -> tuple[Cause, tuple[Fix, ...]]:
    """Return who has the ports, and how to get one."""
    request = verdict.request
    whose = "ip_local_port_range" if request.port_range is None else "IP_LOCAL_PORT_RANGE"
    bounds = range_of(request, facts)
    if bounds is None:
        return Cause(CauseId.RANGE_EXHAUSTED, f"every port of {whose} is taken or reserved"), ()
    name = f"{whose} {bounds[0]}-{bounds[1]}"
    usable = usable_ports(bounds, facts)
    if not usable:
        text = f"every port of {name} is reserved (ip_local_reserved_ports)"
        return Cause(CauseId.RANGE_EXHAUSTED, text), (
            *_own_range(verdict),
            *_widen(verdict, snapshot, facts),
        )
    ports = [p for n in usable if (p := snapshot.port(request.protocol, n)) is not None]
    takers = _takers(ports)
    who = ", ".join(f"{count} by {taker}" for taker, count in takers.most_common(SHOWN))
    others = takers.total() - sum(count for _, count in takers.most_common(SHOWN))
    rest = f", {others} by others" if others else ""
    reserved = bounds[1] - bounds[0] + 1 - len(usable)
    kept = f"; {reserved} more of the range are reserved" if reserved else ""
    text = (
        f"all {plural(len(usable), 'port')} of {name} are taken on {request.address}:"
        f" {who}{rest}{kept}"
    )
    seen = (f"the kernel lists sockets on {len(ports)} of the {plural(len(usable), 'port')}",)
    return Cause(CauseId.RANGE_EXHAUSTED, text, seen), (
        *_wait(ports),
        Fix("close sockets that are not needed in the programs that have most of the ports"),
        *_own_range(verdict),
        *_widen(verdict, snapshot, facts),
        *((NO_PORT_YET,) if request.protocol == "tcp" else ()),
    )


def _takers(ports: list[Port]) -> Counter[str]:
    """How many ports each process has, or TIME_WAITs alone."""
    takers: Counter[str] = Counter()
    for port in ports:
        first = next(iter(eldest_first(port.holders)), None)
        if first is not None:
            takers[process_name(first.process and first.process.name, first.pid)] += 1
        elif set(port.states) == {"TIME_WAIT"}:
            takers["TIME_WAIT"] += 1
        else:
            takers["sockets whose holder is not known"] += 1
    return takers


def _wait(ports: list[Port]) -> Iterator[Fix]:
    """Until the first port that only TIME_WAITs have is free."""
    clocks = [
        port.time_wait.last_frees_in_s
        for port in ports
        if set(port.states) == {"TIME_WAIT"} and port.time_wait.last_frees_in_s is not None
    ]
    if clocks:
        yield Fix(f"wait {math.ceil(min(clocks))} s; the first port is free then", None)


def _own_range(verdict: Verdict) -> Iterator[Fix]:
    if verdict.request.port_range is not None:
        yield Fix("widen the socket's own IP_LOCAL_PORT_RANGE, or do not set it")


def _widen(verdict: Verdict, snapshot: Snapshot, facts: HostFacts) -> Iterator[Fix]:
    """A wider range with a port in it that nobody has."""
    request = verdict.request
    if facts.port_range is None or request.port_range is not None:
        return
    taken = {port.number for port in snapshot.ports if port.protocol == request.protocol}
    for first, last in WIDER:
        # The kernel refuses a range that begins below the first unprivileged port.
        low = max(min(first, facts.port_range[0]), facts.unprivileged_port_start or 0)
        wider = low, max(last, facts.port_range[1])
        if any(number not in taken for number in usable_ports(wider, facts)):
            setting = f"net.ipv4.ip_local_port_range={wider[0]} {wider[1]}"
            yield Fix(
                "as root, widen the range, and reserve the ports of servers that lie in it",
                shlex.join(["sysctl", "-w", setting]),
                in_netns=True,
            )
            return
