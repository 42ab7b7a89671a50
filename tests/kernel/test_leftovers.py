"""Servers that a pass of BPF did not show, and that nobody holds."""

from __future__ import annotations

import os
import socket

import pytest

from sockwatch.kernel import leftovers
from sockwatch.kernel.bpf.reader import BpfReader
from sockwatch.kernel.leftovers import Leftovers
from sockwatch.kernel.proc.holders import scan
from tests.support.netns import netns_inode
from tests.support.privilege import needs_btf, needs_root, needs_task_files

NOBODY = 1  # the inode of no socket


@needs_root
@needs_btf
@needs_task_files
@pytest.mark.parametrize(
    ("kind", "listens"),
    [(socket.SOCK_STREAM, True), (socket.SOCK_STREAM, False), (socket.SOCK_DGRAM, False)],
)
def test_a_newer_server_is_found_without_a_walk_through_proc(
    netns: None, kind: socket.SocketKind, listens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = BpfReader()
    assert reader.ready()
    finds = Leftovers(lambda: reader.servers_again(netns_inode()))
    monkeypatch.setattr(leftovers, "scan", lambda _: pytest.fail("/proc was walked"))
    with socket.socket(type=kind) as server, server.dup():
        server.bind(("127.0.0.1", 8000))
        if listens:
            server.listen()
        inode = os.fstat(server.fileno()).st_ino
        assert finds.scan({inode, NOBODY}).holders == scan({inode}).holders
    reader.close()


def test_sockets_without_holder_are_not_looked_for_each_time(
    netns: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    finds = Leftovers()
    with socket.create_server(("127.0.0.1", 8000)) as server:
        inode = os.fstat(server.fileno()).st_ino
        assert finds.scan({inode, NOBODY}) == scan({inode})
    monkeypatch.setattr(leftovers, "scan", lambda _: pytest.fail("/proc was walked"))
    assert finds.scan({NOBODY}).holders == {}
