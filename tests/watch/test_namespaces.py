"""Failures in other network namespaces and in other pid namespaces."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sockwatch.watch import FailureWatch
from tests.support.child import become, idle_child, in_child
from tests.support.failing import bind, collect, forked, of_pid
from tests.support.netns import enter_new_netns, netns_inode
from tests.support.privilege import needs_root

WILDCARD = ("127.0.0.1", 8080)


CAP_PERFMON, CAP_BPF = 38, 39


@contextmanager
def elsewhere() -> Iterator[int]:
    """The pid of a process that holds port 8080 in a network namespace of its own."""
    kept: list[socket.socket] = []

    def serve() -> None:
        enter_new_netns()
        kept.append(socket.create_server(WILDCARD))

    with idle_child(serve) as pid:
        yield pid


def join_and_fail(pid: int) -> None:
    from tests.support.netns import setns

    with open(f"/proc/{pid}/ns/net") as netns:
        setns(netns.fileno())
    bind(socket.AF_INET, WILDCARD)


def test_another_network_namespace(watch: FailureWatch) -> None:
    """The failing process has gone; a process of that namespace lives on, and leads the way."""
    before = netns_inode()
    with elsewhere() as pid:
        failed = forked(lambda: join_and_fail(pid))
        (explained,) = collect(watch, of_pid(failed))
        inode = os.stat(f"/proc/{pid}/ns/net").st_ino
    assert explained.failure.netns_inode == inode != before
    assert explained.netns is not None
    assert explained.netns.inode == inode
    assert explained.explained
    (blocker,) = explained.blockers
    assert {holder.pid for holder in blocker.holders} == {pid}
    assert netns_inode() == before


def test_both_namespaces_at_once(watch: FailureWatch) -> None:
    with elsewhere() as pid, socket.create_server(WILDCARD):
        pids = [
            forked(lambda: join_and_fail(pid)) if number % 2 else forked(fail_here)
            for number in range(6)
        ]
        found = collect(watch, of_pid(*pids), 6)
    assert [each.failure.pid for each in found] == pids
    assert all(each.explained for each in found)
    holders = [{h.pid for b in each.blockers for h in b.holders} for each in found]
    assert holders == [{os.getpid()}, {pid}] * 3


def fail_here() -> None:
    bind(socket.AF_INET, WILDCARD)


def test_a_namespace_that_is_gone_with_its_process(watch: FailureWatch) -> None:
    def fail() -> None:
        enter_new_netns()
        with socket.create_server(WILDCARD):
            bind(socket.AF_INET, WILDCARD)

    pid = forked(fail)
    (explained,) = collect(watch, of_pid(pid))
    assert explained.failure.address == "127.0.0.1"
    assert not explained.explained
    # The process may still be ending when the port is looked at: its socket has gone by then.
    assert {"netns-unseen", "process-gone"} & {gap.code for gap in explained.gaps}


@needs_root
def test_two_capabilities_are_enough_for_ones_own_namespace(netns: None) -> None:
    """To enter another one takes CAP_SYS_ADMIN: a gap says that it was not seen."""
    go_reader, go = os.pipe()

    def fail_there() -> None:
        os.read(go_reader, 1)
        join_and_fail(there)

    def watch_as_nobody() -> list[tuple[bool, bool]]:
        with FailureWatch():
            pass  # loads what may not be read afterwards
        become(65534, CAP_PERFMON, CAP_BPF)
        with FailureWatch() as watch:
            mine = forked(fail_here)
            os.write(go, b"1")
            by_pid = {each.failure.pid: each for each in collect(watch, of_pid(mine, other), 2)}
        return [
            (by_pid[pid].explained, "netns-unseen" in {gap.code for gap in by_pid[pid].gaps})
            for pid in (mine, other)
        ]

    with elsewhere() as there, socket.create_server(WILDCARD):
        other = os.fork()
        if other == 0:
            try:
                fail_there()
            finally:
                os._exit(0)
        try:
            assert in_child(watch_as_nobody) == [(True, False), (False, True)]
        finally:
            os.close(go)
            os.waitpid(other, 0)
            os.close(go_reader)


@needs_root
@pytest.mark.parametrize("inside", [True, False])
def test_pids_are_those_of_the_readers_namespace(netns: None, inside: bool) -> None:
    """A container sees its own numbers, and none for processes outside of it."""
    script = f"""
import os, subprocess, sys
watch = subprocess.Popen(
    [sys.executable, "-m", "sockwatch", "failures", "--json", "--for", "60"],
    stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
)
watch.stderr.readline()
if {inside}:
    failing = subprocess.Popen([sys.executable, "-c", {FAIL!r}])
    failing.wait()
    print(failing.pid, flush=True)
else:
    print("ready", flush=True)
for line in watch.stdout:
    if '@{NAME}' in line:
        print(line, flush=True)
        break
watch.kill()
watch.wait()
"""
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as container:
        assert container.stdout is not None
        ready = container.stdout.readline().strip()
        if not inside:
            subprocess.run([sys.executable, "-c", FAIL], check=True)
        document = json.loads(container.stdout.readline())
    assert document["pid"] == (int(ready) if inside else None)
    assert ("pid-unseen" in {gap["code"] for gap in document["gaps"]}) == (not inside)


NAME = f"/in/a/test/{os.getpid()}"  # of these tests alone
FAIL = f"""
import socket
with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as two:
    one.bind(b"\\0{NAME}")
    try: two.bind(b"\\0{NAME}")
    except OSError: pass
"""
