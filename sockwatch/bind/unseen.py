"""Causes of a socket whose holder was not found: hidden from us, in flight, or the kernel's."""

from __future__ import annotations

from typing import Final

from sockwatch.bind import fixes
from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.evidence import Evidence, Explanation
from sockwatch.bind.model import Cause, Fix
from sockwatch.model import GapCode, Protocol

# The call by which a thread keeps a socket that another one has closed, and its /proc/PID/wchan.
BLOCKED_IN: Final[dict[Protocol, tuple[str, str]]] = {
    "tcp": ("accept()", "inet_csk_accept"),
    "udp": ("recv()", "__skb_wait_for_more_packets"),
}
# Ports on which the kernel itself receives, unless another one is configured.
KERNEL_PORTS: Final[dict[tuple[Protocol, int], str]] = {
    ("tcp", 2049): "nfs",
    ("udp", 2049): "nfs",
    ("udp", 4789): "vxlan",
    ("udp", 8472): "vxlan",
    ("udp", 6081): "geneve",
    ("udp", 51820): "wireguard",
}
HIDING: Final = (  # the first one is the reason
    GapCode.HOLDERS_NOT_PERMITTED,
    GapCode.HOLDERS_NOT_VISIBLE,
    GapCode.SOCK_DIAG_REFUSED,
)


def no_holder(evidence: Evidence) -> Explanation | None:
    """No process was found; whether there is one depends on who looked."""
    if evidence.processes:
        return None
    return _hidden(evidence) or _without_fd(evidence)


def _hidden(evidence: Evidence) -> Explanation | None:
    """A holder that is there, and could not be seen by us; or the kernel itself."""
    gaps = {gap.code: gap.text for gap in evidence.snapshot.gaps}
    reason = next((gaps[code] for code in HIDING if code in gaps), None)
    if reason is None:
        return None
    uid, is_root = evidence.blocker.owner.uid, evidence.snapshot.facts.uid == 0
    text = f"a process of uid {uid}" if uid is not None else "a process"
    todo: tuple[Fix, ...] = ()
    if not is_root:
        todo = (fixes.run_as_root(evidence.verdict, evidence.snapshot.facts),)
    if GapCode.HOLDERS_NOT_VISIBLE in gaps and is_root:
        text += " outside this pid namespace, as in another container, holds"
        reason = "no process here has an fd of it"
        todo = (Fix("run sockwatch on the host, or in that container"),)
    else:
        text += " that you may not inspect holds"
    text += f" {evidence.where}"
    if _may_be_the_kernels(evidence):
        text += ", or the kernel itself does"
        todo += _find_kernel_users(evidence) if is_root else ()
    if is_root:
        todo += _find_without_fd(evidence)
    return Cause(CauseId.HOLDER_NOT_VISIBLE, text, (reason,)), todo


def _without_fd(evidence: Evidence) -> Explanation:
    """Every process was looked at: what is left keeps a socket without an fd."""
    request = evidence.request
    seen: tuple[str, ...] = (f"no process has an fd of {evidence.where}",)
    call = BLOCKED_IN[request.protocol][0]
    ways = f"a thread still in {call}, io_uring, or an fd in flight over a unix socket"
    todo = (
        *_find_without_fd(evidence),
        Fix("in the server, call shutdown() before close()"),
    )
    if not _may_be_the_kernels(evidence):
        text = f"no fd refers to {evidence.where}: it is kept by {ways}"
        return Cause(CauseId.NO_FD_ANYWHERE, text, seen), todo
    find = _find_kernel_users(evidence)
    user = KERNEL_PORTS.get((request.protocol, request.port))
    if user is not None:
        text = f"no fd refers to {evidence.where}: it is probably the kernel's own, for {user}"
        seen = (*seen, f"{request.port} is the port of {user}", "root owns the socket")
        return Cause(CauseId.KERNEL_SOCKET, text, seen), (*find, *todo)
    text = f"no fd refers to {evidence.where}: it is kept by {ways}, or by the kernel itself"
    return Cause(CauseId.NO_FD_ANYWHERE, text, seen), (*todo, *find)


def _find_without_fd(evidence: Evidence) -> tuple[Fix, ...]:
    call, sleeps_in = BLOCKED_IN[evidence.request.protocol]
    return (
        Fix(f"look for a thread in {call}", f"grep -ls {sleeps_in} /proc/*/task/*/wchan"),
        Fix("look for fds in flight", r"grep -lsP 'scm_fds:\s+(?!0)' /proc/*/fdinfo/*"),
    )


def _may_be_the_kernels(evidence: Evidence) -> bool:
    """Root owns the kernel's sockets, whoever had them made."""
    return evidence.blocker.owner.uid in (0, None)


def _find_kernel_users(evidence: Evidence) -> tuple[Fix, ...]:
    service = Fix("look for the port among the RPC services", "rpcinfo -p", in_netns=True)
    if evidence.request.protocol != "udp":
        return (service,)
    port = evidence.request.port
    # A tunnel keeps its socket where it was made, also once it is moved to another namespace.
    show = "ip -d -o link show"
    return (
        Fix(f"look for a tunnel with port {port}", show, in_netns=True),
        Fix(
            "look in another network namespace, to which it was moved", f"ip -all netns exec {show}"
        ),
        service,
    )
