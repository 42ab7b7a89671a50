"""Plans carried out on real processes: who ends, who lives, and what is proved after it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sockwatch.act.cancel import Cancellation
from sockwatch.act.model import EventKind, Plan, StepKind
from sockwatch.act.perform import Consent, perform
from sockwatch.act.proof import Replanned
from sockwatch.bind import BindRequest
from sockwatch.bind.acts import DestroySockets
from tests.act.freeing import (
    REQUEST,
    Killing,
    carried_out,
    is_alive,
    kinds,
    outcome,
    refuses,
    replan,
    text,
)
from tests.bind.asking import PORT
from tests.bind.families import Family, begins_a_session, family, idle, kill, listen
from tests.support.child import in_child
from tests.support.libc import check, libc
from tests.support.netns import CLONE_NEWNS, CLONE_NEWPID, set_ipv4_sysctl, unshare
from tests.support.privilege import needs_root
from tests.support.waiting import wait_until

DRAINS_S = 0.3  # that a worker needs for its end
SHORT_S = 0.4  # in which a process that heeds SIGTERM has ended, or is asked about
LEAKS = """
import os, socket, subprocess, sys
sock = socket.create_server(("127.0.0.1", 8080))
os.set_inheritable(sock.fileno(), True)
child = subprocess.Popen(["sleep", "600"], close_fds=False)
print(child.pid, flush=True)
sys.stdin.read()
"""
ACCEPTS = """
import os, signal, socket
sock = socket.socket()
sock.bind(("127.0.0.1", 8080))
sock.listen()
print(os.getpid(), flush=True)
connection, _ = sock.accept()
print("accepted", flush=True)
signal.pause()
"""
STARTS_AGAIN = """
import os, signal, socket
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
reader, writer = os.pipe()
while True:
    if os.fork() == 0:
        os.close(reader)
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 8080))
        sock.listen()
        print(os.getpid(), flush=True)
        signal.pause()
    os.wait()
"""


@contextmanager
def server(prepare: Callable[[], None] = lambda: None) -> Iterator[int]:
    """The pid of a process of ours that listens."""

    def opens() -> None:
        prepare()
        listen()

    with family(begins_a_session, opens=opens) as (pid,):
        yield pid


@contextmanager
def program(code: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A python that runs the code, in a session of its own, and the pid that it prints."""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as started:
        assert started.stdout is not None
        try:
            yield started, int(started.stdout.readline())
        finally:
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)


def heeds(handler: Any) -> None:
    """Do this on SIGTERM."""
    signal.signal(signal.SIGTERM, handler)


def bindable() -> bool:
    """Whether the kernel takes the request that was to succeed."""
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", PORT))
        except OSError:
            return False
        sock.listen()
    return True


def test_a_plain_server(netns: None) -> None:
    with server() as pid:
        plan = replan().plan
        assert [target.pid for target in plan.targets] == [pid]
        assert not bindable()
        events = carried_out(plan)
        assert outcome(events) == "ok"
        assert not is_alive(pid)
        assert bindable()


