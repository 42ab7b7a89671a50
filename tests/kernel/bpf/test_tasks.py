"""What iter/task tells of processes, against /proc."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from sockwatch.kernel.bpf.iterators import SocketIterators
from sockwatch.kernel.bpf.task_records import state_letter
from sockwatch.kernel.proc import processes
from sockwatch.kernel.proc.proc_stat import ProcessRecord, read_stat
from sockwatch.kernel.proc.processes import ProcessNames, parse_effective_uid
from sockwatch.kernel.proc.services import UNIFIED, hierarchy_mounts
from sockwatch.model import Orphan, Process
from tests.support.child import become, idle_child, in_child, in_netns
from tests.support.netns import CLONE_NEWPID, unshare
from tests.support.privilege import needs_task_files
from tests.support.waiting import wait_until

HIDDEN = 1  # a security module may keep the first process from us


@in_netns
def test_processes_are_as_proc_shows_them() -> None:
    with SocketIterators() as iterators, idle_child() as idle, idle_child() as stopped:
        os.kill(stopped, signal.SIGSTOP)
        wait_until(lambda: (stat := read_stat(stopped)) is not None and stat.state == "T")
        seen = iterators.tasks()
        expected = [read_stat(idle), read_stat(stopped)]
        os.kill(stopped, signal.SIGCONT)
        assert seen is not None
        assert [seen[pid].stat for pid in (idle, stopped)] == expected


@in_netns
def test_every_process_of_the_host_is_as_proc_shows_it() -> None:
    with SocketIterators() as iterators:

        def differences() -> list[int]:
            before, seen, after = from_proc(), iterators.tasks(), from_proc()
            assert seen is not None
            lasting = [pid for pid in before if before[pid] == after.get(pid)]
            assert len(lasting) > 1
            return [pid for pid in lasting if pid != HIDDEN and _lasting(seen, pid) != before[pid]]

        # Some change within the look.
        assert wait_until(lambda: differences() == [])


def from_proc() -> dict[int, ProcessRecord | None]:
    """The processes, without what changes all the time or /proc does not tell."""
    found = {}
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        with suppress(OSError):
            uid = parse_effective_uid(Path(f"/proc/{pid}/status").read_bytes())
            if stat := read_stat(pid):
                found[pid] = ProcessRecord(stat, uid)
    return {pid: _lasting(found, pid) for pid in found}


def _lasting(seen: dict[int, ProcessRecord], pid: int) -> ProcessRecord | None:
    """Of a kernel thread /proc tells what it does beside its name."""
    if (record := seen.get(pid)) is None:
        return None
    comm = b"" if record.stat.is_kernel_thread else record.stat.comm
    return ProcessRecord(record.stat._replace(state="", comm=comm), record.uid)


PROGRAM = """
import os, sys, threading
sys.stdin.readline()
def work(): os.execv("/bin/cat", ["cat"])
work() if sys.argv[1] == "main" else threading.Thread(target=work).start()
sys.stdin.readline()
"""


@pytest.mark.parametrize("thread", ["main", "another"])
@in_netns
def test_execve_is_counted(thread: str) -> None:
    command = [sys.executable, "-I", "-S", "-c", PROGRAM, thread]
    with (
        SocketIterators() as iterators,
        subprocess.Popen(command, stdin=subprocess.PIPE) as child,
    ):
        assert child.stdin is not None

        def record() -> ProcessRecord:
            seen = iterators.tasks()
            assert seen is not None
            return seen[child.pid]

        before = record()
        assert record().is_same(before)
        child.stdin.write(b"go\n")
        child.stdin.flush()
        wait_until(lambda: record().stat.comm == b"cat")
        after = record()
        child.stdin.close()
        assert before.stat.start_ticks == after.stat.start_ticks
        assert None not in (before.execs, after.execs)
        assert before.execs != after.execs
        assert not after.is_same(before)


@contextmanager
def made_cgroup() -> Iterator[Path]:
    """A cgroup of version 2, until its processes have exited."""
    if (mount := hierarchy_mounts().get(UNIFIED)) is None:
        pytest.skip("cgroup v2 is not mounted here")
    folder = Path(mount, f"sockwatch-tasks-{os.getpid()}")
    folder.mkdir()
    try:
        yield folder
    finally:
        wait_until(lambda: not (folder / "cgroup.procs").read_text())
        folder.rmdir()


@in_netns
def test_the_user_and_the_cgroup_are_seen() -> None:
    with (
        SocketIterators() as iterators,
        made_cgroup() as folder,
        idle_child(lambda: become(65534)) as child,
    ):
        seen = iterators.tasks()
        assert seen is not None
        assert (seen[child].uid, seen[os.getpid()].uid) == (65534, 0)
        assert seen[child].cgroup_id == seen[os.getpid()].cgroup_id
        (folder / "cgroup.procs").write_text(str(child))
        moved = iterators.tasks()
        assert moved is not None
        assert moved[child].cgroup_id == folder.stat().st_ino
        assert not moved[child].is_same(seen[child])


@in_netns
def test_an_unchanged_process_keeps_its_object_and_is_not_read_again() -> None:
    names = ProcessNames()
    with (
        SocketIterators() as iterators,
        idle_child() as child,
        pytest.MonkeyPatch.context() as patch,
    ):
        wait_until(lambda: (stat := read_stat(child)) is not None and stat.state == "S")
        first = iterators.tasks()
        known = names.identify_all([child], first)[child]
        for function in (
            "read_proc_file",
            "read_cgroup",
            "executable_of",
            "_effective_uid",
            "read_stat",
        ):
            patch.setattr(processes, function, lambda *_: pytest.fail("it was read again"))
        second = iterators.tasks()
        assert first is not None
        assert second is not None
        assert first[child] is second[child]
        assert names.identify_all([child], second)[child] is known


@in_netns
def test_a_program_of_the_same_name_is_read_anew() -> None:
    """Its comm and start are the same: only the count of execve(2) tells."""
    names = ProcessNames()
    command = ["sh", "-c", "read go; exec sh -c 'read end'"]
    with (
        SocketIterators() as iterators,
        subprocess.Popen(command, stdin=subprocess.PIPE) as child,
    ):
        assert child.stdin is not None

        def identified() -> Process:
            return names.identify_all([child.pid], iterators.tasks())[child.pid]

        assert identified().command.startswith("sh -c read go; exec")
        child.stdin.write(b"\n")
        child.stdin.flush()
        wait_until(lambda: identified().command == "sh -c read end")
        child.stdin.close()


LEAVES = """
import os
os.close(1)
os.read(3, 1)
os.setsid()
os.read(3, 1)
"""


@in_netns
def test_a_worker_that_begins_a_session_later_is_no_orphan_any_more() -> None:
    """No record tells of setsid(2)."""
    names = ProcessNames()
    command = ["sh", "-c", f"exec 3<&0; {sys.executable} -I -S -c '{LEAVES}' & echo $!"]
    with SocketIterators() as iterators, pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "REMEMBER_S", 0.0)
        reader, writer = os.pipe()
        shell = subprocess.run(
            command, stdin=reader, stdout=subprocess.PIPE, check=True, start_new_session=True
        )
        worker = int(shell.stdout)

        def orphan() -> Orphan | None:
            return names.identify_all([worker], iterators.tasks())[worker].orphan

        wait_until(orphan)
        os.write(writer, b"\n")
        wait_until(lambda: orphan() is None)
        os.close(writer)  # that ends it


@in_netns
def test_a_zombie_and_a_process_whose_leader_has_exited() -> None:
    with SocketIterators() as iterators:
        child = subprocess.Popen([sys.executable, "-c", ""])
        wait_until(lambda: (stat := read_stat(child.pid)) is not None and stat.state == "Z")
        seen = iterators.tasks()
        child.wait()
        assert seen is not None
        assert seen[child.pid].stat.state == "Z"


@needs_task_files
@in_netns
def test_pids_are_those_of_our_own_pid_namespace() -> None:
    def inside() -> None:
        with SocketIterators() as iterators, idle_child() as idle:
            seen = iterators.tasks()
            assert seen is not None
            assert (seen[1].stat.parent_pid, seen[idle].stat.parent_pid) == (0, 1)
            assert set(seen) == {1, idle}

    unshare(CLONE_NEWPID)
    in_child(inside)


@pytest.mark.parametrize(
    ("state", "exit_state", "letter"),
    [
        (0x0000, 0x00, "R"),
        (0x0001, 0x00, "S"),
        (0x2001, 0x00, "S"),  # freezable
        (0x0002, 0x00, "D"),
        (0x0402, 0x00, "I"),
        (0x0004, 0x00, "T"),
        (0x0008, 0x00, "t"),
        (0x0080, 0x10, "X"),
        (0x0080, 0x20, "Z"),
    ],
)
def test_the_letter_of_a_state(state: int, exit_state: int, letter: str) -> None:
    assert state_letter(state, exit_state) == letter
