"""Workers whose master is gone, told from servers that are as they should be."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sockwatch.bind import BindRequest, Verdict, explain_bind
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import HostFacts, Origin, Orphan, Process, Service
from tests.bind.asking import PORT, carry_out, cause, why
from tests.bind.families import (
    Act,
    Family,
    begins_a_session,
    family,
    idle,
    ignores_hangups,
    is_a_daemon,
    is_a_job,
    kill,
    listen,
)
from tests.bind.makers import snapshot
from tests.bind.makers import socket as made_socket
from tests.support import build
from tests.support.waiting import wait_until

UDP = socket.SOCK_DGRAM
share = partial(listen, socket.SOCK_STREAM, socket.SO_REUSEPORT)


def has_a_child(members: Family) -> None:
    """A worker with a process of its own, which has inherited the socket."""
    members.process(idle)


def has_a_socket(_: Family) -> None:
    """A worker that opens one for itself."""
    share()


def has_its_own_session(_: Family) -> None:
    """A process that has left whoever started it on purpose."""
    os.setsid()


def nothing() -> None:
    """A master without a socket."""


def gone(pid: int) -> None:
    wait_until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")


@pytest.mark.parametrize("starts", [begins_a_session, is_a_job, is_a_daemon])
def test_all_are_named_and_ended_oldest_first(netns: None, starts: Act) -> None:
    with family(starts, idle, idle, idle) as (master, *workers), SnapshotReader() as reader:
        assert cause(why(reader=reader))[0] == "listener"
        kill(master)
        verdict = why(reader=reader)
        identity, text = cause(verdict)
        assert identity == "orphaned-workers"
        assert "without their master, which is gone" in text
        assert f"({os.getpid()}), which is not in their session" in text
        places = [text.index(f"({pid})") for pid in workers]
        assert places == sorted(places)
        assert [fix.command for fix in verdict.fixes] == [f"kill {' '.join(map(str, workers))}"]
        carry_out(verdict)
        for pid in workers:
            gone(pid)
        assert why().bind == "ok"


def test_what_workers_have_started_is_ended_too(netns: None) -> None:
    with family(begins_a_session, has_a_child, idle, below=1) as (master, *others):
        kill(master)
        verdict = why()
        assert cause(verdict)[0] == "orphaned-workers"
        carry_out(verdict)
        for pid in others:
            gone(pid)
        assert why().bind == "ok"


@pytest.mark.parametrize(("protocol", "kind"), [("tcp", socket.SOCK_STREAM), ("udp", UDP)])
def test_the_only_worker_of_a_job(netns: None, protocol: str, kind: socket.SocketKind) -> None:
    with family(is_a_job, idle, opens=partial(listen, kind)) as (master, worker):
        kill(master)
        verdict = why(protocol)
        identity, text = cause(verdict)
        assert identity == "orphaned-workers"
        assert "without its master, which is probably gone" in text
        assert [fix.command for fix in verdict.fixes] == [f"kill {worker}"]


def test_workers_with_a_socket_each(netns: None) -> None:
    with family(begins_a_session, has_a_socket, has_a_socket, opens=nothing) as (master, *_):
        kill(master)
        assert cause(why())[0] == "orphaned-workers"


@pytest.mark.parametrize("starts", [ignores_hangups, is_a_daemon, begins_a_session])
def test_one_process_that_may_be_a_daemon(netns: None, starts: Act) -> None:
    with family(starts, idle) as (master, _):
        kill(master)
        assert cause(why())[0] == "listener"


@pytest.mark.parametrize("starts", [is_a_job, is_a_daemon])
def test_a_daemon_with_and_without_workers(netns: None, starts: Act) -> None:
    """Its own parent has gone, as it is to be."""
    for workers in ((), (idle, idle)):
        with family(starts, *workers):
            assert cause(why())[0] == "listener"


def test_leaders_of_sessions_are_no_workers(netns: None) -> None:
    """Such as a launcher leaves, whose only task it is to open the socket."""
    members = (has_its_own_session, has_its_own_session)
    with family(begins_a_session, *members) as (master, *_):
        kill(master)
        assert cause(why())[0] == "listener"


def test_daemons_that_share_the_address(netns: None) -> None:
    with family(is_a_daemon, opens=share), family(is_a_daemon, opens=share):
        assert cause(why())[0] == "listener"


CERTAIN = Orphan("systemd(1)", 7, is_certain=True, is_job=False)


def worker(pid: int, orphan: Orphan | None = CERTAIN, **changes: Any) -> Process:
    made = build.process(pid, "shop", age_s=changes.pop("age_s", 60))
    return made._replace(orphan=orphan, **changes)


def held(*processes: Process, ancestors: frozenset[int] = frozenset()) -> Verdict:
    shown = snapshot(made_socket(holders=tuple(map(build.holder, processes))))
    shown = replace(shown, time=build.NOW, facts=HostFacts(uid=0, ancestors=ancestors))
    return explain_bind(BindRequest("tcp", "0.0.0.0", PORT), shown)


def test_ages_that_differ_are_told() -> None:
    verdict = held(worker(9, age_s=5), worker(8, age_s=7200))
    assert "shop(8) of 2 h and shop(9) of 5 s listen on" in cause(verdict)[1]
    assert verdict.fixes[0].command == "kill 8 9"


def test_the_first_process_may_have_started_them() -> None:
    perhaps = CERTAIN._replace(is_certain=False)
    assert "is probably gone" in cause(held(worker(8, perhaps), worker(9, perhaps)))[1]


def test_a_service_that_is_over_cannot_be_stopped() -> None:
    service = Service("web.service", None, 8)
    unit = Origin("unit", "", service.name, "cgroup")
    verdict = held(*(worker(pid, service=service, origin=unit) for pid in (8, 9)))
    assert [fix.command for fix in verdict.fixes] == ["kill 8 9"]
    assert "web.service may start it again" in verdict.fixes[0].text


def test_what_sockwatch_runs_in_is_not_ended() -> None:
    verdict = held(worker(8), worker(9), ancestors=frozenset({20, 9, 1}))
    assert cause(verdict)[0] == "orphaned-workers"
    assert not any(fix.command for fix in verdict.fixes)


@pytest.mark.parametrize(
    ("other", "identity"),
    [
        (worker(9, None), "listener"),
        (worker(9, executable="/usr/bin/other"), "listener"),
        (worker(9, CERTAIN._replace(reaper="tini(5)")), "listener"),
        (worker(1, None, name="systemd", parent_pid=None), "systemd-socket"),
    ],
)
def test_not_all_are_alike(other: Process, identity: str) -> None:
    assert cause(held(worker(8), other))[0] == identity