def test_a_master_before_its_workers(netns: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sockwatch.act.perform.FOLLOWS_S", SHORT_S)
    with family(begins_a_session, idle, idle) as (master, *workers):
        plan = replan().plan
        assert [[t.pid for t in step.targets] for step in plan.steps] == [[master], workers]
        events = carried_out(plan)
        assert outcome(events) == "ok"
        assert not any(map(is_alive, (master, *workers)))


def test_workers_that_end_with_their_master_get_no_signal(netns: None) -> None:
    told, tell = os.pipe()

    def ends(*_: object) -> None:
        time.sleep(DRAINS_S)
        os._exit(0)

    def worker(_: Family) -> None:
        check(libc.prctl(1, signal.SIGUSR1, 0, 0, 0))  # PR_SET_PDEATHSIG
        signal.signal(signal.SIGUSR1, ends)
        signal.signal(signal.SIGTERM, lambda *_: os.write(tell, b"T"))

    with family(begins_a_session, worker, worker) as (master, *workers):
        events = carried_out(replan().plan)
        assert outcome(events) == "ok"
        assert not any(map(is_alive, (master, *workers)))
    os.close(tell)
    assert os.read(told, 9) == b""
    os.close(told)


def test_orphaned_workers_together(netns: None) -> None:
    with family(begins_a_session, idle, idle, idle) as (master, *workers):
        kill(master)
        plan = replan().plan
        (step,) = plan.steps
        assert sorted(target.pid for target in step.targets) == sorted(workers)
        assert outcome(carried_out(plan)) == "ok"
        assert not any(map(is_alive, workers))


@pytest.mark.parametrize("agrees", [True, False])
def test_what_only_inherited_it_is_asked_about(netns: None, agrees: bool) -> None:
    with program(LEAKS) as (parent, heir):
        plan = replan().plan
        assert [step.asks for step in plan.steps] == [False, True]
        events = carried_out(plan, to_step=lambda _: agrees)
        assert parent.wait(10) == -signal.SIGTERM
        assert outcome(events) == ("ok" if agrees else "EADDRINUSE")
        assert is_alive(heir) is not agrees


def test_a_leak_of_a_server_that_is_gone(netns: None) -> None:
    with program(LEAKS) as (parent, heir):
        parent.kill()
        parent.wait()
        assert outcome(carried_out(replan().plan, to_step=refuses)) == "EADDRINUSE"
        assert is_alive(heir)
        plan = replan(named=frozenset({heir})).plan
        assert not any(step.asks for step in plan.steps)
        assert outcome(carried_out(plan, to_step=refuses)) == "ok"


def test_a_client_of_the_port_lives(netns: None) -> None:
    def connects(_: Family) -> None:
        sock = socket.create_connection(("127.0.0.1", PORT))
        kept.append(sock)

    kept: list[socket.socket] = []
    with server() as pid, family(begins_a_session, opens=lambda: connects(None)) as (client,):  # type: ignore[arg-type]
        plan = replan(replace(REQUEST, reuseaddr=True)).plan
        assert [target.pid for target in plan.targets] == [pid]
        carried_out(plan, longest_wait_s=0.0)
        assert not is_alive(pid)
        assert is_alive(client)


def test_a_client_that_has_the_port_as_its_source_lives(netns: None) -> None:
    def connects() -> None:
        sock = socket.socket()
        sock.bind(("127.0.0.1", PORT))
        sock.connect(("127.0.0.1", 9000))
        kept.append(sock)

    kept: list[socket.socket] = []
    with (
        socket.create_server(("127.0.0.1", 9000)),
        family(begins_a_session, opens=connects) as (client,),
    ):
        plan = replan().plan
        assert not plan.steps
        assert [refusal.code for refusal in plan.refusals] == ["client"]
        assert f"({client})" in plan.refusals[0].text
        assert outcome(carried_out(plan)) == "EADDRINUSE"
        assert is_alive(client)


def test_a_stopped_server(netns: None) -> None:
    with server() as pid:
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
        plan = replan().plan
        assert plan.targets[0].stopped
        assert outcome(carried_out(plan)) == "ok"
        assert not is_alive(pid)


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda *_: None])
@pytest.mark.parametrize("agrees", [True, False])
def test_sigkill_is_asked_about(netns: None, handler: Any, agrees: bool) -> None:
    with server(lambda: heeds(handler)) as pid:
        killing = Killing(agrees)
        events = carried_out(replan().plan, to_kill=killing, patience_s=SHORT_S)
        assert killing.asked == [pid]
        assert is_alive(pid) is not agrees
        assert outcome(events) == ("ok" if agrees else "EADDRINUSE")
        assert ("was not killed" in text(events)) is not agrees


