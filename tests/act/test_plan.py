"""Plans from made snapshots: what is stopped by whom, in which order, and what is let be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockwatch.act.model import Plan, StepKind
from sockwatch.act.plan import plan
from sockwatch.bind import explain_bind
from sockwatch.bind.programs import why_untouchable
from sockwatch.model import (
    Ancestor,
    Halt,
    HaltKind,
    Origin,
    Orphan,
    Process,
    Publication,
    Service,
    Snapshot,
    SocketUnit,
)
from tests.bind.makers import group, request, snapshot, socket
from tests.support import build

PORT = 8080
ID = "12ab34cd56ef" * 5 + "1234"
WEB = Service("web.service", None, 9)
SHELL = build.process(70, "bash")
INIT = build.process(1, "systemd", command="/sbin/init")


def held(*sockets: tuple[Process, ...], **facts: Any) -> Snapshot:
    """A port that these processes listen on, a socket for each tuple; root asks."""
    listening = (
        socket("LISTEN", inode=100 + index, holders=tuple(map(build.holder, processes)))
        for index, processes in enumerate(sockets)
    )
    return by_root(snapshot(*listening), **facts)


def by_root(shown: Snapshot, **facts: Any) -> Snapshot:
    return replace(shown, facts=replace(shown.facts, **{"uid": 0, "pid": 4000, **facts}))


def planned(shown: Snapshot, **changes: Any) -> Plan:
    options = {key: changes.pop(key) for key in ("destroy", "named") if key in changes}
    return plan(explain_bind(request(**changes), shown), shown, **options)


def told(made: Plan) -> list[tuple[str, list[int], str | None]]:
    """Each step by its kind, the pids that it ends, and its command."""
    return [(step.kind, [t.pid for t in step.targets], step.command) for step in made.steps]


def in_container(kind: Any, uid: int | None = None) -> Origin:
    return Origin(kind, ID, "web2", "cgroup", uid)


def supervised(name: str, executable: str | None = None) -> tuple[Ancestor, ...]:
    return (
        Ancestor(60, "sh", 0.0, "/bin/dash"),
        Ancestor(50, name, 0.0, executable),
        Ancestor(1, "systemd", 0.0, None),
    )


def process(pid: int = 9, name: str = "web", **changes: Any) -> Process:
    made = build.process(pid, name, parent=changes.pop("parent", 1))
    return made._replace(**changes)


MASTER, ONE, TWO = process(9), process(10, parent=9), process(11, parent=9)
SLEEP = process(20, "sleep", parent=9)
GONE = Orphan("systemd(1)", 5, is_certain=True, is_job=False)
STOPPED = Halt(HaltKind.STOPPED)
IGNORING = process(ignores_sigterm=True)


@pytest.mark.parametrize(
    ("shown", "steps"),
    [
        (held((MASTER,)), [("signal", [9], "kill 9")]),
        (held((MASTER, ONE, TWO)), [("signal", [9], "kill 9"), ("signal", [10, 11], "kill 10 11")]),
        (held((ONE, MASTER)), [("signal", [9], "kill 9"), ("signal", [10], "kill 10")]),
        (held((process(9),), (process(12),)), [("signal", [9, 12], "kill 9 12")]),
        (
            held((process(10, orphan=GONE), process(11, orphan=GONE))),
            [("signal", [10, 11], "kill 10 11")],
        ),
        (held((process(halt=STOPPED),)), [("signal", [9], "kill 9 && kill -CONT 9")]),
        (held((IGNORING,)), [("signal", [9], "kill -KILL 9")]),
        (held((MASTER, SLEEP)), [("signal", [9], "kill 9"), ("signal", [20], "kill 20")]),
        (held((process(service=WEB),)), [("stop-unit", [9], "systemctl stop web.service")]),
        (
            held((process(service=Service("a.service", 1000, 9)),)),
            [("stop-unit", [9], "systemctl --user --machine=1000@ stop a.service")],
        ),
        (
            held((process(origin=in_container("docker")),)),
            [("stop-container", [], f"docker stop {ID}")],
        ),
        (
            held((process(origin=in_container("podman", 1000), user="ann", uid=1000),)),
            [("stop-container", [], f"runuser -l ann -c 'podman stop {ID}'")],
        ),
        (
            by_root(snapshot(group("TIME_WAIT", count=3))),
            [("wait", [], None)],
        ),
        (
            by_root(snapshot(group("FIN_WAIT1", count=3, with_fd=0))),  # orphans have no clock
            [("wait", [], None)],
        ),
    ],
)
def test_steps(shown: Snapshot, steps: list[tuple[str, list[int], str | None]]) -> None:
    made = planned(shown)
    assert told(made) == steps
    assert made.steps
    assert not made.is_free


def test_what_only_inherited_the_socket_is_asked_about_unless_named() -> None:
    made = planned(held((MASTER, SLEEP)))
    assert [step.asks for step in made.steps] == [False, True]
    assert made.steps[1].targets[0].inherited
    made = planned(held((MASTER, SLEEP)), named=frozenset({20}))
    assert [step.asks for step in made.steps] == [False, False]
    made = planned(held((SLEEP,)))
    assert [step.asks for step in made.steps] == [True]


def test_a_child_that_runs_another_program_has_inherited_it() -> None:
    child = process(10, "helper", parent=9, executable="/usr/bin/helper")
    made = planned(held((process(executable="/usr/bin/web"), child)))
    assert [(step.targets[0].pid, step.asks) for step in made.steps] == [(9, False), (10, True)]


def test_a_socket_unit_is_stopped_with_its_service() -> None:
    service = process(service=WEB)
    unit = SocketUnit("web.socket", "tcp", "0.0.0.0", PORT, activates="web.service")
    shown = replace(held((INIT, service)), socket_units={1: (unit,)})
    (step,) = planned(shown).steps
    assert (step.kind, step.command) == ("stop-unit", "systemctl stop web.socket web.service")
    assert step.argv == (
        "systemctl",
        "--no-ask-password",
        "stop",
        "--",
        "web.socket",
        "web.service",
    )
    assert [target.pid for target in step.targets] == [9]  # the manager is not ended


def test_a_published_port_is_its_containers() -> None:
    conmon = process(name="conmon", executable="/usr/bin/conmon")
    of = Publication("tcp", 9, "podman", in_container("podman"), "10.88.0.2", 80, ("podman",))
    shown = replace(held((conmon,)), publications=(of,))
    (step,) = planned(shown).steps
    assert (step.kind, step.argv) == ("stop-container", ("podman", "stop", "web2"))
    assert not step.targets


@pytest.mark.parametrize(
    ("shown", "code"),
    [
        (held((INIT,)), "protected"),
        (held((process(name="sshd", executable="/usr/sbin/sshd"),)), "protected"),
        (held((process(executable="/usr/lib/openssh/sshd-session"),)), "protected"),
        (held((process(name="mosh-server"),)), "protected"),
        (held((process(name="dockerd", executable="/usr/bin/dockerd"),)), "protected"),
        (held((MASTER,), ancestors=frozenset({9})), "protected"),
        (held((MASTER, ONE), ancestors=frozenset({10})), "protected"),
        (held((MASTER,), pid=9), "protected"),
        (held((process(parent=2),)), "protected"),
        (held((process(service=WEB),), service=WEB._replace(main_pid=None)), "protected"),
        (held((MASTER,), login_port=PORT), "session"),
        (held((process(ancestors=supervised("supervisord", "/usr/bin/python3")),)), "supervised"),
        (held((process(ancestors=supervised("PM2 v5.3.0: God")),)), "supervised"),
        (held((process(ancestors=supervised("runsv", "/usr/bin/runsv")),)), "supervised"),
        (held((process(ancestors=supervised("s6-supervise")),)), "supervised"),
        (held((process(origin=Origin("pod", "1", "shop/cart-0", "file")),)), "supervised"),
        (held((process(uid=33, user="www"),), uid=1000), "not-permitted"),
        (held((process(service=Service("a.service", 33, 9)),), uid=1000), "not-permitted"),
        (held(()), "unseen"),
        (
            by_root(
                snapshot(
                    socket("SYN_SENT", "127.0.0.1", automatic=False, inode=7,
                           peer_address="127.0.0.1", peer_port=80,
                           holders=(build.holder(MASTER),)),
                )
            ),
            "client",
        ),
    ],
)  # fmt: skip
def test_refusals(shown: Snapshot, code: str) -> None:
    made = planned(shown)
    assert not made.steps
    assert {refusal.code for refusal in made.refusals} == {code}


def test_the_session_is_seen_by_its_connection_too() -> None:
    """Without SSH_CONNECTION, as after sudo: a login server has a connection and is above us."""
    connection = group("ESTABLISHED", with_fd=1, holders=(build.holder(SHELL),))
    shown = replace(held((MASTER,)), ports=())
    listening = socket("LISTEN", inode=100, holders=(build.holder(MASTER),))
    shown = by_root(snapshot(listening, connection), ancestors=frozenset({70}))
    made = planned(shown)
    assert not made.steps
    assert made.refusals[0].code == "session"


def test_a_supervisor_of_the_login_is_none_of_what_one_starts_there() -> None:
    above = (
        Ancestor(60, "bash", 0.0, "/bin/bash"),
        Ancestor(55, "sshd-session", 0.0, "/usr/lib/openssh/sshd-session"),
        Ancestor(50, "s6-supervise", 0.0, None),
    )
    assert told(planned(held((process(ancestors=above),)))) == [("signal", [9], "kill 9")]


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("supervisord", "supervisorctl status"),
        ("runsv", 'sv down "$(readlink /proc/50/cwd)"'),
        ("s6-supervise", 's6-svc -d "$(readlink /proc/50/cwd)"'),
        ("supervise-daemo", "rc-status --supervised"),
    ],
)
def test_the_supervisors_command_is_printed(name: str, command: str) -> None:
    made = planned(held((process(ancestors=supervised(name)),)))
    assert [fix.command for fix in made.advice] == [command]


def test_root_is_asked_for_where_only_root_may() -> None:
    made = planned(held((process(uid=33, user="www"),), uid=1000))
    assert "sudo sockwatch free 0.0.0.0:8080 --uid 1000" in [fix.command for fix in made.advice]


def test_leftovers_are_destroyed_if_root_wants_that() -> None:
    shown = by_root(snapshot(group("TIME_WAIT", count=3)))
    (step,) = planned(shown, destroy=True).steps
    assert step.kind == "destroy"
    assert (step.sockets.state, step.sockets.address) == ("TIME_WAIT", "127.0.0.1")  # type: ignore[union-attr]
    assert step.command == "ss -K -t state time-wait src 127.0.0.1:8080"
    as_user = replace(shown, facts=replace(shown.facts, uid=1000))
    assert [step.kind for step in planned(as_user, destroy=True).steps] == ["wait"]


def test_leftovers_with_the_flag_are_destroyed_without_a_command() -> None:
    shown = by_root(snapshot(group("TIME_WAIT", flags=(True, False))))
    (step,) = planned(shown, destroy=True).steps
    assert (step.kind, step.command) == ("destroy", None)
    (step,) = planned(shown).steps
    assert step.kind == "wait"


def test_connections_end_with_their_server_and_are_waited_for() -> None:
    by = (build.holder(MASTER),)
    shown = by_root(
        snapshot(
            socket("LISTEN", flags=(True, False), inode=100, holders=by),
            group("ESTABLISHED", flags=(True, False), with_fd=1, holders=by),
        )
    )
    assert [step.kind for step in planned(shown).steps] == ["signal", "wait"]


def test_nothing_to_do_and_nothing_to_stop() -> None:
    free = by_root(snapshot())
    assert planned(free).is_free
    assert not planned(free).steps
    low = by_root(snapshot(), uid=1000, net_bind_service=False, unprivileged_port_start=1024)
    made = plan(explain_bind(request(port=80), low), low)
    assert [refusal.code for refusal in made.refusals] == ["nothing-to-stop"]


def test_both_addresses_have_to_be_free() -> None:
    beside = socket("LISTEN", "::1", v6only=True, inode=5, holders=(build.holder(MASTER),))
    shown = by_root(snapshot(beside))
    verdict = explain_bind(request(), shown)
    assert verdict.outcome == "ok"
    made = plan(verdict, shown, also=explain_bind(request("::"), shown))
    assert not made.is_free
    assert made.main.request.address == "::"
    assert told(made) == [("signal", [9], "kill 9")]


NAMES = ("web", "sshd", "dockerd", "conmon", "systemd", "sleep", "docker-proxy", "nginx")


@st.composite
def processes(draw: st.DrawFn, pid: int) -> Process:
    name = draw(st.sampled_from(NAMES))
    pids = st.sampled_from((1, 2, 5, 6, 7, 8))
    service = draw(st.sampled_from((None, Service("a.service", None, 5), WEB)))
    return build.process(pid, name, parent=draw(pids))._replace(
        executable=draw(st.sampled_from((None, f"/usr/bin/{name}"))),
        service=service,
        ignores_sigterm=draw(st.booleans()),
        halt=draw(st.sampled_from((None, STOPPED, Halt(HaltKind.TRACED), Halt(HaltKind.FROZEN)))),
        orphan=draw(st.sampled_from((None, GONE))),
        origin=draw(st.sampled_from((None, in_container("docker")))),
        ancestors=draw(st.sampled_from((None, (), supervised("runsv")))),
    )


@st.composite
def hosts(draw: st.DrawFn) -> Snapshot:
    made = {pid: draw(processes(pid)) for pid in (1, 5, 6, 7, 8)}
    owners = []
    for index in range(draw(st.integers(1, 3))):
        pids = draw(st.lists(st.sampled_from(sorted(made)), unique=True, max_size=4))
        holders = tuple(build.holder(made[pid]) for pid in pids)
        flags = (draw(st.booleans()), draw(st.booleans()))
        state = draw(st.sampled_from(("LISTEN", "BOUND", "ESTABLISHED", "CLOSE_WAIT")))
        if state in ("LISTEN", "BOUND"):
            automatic = draw(st.sampled_from((None, True, False)))
            owners.append(
                socket(state, flags=flags, inode=100 + index, holders=holders, automatic=automatic)
            )
        else:
            owners.append(group(state, flags=flags, with_fd=len(pids), holders=holders))  # type: ignore[arg-type]
    return by_root(
        snapshot(*owners),
        pid=draw(st.sampled_from((5, 4000))),
        ancestors=draw(st.frozensets(st.sampled_from((5, 6, 7)))),
        login_port=draw(st.sampled_from((None, 22, PORT))),
        uid=draw(st.sampled_from((0, 1000))),
        service=draw(st.sampled_from((None, WEB))),
    )  # fmt: skip


@given(hosts(), st.booleans())
def test_no_step_touches_what_is_protected(shown: Snapshot, destroy: bool) -> None:
    made = planned(shown, destroy=destroy)
    for target in made.targets:
        assert why_untouchable(target.process, shown.facts) is None, told(made)
        assert shown.facts.login_port != PORT
    pids = [target.pid for target in made.targets]
    assert len(pids) == len(set(pids))
    for step in made.steps:
        assert (
            step.kind != StepKind.STOP_UNIT
            or "web.service" not in step.argv
            or (shown.facts.service is None)
        )
        assert bool(step.argv) == (step.kind in (StepKind.STOP_UNIT, StepKind.STOP_CONTAINER))
        assert (
            all(target.inodes for target in step.targets)
            or step.kind == StepKind.STOP_UNIT
            or (shown.ports[0].groups)
        )
    assert made.steps or made.refusals or made.is_free
