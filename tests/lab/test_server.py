"""Every option of the test server, in the system calls it makes and in the table."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sockwatch.lab.model import ClientSpec, LabError, ServerSpec, SystemCall
from sockwatch.lab.observations import See, Send
from sockwatch.lab.run import StepReport, run_step
from sockwatch.lab.sandbox import Sandbox
from sockwatch.lab.session import Session
from sockwatch.lab.steps import (
    ClientCloses,
    Connect,
    EndTimeWaits,
    Listen,
    ServerCloses,
    Signal,
    Start,
)
from sockwatch.model import Port, Socket

PORT = 10013


def calls(report: StepReport, who: str | None = None) -> list[str]:
    """Those of one process come in order; those of several as they are heard."""
    return [call.text for call in report.calls if who in (None, call.who)]


def port_of(sandbox: Sandbox, protocol: str = "tcp") -> Port:
    found = sandbox.take_snapshot(PORT).port("udp" if protocol == "udp" else "tcp", PORT)
    assert found is not None
    return found


def only_socket(sandbox: Sandbox, protocol: str = "tcp") -> Socket:
    port = port_of(sandbox, protocol)
    (socket,) = (*port.listeners, *port.bound)
    return socket


def test_the_default_is_the_daytime_server_of_the_article(sandbox: Sandbox) -> None:
    session = Session(sandbox)
    assert calls(run_step(session, Start("", "daytime"))) == [
        "socket(AF_INET, SOCK_STREAM, 0) = 3",
        "bind(3, 0.0.0.0:10013) = 0",
        "listen(3, 5) = 0",
    ]
    report = run_step(session, Connect("", "client", servers=("daytime",)))
    told = calls(report)
    assert "fork()" in told
    (line,) = (text for text in told if text.startswith("write("))
    assert "\\r\\n" in line
    assert {call.who for call in report.calls} == {"daytime", "daytime's child", "client"}
    assert port_of(sandbox).states == {"LISTEN": 1, "TIME_WAIT": 1}


@pytest.mark.parametrize("late", [False, True])
def test_flags_are_set_before_or_after_bind(sandbox: Sandbox, late: bool) -> None:
    spec = ServerSpec(reuseaddr=True, reuseport=True, late=late)
    told = calls(run_step(Session(sandbox), Start("", "daytime", spec)))
    places = [
        told.index(f"setsockopt(3, SOL_SOCKET, SO_REUSE{w}, 1) = 0") for w in ("ADDR", "PORT")
    ]
    bound = told.index("bind(3, 0.0.0.0:10013) = 0")
    assert all((place > bound) is late for place in places)
    assert only_socket(sandbox).flags[:2] == (True, True)


@pytest.mark.parametrize(
    ("spec", "state", "address", "v6only"),
    [
        (ServerSpec(address="::", v6only=True), "LISTEN", "::", True),
        (ServerSpec(address="::"), "LISTEN", "::", False),
        (ServerSpec(address="2001:db8::1"), "LISTEN", "2001:db8::1", True),
        (ServerSpec(address="192.0.2.2", backlog=None), "BOUND", "192.0.2.2", False),
        (ServerSpec(address="127.3.4.5", backlog=77), "LISTEN", "127.3.4.5", False),
        (ServerSpec(protocol="udp", address="127.0.0.1"), "UNCONN", "127.0.0.1", False),
    ],
)
def test_addresses_backlog_and_protocol(
    sandbox: Sandbox, spec: ServerSpec, state: str, address: str, v6only: bool
) -> None:
    run_step(Session(sandbox), Start("", "one", spec))
    socket = only_socket(sandbox, spec.protocol)
    assert (socket.state, socket.address, socket.v6only) == (state, address, v6only)
    if spec.backlog == 77:
        assert socket.backlog == 77
    assert [h.process.name for h in socket.holders if h.process] == ["one"]


def test_another_user(sandbox: Sandbox) -> None:
    if not sandbox.many_uids:
        pytest.skip("a second user needs root")
    run_step(Session(sandbox), Start("", "one", ServerSpec(uid=65534)))
    assert only_socket(sandbox).uid == 65534


@pytest.mark.parametrize("port", [80, 1023])
def test_another_user_gets_no_low_port_and_is_told_so(sandbox: Sandbox, port: int) -> None:
    if not sandbox.many_uids:
        pytest.skip("a second user needs root")
    report = run_step(Session(sandbox), Start("", "one", ServerSpec(uid=65534, port=port)))
    assert (report.predicted, report.kernel) == ("EACCES", "EACCES")


def test_a_second_user_where_there_is_none_is_refused(sandbox: Sandbox) -> None:
    sandbox.many_uids = False
    report = run_step(Session(sandbox), Start("", "one", ServerSpec(uid=65534)))
    assert report.skipped == "a second user needs root"
    with pytest.raises(LabError, match="a second user needs root"):
        sandbox.start("one", 65534)


@pytest.mark.parametrize("forks", [True, False])
def test_who_closes_first_keeps_the_time_wait(sandbox: Sandbox, forks: bool) -> None:
    session = Session(sandbox)
    run_step(session, Start("", "one", ServerSpec(forks=forks)))
    for closes, waiting in (("server", 2), ("client", 2), ("nobody", 2)):
        spec = ClientSpec(count=2, closes=closes)  # type: ignore[arg-type] # the three of them
        run_step(session, Connect("", "client", spec, servers=("one",)))
        assert port_of(sandbox).states.get("TIME_WAIT", 0) == waiting
    assert port_of(sandbox).states["ESTABLISHED"] == 2
    run_step(session, ServerCloses("", "one", "client"))
    assert port_of(sandbox).states == {"LISTEN": 1, "TIME_WAIT": 4}
    run_step(session, Connect("", "client", ClientSpec(closes="nobody"), servers=("one",)))
    run_step(session, ClientCloses("", "client", "one"))
    assert port_of(sandbox).states == {"LISTEN": 1, "TIME_WAIT": 4}
    assert run_step(session, EndTimeWaits("")).kernel == "4 ended"
    assert port_of(sandbox).states == {"LISTEN": 1}


def test_a_server_that_never_accepts_fills_its_queue(sandbox: Sandbox) -> None:
    session = Session(sandbox)
    run_step(session, Start("", "busy", ServerSpec(backlog=2, accepts=False)))
    run_step(session, Connect("", "client", ClientSpec(count=3, closes="nobody")))
    assert run_step(session, See("", "queue")).kernel == "3/2"


def test_a_client_uses_the_port_it_is_given(sandbox: Sandbox) -> None:
    session = Session(sandbox)
    run_step(session, Start("", "one"))
    spec = ClientSpec(address="127.0.0.9", port=5555, reuseaddr=True, closes="nobody")
    report = run_step(session, Connect("", "client", spec, servers=("one",)))
    assert (report.predicted, report.kernel) == ("ok", "ok")
    assert calls(report, "client")[1:4] == [
        "setsockopt(3, SOL_SOCKET, SO_REUSEADDR, 1) = 0",
        "bind(3, 127.0.0.9:5555) = 0",
        "connect(3, 127.0.0.1:10013) = 0, from 127.0.0.9:5555",
    ]


def test_a_refused_connection_is_an_answer(sandbox: Sandbox) -> None:
    report = run_step(Session(sandbox), Connect("", "client"))
    assert (report.predicted, report.kernel) == (None, "connect ECONNREFUSED")


def test_a_server_that_cannot_have_its_port_ends_as_real_ones_do(sandbox: Sandbox) -> None:
    session = Session(sandbox)
    run_step(session, Start("", "one"))
    run_step(session, Start("", "two"))
    assert [process.name for process in session.processes] == ["one"]


def test_stop_and_continue(sandbox: Sandbox) -> None:
    session = Session(sandbox)
    run_step(session, Start("", "one"))
    run_step(session, Signal("", "one", "STOP"))
    assert run_step(session, See("", "doing")).kernel == "one is stopped"
    assert session.processes[0].stopped
    run_step(session, Signal("", "one", "CONT"))
    assert not session.processes[0].stopped
    assert run_step(session, Connect("", "client", servers=("one",))).kernel == "ok"
    run_step(session, Signal("", "one", "KILL"))
    assert [process.name for process in session.processes] == ["client"]


def test_who_is_killed_from_outside_is_gone(sandbox: Sandbox) -> None:
    session = Session(sandbox)
    run_step(session, Start("", "one"))
    os.kill(session.processes[0].pid, signal.SIGKILL)
    with pytest.raises(LabError, match="one is gone"):
        run_step(session, Listen("", "one"))


def test_datagrams_are_told_by_who_receives_them(sandbox: Sandbox) -> None:
    session = Session(sandbox)
    for name, address in (("a", "127.0.0.1"), ("b", "127.0.0.2")):
        run_step(session, Start("", name, ServerSpec(protocol="udp", address=address)))
    sent = [
        run_step(session, Send("", "sender", to, ("a", "b"), expect=wanted)).kernel
        for to, wanted in (("127.0.0.1", "a"), ("127.0.0.2", "b"))
    ]
    assert sent == ["a", "b"]


def test_predictions_are_told_before_the_call_is_made(sandbox: Sandbox) -> None:
    told: list[object] = []
    session = Session(sandbox, told.append, told.append)
    report = run_step(session, Start("", "one"))
    assert told[0] is report.prediction
    assert all(isinstance(call, SystemCall) for call in told[1:])


specs = st.builds(
    ServerSpec,
    protocol=st.sampled_from(["tcp", "tcp", "udp"]),
    address=st.sampled_from(
        ["0.0.0.0", "127.0.0.1", "127.0.0.2", "::", "::1", "2001:db8::1", "::ffff:127.0.0.1"]
    ),
    port=st.sampled_from([PORT, PORT, PORT + 1, 80]),
    reuseaddr=st.booleans(),
    reuseport=st.booleans(),
    v6only=st.booleans(),
    late=st.booleans(),
    backlog=st.sampled_from([5, None, 0]),
    forks=st.just(value=False),
)


def test_free_play_is_predicted(sandbox: Sandbox) -> None:
    """Whatever servers are started after one another in one sandbox."""
    session = Session(sandbox)
    seen = set()

    @settings(
        max_examples=60,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(specs, min_size=2, max_size=5))
    def play(wanted: list[ServerSpec]) -> None:
        for number, spec in enumerate(wanted):
            # A v4-mapped address needs a socket that takes IPv4.
            fixed = replace(spec, v6only=False) if "ffff" in spec.address else spec
            report = run_step(session, Start("", f"server-{number}", fixed))
            told = (fixed, report.predicted, report.kernel)
            assert report.agreed or report.predicted == "depends", told
            seen.add(report.kernel)
        for process in session.processes:
            run_step(session, Signal("", process.name, "KILL"))

    play()
    assert {"ok", "EADDRINUSE"} <= seen