def test_who_lets_go_of_the_port_is_not_killed(netns: None) -> None:
    def drains() -> None:
        signal.signal(signal.SIGTERM, lambda *_: os.closerange(3, 4096))

    with server(drains) as pid:
        killing = Killing(True)
        assert outcome(carried_out(replan().plan, to_kill=killing)) == "ok"
        assert not killing.asked
        assert is_alive(pid)


def test_a_holder_that_ends_while_asking(netns: None) -> None:
    with server() as pid:
        plan = replan().plan
        kill(pid)
        events = carried_out(plan)
        assert f"({pid}) has ended" in text(events)
        assert outcome(events) == "ok"


def test_a_holder_that_ends_while_sigkill_is_asked_about(netns: None) -> None:
    with server(lambda: heeds(signal.SIG_IGN)) as pid:
        plan = replan().plan
        events = carried_out(plan, to_kill=Killing(True, partial(kill, pid)))
        assert outcome(events) == "ok"


def test_a_port_that_another_server_has_taken_while_asking(netns: None) -> None:
    with server() as first:
        plan = replan().plan
        kill(first)
        with server() as second:
            events = carried_out(plan)
            assert EventKind.CAME_BACK in kinds(events)
            assert f"({second}) has the port" in text(events)
            assert outcome(events) == "EADDRINUSE"
            assert is_alive(second)


def test_a_holder_that_has_closed_the_socket_is_let_be(netns: None) -> None:
    def closes_on_usr1() -> None:
        signal.signal(signal.SIGUSR1, lambda *_: os.closerange(3, 4096))

    with server(closes_on_usr1) as pid:
        plan = replan().plan
        os.kill(pid, signal.SIGUSR1)
        wait_until(bindable)
        events = carried_out(plan)
        assert "does not hold the socket any more" in text(events)
        assert outcome(events) == "ok"
        assert is_alive(pid)


def test_a_supervisor_that_starts_it_again_is_named(netns: None) -> None:
    with program(STARTS_AGAIN) as (supervisor, pid):
        events = carried_out(replan().plan)
        assert not Path(f"/proc/{pid}/fd").exists() or not is_alive(pid)
        assert EventKind.CAME_BACK in kinds(events)
        assert f"it was started again, by {_name(supervisor.pid)}" in text(events)
        assert outcome(events) == "EADDRINUSE"


def _name(pid: int) -> str:
    return f"{Path(f'/proc/{pid}/comm').read_text().strip()}({pid})"


@needs_root
def test_a_pid_that_somebody_else_has_got_meanwhile(netns: None) -> None:
    in_child(_in_a_pid_namespace)


def _in_a_pid_namespace() -> None:
    unshare(CLONE_NEWPID | CLONE_NEWNS)
    in_child(_reuses_the_pid)


def _reuses_the_pid() -> None:
    check(libc.mount(b"none", b"/", None, 0x44000, None))  # MS_REC | MS_PRIVATE
    check(libc.mount(b"proc", b"/proc", b"proc", 0, None))
    subprocess.run(["true"], check=True)  # 2 is not for the victim
    with server() as pid:
        plan = replan().plan
        assert [target.pid for target in plan.targets] == [pid]
        kill(pid)
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        with server() as other:
            assert other == pid
            events = carried_out(plan)
            assert "another process has its pid" in text(events)
            assert is_alive(pid)
            assert outcome(events) == "EADDRINUSE"


@needs_root
@pytest.mark.parametrize("has_namesake", [True, False])
def test_a_namesake_in_our_own_pid_namespace_lives(netns: None, has_namesake: bool) -> None:
    """Where /proc is that of another one: there, the number means another process."""
    with server() as pid:
        in_child(_beside_a_foreign_proc, pid, has_namesake)
        assert is_alive(pid)


def _beside_a_foreign_proc(pid: int, has_namesake: bool) -> None:
    unshare(CLONE_NEWPID)
    in_child(_frees_by_a_foreign_proc, pid, has_namesake)


