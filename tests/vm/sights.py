"""What sockwatch can see on the running kernel, asked of sockwatch itself, as root.

An answer is "yes", "no", or by what way.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Final, NamedTuple

import sockwatch
from sockwatch.kernel.bpf.errors import BpfUnavailable
from sockwatch.kernel.bpf.iterators import SocketIterators
from sockwatch.kernel.failures.reader import FailureReader
from sockwatch.kernel.netns.catalogue import NetnsCatalogue
from sockwatch.kernel.netns.handles import list_ids, namespace_id
from sockwatch.kernel.sock_diag.destroy import destroy
from sockwatch.model import FlagsSource, KernelError, Port, ReuseFlags
from tests.support.child import become, in_child
from tests.support.libc import check, libc
from tests.support.netns import PR_SET_DUMPABLE, enter_new_netns
from tests.support.netns_kinds import by_fd, by_process, by_socket
from tests.support.time_waits import FIRST_PORT, make_time_waits

YES: Final = "yes"
NO: Final = "no"
ORDINARY_UID: Final = 65534
WAIT_S: Final = 30.0
WAYS: Final[dict[str | None, str]] = {
    None: NO,
    FlagsSource.BPF: "BPF",
    FlagsSource.PIDFD_GETFD: "pidfd_getfd(2)",
}


class Sight(NamedTuple):
    """`title` is its row in the table. `look` has a process and a network namespace of its own."""

    id: str
    title: str
    look: Callable[[], str]


def _tables() -> str:
    with socket.create_server(("127.0.0.1", FIRST_PORT)):
        return YES if _port().listeners[0].backlog is not None else NO


def _listening_flags() -> str:
    with socket.create_server(("127.0.0.1", FIRST_PORT)):
        return _way(_port().listeners[0].flags)


def _own_flags() -> str:
    become(ORDINARY_UID)
    check(libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))  # as a program that this user has started
    return _listening_flags()


def _time_wait_flags() -> str:
    with ExitStack() as stack:
        make_time_waits(1, 1, stack)
        (group,) = (group for group in _port().groups if group.mini)
        return _way(group.flags)


def _bound() -> str:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", FIRST_PORT))
        port = sockwatch.take_snapshot(FIRST_PORT).port("tcp", FIRST_PORT)
        return YES if port is not None and port.bound else NO


def _holders() -> str:
    with SocketIterators() as iterators:
        return NO if "task_file" in iterators.failures else YES


def _processes() -> str:
    with SocketIterators() as iterators:
        return NO if iterators.tasks() is None else YES


def _client_ports() -> str:
    with (
        socket.create_server(("127.0.0.1", FIRST_PORT)),
        socket.create_connection(("127.0.0.1", FIRST_PORT)) as client,
    ):
        chosen = client.getsockname()[1]
        return YES if chosen in sockwatch.take_snapshot().clients.ports else NO


def _namespaces() -> str:
    """Also those that neither a process nor a name leads to."""
    with NetnsCatalogue() as catalogue, by_socket() as inode:
        return YES if inode in {netns.inode for netns in catalogue.namespaces()} else NO


def _namespace_ids() -> str:
    fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    return NO if namespace_id(fd) is None else YES


def _listns() -> str:
    with by_process(), by_fd():
        try:
            return YES if list(list_ids()) else NO
        except OSError:
            return NO


def _failures() -> str:
    with FailureReader() as reader, socket.create_server(("127.0.0.1", FIRST_PORT)):
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", FIRST_PORT))
        while failures := reader.wait(WAIT_S):
            if any(failure.port == FIRST_PORT for failure in failures):
                return YES
    return NO


def _destroys() -> str:
    """TIME_WAITs end at `ss -K`, which is advised."""
    with ExitStack() as stack:
        make_time_waits(1, 1, stack)
        waiting = [sock for sock in _port().connections or () if sock.state == "TIME_WAIT"]
        try:
            return YES if destroy(waiting) else NO
        except KernelError:
            return NO


SIGHTS: Final = (
    Sight("tables", "socket tables by sock_diag", _tables),
    Sight("bound", "sockets that are bound and do not listen", _bound),
    Sight("flags", "reuse flags of listeners and connections", _listening_flags),
    Sight("time-wait-flags", "reuse flags of TIME_WAITs", _time_wait_flags),
    Sight("own-flags", "reuse flags of one's own sockets, without root", _own_flags),
    Sight("holders", "holders by a BPF iterator (else /proc)", _holders),
    Sight("processes", "processes by a BPF iterator (else /proc)", _processes),
    Sight("client-ports", "which ports connect() chose", _client_ports),
    Sight("namespaces", "network namespaces that only a socket keeps", _namespaces),
    Sight("namespace-ids", "ids of namespaces, which are never given again", _namespace_ids),
    Sight("listns", "network namespaces by listns(2), without BPF", _listns),
    Sight("failures", "failed calls as they happen", _failures),
    Sight("destroys", "`ss -K` ends TIME_WAITs", _destroys),
)


def every() -> dict[str, str]:
    """The answers by the id of the sight."""
    sockwatch.take_snapshot()  # imports what an ordinary user may not be able to read
    return {sight.id: in_child(_answer, sight) for sight in SIGHTS}


def _answer(sight: Sight) -> str:
    enter_new_netns()
    try:
        return sight.look()
    except BpfUnavailable:
        return NO


def _port() -> Port:
    port = sockwatch.take_snapshot(FIRST_PORT).port("tcp", FIRST_PORT)
    assert port is not None
    return port


def _way(flags: ReuseFlags) -> str:
    """The answer where flags are what matters."""
    return WAYS[flags.source]
