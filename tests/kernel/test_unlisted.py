"""Bound sockets where the kernel does not list them, as before 6.8: their fds are seen by BPF."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from sockwatch.bind import BindRequest, explain_bind
from sockwatch.kernel import host, tables
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.kernel.sock_diag.inet_diag import ALL_STATES
from sockwatch.model import GapCode, Snapshot, Socket
from tests.support import sock_diag
from tests.support.child import become, in_netns
from tests.support.libc import check, libc
from tests.support.netns import PR_SET_DUMPABLE
from tests.support.privilege import needs_task_files

PORT = 8080
BOUND_INACTIVE = 13
NOBODY = 65534


def bound(stack: ExitStack, address: str, **options: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = stack.enter_context(socket.socket(family))
    for name, value in options.items():
        level = socket.IPPROTO_IPV6 if name == "IPV6_V6ONLY" else socket.SOL_SOCKET
        sock.setsockopt(level, getattr(socket, name), value)
    sock.bind((address, PORT))
    return sock


def as_before_6_8() -> None:
    """In this process, for good."""
    host.BOUND_LISTED_SINCE = (99, 0)  # type: ignore[misc]
    tables.ALL_STATES = ALL_STATES & ~tables.BOUND  # type: ignore[attr-defined]
    tables.BOUND = 0  # type: ignore[misc]


def without_cookies(snapshot: Snapshot) -> list[Socket]:
    found = snapshot.port("tcp", PORT)
    assert found is not None
    assert found.listeners == ()
    return sorted(
        (sock._replace(cookie=0, queue=None, backlog=None, freebind=None, automatic=None))
        for sock in found.bound
    )


def test_which_kernels_list_them(netns: None) -> None:
    with ExitStack() as stack:
        bound(stack, "127.0.0.1")
        listed = any(row.port == PORT for row in sock_diag.dump(states=1 << BOUND_INACTIVE))
    assert listed == host.lists_bound_sockets()


@pytest.mark.parametrize("port", [None, PORT])
@in_netns
def test_they_are_those_that_a_newer_kernel_lists(port: int | None) -> None:
    if not host.lists_bound_sockets():
        pytest.skip("this kernel does not list them: there is nothing to compare with")
    with ExitStack() as stack, SnapshotReader() as reader:
        bound(stack, "127.0.0.1")
        bound(stack, "127.0.0.2", SO_REUSEADDR=1).dup()
        bound(stack, "::", SO_REUSEPORT=1, IPV6_V6ONLY=1)
        bound(stack, "::1", SO_REUSEADDR=1, SO_REUSEPORT=1)
        listed = reader.take(port)
        as_before_6_8()
        unlisted = reader.take(port)
        assert without_cookies(unlisted) == without_cookies(listed)
        assert len(without_cookies(listed)) == 4
        assert GapCode.BOUND_NOT_VISIBLE not in {gap.code for gap in unlisted.gaps}


@needs_task_files
@in_netns
def test_they_block_and_nothing_is_left_open() -> None:
    as_before_6_8()
    with ExitStack() as stack, SnapshotReader() as reader:
        bound(stack, "127.0.0.1")
        verdict = explain_bind(BindRequest("tcp", "0.0.0.0", PORT), reader.take(PORT))
        assert (verdict.bind, len(verdict.blockers)) == ("EADDRINUSE", 1)
        verdict = explain_bind(BindRequest("tcp", "127.0.0.2", PORT), reader.take(PORT))
        assert (verdict.bind, verdict.gaps) == ("ok", ())


@in_netns
def test_without_bpf_it_is_a_gap() -> None:
    SnapshotReader().take(PORT)  # imports what that user may not be able to read
    as_before_6_8()
    become(NOBODY)
    check(libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))
    with ExitStack() as stack, SnapshotReader() as reader:
        bound(stack, "127.0.0.1")
        snapshot = reader.take(PORT)
        assert snapshot.port("tcp", PORT) is None
        assert GapCode.BOUND_NOT_VISIBLE in {gap.code for gap in snapshot.gaps}
        verdict = explain_bind(BindRequest("tcp", "127.0.0.1", PORT), snapshot)
        assert verdict.bind == "ok"
        assert GapCode.BOUND_UNSEEN in {gap.code for gap in verdict.gaps}