def _frees_by_a_foreign_proc(pid: int, has_namesake: bool) -> None:
    if has_namesake:
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        if (namesake := os.fork()) == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pause()
        assert namesake == pid
    plan = replan().plan
    assert [target.pid for target in plan.targets] == [pid]
    events = carried_out(plan, to_kill=Killing(True), patience_s=SHORT_S)
    assert f"({pid}) cannot be signalled: /proc is that of another pid namespace" in text(events)
    assert outcome(events) == "EADDRINUSE"
    if has_namesake:
        assert os.waitpid(pid, os.WNOHANG) == (0, 0)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@contextmanager
def leftover(*, flag: bool, closes: bool = True) -> Iterator[None]:
    """What a server leaves that has closed first: a TIME_WAIT, else a FIN_WAIT2."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, flag)
        listener.bind(("127.0.0.1", PORT))
        listener.listen()
        client = stack.enter_context(socket.create_connection(("127.0.0.1", PORT)))
        connection = listener.accept()[0]
        connection.close()
        client.recv(1)
        if closes:
            client.close()
        listener.close()
        yield


@pytest.mark.parametrize(
    ("flag", "asks", "first"),
    [(True, True, "ok"), (True, False, "EADDRINUSE"), (False, True, "EADDRINUSE")],
)
def test_time_wait_by_its_flag(netns: None, flag: bool, asks: bool, first: str) -> None:
    request = replace(REQUEST, reuseaddr=asks)
    with leftover(flag=flag):
        plan = wait_until(lambda: _settled(request))
        assert plan.verdict.outcome == first
        if first == "ok":
            return
        assert [step.kind for step in plan.steps] == [StepKind.WAIT]
        events = carried_out(plan, request=request, longest_wait_s=0.0)
        assert outcome(events) == "EADDRINUSE"
        assert "free in " in text(events)
        if os.geteuid() == 0:
            options = {"destroy": True}
            plan = replan(request, destroy=True).plan
            assert [step.kind for step in plan.steps] == [StepKind.DESTROY]
            events = carried_out(plan, request=request, options=options)
            assert outcome(events) == "ok", text(events)


def _settled(request: BindRequest) -> Plan | None:
    """The plan, once all is in TIME_WAIT."""
    found = replan(request)
    port = found.snapshot.port("tcp", PORT)
    return found.plan if port is not None and set(port.states) == {"TIME_WAIT"} else None


def test_leftovers_are_waited_for_by_their_clock(netns: None) -> None:
    set_ipv4_sysctl("tcp_fin_timeout", "1")
    with leftover(flag=False, closes=False):
        plan = replan().plan
        assert [step.kind for step in plan.steps] == [StepKind.WAIT]
        events = carried_out(plan)
        assert outcome(events) == "ok", text(events)
        assert bindable()


@needs_root
def test_what_the_server_leaves_is_destroyed_too(netns: None) -> None:
    with server() as pid, socket.create_connection(("127.0.0.1", PORT)):
        os.kill(pid, signal.SIGSTOP)  # it does not accept, and its end resets the connection
        plan = replan(destroy=True).plan
        assert {target.pid for target in plan.targets} == {pid}
        events = carried_out(plan, options={"destroy": True})
        assert outcome(events) == "ok", text(events)
    with program(ACCEPTS) as (started, _), socket.create_connection(("127.0.0.1", PORT)):
        assert started.stdout is not None
        assert started.stdout.readline() == "accepted\n"
        plan = replan(destroy=True).plan
        events = carried_out(plan, options={"destroy": True})
        assert "1 socket destroyed" in text(events)
        assert outcome(events) == "ok", text(events)


def test_cancelled_in_the_middle(netns: None) -> None:
    with server(lambda: heeds(lambda *_: None)) as pid:
        with Cancellation() as cancel:
            events = []
            consent = Consent(lambda _: True, Killing(True))
            for event in perform(replan().plan, replan, consent, cancel):
                events.append(event)
                if event.text.startswith("SIGTERM sent"):
                    cancel.cancel()
        assert events[-1].kind == EventKind.CANCELLED
        assert f"SIGTERM was sent to {_name(pid)}" in events[-1].text
        assert is_alive(pid)


def test_cancelled_while_workers_end_with_their_master(netns: None) -> None:
    with family(begins_a_session, idle, idle) as (master, *workers), Cancellation() as cancel:
        consent = Consent(lambda _: True, Killing(True))
        for event in perform(replan().plan, replan, consent, cancel):
            if event.kind == EventKind.BEGUN and "left of" in event.text:
                cancel.cancel()
        assert not is_alive(master)
        assert all(map(is_alive, workers))
        assert event.kind == EventKind.CANCELLED
        assert event.text.count("SIGTERM") == 1


def test_cancelled_while_it_looks_what_to_destroy(netns: None) -> None:
    destroyed: list[object] = []

    def inside(function: Callable[[], int]) -> int:
        destroyed.append(function)
        return 0

    with leftover(flag=False), Cancellation() as cancel:
        plan = replan().plan
        sockets = DestroySockets("TIME_WAIT", "127.0.0.1")
        (step,) = (replace(s, kind=StepKind.DESTROY, sockets=sockets) for s in plan.steps)

        def looks() -> Replanned:
            cancel.cancel()
            return replan()

        consent = Consent(lambda _: True, Killing(True))
        events = [*perform(replace(plan, steps=(step,)), looks, consent, cancel, inside=inside)]
    assert kinds(events) == [EventKind.BEGUN, EventKind.CANCELLED]
    assert not destroyed


def test_a_unit_that_does_not_have_the_port_any_more_is_not_stopped(
    netns: None, tmp_path: Path
) -> None:
    with server() as pid:
        (step,) = replan().plan.steps
    mark = tmp_path / "stopped"
    unit = replace(step, kind=StepKind.STOP_UNIT, subject="web.service", argv=("touch", str(mark)))
    with server() as other:
        events = carried_out(replace(replan().plan, steps=(unit,)))
        assert "web.service is not in the way any more" in text(events)
        assert outcome(events) == "EADDRINUSE"
        assert is_alive(other)
    assert not mark.exists()
    assert pid != other


def test_a_socket_that_is_being_closed_is_waited_for(netns: None) -> None:
    """While a process ends, its sockets have no holder any more, and still have the port."""
    with server() as pid:
        plan = replan().plan
        kill(pid)
    ours, theirs = socket.socketpair()
    with socket.create_server(("127.0.0.1", PORT)) as sock:
        socket.send_fds(ours, [b"x"], [sock.fileno()])  # on its way, it has no holder
    looks = []

    def looks_and_closes() -> Replanned:
        found = replan()
        looks.append(found.plan)
        theirs.close()
        return found

    with Cancellation() as cancel, ours, theirs:
        consent = Consent(lambda _: True, Killing(True))
        events = [*perform(plan, looks_and_closes, consent, cancel)]
    assert looks[0].may_be_closing
    assert outcome(events) == "ok"


def test_the_performer_trusts_no_plan(netns: None) -> None:
    """Our own process is never ended, whatever a plan says."""
    with server() as pid:
        plan = replan().plan
        (step,) = plan.steps
        (target,) = step.targets
        with socket.create_server(("127.0.0.1", 9000)) as own:
            snapshot = replan(BindRequest("tcp", "127.0.0.1", 9000)).snapshot
            port = snapshot.port("tcp", 9000)
            assert port is not None
            myself = port.holders[0].process
            assert myself is not None
            inodes = frozenset({os.fstat(own.fileno()).st_ino})
            forged = replace(step, targets=(target._replace(process=myself, inodes=inodes),))
            events = carried_out(replace(plan, steps=(forged,)))
        assert "is never ended from here" in text(events)
        assert is_alive(pid)
