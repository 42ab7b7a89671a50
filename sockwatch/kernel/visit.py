"""A look at another network namespace, which the thread has entered for it."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from sockwatch.kernel.sockstat import SocketCounts
from sockwatch.model import Netns, Socket


class Visit(NamedTuple):
    """What is known when it begins.

    `diag` is a sock_diag socket of that namespace. `port_range` is its ip_local_port_range, and
    `counts` are of its sockets; None where they cannot be read. `held` are the inodes of those that
    BPF has shown. `bound` is whether it may have TCP sockets that are bound and do not listen,
    `requests` whether it may have half-open ones. No table is walked for what is not there.
    """

    netns: Netns
    diag: socket.socket
    port_range: tuple[int, int] | None
    counts: SocketCounts | None
    held: AbstractSet[int]
    bound: bool
    requests: bool

    @property
    def tcp(self) -> bool:
        """Whether it may have TCP sockets that listen or are connected, or TIME_WAITs."""
        return self.counts is None or self.counts.tcp + self.counts.time_waits > 0

    @property
    def udp(self) -> bool:
        """Whether it may have UDP sockets."""
        return self.counts is None or self.counts.udp > 0

    def has_only(self, listeners: Sequence[Socket]) -> bool:
        """Whether these are all of its TCP sockets, but for bound ones, and BPF has shown each."""
        if self.requests or self.counts is None or self.counts[:2] != (len(listeners), 0):
            return False
        return all(sock.inode in self.held for sock in listeners)
