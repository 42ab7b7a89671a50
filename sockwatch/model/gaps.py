"""What could not be seen."""

from __future__ import annotations

from typing import NamedTuple

from sockwatch.model.ids import Id


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
    TIME_WAIT_GROUPS = "time-wait-groups", "TIME_WAITs overflowed a kernel map; none is missing"

    # of a verdict
    KERNEL_UNKNOWN = "kernel-unknown", "the kernel's release could not be parsed"
    KERNEL_NEWER = "kernel-newer", "the kernel is newer than those whose bind rules are known"
    BOUND_UNSEEN = "bound-unseen", "a bound socket that this kernel does not list may block"
    ADDRESSES_UNSEEN = "addresses-unseen", "the host's addresses could not be read"
    PRIVILEGE_UNSEEN = "privilege-unseen", "whether low ports are allowed could not be read"
    PRIVILEGE_ASSUMED = "privilege-assumed", "the capabilities of another user were assumed"
    PORT_RANGE_UNSEEN = "port-range-unseen", "ip_local_port_range could not be read"
    PORT_MEMORY = "port-memory", "the kernel may skip its test because of a socket now closed"

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
