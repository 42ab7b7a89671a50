"""The ids of causes. Each means the same in every release."""

from __future__ import annotations

from sockwatch.model import Id


class CauseId(Id):
    """Why a request fails, or what threatens it."""

    # a process holds the port
    LISTENER = "listener", "a server has the port"
    LISTENER_OLD_GENERATION = "listener-old-generation", "an older start of the server has it"
    HOLDER_STOPPED = "holder-stopped", "the holder is stopped (state T)"
    HOLDER_UNINTERRUPTIBLE = "holder-uninterruptible", "the holder is in state D and cannot exit"
    HOLDER_NOT_VISIBLE = "holder-not-visible", "the holder may not be inspected by this user"
    INHERITED_LISTENER = "inherited-listener", "a child process inherited the listening socket"
    SYSTEMD_SOCKET = "systemd-socket", "systemd listens for a socket unit"
    DOCKER_PROXY = "docker-proxy", "docker-proxy forwards the port to a container"
    CONTAINER_RUNTIME = "container-runtime", "a container runtime holds a published port"
    SAME_PROCESS = "same-process", "the process that fails has the port itself"
    REUSEPORT_MEMBER_WITHOUT = "reuseport-member-without", "the holder lacks SO_REUSEPORT"
    REUSEPORT_OTHER_USER = "reuseport-other-user", "both have SO_REUSEPORT, the users differ"
    DUAL_STACK = "dual-stack", "a socket on [::] takes the IPv4 port too"
    WILDCARD_OVERLAP = "wildcard-overlap", "a wildcard address overlaps a specific one"
    BOUND_ONLY = "bound-only", "a socket is bound and does not listen"
    KERNEL_SOCKET = "kernel-socket", "the kernel itself has the port"
    NO_FD_ANYWHERE = "no-fd-anywhere", "no fd refers to the socket"

    # connections, and what is left of them
    CLIENT_PORT = "client-port", "it is the source port of an outgoing connection"
    SELF_CONNECT = "self-connect", "a client connected to itself"
    NATIVE_IPV6_CONNECTION = "native-ipv6-connection", "an IPv6 connection blocks 0.0.0.0"
    REQUEST_LACKS_FLAG = "request-lacks-flag", "leftovers have SO_REUSEADDR, the request does not"
    LEFTOVERS_FLAGS_UNKNOWN = "leftovers-flags-unknown", "the flags of the leftovers are unknown"
    LEFTOVERS_NO_FLAG = "leftovers-no-flag", "connections without SO_REUSEADDR are still open"
    TIME_WAIT_NO_FLAG = "time-wait-no-flag", "TIME_WAITs lack SO_REUSEADDR"
    ORPHANS = "orphans", "connections closed here but not by the peer lack SO_REUSEADDR"
    UNACCEPTED = "unaccepted", "connections in an accept queue lack SO_REUSEADDR"

    # bind() fails before it looks at the port
    SECURITY_POLICY = "security-policy", "a security policy refused the call"
    LOW_PORT = "low-port", "the port needs CAP_NET_BIND_SERVICE"
    ADDRESS_NOT_LOCAL = "address-not-local", "no interface has the address"
    ADDRESS_TENTATIVE = "address-tentative", "duplicate address detection is still running"

    # nothing blocks the port now
    FREE_IN_RANGE = "free-in-range", "free, but outgoing connections may take it"

    # unix sockets
    UNIX_LIVE = "unix-live", "a unix socket has the name"
    UNIX_STALE = "unix-stale", "the socket file is left over from a socket that is gone"
    UNIX_OTHER_FILE = "unix-other-file", "the path is a file of another kind"
