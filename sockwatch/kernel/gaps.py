"""What a look could not see, in a sentence, and what would show it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import Final

from sockwatch.kernel import host
from sockwatch.model import Gap, Port
from sockwatch.units import plural

BOUND_VISIBLE_SINCE: Final = (6, 8)  # net/ipv4/inet_diag.c: TCPF_BOUND_INACTIVE
HOLDERS_BY_ROOT: Final = "run as root"


def holder_gaps(unreadable: int, unattributed: int) -> Iterator[Gap]:
    """`unreadable` processes hid their fds, `unattributed` sockets with an fd show no holder."""
    root = os.geteuid() == 0
    sockets = plural(unattributed, "socket")
    if unreadable:
        yield Gap(
            "holders-not-permitted",
            f"no permission to read the fds of {plural(unreadable, 'process', 'processes')}: "
            f"{sockets} without a known holder, and any socket may have more",
            "run with the capabilities of those processes" if root else HOLDERS_BY_ROOT,
        )
    elif unattributed and not (root and host.sees_every_process()):
        yield Gap(
            "holders-not-visible",
            f"{sockets} held by no process that is visible from here",
            "run as root in the host's pid namespace",
        )


def stuck_gaps(stuck: int) -> Iterator[Gap]:
    """`stuck` processes did not let their command line be read."""
    if stuck:
        yield Gap(
            "process-stuck",
            f"the command line of {plural(stuck, 'process', 'processes')}: reading it would wait "
            "for whatever the process waits for, such as a disk that does not answer",
            "",
        )


def flag_gaps(ports: Iterable[Port], bpf_failure: str | None, bpf_remedy: str) -> Iterator[Gap]:
    """How many sockets have unknown reuse flags; `bpf_failure` is why the best way was not open."""
    unknown = waiting = 0
    for port in ports:
        unknown += sum(None in sock.flags[:2] for sock in (*port.listeners, *port.bound))
        unknown += sum(g.count for g in port.groups if None in g.flags[:2] and not g.mini)
        waiting += sum(g.count for g in port.groups if None in g.flags[:2] and g.mini)
    if not unknown + waiting:
        return
    of_them = f", {waiting} of them TIME_WAIT" if waiting else ""
    yield Gap(
        "flags-unknown",
        f"reuse flags of {plural(unknown + waiting, 'socket')} unknown{of_them}"
        + (f": {bpf_failure}" if bpf_failure else ""),
        bpf_remedy or "sample again: the flags of sockets that appeared meanwhile are known then",
    )


def bound_gaps(release: str, ports: Iterable[Port]) -> Iterator[Gap]:
    """Whether this kernel lists sockets that are bound and do not listen."""
    version = re.match(r"(\d+)\.(\d+)", release)
    if version is None or (int(version[1]), int(version[2])) >= BOUND_VISIBLE_SINCE:
        return
    if not any(port.bound for port in ports):
        yield Gap(
            "bound-not-visible",
            f"sockets that are bound but do not listen: linux {release} does not list them",
            "Linux 6.8 or newer",
        )
