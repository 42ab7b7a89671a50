"""Servers that are their own clients, as by a health check, or a test in one process."""

from __future__ import annotations

from itertools import islice
from typing import Final

from sockwatch.kernel.proc.holders import held_by
from sockwatch.kernel.sock_diag.dumps import far_ends
from sockwatch.model import KernelError, Port

MOST_PROCESSES: Final = 64
MOST_SOCKETS: Final = 5000  # a proxy can have very many connections to the same port elsewhere


def with_far_ends(port: Port) -> Port:
    """Count the connections of the port whose far end its server has too, if it has any."""
    if port.protocol != "tcp" or not port.listeners or not any(g.with_fd for g in port.groups):
        return port
    try:
        ends = far_ends(port.number)
    except KernelError:
        return port
    if len(ends) > MOST_SOCKETS:
        return port
    addresses = {_as_ipv4(group.address) for group in port.groups}
    inodes = {s.inode for s in ends if s.inode and _as_ipv4(s.peer_address or "") in addresses}
    pids = islice(dict.fromkeys(holder.pid for holder in port.holders), MOST_PROCESSES)
    return port._replace(to_itself=len(held_by(pids, inodes)) if inodes else 0)


def _as_ipv4(address: str) -> str:
    """A v4-mapped address as its far end has it."""
    return address.removeprefix("::ffff:")
