"""What is left on a port once its server has ended.

The rules are those of tcp_close() and inet_csk_listen_stop() of the kernel (net/ipv4/tcp.c,
net/ipv4/inet_connection_sock.c). SIGKILL, SIGTERM and close() all lead there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from ipaddress import ip_address
from typing import Final, NamedTuple

from sockwatch.bind.ending import servers
from sockwatch.bind.model import Owner
from sockwatch.model import FlagCounts, Holder, Port, Socket, SocketGroup

TIME_WAIT_S: Final = 60.0  # TCP_TIMEWAIT_LEN; tcp_fin_timeout is the same unless it was set
BEFORE_ACCEPT: Final = frozenset({"SYN_RECV", "ESTABLISHED", "CLOSE_WAIT"})
CLOSING_HERE: Final = frozenset({"FIN_WAIT1", "CLOSING", "LAST_ACK"})  # our FIN is on its way


class Fate(NamedTuple):
    """What becomes of an owner: `least` and `most` of it that may be left; None is nothing."""

    least: Owner | None
    most: Owner | None
    kept: bool = False  # by a process that does not end


class Aftermath(NamedTuple):
    """The owners that are left, `least` and `most` as far as can be told.

    They are the same but for the state in which a connection is left: first it is a FIN_WAIT1
    that has a user, and once the peer has acknowledged that a FIN_WAIT2 that has none.
    `connections` counts those that are open now and will be left, by SO_REUSEADDR. `kept` are the
    owners that other processes keep open.
    """

    least: Port
    most: Port
    connections: FlagCounts
    kept: tuple[Owner, ...]


def aftermath(port: Port, ending: Collection[int]) -> Aftermath:
    """What is left of the port once the processes `ending`, by pid, have ended.

    If that is none, the holders could not be seen, and every server of the port is supposed to end.
    """
    fates = [_of_server(sock, ending) for sock in servers(port)]
    listening = [f.most for f in fates if isinstance(f.most, Socket) and f.most.state == "LISTEN"]
    closed: list[SocketGroup] = []
    for group in port.groups:
        if group.mini:
            fates.append(Fate(group, group))
            continue
        if waiting := _without_fd(group):
            fates.append(_of_unheld(group._replace(count=waiting, with_fd=0), listening))
        if held := group.count if group.with_fd is None else group.with_fd:
            fate = _of_held(port, group._replace(count=held), ending)
            fates.append(fate)
            if isinstance(fate.least, SocketGroup) and fate.least.mini:
                closed.append(fate.least)
    return Aftermath(
        _with(port, (fate.least for fate in fates)),
        _with(port, (fate.most for fate in fates)),
        FlagCounts.of((group.flags.reuseaddr, group.count) for group in closed),
        tuple(fate.most for fate in fates if fate.kept and fate.most is not None),
    )


def _of_server(sock: Socket, ending: Collection[int]) -> Fate:
    if _survivors(sock.holders, ending):
        return Fate(sock, sock, kept=True)
    if ending and not sock.holders:
        return Fate(None, sock)  # perhaps another one's
    return Fate(None, None)


def _without_fd(group: SocketGroup) -> int:
    """How many certainly have no fd."""
    return 0 if group.with_fd is None else group.count - group.with_fd


def _of_unheld(group: SocketGroup, listening: Collection[Socket]) -> Fate:
    """Those that wait in an accept queue are reset with their listener; orphans stay."""
    if group.state not in BEFORE_ACCEPT:
        return Fate(group, group)
    stays = any(sock.queue != 0 and _covers(sock, group) for sock in listening)
    return Fate(None, group if stays else None)


def _covers(listener: Socket, group: SocketGroup) -> bool:
    ip = ip_address(listener.address.partition("%")[0])
    return ip.is_unspecified or listener.address == group.address


def _of_held(port: Port, group: SocketGroup, ending: Collection[int]) -> Fate:
    """The fate of connections that have an fd, or may have one."""
    if _survivors(group.holders, ending):
        return Fate(group, group, kept=True)
    ended = _of_closed(port, group)
    if group.holders:
        return ended
    # Whoever has them may go on; where no holder is seen at all, it is supposed to be the server.
    least = None if group.with_fd is None else ended.least  # or they wait in an accept queue
    return Fate(least, group if ending else ended.most or group)


def _of_closed(port: Port, group: SocketGroup) -> Fate:
    """close() sends a reset where data was not read, and else a FIN."""
    left = group.count - (group.unread or 0)
    if left <= 0 or port.protocol == "udp" or group.state == "SYN_SENT":
        return Fate(None, None)
    orphans = group._replace(count=left, with_fd=0, holders=())
    if group.state in CLOSING_HERE:
        return Fate(orphans, orphans)
    if group.state == "CLOSE_WAIT":  # the peer's acknowledgement ends them
        lasts = group.unacknowledged != 0
        return Fate(None, orphans._replace(state="LAST_ACK") if lasts else None)
    orphans = orphans._replace(first_frees_in_s=TIME_WAIT_S, last_frees_in_s=TIME_WAIT_S)
    mini = orphans._replace(state="FIN_WAIT2", mini=True, uid=None, automatic=None)
    # Where the server ends both sides, that which is closed first is left.
    certain = left > (port.to_itself or 0)
    return Fate(mini if certain else None, orphans._replace(state="FIN_WAIT1"))


def _survivors(holders: Collection[Holder], ending: Collection[int]) -> bool:
    return any(holder.pid not in ending for holder in holders)


def _with(port: Port, owners: Iterator[Owner | None]) -> Port:
    """The port with these owners."""
    left = [owner for owner in owners if owner is not None]
    sockets = [owner for owner in left if isinstance(owner, Socket)]
    return port._replace(
        listeners=tuple(sock for sock in sockets if sock.state != "BOUND"),
        bound=tuple(sock for sock in sockets if sock.state == "BOUND"),
        groups=tuple(owner for owner in left if isinstance(owner, SocketGroup)),
    )
