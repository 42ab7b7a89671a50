"""What an errno tells by itself: failures whose cause is in the call, and not on the host.

The checks are those of __sys_bind() and __sys_listen() of net/socket.c, and of the bind functions
of net/ipv4/af_inet.c, net/ipv6/af_inet6.c, net/unix/af_unix.c and net/netlink/af_netlink.c.
"""

from __future__ import annotations

from typing import Final

from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.model import Cause, Fix
from sockwatch.failure import Failure, Policies

Explanation = tuple[Cause, tuple[Fix, ...]]

SHORTEST: Final = {"ipv4": 16, "ipv6": 24, "unix": 3, "netlink": 12}
"""Bytes of an address that bind() takes at least. The ones of IPv6 are without the scope."""
LONGEST_UNIX: Final = 110
RESERVED_VSOCK_PORTS: Final = 1024


def explain_errno(failure: Failure) -> Explanation | None:
    """Return the cause and the fixes if the errno and the call tell it; else None."""
    explain = _BY_ERRNO.get(failure.errno)
    return None if explain is None else explain(failure)


def refused_by_policy(failure: Failure) -> Explanation:
    """Return what is known of a refusal that the rules of bind() do not know."""
    text = (
        f"a security policy refused it: the rules of {failure.call}() alone would not say"
        f" {failure.errno} here; {_policies(failure.policies or Policies())}"
    )
    return Cause(CauseId.SECURITY_POLICY, text), (
        Fix("look for the refusal in the audit log", "journalctl -k -g 'audit|apparmor|avc'"),
    )


def _policies(policies: Policies) -> str:
    seen = []
    if policies.seccomp:
        seen.append("a seccomp filter on the thread")
    if policies.label is not None:
        seen.append(f"a security module, which confines it as {policies.label}")
    if policies.bind_programs:
        seen.append("a BPF program on its cgroup, as SocketBindDeny= of systemd makes one")
    if not seen:
        return "none was seen, but SELinux, AppArmor, Landlock and seccomp do this"
    return f"what could have is {', or '.join(seen)}; Landlock cannot be seen"


def _bad_call(text: str, *fixes: str) -> Explanation:
    return Cause(CauseId.BAD_CALL, text), tuple(Fix(fix) for fix in fixes)


def _bad_fd(failure: Failure) -> Explanation:
    return _bad_call(
        f"fd {failure.fd} is not open in the program",
        "look for a close() before the call, perhaps by another thread",
    )


def _not_a_socket(failure: Failure) -> Explanation:
    return _bad_call(
        f"fd {failure.fd} of the program is not a socket",
        "check which fd it inherits, as by socket activation, and which it closes",
    )


def _bad_memory(_: Failure) -> Explanation:
    return _bad_call("the address is not in the program's memory", "pass a pointer to the address")


def _unsupported(failure: Failure) -> Explanation:
    what = failure.protocol if failure.protocol in ("tcp", "udp") else failure.socket_family
    can = "have connections to listen for" if failure.call == "listen" else "can be bound"
    return _bad_call(
        f"no socket of this kind ({what or 'unknown'}) {can}",
        "listen with SOCK_STREAM or SOCK_SEQPACKET" if failure.call == "listen" else "leave it out",
    )


def _invalid(failure: Failure) -> Explanation | None:
    if failure.call == "listen":
        return _invalid_listen(failure)
    shortest = SHORTEST.get(failure.socket_family or "", 0)
    length = failure.address_length
    too_long = failure.socket_family == "unix" and (length or 0) > LONGEST_UNIX
    if length is not None and (length < shortest or too_long):
        limit = f"at most {LONGEST_UNIX}" if too_long else f"at least {shortest}"
        return _bad_call(
            f"the program says that the address has {length} bytes; {failure.socket_family} has"
            f" {limit}",
            "choose a shorter path" if too_long else "pass the size of the whole address",
        )
    if failure.is_bound:
        return Cause(
            CauseId.ALREADY_BOUND, "the socket has been bound already, which works only once"
        ), (Fix("make a new socket for another address"),)
    if failure.socket_family in ("unix", "netlink") and failure.family != failure.socket_family:
        return _wrong_family(failure)
    return None


def _invalid_listen(failure: Failure) -> Explanation | None:
    if failure.protocol == "unix" and failure.is_bound is False:
        return _bad_call("the socket has no name to listen on", "call bind() first")
    if failure.protocol in ("tcp", "unix"):
        return _bad_call(
            "the socket is connected, or is connecting", "listen on a socket of its own"
        )
    return None


def _wrong_family(failure: Failure) -> Explanation | None:
    if failure.family == failure.socket_family or None in (failure.family, failure.socket_family):
        return None
    text = f"the address is of the family {failure.family}, the socket of {failure.socket_family}"
    return Cause(CauseId.WRONG_FAMILY, text), (
        Fix("make the socket with the family of the address"),
    )


def _no_memory(_: Failure) -> Explanation:
    return Cause(CauseId.NO_MEMORY, "the kernel had no memory for it, or a limit was reached"), (
        Fix("free memory, or raise the limit of its cgroup"),
    )


def _no_device(failure: Failure) -> Explanation | None:
    if not failure.device_index:
        return None
    text = f"its network namespace has no network device of the number {failure.device_index}"
    return Cause(CauseId.NO_DEVICE, text), (Fix("start the program after the device is there"),)


def _address_taken(failure: Failure) -> Explanation | None:
    if failure.family != "netlink" or failure.call != "bind":
        return None
    text = f"another netlink socket of the same protocol has the port id {failure.address}"
    return Cause(CauseId.NETLINK_PORT_ID, text), (
        Fix("bind to the port id 0: the kernel chooses a free one"),
    )


def _refused(failure: Failure) -> Explanation | None:
    """Other families ask for capabilities of their own; of TCP, UDP and unix the host decides."""
    if failure.errno == "EPERM" and failure.family == "netlink":
        text = "the multicast groups of this netlink protocol need CAP_NET_ADMIN"
        return Cause(CauseId.MISSING_CAPABILITY, text), (_GRANT,)
    if failure.errno == "EACCES" and failure.family == "vsock" and failure.address is not None:
        port = failure.address.rpartition(":")[2]
        if int(port) < RESERVED_VSOCK_PORTS and not failure.net_bind_service:
            text = f"vsock port {port} is below {RESERVED_VSOCK_PORTS}, and needs a capability"
            return Cause(CauseId.MISSING_CAPABILITY, text), (_GRANT,)
    if failure.protocol == "unix" and failure.call == "bind" and failure.errno != "ENOSYS":
        return None
    if failure.protocol in ("tcp", "udp", "unix") and failure.errno != "EACCES":
        return refused_by_policy(failure)
    return refused_by_policy(failure) if failure.errno == "ENOSYS" else None


_GRANT: Final = Fix("grant the capability, or choose what needs none")
_BY_ERRNO: Final = {
    "EACCES": _refused,
    "EADDRINUSE": _address_taken,
    "EAFNOSUPPORT": _wrong_family,
    "EBADF": _bad_fd,
    "EFAULT": _bad_memory,
    "EINVAL": _invalid,
    "ENOBUFS": _no_memory,
    "ENODEV": _no_device,
    "ENOMEM": _no_memory,
    "ENOSYS": _refused,
    "ENOTSOCK": _not_a_socket,
    "EOPNOTSUPP": _unsupported,
    "EPERM": _refused,
}
