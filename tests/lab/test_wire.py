"""Whatever comes over a channel of the sandbox: a message or an OSError, and no fd is left open."""

from __future__ import annotations

import json
import os
import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sockwatch.lab import wire
from sockwatch.lab.model import LabError
from sockwatch.lab.process import LabProcess
from tests.support.json_values import JSON


@given(st.one_of(st.binary(min_size=1, max_size=200), JSON.map(lambda v: json.dumps(v).encode())))
@example(b"[" * 60_000)
@example(b'{"a": 1')
def test_any_message_is_an_object_or_our_error(data: bytes) -> None:
    ours, theirs = wire.channel()
    with ours, theirs, open(os.devnull) as sent:
        before = len(os.listdir("/proc/self/fd"))
        socket.send_fds(theirs, [data], [sent.fileno()])
        try:
            content, pid, fds = wire.receive(ours)
        except OSError:
            fds = []
        else:
            assert isinstance(content, dict)
            assert pid == os.getpid()
        assert len(os.listdir("/proc/self/fd")) == before + len(fds)
        for fd in fds:
            os.close(fd)


@pytest.mark.parametrize("data", [b"{", b"[]", b"7", b"\xff"])
def test_a_process_that_sends_nonsense_is_gone(data: bytes) -> None:
    ours, theirs = wire.channel()
    with ours, theirs:
        theirs.send(data)
        with pytest.raises(LabError, match="server is gone"):
            LabProcess(1, "server", ours, lambda _: None)
