"""One pass over the fds of all namespaces, beside a pass over those of each."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from sockwatch.kernel import leftovers as leftovers_module
from sockwatch.kernel.bpf import counting_iterators
from sockwatch.kernel.bpf.iterators import SocketIterators
from sockwatch.kernel.bpf.rows import HolderCount
from sockwatch.kernel.netns import one_pass as one_pass_module
from sockwatch.kernel.netns.host_fds import HostLeftovers
from sockwatch.kernel.netns.one_pass import OnePass
from sockwatch.kernel.netns.survey import Survey
from sockwatch.kernel.proc.holders import scan
from sockwatch.model import NO_PORTS, PortSet
from tests.support.netns import fresh_netns, netns_inode
from tests.support.privilege import needs_btf, needs_root, needs_task_files

pytestmark = [needs_root, needs_btf]
PORT, OTHER = 8000, 8001
NOBODY = 1  # the inode of no socket


@contextmanager
def server_with_clients(port: int, client_port: int, clients: int) -> Iterator[int]:
    """A new namespace's inode; in it a listener, and clients that all come from one port."""
    with fresh_netns(), ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", port)))
        for number in range(clients):
            client = stack.enter_context(socket.socket())
            client.bind((f"127.0.0.{number + 2}", client_port))
            client.connect(server.getsockname())
            stack.enter_context(server.accept()[0])
        yield netns_inode()


def alike(counts: list[HolderCount]) -> list[tuple[object, ...]]:
    """What of the counts is no accident."""
    return sorted((*count.key, count.pid, count.fds) for count in counts)


@needs_task_files
def test_each_namespace_has_the_counts_of_its_own() -> None:
    """One process has connections in both, which are alike but for the namespace."""
    with (
        server_with_clients(PORT, OTHER, 2) as first,
        server_with_clients(OTHER, PORT, 3) as second,
        SocketIterators() as iterators,
    ):
        own_ports = {first: PortSet.of([PORT]), second: PortSet.of([OTHER])}
        for ports in (own_ports, {first: NO_PORTS, second: own_ports[first]}, own_ports):
            summary = iterators.host_holders(ports)
            rows = summary.rows.by_netns()
            for inode in (first, second):
                expected = iterators.holders(inode, ports[inode])
                mine = [count for count in summary.counts if count.netns_inode == inode]
                assert alike(mine) == alike(expected.counts)
                assert sum(count.fds for count in mine) == (4 if inode == first else 6)
                assert set(rows[inode]) == set(expected.rows)
                assert rows[inode].own_ports() == expected.rows.own_ports()


@needs_task_files
def test_the_first_look_takes_no_client_for_a_server() -> None:
    one_pass = OnePass()
    with server_with_clients(PORT, OTHER, 2) as inode:
        one_pass.begin()
        assert one_pass.has_passed
        passed = one_pass.files(inode)
        own_ports = PortSet.of([PORT])
        assert one_pass.holders(inode, own_ports) is passed
        assert alike(passed.counts) == alike(one_pass.opened().holders(inode, own_ports).counts)
        # Other ports than the pass has told apart: asked for by itself, and remembered.
        assert one_pass.holders(inode, NO_PORTS) is not passed
    one_pass.close()


@needs_task_files
def test_a_namespace_with_too_many_ports_asks_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 10_000  # with room for what other namespaces of the host have
    monkeypatch.setattr(one_pass_module, "MOST_OWN_PORTS", most)
    one_pass = OnePass()
    many = PortSet.of([OTHER, *range(most)])
    with server_with_clients(PORT, OTHER, 2) as few, server_with_clients(OTHER, PORT, 3) as too:
        one_pass.begin()
        for _ in range(2):
            own_ports = PortSet.of([PORT])
            assert alike(one_pass.holders(few, own_ports).counts) == alike(
                one_pass.opened().holders(few, own_ports).counts
            )
            assert alike(one_pass.holders(too, many).counts) == alike(
                one_pass.opened().holders(too, many).counts
            )
            one_pass.begin()
        assert one_pass.has_passed
        assert one_pass.holders(few, own_ports) is one_pass.files(few)
        assert one_pass.holders(too, many) is not one_pass.files(too)
    one_pass.close()


@needs_task_files
def test_looks_are_right_where_the_pass_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting_iterators, "MOST_OWN_PORTS", 1)
    with (
        server_with_clients(PORT, OTHER, 1) as first,
        server_with_clients(OTHER, PORT, 1) as second,
        fresh_netns(),
        Survey() as survey,
    ):
        for _ in range(5):
            # No process is in them, so that they are not found by /proc.
            survey._pass.begin()
        assert not survey._pass.has_passed
        own_ports = PortSet.of([PORT])
        held = survey._pass.holders(first, own_ports)
        assert {count.pid for count in held.counts} == {os.getpid()}
        assert survey._pass.files(second).counts == []


@needs_task_files
def test_a_newer_server_is_found_by_another_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers_module, "scan", lambda _: pytest.fail("/proc was walked"))
    one_pass = OnePass()
    leftovers = HostLeftovers(one_pass.servers_again)
    one_pass.begin()
    leftovers.begin()
    for _ in range(2):  # the second one is newer than the pass for the first
        with fresh_netns(), socket.create_server(("127.0.0.1", PORT)) as server:
            inode = os.fstat(server.fileno()).st_ino
            assert leftovers.scan({inode, NOBODY}).holders == scan({inode}).holders
            assert inode not in one_pass.files(netns_inode()).rows.inodes()
    one_pass.close()
