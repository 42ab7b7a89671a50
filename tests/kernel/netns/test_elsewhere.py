"""Whether a port is taken in this network namespace, as the search of all others asks in each."""

from __future__ import annotations

import socket

import pytest

from sockwatch.kernel import sockstat
from sockwatch.kernel.netns.elsewhere import _taken_here
from sockwatch.kernel.sock_diag.inet_diag import STATE_LISTEN

LISTEN = 1 << STATE_LISTEN


def test_a_count_that_cannot_be_read_is_no_zero(
    netns: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 8080)):
        assert _taken_here({8080, 8081}, (), LISTEN) == {("tcp", 8080)}
        monkeypatch.setattr(sockstat, "FILES", ("/proc/none", "/proc/none"))
        assert _taken_here({8080, 8081}, (), LISTEN) == {("tcp", 8080)}
