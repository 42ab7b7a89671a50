"""One walk through /proc for many namespaces, beside a walk for each question."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack

import pytest

from sockwatch.kernel.bpf.rows import Records
from sockwatch.kernel.netns import host_fds
from sockwatch.kernel.netns.host_fds import MOST_WALKS, HostFds, HostLeftovers
from sockwatch.kernel.proc.fd_tables import FdTables
from sockwatch.kernel.proc.holders import scan, scan_every_socket
from sockwatch.model import KernelError
from tests.support.child import idle_child

NOBODY = 1  # the inode of no socket


@pytest.fixture
def inodes(netns: None) -> object:
    with ExitStack() as stack:
        pairs = [stack.enter_context(socket.socket()) for _ in range(4)]
        stack.enter_context(pairs[0].dup())
        stack.enter_context(idle_child())
        yield [os.fstat(sock.fileno()).st_ino for sock in pairs]


def test_every_holder_is_that_of_a_scan(inodes: list[int]) -> None:
    fds = HostFds()
    fds.begin()
    assert fds.scan(inodes[:2]) == scan(inodes[:2])
    assert fds.scan(inodes) == scan(inodes)
    assert fds.scan([]) == scan([])


def test_holders_of_groups_are_those_of_the_tables(inodes: list[int]) -> None:
    fds, tables = HostFds(), FdTables()
    fds.begin()
    group_of = dict(zip(inodes, (1, 1, 2, 2), strict=True))
    found = []
    for each in (fds, tables):
        each.update(set(inodes))
        groups = each.holders_of_groups(group_of)
        pids = {group: {holder.pid for holder in some} for group, some in groups.items()}
        holders = {inode: set(some) for inode, some in each.holders(set(inodes)).items()}
        found.append((pids, holders))
    assert found[0] == found[1]


def test_a_look_walks_twice_at_most_and_once_for_what_nobody_holds(
    inodes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    walks = 0

    def counted() -> object:
        nonlocal walks
        walks += 1
        return scan_every_socket()

    monkeypatch.setattr(host_fds, "scan_every_socket", counted)
    fds = HostFds()
    fds.begin()
    for inode in (*inodes, NOBODY, NOBODY + 1, NOBODY + 2):
        fds.scan([inode])
    assert walks == MOST_WALKS
    fds.begin()
    for inode in (*inodes, NOBODY, NOBODY + 1, NOBODY + 2):
        fds.scan([inode])
    assert walks == MOST_WALKS + 1


def test_leftovers_are_looked_for_in_proc_once(inodes: list[int]) -> None:
    passes = 0

    def nothing() -> Records:
        nonlocal passes
        passes += 1
        raise KernelError("the iterators are not open", 0)

    finds = HostLeftovers(nothing)
    finds.begin()
    wanted = {*inodes, NOBODY}
    assert finds.scan(wanted) == scan(wanted)
    assert finds.scan({NOBODY}).holders == {}
    finds.begin()
    assert finds.scan({NOBODY}).holders == {}
    assert passes == 1  # of the first look alone
    assert finds.scan(set(inodes)).holders.keys() == set(inodes)
