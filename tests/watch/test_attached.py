"""Attached only while asked for: nothing stays in the kernel after any kind of end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from sockwatch.kernel.bpf.errors import BpfUnavailable
from sockwatch.kernel.bpf.layout import Layout
from sockwatch.watch import FailureWatch, explainer
from tests.support.bpf_ids import exist, kept_by
from tests.support.privilege import needs_root
from tests.support.waiting import wait_until

pytestmark = needs_root
COMMAND = [sys.executable, "-m", "sockwatch", "failures"]


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGKILL, -signal.SIGKILL),
        (signal.SIGTERM, -signal.SIGTERM),
        (signal.SIGHUP, -signal.SIGHUP),
        (signal.SIGINT, 130),
    ],
)
def test_ended_by_a_signal(netns: None, number: int, status: int) -> None:
    with subprocess.Popen(COMMAND, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "watching" in process.stderr.readline()
        ids = kept_by(process.pid)
        assert [len(each) for each in ids] == [1, 1]
        assert exist(ids)
        process.send_signal(number)
        assert process.stderr.read() == ""
    assert process.returncode == status
    wait_until(lambda: not exist(ids))


def test_ended_by_its_reader(netns: None) -> None:
    """Before the next failure: nobody would read it."""
    with subprocess.Popen(
        COMMAND, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        assert "watching" in process.stderr.readline()
        ids = kept_by(process.pid)
        process.stdout.close()
        assert process.wait(20) == -signal.SIGPIPE
        assert process.stderr.read() == ""
    wait_until(lambda: not exist(ids))


def test_closed(netns: None) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    threads = threading.active_count()
    with FailureWatch():
        ids = kept_by(os.getpid())
        assert exist(ids)
    wait_until(lambda: not exist(ids))
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert threading.active_count() == threads


def test_opening_that_fails_half_way(netns: None, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(os.listdir("/proc/self/fd"))

    def refuse() -> None:
        raise MemoryError

    monkeypatch.setattr(explainer, "NetnsReader", refuse)
    with pytest.raises(MemoryError):
        FailureWatch()
    assert sorted(os.listdir("/proc/self/fd")) == before
    monkeypatch.undo()
    monkeypatch.setattr("sockwatch.kernel.failures.tracepoint.PROGRAM_NAME", "not a name")
    with pytest.raises(BpfUnavailable):
        FailureWatch(Layout({}, {}))
    assert sorted(os.listdir("/proc/self/fd")) == before


@pytest.mark.whole_host
def test_wake_ends_a_wait_from_another_thread(netns: None) -> None:
    started = time.monotonic()
    with FailureWatch() as watch:
        waker = threading.Timer(0.05, watch.wake)
        waker.start()
        while watch.wait(20):
            pass  # other failures of the host
        waker.join()
        watch.wake()
        watch.wake()
        while watch.wait(20):
            pass
        assert time.monotonic() - started < 20
