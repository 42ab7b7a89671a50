"""Whom to end so that the port gets free: those that hold it, and nobody else."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sockwatch.bind import BindRequest, Verdict, explain_bind, fixes
from sockwatch.bind.failure import ExplainedFailure, explain_failure
from sockwatch.failure import Failure
from sockwatch.model import Holder, Process, ReuseFlags, Service
from tests.bind.asking import PORT, carry_out, cause, why
from tests.bind.makers import snapshot
from tests.bind.makers import socket as made_socket
from tests.support import build

HOME = f"{sys.base_prefix}:{sys.base_exec_prefix}"
WAIT = "print('ready', flush=True); sys.stdin.read()"
SHARE = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
sock.bind(("0.0.0.0", 8080))
"""
HAND_OVER = """
import os, socket, subprocess, sys
sock = socket.create_server(("127.0.0.1", 8080))
os.set_inheritable(sock.fileno(), True)
subprocess.Popen(sys.argv[1:], close_fds=False)
"""


@contextmanager
def program(path: Path, code: str, *arguments: str) -> Iterator[int]:
    """A python by that path, in a session of its own, which has run the code; its pid."""
    if not path.exists():
        shutil.copy(os.path.realpath(sys.executable), path)
    command = [str(path), "-c", code + WAIT, *arguments]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONHOME": HOME},
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            yield process.pid
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def gone(pid: int) -> None:
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_a_worker_of_another_program_has_not_inherited_by_mistake(
    netns: None, tmp_path: Path
) -> None:
    with program(tmp_path / "worker", "import sys\n"):
        pass  # it is there now, to be started by the master
    worker = [str(tmp_path / "worker"), "-c", "import sys\nsys.stdin.read()"]
    with program(tmp_path / "master", HAND_OVER, *worker) as pid:
        verdict = why()
        identity, text = cause(verdict)
        assert identity == "listener"
        assert f"a child of master({pid}), has it too" in text
        assert not any("SOCK_CLOEXEC" in fix.text for fix in verdict.fixes)
        carry_out(verdict)
        gone(pid)
        assert why().bind == "ok"


def test_a_leak_beside_the_living_server(netns: None, tmp_path: Path) -> None:
    """Ending the heir alone would change nothing."""
    with program(tmp_path / "server", HAND_OVER, "sleep", "600") as pid:
        verdict = why()
        identity, text = cause(verdict)
        assert identity == "listener"
        assert "which never listens by itself, has inherited it" in text
        assert any("SOCK_CLOEXEC" in fix.text for fix in verdict.fixes)
        carry_out(verdict)
        gone(pid)
        assert why().bind == "ok"


def test_programs_that_share_a_port_have_not_inherited_it(netns: None, tmp_path: Path) -> None:
    with ExitStack() as stack:
        pids = [
            stack.enter_context(program(tmp_path / name, SHARE)) for name in ("responder", "player")
        ]
        verdict = why("udp", "0.0.0.0")
        identity, text = cause(verdict)
        assert identity == "listener"
        assert "2 sockets share the address" in text
        carry_out(verdict)
        for pid in pids:
            gone(pid)
        assert why("udp", "0.0.0.0").bind == "ok"


def held(
    *sockets: tuple[Process, ...],
    flags: tuple[bool, bool] = (False, False),
    state: str = "LISTEN",
    ancestors: frozenset[int] = frozenset(),
) -> Verdict:
    """A request without flags for a port with these sockets, by a descendant of `ancestors`."""
    shown = snapshot(
        *(
            made_socket(
                state, flags=flags, inode=100 + i, holders=tuple(map(build.holder, processes))
            )
            for i, processes in enumerate(sockets)
        )
    )
    facts = replace(shown.facts, ancestors=ancestors)
    return explain_bind(BindRequest("tcp", "0.0.0.0", PORT), replace(shown, facts=facts))


def test_a_younger_program_of_another_kind_is_no_generation() -> None:
    old = build.process(7, "avahi")
    young = build.process(9, "player", age_s=60)
    assert cause(held((old,), (young,), flags=(True, True)))[0] == "listener"
    same = build.process(9, "avahi", age_s=60)
    verdict = held((old,), (same,), flags=(True, True))
    assert cause(verdict)[0] == "listener-old-generation"
    # The young one would still be in the way.
    assert verdict.fixes[0].command == "kill 7 9"


USERS_SYSTEMD = build.process(
    700, "systemd", uid=1000, user="ann", command="/usr/lib/systemd/systemd --user"
)
OF_A_CONTAINER = build.process(700, "systemd", command="/sbin/init")
PODMAN = build.process(9, "conmon", command="/usr/bin/conmon --api-version 1 -c 12ab -n web -u 1")
PASTA = build.process(9, "pasta")._replace(executable="/usr/bin/pasta.avx2")
USER_SERVICE = build.process(8, "app", uid=1000, service=Service("app.service", 1000, 8))


