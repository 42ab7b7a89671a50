"""The words of sockwatch as frozen values. No I/O happens here.

Three things are kept apart everywhere: zero is ``0``, unknown is ``None``, and what could not be
seen is a :class:`Gap` that says what would show it.
"""

from sockwatch.model.errors import KernelError, SockwatchError
from sockwatch.model.gaps import Gap, GapCode
from sockwatch.model.ids import Id
from sockwatch.model.ports import NO_TIME_WAIT, FlagCounts, Port, TimeWait
from sockwatch.model.snapshot import HostFacts, Netns, OwnAddress, Snapshot
from sockwatch.model.sockets import (
    STATES,
    TCP_STATES,
    UDP_STATES,
    UNKNOWN_FLAGS,
    Family,
    FlagsSource,
    Holder,
    Process,
    Protocol,
    ReuseFlags,
    Service,
    Socket,
    SocketGroup,
    SocketOptions,
)

__all__ = [
    "NO_TIME_WAIT",
    "STATES",
    "TCP_STATES",
    "UDP_STATES",
    "UNKNOWN_FLAGS",
    "Family",
    "FlagCounts",
    "FlagsSource",
    "Gap",
    "GapCode",
    "Holder",
    "HostFacts",
    "Id",
    "KernelError",
    "Netns",
    "OwnAddress",
    "Port",
    "Process",
    "Protocol",
    "ReuseFlags",
    "Service",
    "Snapshot",
    "Socket",
    "SocketGroup",
    "SocketOptions",
    "SockwatchError",
    "TimeWait",
]
