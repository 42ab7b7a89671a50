"""The ids of causes. Each means the same in every release."""

from __future__ import annotations

from sockwatch.model import Id


class CauseId(Id):
    """Why a request fails, or what threatens it."""

    # a process holds the port
    LISTENER = "listener", "a server has the port"
    ACCEPT_QUEUE_FULL = "accept-queue-full", "a server has the port; its accept queue is full"
    LISTENER_OLD_GENERATION = "listener-old-generation", "an older start of the server has it"
    HOLDER_STOPPED = "holder-stopped", "the holder is stopped (state T)"
    HOLDER_TRACED = "holder-traced", "a debugger or another tracer has stopped the holder"
    HOLDER_FROZEN = "holder-frozen", "the holder's cgroup is frozen"
    HOLDER_UNINTERRUPTIBLE = "holder-uninterruptible", "the holder stays in state D"
    HOLDER_NOT_VISIBLE = "holder-not-visible", "the holder may not be inspected by this user"
    ORPHANED_WORKERS = "orphaned-workers", "workers without their master keep its socket"
    INHERITED_LISTENER = "inherited-listener", "a child process inherited the listening socket"
    SYSTEMD_SOCKET = "systemd-socket", "systemd listens for a socket unit"
    DOCKER_PROXY = "docker-proxy", "docker-proxy forwards the port to a container"
    CONTAINER_RUNTIME = "container-runtime", "a container runtime holds a published port"
    SAME_PROCESS = "same-process", "the process that fails has the port itself"
    SAME_PROGRAM = "same-program", "the program that fails has the port by another process of its"
    REUSEPORT_MEMBER_WITHOUT = "reuseport-member-without", "the holder lacks SO_REUSEPORT"
    REUSEPORT_OTHER_USER = "reuseport-other-user", "both have SO_REUSEPORT, the users differ"
    DUAL_STACK = "dual-stack", "a socket on [::] takes the IPv4 port too"
    WILDCARD_OVERLAP = "wildcard-overlap", "a wildcard address overlaps a specific one"
    BOUND_ONLY = "bound-only", "a socket is bound and does not listen"
    KERNEL_SOCKET = "kernel-socket", "the kernel itself has the port"
    NO_FD_ANYWHERE = "no-fd-anywhere", "no fd refers to the socket"

    # connections, and what is left of them
    CLIENT_PORT = "client-port", "a client has it as the source port of what it sends"
    SELF_CONNECT = "self-connect", "a client connected to itself"
    NATIVE_IPV6_CONNECTION = "native-ipv6-connection", "an IPv6 connection blocks 0.0.0.0"
    REQUEST_LACKS_FLAG = "request-lacks-flag", "leftovers have a reuse flag, the request does not"
    LEFTOVERS_FLAGS_UNKNOWN = "leftovers-flags-unknown", "the flags of the leftovers are unknown"
    LEFTOVERS_NO_FLAG = "leftovers-no-flag", "connections without SO_REUSEADDR are still open"
    CLOSE_WAIT = "close-wait", "the peers have closed connections that a program keeps open"
    TIME_WAIT_NO_FLAG = "time-wait-no-flag", "TIME_WAITs lack SO_REUSEADDR"
    ORPHANS = "orphans", "connections closed here but not by the peer lack SO_REUSEADDR"
    UNACCEPTED = "unaccepted", "connections in an accept queue lack SO_REUSEADDR"

    # no port for port 0
    RANGE_EXHAUSTED = "range-exhausted", "every port that the kernel may choose is taken"

    # bind() fails before it looks at the port
    SECURITY_POLICY = "security-policy", "a security policy refused the call"
    MISSING_CAPABILITY = "missing-capability", "the address needs a capability"
    LOW_PORT = "low-port", "the port needs CAP_NET_BIND_SERVICE"
    LOW_PORT_ELSEWHERE = (
        "low-port-elsewhere",
        "the port needs CAP_NET_BIND_SERVICE in another user namespace",
    )
    ADDRESS_NOT_LOCAL = "address-not-local", "no interface has the address"
    ADDRESS_TENTATIVE = "address-tentative", "duplicate address detection is still running"
    ADDRESS_LINK_DOWN = "address-link-down", "the address stays tentative: its link is down"
    ADDRESS_DUPLICATE = "address-duplicate", "another host of the link has the address"
    ADDRESS_ROUTED = "address-routed", "a local route covers the address, and does not suffice"
    ADDRESS_OTHER_DEVICE = "address-other-device", "another interface than the socket's has it"
    ADDRESS_IN_VRF = "address-in-vrf", "the address belongs to another VRF than the socket"
    ADDRESS_LATE = "address-late", "the address came after the call"
    LOOPBACK_DOWN = "loopback-down", "lo is down and has no addresses"
    IPV6_OFF = "ipv6-off", "IPv6 is off on the interface"
    NO_IPV6 = "no-ipv6", "the kernel has no IPv6"
    NO_DEVICE = "no-device", "there is no such network device"
    ZONE_MISSING = "zone-missing", "a link-local address needs its interface"

    BAD_CALL = "bad-call", "the program's own call is wrong: its fd, its address or its order"
    ALREADY_BOUND = "already-bound", "the socket has an address already"
    WRONG_FAMILY = "wrong-family", "the address is of another family than the socket"
    NO_MEMORY = "no-memory", "the kernel had no memory for it"
    NETLINK_PORT_ID = "netlink-port-id", "another netlink socket has the port id"

    # nothing blocks the port now
    REDIRECTED = "redirected", "free, but NAT rules send the port's traffic elsewhere"
    FREE_IN_RANGE = "free-in-range", "free, but outgoing connections may take it"

    # unix sockets
    UNIX_LIVE = "unix-live", "a unix socket has the name"
    UNIX_STALE = "unix-stale", "the socket file is left over from a socket that is gone"
    UNIX_FOLDER = "unix-folder", "the folder of the path is missing, or does not let it be made"
    UNIX_OTHER_FILE = "unix-other-file", "the path is a file of another kind"
