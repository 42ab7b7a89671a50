"""Where holders run and who started them, of real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

import sockwatch
from sockwatch.cli.document import holder_entry
from sockwatch.kernel.proc import context, processes
from sockwatch.kernel.proc.command_lines import MOST_BYTES
from sockwatch.kernel.proc.proc_stat import ProcessStat
from sockwatch.kernel.proc.processes import MOST_ARGUMENTS, ProcessNames
from sockwatch.model import Holder, Origin, Process
from sockwatch.view.parents import started_by
from sockwatch.view.who import other_namespaces
from tests.support.child import become, idle_child, in_child
from tests.support.fuse import silent_mount
from tests.support.netns import CLONE_NEWNS, CLONE_NEWUSER, unshare
from tests.support.privilege import needs_root

NUMBER = 8080
UID = 12_345


def seen(pid: int) -> Process:
    process = ProcessNames().identify(pid)
    assert process is not None
    (found,) = context.with_context([process])
    return found


def holder_of(snapshot: sockwatch.Snapshot) -> Holder:
    port = snapshot.port("tcp", NUMBER)
    assert port is not None
    (holder,) = port.holders
    return holder


def test_a_look_at_one_port_tells_it_and_one_at_all_does_not(netns: None) -> None:
    with socket.create_server(("127.0.0.1", NUMBER)):
        one, every = (holder_of(sockwatch.take_snapshot(port)) for port in (NUMBER, None))
    assert one.process is not None
    assert one.process.cwd == os.getcwd()
    assert one.process.ancestors is not None
    assert one.process.arguments == tuple(
        Path("/proc/self/cmdline").read_text().removesuffix("\0").split("\0")
    )
    parent = psutil.Process(os.getppid())
    entry = holder_entry(one)
    assert (entry["cwd"], entry["parent"]["pid"]) == (os.getcwd(), parent.pid)
    assert every.process is not None
    assert (every.process.cwd, every.process.ancestors) == (None, None)
    assert (holder_entry(every)["cwd"], holder_entry(every)["parent"]) == (None, None)
    assert every.process.arguments == one.process.arguments


def test_the_ancestors_of_a_chain_of_shells() -> None:
    command = ["sh", "-c", "sh -c 'cat; :' inner; :", "outer"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as outer:
        assert outer.stdin is not None
        assert outer.stdout is not None
        outer.stdin.write(b"x\n")
        outer.stdin.flush()
        outer.stdout.readline()
        *_, cat = psutil.Process(outer.pid).children(recursive=True)
        found = seen(cat.pid)
        parents = cat.parents()
        assert found.ancestors is not None
        assert [a.pid for a in found.ancestors] == [p.pid for p in parents]
        assert [a.executable for a in found.ancestors[:2]] == [os.path.realpath("/bin/sh")] * 2
        for ancestor, parent in zip(found.ancestors, parents, strict=True):
            assert ancestor.name == Path(f"/proc/{parent.pid}/comm").read_text().rstrip("\n")
            assert ancestor.start_time == pytest.approx(parent.create_time(), abs=1)
        assert not found.reparented
        assert started_by(found) is not None
        outer.stdin.close()


@contextmanager
def orphan() -> Iterator[int]:
    """The pid of a process whose parent has exited, in the session of that."""
    command = ["sh", "-c", "sleep 600 & echo $!"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.wait()
        try:
            yield pid
        finally:
            os.kill(pid, signal.SIGKILL)


def test_a_process_whose_parent_has_gone() -> None:
    with orphan() as pid:
        found = seen(pid)
        assert found.reparented
        assert found.ancestors
        if found.ancestors[0].pid == 1:
            assert started_by(found) == "its parent has gone"


def test_a_session_leader_may_have_been_started_by_its_parent() -> None:
    with idle_child(os.setsid) as pid:
        assert not seen(pid).reparented


@needs_root
def test_namespaces_that_are_not_ours() -> None:
    with idle_child() as pid:
        assert seen(pid).namespaces == ()
    with idle_child(lambda: unshare(CLONE_NEWUSER)) as pid:
        assert seen(pid).namespaces == ("user",)
        assert other_namespaces(seen(pid)) == "in another user namespace"
    command = ["unshare", "--user", "--pid", "--fork", "cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as unshared:
        assert unshared.stdin is not None
        assert unshared.stdout is not None
        unshared.stdin.write(b"x\n")
        unshared.stdin.flush()
        unshared.stdout.readline()
        (cat,) = psutil.Process(unshared.pid).children()
        found = seen(cat.pid)
        unshared.stdin.close()
    assert found.namespaces == ("pid", "user")
    assert other_namespaces(found) == "in other pid and user namespaces"
    docker = Origin("docker", "a1" * 32, "web2", "cgroup")
    assert other_namespaces(found._replace(origin=docker)) == "in another user namespace"

    def look() -> tuple[str, ...] | None:
        become(UID)
        return seen(1).namespaces

    assert in_child(look) is None


def test_a_working_directory_that_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "gone\n"
    folder.mkdir()
    with idle_child(lambda: os.chdir(folder)) as pid:
        assert seen(pid).cwd == f"{tmp_path}/gone "
        folder.rmdir()
        assert seen(pid).cwd == f"{tmp_path}/gone  (deleted)"


@needs_root
def test_a_working_directory_on_a_dead_server(tmp_path: Path) -> None:
    with silent_mount(tmp_path), idle_child(lambda: os.chdir(tmp_path)) as pid:
        assert seen(pid).cwd == str(tmp_path)


@needs_root
def test_of_another_user_only_the_ancestors_are_told() -> None:
    def look() -> tuple[str | None, list[int]]:
        become(UID)
        found = seen(os.getppid())
        return found.cwd, [ancestor.pid for ancestor in found.ancestors or ()]

    assert in_child(look) == (None, [parent.pid for parent in psutil.Process().parents()])


@needs_root
def test_a_parent_that_is_hidden() -> None:
    def look() -> tuple[str | None, bool]:
        unshare(CLONE_NEWNS)
        for command in ("mount --make-rprivate /", "mount -t proc -o hidepid=2 none /proc"):
            subprocess.run(command.split(), check=True)
        os.chdir("/")
        become(UID)
        found = seen(os.getpid())
        return found.cwd, found.ancestors is None

    assert in_child(look) == ("/", True)


def unread(_pid: int) -> None:
    """The executable of a process that may not be inspected."""


def test_a_younger_parent_and_another_process_of_the_same_pid() -> None:
    child = ProcessStat(b"child", "S", 7, 1000)
    younger = ProcessStat(b"sshd", "S", 1, 1001)
    assert context._ancestors(child, 0.0, context._Known({7: younger}.get, unread)) is None
    as_old = younger._replace(start_ticks=1000)
    ancestors = context._ancestors(child, 0.0, context._Known({7: as_old}.get, unread))
    assert ancestors is not None
    assert [ancestor.pid for ancestor in ancestors] == [7]
    myself = ProcessNames().identify(os.getpid())
    assert myself is not None
    earlier = myself._replace(start_time=myself.start_time - 3600)
    assert list(context.with_context([earlier])) == [earlier]


def test_only_the_eldest_of_very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "MOST_PROCESSES", 1)
    both = [ProcessNames().identify(pid) for pid in (os.getpid(), 1)]
    eldest, other = context.with_context(process for process in both if process is not None)
    assert (eldest.pid, eldest.ancestors) == (1, ())
    assert other.ancestors is None


@pytest.mark.parametrize(
    ("command_line", "arguments"),
    [
        (b"", ()),
        (b"a\0\0b c\0\x1b\n\0", ("a", "", "b c", "? ")),
        (b"nginx: worker\0\0\0\0", ("nginx: worker",)),
        (b"java\0" + b"x" * MOST_BYTES, ("java", "…")),
        (b"x\0" * 1000, (*"x" * MOST_ARGUMENTS, "…")),
    ],
)
def test_arguments(command_line: bytes, arguments: tuple[str, ...]) -> None:
    assert processes._arguments(command_line[:MOST_BYTES]) == arguments
