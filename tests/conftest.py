"""Fixtures for all tests; an ordinary user gets a user namespace in which to make sockets."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.support.netns import become_root_of_a_user_namespace, fresh_netns

# pytest may import this file under two names: the second time it has happened already.
CAN_MAKE_NETNS = os.geteuid() == 0 or become_root_of_a_user_namespace()
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup(1) what the tests start ignores it


@pytest.fixture
def netns() -> Iterator[None]:
    """A network namespace of the test's own."""
    if not CAN_MAKE_NETNS:
        pytest.skip("this user may not make network namespaces")
    with fresh_netns():
        yield


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]) -> None:
    for name in list(os.environ):
        if name.startswith(("SOCKWATCH_", "XDG_")) and name != "SOCKWATCH_UPDATE_GOLDEN":
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
