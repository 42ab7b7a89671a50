"""Who ends when a server ends: the holder that stands for all, and what goes with it."""

from __future__ import annotations

from collections.abc import Iterable

from sockwatch.bind.generations import ONE_START_S, eldest_first
from sockwatch.bind.programs import NEVER_LISTEN, program
from sockwatch.model import Holder, Port, Process, Socket


def servers(port: Port) -> tuple[Socket, ...]:
    """The sockets that a server of the port would bind again."""
    return (*port.listeners, *port.bound)


def who_ends(port: Port) -> list[Holder]:
    """One holder of each process that ends with the port's server; none if no holder was seen.

    The first stands for all. With it go the holders that descend from it, and those that the same
    parent has started as its workers. What only inherited the socket, and another server that
    shares the port, go on.
    """
    held = [holder for sock in port.listeners or port.bound for holder in sock.holders]
    eldest = sorted(eldest_first(held), key=_only_inherited)
    ends = eldest[:1]
    others = eldest_first(holder for sock in servers(port) for holder in sock.holders)
    sharing = _sharing(port)
    found = True
    while found:
        found = False
        for other in others:
            if other.pid in (holder.pid for holder in ends):
                continue
            if any(_goes_with(other, holder, sharing) for holder in ends):
                ends.append(other)
                found = True
    return ends


def _sharing(port: Port) -> set[tuple[int, int]]:
    """Pairs of pids that hold the same socket, each way round."""
    pids = [{holder.pid for holder in sock.holders} for sock in servers(port)]
    return {(one, other) for some in pids for one in some for other in some}


def _goes_with(other: Holder, ending: Holder, sharing: Iterable[tuple[int, int]]) -> bool:
    one, first = other.process, ending.process
    if one is None or first is None or _only_inherited(other):
        return False
    if one.parent_pid == first.pid:
        return True
    if (one.parent_pid, one.command, program(one)) != (
        first.parent_pid,
        first.command,
        program(first),
    ):
        return False
    return (one.pid, first.pid) in sharing or _had_one_start(one, first)


def _had_one_start(one: Process, other: Process) -> bool:
    together = abs(one.start_time - other.start_time) <= ONE_START_S
    return together or (one.service is not None and one.service == other.service)


def _only_inherited(holder: Holder) -> bool:
    return holder.process is not None and program(holder.process) in NEVER_LISTEN
