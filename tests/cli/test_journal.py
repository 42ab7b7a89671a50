"""`sockwatch failures --journal`: entries of systemd's journal."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sockwatch.bind.failure import unexplained
from sockwatch.cli.journal import Journal
from sockwatch.failure import Failure
from sockwatch.model import SockwatchError
from tests.support import build
from tests.support.privilege import REAL_ROOT, needs_btf
from tests.support.waiting import PATIENCE_S

JOURNALD = "/usr/lib/systemd/systemd-journald"
# Run where /run is its own to change: a journal, the command, a call that fails.
IN_A_JOURNAL = f"""
import os, socket, subprocess, sys
from tests.support.waiting import wait_until
subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
os.makedirs("/run/log/journal")
os.makedirs("/run/systemd/journal")
journald = subprocess.Popen(["{JOURNALD}"], stderr=subprocess.DEVNULL)
wait_until(lambda: os.path.exists("/run/systemd/journal/socket"))
watch = subprocess.Popen(
    [sys.executable, "-m", "sockwatch", "failures", "--journal"], stderr=subprocess.PIPE
)
watch.stderr.readline()
ask = ["journalctl", "-D", "/run/log/journal", "-o", "json", "SOCKWATCH_PORT=8080"]
ask += ["OBJECT_PID=" + str(os.getpid())]
with socket.create_server(("127.0.0.1", 8080)), socket.socket() as second:
    try:
        second.bind(("127.0.0.1", 8080))
    except OSError:
        pass
    entry = wait_until(lambda: subprocess.check_output(ask, stderr=subprocess.DEVNULL), pause_s=0.1)
sys.stdout.buffer.write(entry)
watch.kill()
journald.kill()
"""
FAILURE = Failure(
    0.0, "bind", "EADDRINUSE", 812, 812, "nginx", 0, 3, protocol="unix",
    address="/run/a\nPRIORITY=0", process=build.process(812, "nginx", unit="nginx.service"),
)  # fmt: skip


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    """What stands for that of the host."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "socket"))
        sock.settimeout(20)
        yield sock


def test_an_entry_has_fields(journal: socket.socket) -> None:
    ours = Journal(str(journal.getsockname()))
    ours.write("nginx(812) bind", unexplained(FAILURE))
    lines = journal.recv(1 << 16).decode().splitlines()
    fields = dict(line.split("=", 1) for line in lines)
    assert len(fields) == len(lines)  # foreign text begins no other one
    assert fields["MESSAGE"] == "nginx(812) bind"
    assert (fields["PRIORITY"], fields["ERRNO"]) == ("4", "98")
    assert (fields["OBJECT_PID"], fields["OBJECT_SYSTEMD_UNIT"]) == ("812", "nginx.service")
    assert fields["SOCKWATCH_ADDRESS"] == "/run/a PRIORITY=0"
    assert "SOCKWATCH_PORT" not in fields


def test_no_journal_is_said(tmp_path: Path) -> None:
    with pytest.raises(SockwatchError, match=r"cannot write to the journal: .*No such file"):
        Journal(str(tmp_path / "none")).check()


def test_one_form_at_a_time() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sockwatch", "failures", "--json", "--journal"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, "not allowed with" in done.stderr) == (2, True)


@needs_btf
@pytest.mark.usefixtures("netns")
def test_a_real_journal_takes_it() -> None:
    if not REAL_ROOT or not os.path.exists(JOURNALD) or not os.path.exists("/etc/machine-id"):
        pytest.skip("needs root and systemd-journald")
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", sys.executable, "-c", IN_A_JOURNAL],
        capture_output=True, text=True, check=False, timeout=3 * PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    entry = json.loads(done.stdout.splitlines()[0])
    assert entry["SYSLOG_IDENTIFIER"] == "sockwatch"
    assert "bind tcp 127.0.0.1:8080 EADDRINUSE: " in entry["MESSAGE"]
    assert (entry["ERRNO"], entry["SOCKWATCH_CALL"], entry["PRIORITY"]) == ("98", "bind", "4")
    assert entry["SOCKWATCH_CAUSE"]
