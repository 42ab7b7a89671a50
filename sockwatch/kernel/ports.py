"""Ports put together from the socket tables, holders and options."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from sockwatch.kernel.sock_diag.owners import OwnerTable
from sockwatch.kernel.sock_diag.packed_sockets import PackedSockets
from sockwatch.model import (
    Holder,
    Port,
    Process,
    Protocol,
    Socket,
    SocketGroup,
    SocketOptions,
    TimeWait,
)

# States in which a socket without an fd waits for accept(); in the others its fd was closed.
UNACCEPTED_STATES: Final = frozenset({"SYN_RECV", "ESTABLISHED", "CLOSE_WAIT"})

HoldersByInode: TypeAlias = Mapping[int, tuple[Holder, ...]]
Identify: TypeAlias = Callable[[int], Process | None]


def ports_of(
    protocol: Protocol,
    table: OwnerTable,
    holders: HoldersByInode,
    options: Mapping[int, SocketOptions],
    identify: Identify,
) -> Iterator[Port]:
    """Every port of the table. `options` are by cookie; `identify` finds a process by its pid."""
    if isinstance(table.connections, PackedSockets):
        table.connections.attach(holders, options)
    for number in sorted(table.sockets.keys() | table.groups.keys() | table.half_open.keys()):
        sockets = [_with_holders(sock, holders, identify) for sock in table.sockets.get(number, ())]
        groups = tuple(table.groups.get(number, ()))
        states: dict[str, int] = {}  # a Counter takes four times as long to make
        for sock in sockets:
            states[sock.state] = states.get(sock.state, 0) + 1
        for group in groups:
            states[group.state] = states.get(group.state, 0) + group.count
        orphans, unaccepted = _without_fd(groups)
        if sockets:
            held = [holder for sock in sockets for holder in sock.holders]
        else:
            held = [
                holder
                for group in groups
                for inode in group.inodes or ()
                for holder in holders.get(inode, ())
            ]
        yield Port(
            protocol=protocol,
            number=number,
            states=states,
            listeners=tuple(sock for sock in sockets if sock.state != "BOUND"),
            bound=tuple(sock for sock in sockets if sock.state == "BOUND"),
            groups=groups,
            time_wait=TimeWait.of(groups),
            orphans=orphans,
            unaccepted=unaccepted,
            half_open=table.half_open.get(number, 0),
            holders=tuple(dict.fromkeys(held)),
            connections=table.connections,
        )


def _with_holders(sock: Socket, holders: HoldersByInode, identify: Identify) -> Socket:
    if sock.inode is not None:
        return sock._replace(holders=holders.get(sock.inode, ()))
    # From /proc/net, with the one holder that psutil saw.
    processes = ((holder, identify(holder.pid)) for holder in sock.holders)
    return sock._replace(
        holders=tuple(h._replace(process=process) for h, process in processes if process)
    )


def _without_fd(groups: Iterable[SocketGroup]) -> tuple[int | None, int | None]:
    """(orphans, unaccepted); None where the table does not show which sockets have an fd."""
    orphans = unaccepted = 0
    for group in groups:
        if group.mini:
            continue
        if group.inodes is None:
            return None, None
        missing = group.count - len(group.inodes)
        if group.state in UNACCEPTED_STATES:
            unaccepted += missing
        else:
            orphans += missing
    return orphans, unaccepted
