from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from sockwatch.watch import FailureWatch
from tests.support.privilege import REAL_ROOT
from tests.support.waiting import PATIENCE_S


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy host the program that looks at paths may take seconds to start."""
    monkeypatch.setattr("sockwatch.kernel.failures.path_probe.LIMIT_S", PATIENCE_S)


@pytest.fixture
def taken(netns: None) -> Iterator[socket.socket]:
    """A listener on 127.0.0.1:8080 without reuse flags, in a network namespace of its own."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 8080))
        sock.listen()
        yield sock


@pytest.fixture
def watch(netns: None) -> Iterator[FailureWatch]:
    if not REAL_ROOT:
        pytest.skip("watching needs root (BPF)")
    with FailureWatch() as watch:
        yield watch
