"""The gaps of a snapshot."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from sockwatch.kernel import host
from sockwatch.model import AS_ROOT, Gap, GapCode, KernelError, Port, Protocol
from sockwatch.units import plural, verb

NOT_IN_PROC_NET: Final = "no bound sockets, backlogs, devices or IPV6_V6ONLY"
SANDBOXED: Final = frozenset({errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})


def holder_gaps(unreadable: int, unattributed: int) -> Iterator[Gap]:
    """`unreadable` processes hid their fds, `unattributed` sockets with an fd show no holder."""
    root = os.geteuid() == 0
    sockets = f"{plural(unattributed, 'socket')} {verb(unattributed, 'has')}"
    if unreadable:
        yield Gap(
            GapCode.HOLDERS_NOT_PERMITTED,
            f"no permission to read the fds of {plural(unreadable, 'process', 'processes')}: "
            f"{sockets} no known holder, and any socket may have more",
            "run with the capabilities of those processes" if root else AS_ROOT,
        )
    elif unattributed and not (root and host.sees_every_process()):
        yield Gap(
            GapCode.HOLDERS_NOT_VISIBLE,
            f"{sockets} no holder among the processes visible from here",
            f"run {'' if root else 'as root '}in the host's pid namespace",
        )


def stuck_gaps(stuck: int) -> Iterator[Gap]:
    """`stuck` processes did not let their command line be read."""
    if stuck:
        yield Gap(
            GapCode.PROCESS_STUCK,
            f"the command lines of {plural(stuck, 'process', 'processes')} could not be read in "
            "time: they wait for something, such as a disk that does not answer",
            remedy=None,
        )


def name_gaps(unnamed: int) -> Iterator[Gap]:
    """`unnamed` containers and pods have no name that could be read, or believed."""
    if unnamed:
        yield Gap(
            GapCode.CONTAINERS_UNNAMED,
            f"of {plural(unnamed, 'container or pod', 'containers or pods')} only the id is known",
            None if os.geteuid() == 0 else AS_ROOT,
        )


def flag_gaps(
    ports: Iterable[Port], bpf_failure: str | None, bpf_remedy: str | None
) -> Iterator[Gap]:
    """How many sockets have unknown reuse flags; `bpf_failure` is why BPF could not read them."""
    unknown = waiting = 0
    for port in ports:
        for sock in (*port.listeners, *port.bound):
            unknown += None in sock.flags[:2]
        for group in port.groups:
            if None in group.flags[:2]:
                unknown += 0 if group.mini else group.count
                waiting += group.count if group.mini else 0
    if not unknown + waiting:
        return
    of_them = f", {waiting} of them TIME_WAIT" if waiting else ""
    why = f": {bpf_failure}" if bpf_failure else ""
    yield Gap(
        GapCode.FLAGS_UNKNOWN,
        f"reuse flags of {plural(unknown + waiting, 'socket')} unknown{of_them}{why}",
        bpf_remedy or (None if bpf_failure else "poll again, which reads sockets that are new"),
    )


def bound_gaps(release: str, ports: Iterable[Port], *, by_fds: bool) -> Iterator[Gap]:
    """Yield a gap if nothing shows sockets that are bound and do not listen.

    `by_fds` is whether BPF has shown the fds of every process.
    """
    if not (by_fds or host.lists_bound_sockets() or any(port.bound for port in ports)):
        yield Gap(
            GapCode.BOUND_NOT_VISIBLE,
            f"Linux {release} does not list sockets that are bound but do not listen",
            f"use Linux 6.8 or later, or Linux 5.11 {AS_ROOT}",
        )


def netlink_gap(protocol: Protocol, refusal: KernelError) -> Gap:
    """Return what /proc/net does not show; `refusal` is why sock_diag could not be read."""
    return Gap(
        GapCode.SOCK_DIAG_REFUSED,
        f"{protocol} from /proc/net ({refusal}): {NOT_IN_PROC_NET}",
        "run outside the sandbox, or allow AF_NETLINK in it"
        if refusal.errno in SANDBOXED
        else "poll again",
    )


def view_gap(cut: Sequence[str]) -> Gap:
    """Return what /proc/PID/net does not show; of files that were `cut`, the end is missing too."""
    too_long = f", and {' and '.join(cut)} only in part" if cut else ""
    return Gap(
        GapCode.SOCK_DIAG_REFUSED,
        f"tcp and udp from /proc/PID/net: {NOT_IN_PROC_NET}{too_long}",
        AS_ROOT,
    )


def map_gap(time_waits: int) -> Gap:
    """Count the TIME_WAITs that a full BPF map passed on one by one."""
    return Gap(
        GapCode.TIME_WAIT_GROUPS,
        f"{plural(time_waits, 'TIME_WAIT')} did not fit into the kernel map and were counted one by"
        " one, which made the poll slower",
        remedy=None,
    )


def nat_gap(text: str, remedy: str | None) -> Gap:
    """Say why NAT rules were not seen; `text` ends with which ones."""
    whose = f"{text}, which may send the port's traffic elsewhere"
    return Gap(GapCode.NAT_RULES_UNSEEN, whose, remedy)
