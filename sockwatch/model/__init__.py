"""The words of sockwatch as frozen values. No I/O happens here.

Three things are kept apart everywhere: zero is ``0``, unknown is ``None``, and what could not be
seen is a :class:`Gap` that says what would show it.
"""

from sockwatch.model.clients import NO_CLIENTS, ClientGroup, Clients
from sockwatch.model.errors import KernelError, SockwatchError, shortage
from sockwatch.model.gaps import AS_ROOT, Gap, GapCode
from sockwatch.model.host_snapshot import HostSnapshot
from sockwatch.model.ids import Id
from sockwatch.model.netns import HOST_NAME, Netns, NetnsKey
from sockwatch.model.origin import Origin, OriginKind
from sockwatch.model.port_set import EVERY_PORT, NO_PORTS, PortSet
from sockwatch.model.ports import NO_TIME_WAIT, FlagCounts, Port, RowKey, TimeWait
from sockwatch.model.publications import Publication
from sockwatch.model.redirects import Destinations, Hook, Redirect, Target
from sockwatch.model.snapshot import HostFacts, Link, OwnAddress, Route, RouteTable, Snapshot
from sockwatch.model.socket_units import (
    INIT_PID,
    SYSTEMD,
    SocketUnit,
    is_own_manager,
    is_service_manager,
    manager_uid,
)
from sockwatch.model.sockets import (
    PROTOCOLS,
    STATES,
    TCP_STATES,
    UDP_STATES,
    UNKNOWN_FLAGS,
    Ancestor,
    Family,
    FlagsSource,
    Halt,
    HaltKind,
    Holder,
    Orphan,
    Process,
    Protocol,
    ReuseFlags,
    Service,
    Socket,
    SocketGroup,
    SocketOptions,
)

__all__ = [
    "AS_ROOT",
    "EVERY_PORT",
    "HOST_NAME",
    "INIT_PID",
    "NO_CLIENTS",
    "NO_PORTS",
    "NO_TIME_WAIT",
    "PROTOCOLS",
    "STATES",
    "SYSTEMD",
    "TCP_STATES",
    "UDP_STATES",
    "UNKNOWN_FLAGS",
    "Ancestor",
    "ClientGroup",
    "Clients",
    "Destinations",
    "Family",
    "FlagCounts",
    "FlagsSource",
    "Gap",
    "GapCode",
    "Halt",
    "HaltKind",
    "Holder",
    "Hook",
    "HostFacts",
    "HostSnapshot",
    "Id",
    "KernelError",
    "Link",
    "Netns",
    "NetnsKey",
    "Origin",
    "OriginKind",
    "Orphan",
    "OwnAddress",
    "Port",
    "PortSet",
    "Process",
    "Protocol",
    "Publication",
    "Redirect",
    "ReuseFlags",
    "Route",
    "RouteTable",
    "RowKey",
    "Service",
    "Snapshot",
    "Socket",
    "SocketGroup",
    "SocketOptions",
    "SocketUnit",
    "SockwatchError",
    "Target",
    "TimeWait",
    "is_own_manager",
    "is_service_manager",
    "manager_uid",
    "shortage",
]
