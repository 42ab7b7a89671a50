"""Holders that do not end by SIGTERM, and those outside our pid namespace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sockwatch.bind import Verdict
from tests.bind.asking import PORT, carry_out, why
from tests.support.privilege import needs_root
from tests.support.tools import need

SERVE = f"""
import signal, socket, sys
signal.signal(signal.SIGTERM, eval(sys.argv[1]))
sock = socket.create_server(("127.0.0.1", {PORT}))
print("ready", flush=True)
signal.pause()
"""
DEFAULT, IGNORES, HANDLES = "signal.SIG_DFL", "signal.SIG_IGN", "lambda *_: sys.exit()"
APART = ("unshare", "-U", "-r", "-p", "-f", "--kill-child")


@contextmanager
def server(handler: str, *before: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server, and the command that has started it."""
    if before:
        need(before[0])
    command = [*before, sys.executable, "-c", SERVE, handler]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


def holder(verdict: Verdict) -> int:
    (blocker,) = verdict.blockers
    (only,) = blocker.holders
    return only.pid


@pytest.mark.parametrize(
    ("handler", "before", "sent"),
    [
        (DEFAULT, (), "kill "),
        (IGNORES, (), "kill -KILL "),
        # Without a handler the first process of a pid namespace does not get the signal.
        (DEFAULT, APART, "kill -KILL "),
        (HANDLES, APART, "kill "),
    ],
)
def test_the_signal_that_is_advised_ends_it(
    netns: None, handler: str, before: tuple[str, ...], sent: str
) -> None:
    with server(handler, *before) as process:
        verdict = why()
        pid = holder(verdict)
        assert verdict.fixes[0].command == f"{sent}{pid}"
        if "KILL" in sent:
            assert "SIGTERM is ignored" in verdict.fixes[0].text
            assert ("ends with its first process" in verdict.fixes[0].text) is bool(before)
            os.kill(pid, signal.SIGTERM)
            assert why().bind == "EADDRINUSE"
        carry_out(verdict)
        process.wait()
        assert why().bind == "ok"


@needs_root
def test_a_holder_outside_our_pid_namespace(netns: None) -> None:
    need("unshare")
    with server(DEFAULT):
        inside = ["unshare", "-p", "-f", "--mount-proc", sys.executable, "-m", "sockwatch"]
        asked = [*inside, "why", "--json", f"127.0.0.1:{PORT}"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        answer = json.loads(done.stdout)
        assert answer["cause"]["id"] == "holder-not-visible"
        assert "a process of uid 0 outside this pid namespace" in answer["cause"]["text"]
        assert "run sockwatch on the host" in answer["fixes"][0]["text"]
