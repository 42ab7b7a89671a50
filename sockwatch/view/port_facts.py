"""What the columns, the filter and the summary work out of a port."""

from __future__ import annotations

from typing import TypeAlias

from sockwatch.model import Port, Process, ReuseFlags, Socket, SocketGroup
from sockwatch.view import holders, names

Owners: TypeAlias = tuple[Socket | SocketGroup, ...]


def owners(port: Port) -> Owners:
    """The listeners and bound sockets, else the groups of the port's other sockets."""
    return (*port.listeners, *port.bound) or port.groups


def addresses(port: Port) -> tuple[str, ...]:
    """The distinct local addresses of the owners, as they are written."""
    return tuple(dict.fromkeys(map(names.local_address, owners(port))))


def flags(port: Port) -> tuple[ReuseFlags, ...]:
    """The flags of each owner."""
    return tuple(owner.flags for owner in owners(port))


def owner_uid(port: Port) -> int | None:
    """The uid that every owner has; None if they differ, or none has one."""
    uids = {owner.uid for owner in owners(port) if owner.uid is not None}
    return uids.pop() if len(uids) == 1 else None


def fullest(port: Port) -> Socket | None:
    """The TCP listener whose accept queue is nearest to its limit; None without a listener."""
    if port.protocol == "udp" or not port.listeners:
        return None
    return max(port.listeners, key=fill)


def fill(listener: Socket) -> tuple[float, int]:
    """How full an accept queue is, as a fraction, and its length in connections."""
    length = listener.queue or 0
    # The kernel takes one connection more than the backlog, also for a backlog of 0.
    return (length / ((listener.backlog or 0) + 1), length)


def first_process(port: Port) -> Process | None:
    """The process of the first holder; None without a holder, or if it cannot be identified."""
    holder = holders.first(port) if port.holders else None
    return holder.process if holder else None


def process_count(port: Port) -> int:
    """The number of processes that hold the port."""
    return len({holder.pid for holder in port.holders})


def holders_unseen(port: Port) -> bool:
    """Whether a socket of the port has an fd, or may have one, but no holder of it was seen."""
    return not port.holders and (
        any(socket.inode != 0 for socket in (*port.listeners, *port.bound))
        or any(group.with_fd or _may_have_fds(group) for group in port.groups)
    )


def _may_have_fds(group: SocketGroup) -> bool:
    return group.with_fd is None and not group.mini


def started(port: Port) -> float | None:
    """When the oldest holder was started, in seconds since the epoch; None as for age_s()."""
    starts = [h.process.start_time for h in port.holders if h.process is not None]
    return min(starts, default=None)


def age_s(port: Port, now: float) -> float | None:
    """The seconds that the oldest holder has been running; None if no process was identified."""
    since = started(port)
    return None if since is None else max(0.0, now - since)