@pytest.mark.parametrize(
    ("verdict", "identity", "said", "commands"),
    [
        (
            partial(held, (USERS_SYSTEMD,)),
            "systemd-socket",
            "of user ann",
            ["systemctl --user --machine=1000@ list-sockets --all"],
        ),
        (
            partial(held, (USERS_SYSTEMD, USER_SERVICE)),
            "systemd-socket",
            "for a socket unit",
            [
                "systemctl --user --machine=1000@ list-sockets --all",
                "systemctl --user --machine=1000@ stop app.service",
            ],
        ),
        (partial(held, (OF_A_CONTAINER,)), "systemd-socket", "not this host's", [None]),
        (partial(held, (PODMAN,)), "container-runtime", "container web", [None]),
        (partial(held, (PASTA,)), "container-runtime", "a container", [None]),
        (
            partial(held, (build.process(9, "sleep")._replace(executable="/bin/busybox"),)),
            "inherited-listener",
            "sleep never listens",
            ["kill 9", None],
        ),
    ],
)
def test_what_runs_others_is_not_killed(
    verdict: Callable[[], Verdict], identity: str, said: str, commands: list[str | None]
) -> None:
    found = verdict()
    assert cause(found)[0] == identity
    assert said in cause(found)[1]
    assert [fix.command for fix in found.fixes] == commands


@pytest.mark.parametrize(
    ("holders", "ancestors"),
    [
        ((build.process(9, "sshd")._replace(executable="/usr/sbin/sshd"),), ()),
        ((build.process(9, "make"),), (9, 3)),
        ((build.process(9, "make"), build.process(12, "worker", parent=9)), (12,)),
    ],
)
def test_an_ancestor_of_the_asker_and_what_people_log_in_by_are_left_running(
    holders: tuple[Process, ...], ancestors: tuple[int, ...]
) -> None:
    for state in ("LISTEN", "BOUND"):
        found = held(holders, state=state, ancestors=frozenset(ancestors))
        (fix,) = found.fixes
        assert fix.command is None
        assert fix.text.startswith("leave ")


def test_a_job_of_another_service_may_be_started_again() -> None:
    job = build.process(9, "job", unit="cron.service", service=Service("cron.service", None, 8))
    (fix,) = fixes.stop([job])
    assert fix.command == "kill 9"
    assert "cron.service may start it again" in fix.text


PROGRAM = "/usr/sbin/nginx"
FAILING = build.process(20, "nginx", parent=10, command="nginx", age_s=1)._replace(
    executable=PROGRAM
)


def failed(*holders: Process, failing: Process = FAILING) -> ExplainedFailure:
    """The failing process asked for the port that these have by one socket."""
    failure = Failure(
        time=build.NOW, call="bind", errno="EADDRINUSE", pid=failing.pid, tid=failing.pid,
        comm=failing.name, uid=1000, fd=5, process=failing, protocol="tcp", family="ipv4",
        address="0.0.0.0", port=PORT, netns_inode=1, flags=ReuseFlags(True, False, "bpf"),
        v6only=False, socket_uid=1000, net_bind_service=True, inode=99,
    )  # fmt: skip
    holding = tuple(Holder(process.pid, 3, process) for process in holders)
    return explain_failure(failure, snapshot(made_socket(holders=holding)), {})


@pytest.mark.parametrize(
    ("changes", "relation"),
    [
        ({"pid": 10, "parent_pid": 1}, "both are /usr/sbin/nginx 10 is the parent"),
        ({"pid": 30, "parent_pid": 20}, "20 is the parent"),
        ({"pid": 30}, "10 has just started both"),
    ],
)
def test_a_program_in_its_own_way(changes: dict[str, Any], relation: str) -> None:
    found = failed(FAILING._replace(**changes))
    identity, text = cause(found)
    assert identity == "same-program"
    assert relation in text
    assert [fix.command for fix in found.fixes] == [None]


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        # Another start of it: that one may be ended.
        ({"pid": 30, "parent_pid": 1, "start_time": 0.0}, "kill 30"),
        # An old worker that a supervisor has replaced.
        ({"pid": 30, "start_time": build.NOW - 60}, "kill 30"),
        ({"pid": 10, "parent_pid": 1, "executable": "/bin/xinetd"}, "kill 10"),
        # Its service is the one that fails: stopping that would end both.
        (
            {"pid": 30, "parent_pid": 1, "service": Service("web.service", None, 30)},
            "kill 30",
        ),
    ],
)
def test_another_start_of_the_program(changes: dict[str, Any], command: str) -> None:
    failing = FAILING._replace(service=Service("web.service", None, 30))
    found = failed(FAILING._replace(**changes), failing=failing)
    assert cause(found)[0] == "listener"
    assert found.fixes[0].command == command


def test_the_failing_process_is_never_ended() -> None:
    found = failed(build.process(10, "master"), FAILING)
    assert cause(found)[0] == "same-program"
    assert not any(fix.command for fix in found.fixes)
