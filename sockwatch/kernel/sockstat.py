"""How many sockets a network namespace has, counted by the kernel as they come and go."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final, NamedTuple

FILES: Final = ("/proc/thread-self/net/sockstat", "/proc/thread-self/net/sockstat6")
SEGMENTS: Final = "/proc/thread-self/net/snmp"
MOST_BYTES: Final = 4096
LINE: Final = re.compile(
    rb"^(TCP|UDP|sockets)6?: (?:inuse|used) (\d+)(?:.* tw (\d+))?", re.MULTILINE
)


class SocketCounts(NamedTuple):
    """Of both families. `tcp` are those in the kernel's hash tables, without `time_waits`.

    So a bound TCP socket that neither listens nor is connected is in `used` alone: all sockets that
    programs have, of any kind. `time_waits` are mini sockets, FIN_WAIT2 after close() among them.
    """

    tcp: int
    time_waits: int
    udp: int
    used: int

    @property
    def is_empty(self) -> bool:
        """Whether there is none with a port, but for bound TCP sockets, if `used` is not 0."""
        return not (self.tcp or self.time_waits or self.udp)


def read_sockstat() -> SocketCounts | None:
    """Those of this thread's network namespace, by proc_net(5); None if that cannot be read."""
    counts: Counter[bytes] = Counter()
    for path in FILES:
        try:
            with open(path, "rb", buffering=0) as file:
                text = file.read(MOST_BYTES)
        except OSError:
            if path == FILES[0]:
                return None
            continue  # a kernel without IPv6
        for protocol, in_use, time_waits in LINE.findall(text):
            counts[protocol] += int(in_use)
            counts[b"tw"] += int(time_waits or 0)
    if not {b"TCP", b"sockets"} <= counts.keys():
        return None
    return SocketCounts(counts[b"TCP"], counts[b"tw"], counts[b"UDP"], counts[b"sockets"])


def read_segments() -> int | None:
    """How many TCP segments this thread's network namespace has received; None if unknown.

    While they are the same, nobody has begun to connect.
    """
    try:
        with open(SEGMENTS, "rb", buffering=0) as file:
            lines = [line.split() for line in file.read(MOST_BYTES).splitlines()]
        names, numbers = (line for line in lines if line[:1] == [b"Tcp:"])
        return int(numbers[names.index(b"InSegs")])
    except (OSError, ValueError, IndexError):
        return None
