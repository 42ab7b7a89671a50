"""What a listener drops, as the kernel counts it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import Socket

PORT = 8080
BACKLOG = 1


@pytest.fixture(params=["bpf", "sock_diag alone"])
def reader(netns: None, request: pytest.FixtureRequest) -> Iterator[SnapshotReader]:
    with SnapshotReader() as reader:
        if request.param != "bpf":
            reader._bpf.give_up("dumps are wanted here")
        yield reader


def listener(reader: SnapshotReader, only: int | None) -> Socket:
    port = reader.take(only).port("tcp", PORT)
    assert port is not None
    (found,) = port.listeners
    assert all(sock.drops is None for sock in port.connections or ())
    return found


def start_to_connect(stack: ExitStack) -> None:
    client = stack.enter_context(socket.socket())
    client.setblocking(False)
    client.connect_ex(("127.0.0.1", PORT))


@pytest.mark.parametrize("only", [PORT, None])
def test_each_handshake_beyond_the_queue(reader: SnapshotReader, only: int | None) -> None:
    with ExitStack() as stack:
        stack.enter_context(socket.create_server(("127.0.0.1", PORT), backlog=BACKLOG))
        for queued in range(1, BACKLOG + 2):
            start_to_connect(stack)
            found = listener(reader, only)
            assert (found.queue, found.drops) == (queued, 0)
            assert found.is_queue_full == (queued > BACKLOG)
        start_to_connect(stack)
        found = listener(reader, only)
        assert found.drops is not None
        assert found.drops >= 1  # it may have been tried again
        assert found.automatic is (False if only else None)
