"""Iterators that stop working while they are in use."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack

import pytest

from sockwatch.kernel.snapshot import SnapshotReader
from tests.support.privilege import needs_btf, needs_root, needs_task_files

pytestmark = needs_task_files


@needs_root
@needs_btf
@pytest.mark.parametrize(
    ("iterator", "fd"),
    [
        ("_tcp", "_link_fd"),
        ("_tcp", "_own_ports_fd"),
        ("_tcp", "_client_ports_fd"),
        ("_task_file", "_link_fd"),
        ("_task_file", "_own_ports_fd"),
        ("_udp", "_link_fd"),
    ],
)
def test_the_dumps_take_over(netns: None, iterator: str, fd: str) -> None:
    """Nothing is counted twice by those that worked, and the next look opens all anew."""
    with SnapshotReader() as reader, ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 8000)))
        for _ in range(3):
            stack.enter_context(socket.create_connection(listener.getsockname()))
            stack.enter_context(listener.accept()[0])
        reader.take()
        opened = reader._bpf._iterators
        with open(os.devnull, "rb") as no_bpf:
            os.dup2(no_bpf.fileno(), getattr(getattr(opened, iterator), fd), inheritable=False)
        for is_bpf in (False, True, True):
            snapshot = reader.take()
            assert (reader._bpf.missing is None) is is_bpf
            port = snapshot.port("tcp", 8000)
            assert port is not None
            assert port.states == {"LISTEN": 1, "ESTABLISHED": 3}
            assert {holder.pid for holder in port.groups[0].holders} == {os.getpid()}
            assert snapshot.clients.sockets == 3
