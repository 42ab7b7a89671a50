"""Fixtures for all tests; an ordinary user gets a user namespace in which to make sockets."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.support import sample
from tests.support.netns import become_root_of_a_user_namespace, fresh_netns
from tests.support.whole_host import HostLock

# Workers of pytest-xdist inherit the namespace; with their threads they could not make one.
CAN_MAKE_NETNS = os.geteuid() == 0 or become_root_of_a_user_namespace()
# Hundreds of programs are started here; without bytecode each compiles all that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Under nohup(1), or in the background of a shell, what the tests start would ignore them.
for _signal in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(_signal, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
TESTS = Path(__file__).parent
FAST_ROOMS = ("bind", "test_units.py", "view")
FAST_ROOMS_ASK_BY = {"kernel_oracle", "netns"}  # the fixtures by which their other tests do
HANGS_AGAIN_S = 10.0
# Beside other tests, any call takes long now and then.
settings.register_profile("unhurried", settings(), deadline=None)
settings.load_profile("unhurried")
settings.register_profile("long", max_examples=2_000)  # for tests/fuzz.py
_host_lock = HostLock()


def pytest_report_header() -> str:
    """Say how to draw the samples of this run again."""
    return f"samples: {sample.VARIABLE}={sample.SEED}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give tests that watch the whole host to one worker; mark the fast ones.

    Exhaustive ones are left out unless -m asks for them.
    """
    asked = "exhaustive" in str(config.getoption("markexpr"))
    for item in items:
        if item.get_closest_marker("exhaustive") and not asked:
            item.add_marker(pytest.mark.skip(reason="minutes long: -m exhaustive"))
        room = item.path.relative_to(TESTS).parts[0]
        if room in FAST_ROOMS and FAST_ROOMS_ASK_BY.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.fast)
        if _is_alone(item):
            item.add_marker(pytest.mark.xdist_group("whole_host"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    """Let a test that watches the whole host run alone; the wait is no part of its timeout."""
    alone = _is_alone(item)
    _host_lock.acquire(alone=alone)
    try:
        return (yield)
    finally:
        if not (alone and nextitem is not None and _is_alone(nextitem)):
            _host_lock.release()


def _is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("whole_host") is not None


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_timeout_set_timer(settings: Any) -> Generator[None, object, object]:
    """Let the timer of pytest-timeout go off again: hypothesis tries what has hung once more."""
    result = yield
    if settings.method == "signal":
        signal.setitimer(signal.ITIMER_REAL, settings.timeout, HANGS_AGAIN_S)
    return result


@pytest.fixture
def netns() -> Iterator[None]:
    """A network namespace of the test's own."""
    if not CAN_MAKE_NETNS:
        pytest.skip("this user may not make network namespaces")
    with fresh_netns():
        yield


@pytest.fixture(autouse=True)
def _process_stays_as_it_is() -> Iterator[None]:
    """A command that a test runs in this process lets SIGPIPE end it, as its own would."""
    handler = signal.getsignal(signal.SIGPIPE)
    yield
    signal.signal(signal.SIGPIPE, handler)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("SOCKWATCH_", "XDG_")) and name != "SOCKWATCH_UPDATE_GOLDEN":
            monkeypatch.delenv(name)
