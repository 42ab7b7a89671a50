"""What could not be seen."""

from __future__ import annotations

from typing import Final, NamedTuple

from sockwatch.model.ids import Id

AS_ROOT: Final = "run as root"  # a remedy


class GapCode(Id):
    """What kind of gap it is."""

    # of a snapshot
    HOLDERS_NOT_PERMITTED = (
        "holders-not-permitted",
        "no permission to read the fds of some processes",
    )
    HOLDERS_NOT_VISIBLE = "holders-not-visible", "some sockets have no holder visible from here"
    FLAGS_UNKNOWN = "flags-unknown", "the reuse flags of some sockets are unknown"
    BOUND_NOT_VISIBLE = "bound-not-visible", "this kernel does not list bound sockets"
    SOCK_DIAG_REFUSED = "sock-diag-refused", "a table was read from /proc/net, with less detail"
    PROCESS_STUCK = "process-stuck", "the command lines of some processes cannot be read in time"
    CONTAINERS_UNNAMED = "containers-unnamed", "of some containers or pods only the id is known"
    NETNS_UNREAD = "netns-unread", "a network namespace could not be looked into"
    NETNS_HIDDEN = "netns-hidden", "some network namespaces cannot be found from here"
    SOCKET_UNITS_UNSEEN = "socket-units-unseen", "systemd did not say for which unit it listens"
    CONTAINER_UNKNOWN = "container-unknown", "the container that a port is published for is unknown"
    NAT_RULES_UNSEEN = "nat-rules-unseen", "NAT rules that could not be read may take the traffic"
    TIME_WAIT_GROUPS = "time-wait-groups", "TIME_WAITs overflowed a kernel map; none is missing"

    # of a verdict
    CLIENTS_FOLDED = "clients-folded", "sockets of the port were counted by destination only"
    KERNEL_UNKNOWN = "kernel-unknown", "the kernel's release could not be parsed"
    KERNEL_NEWER = "kernel-newer", "the kernel is newer than those whose bind rules are known"
    KERNEL_PATCHES = "kernel-patches", "which fixes a distribution's kernel has is not known"
    BOUND_UNSEEN = "bound-unseen", "a bound socket that this kernel does not list may block"
    ADDRESSES_UNSEEN = "addresses-unseen", "the host's addresses could not be read"
    ROUTES_UNSEEN = "routes-unseen", "the routing table is too large to be read in full"
    NONLOCAL_UNSEEN = "nonlocal-unseen", "ip_nonlocal_bind could not be read"
    PRIVILEGE_UNSEEN = "privilege-unseen", "whether low ports are allowed could not be read"
    PRIVILEGE_ASSUMED = "privilege-assumed", "the capabilities of another user were assumed"
    PORT_RANGE_UNSEEN = "port-range-unseen", "ip_local_port_range could not be read"
    ONE_PORT_LEFT = "one-port-left", "the kernel may not try the only port that is free"
    FATE_UNSEEN = "fate-unseen", "whether sockets outlive their server could not be seen"
    RESETS_UNSEEN = "resets-unseen", "connections may be reset, and then leave nothing behind"
    PORT_MEMORY = (
        "port-memory",
        "the kernel may skip its test for a SO_REUSEPORT socket it remembers",
    )

    # of a failed call
    PROCESS_GONE = "process-gone", "the process exited before it could be read"
    PID_UNSEEN = "pid-unseen", "the process has no pid in this pid namespace"
    SOCKET_UNSEEN = "socket-unseen", "the failing socket's flags and protocol are unknown"
    ADDRESS_UNSEEN = "address-unseen", "the address and port of the call could not be read"
    NETNS_UNKNOWN = "netns-unknown", "the network namespace of the call is unknown"
    NETNS_UNSEEN = "netns-unseen", "the network namespace of the call could not be entered"
    UNIX_PATH_UNSEEN = "unix-path-unseen", "the path of the unix socket could not be read"
    NOT_JUDGED = "not-judged", "the protocol is not TCP, UDP or unix"
    BOUND_SINCE = "bound-since", "the socket has bound in the meantime"


class Gap(NamedTuple):
    """Something that could not be seen.

    `text` is a clause without a full stop. `remedy` is what would show it, in the imperative
    ("run as root"); None where nothing would.
    """

    code: GapCode
    text: str
    remedy: str | None
