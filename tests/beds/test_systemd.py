"""Socket units of a real systemd: what sockwatch says of them there, and what its advice does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.beds_systemd import UID, Machine, machine

pytestmark = pytest.mark.timeout(120)
ACCEPT = "Accept=yes"


@pytest.fixture(scope="module")
def host() -> Iterator[Machine]:
    with machine() as booted:
        yield booted


@pytest.fixture(scope="module")
def of_ann(host: Machine) -> Machine:
    """The machine, with the systemd of a user."""
    host.systemctl("start", f"user@{UID}", check=False)
    if host.systemctl("is-active", f"user@{UID}", check=False).strip() != "active":
        pytest.skip("a user's systemd does not start without libpam-systemd and dbus-user-session")
    return host


def why(host: Machine, endpoint: str, uid: int = 0) -> dict[str, Any]:
    """The answer about the port, from within the machine."""
    answer: dict[str, Any] = json.loads(host.sockwatch("why", "--json", endpoint, uid=uid))
    return answer


def port_of(endpoint: str) -> str:
    return endpoint.partition("/")[0].rpartition(":")[2]


def owners(host: Machine, endpoint: str) -> str:
    """What ss(8) lists on the port."""
    return host.run("ss", "-tulnHp", "sport", "=", port_of(endpoint)).stdout


def carry_out(host: Machine, answer: dict[str, Any]) -> None:
    """Every stop that is printed."""
    stops = [fix["command"] for fix in answer["fixes"] if " stop " in (fix["command"] or "")]
    assert stops
    for command in stops:
        host.run("sh", "-c", command)


@pytest.mark.parametrize(
    ("endpoint", "lines", "is_running", "said"),
    [
        (
            "7007",
            ["ListenStream=7007"],
            False,
            "[::]:7007 for {0}.socket, which starts {0}.service",
        ),
        ("7007", ["ListenStream=7007"], True, "for {0}.socket, which starts {0}.service"),
        ("127.0.0.1:7008/udp", ["ListenDatagram=127.0.0.1:7008"], True, "for {0}.socket"),
        ("[::]:7009", ["ListenStream=[::]:7009", "BindIPv6Only=ipv6-only"], True, "for {0}.socket"),
        ("7010", ["ListenStream=0.0.0.0:7010", "BindToDevice=lo"], True, "for {0}.socket"),
        (
            "7011",
            ["ListenStream=127.0.0.1:7011", "ListenStream=[::1]:7011", "ListenStream=/run/7011"],
            True,
            "for {0}.socket",
        ),
    ],
)
def test_the_port_is_free_after_the_advice(
    host: Machine, endpoint: str, lines: list[str], is_running: bool, said: str
) -> None:
    name = f"web{port_of(endpoint)}"
    host.pair(name, *lines)
    if is_running:
        host.systemctl("start", f"{name}.service")
    answer = why(host, endpoint)
    assert answer["cause"]["id"] == "systemd-socket"
    assert said.format(name) in answer["cause"]["text"]
    assert answer["restart"]["bind"] == "ok"
    (stop,) = [fix["command"] for fix in answer["fixes"] if " stop " in (fix["command"] or "")]
    service = [f"{name}.service"] if is_running else []
    assert stop.split() == ["systemctl", "stop", f"{name}.socket", *service]
    carry_out(host, answer)
    assert not owners(host, endpoint)
    assert why(host, endpoint)["bind"] == "ok"


def test_a_service_for_each_connection(host: Machine) -> None:
    host.pair("echo", "ListenStream=7012", ACCEPT, template=True)
    answer = why(host, "7012")
    assert "for echo.socket, which starts a service for each connection" in answer["cause"]["text"]
    carry_out(host, answer)
    assert not owners(host, "7012")


def test_units_that_share_an_address(host: Machine) -> None:
    for name in ("one", "two"):
        host.pair(name, "ListenStream=127.0.0.1:7013", "ReusePort=yes")
    host.systemctl("start", "two.service")
    answer = why(host, "127.0.0.1:7013")
    assert "for one.socket and two.socket" in answer["cause"]["text"]
    carry_out(host, answer)
    assert not owners(host, "7013")


def test_a_unit_that_has_failed_for_it_is_named(host: Machine) -> None:
    host.pair("first", "ListenStream=7014")
    host.pair("second", "ListenStream=7014")
    answer = why(host, "7014")
    assert "for first.socket, which starts first.service" in answer["cause"]["text"]
    assert "second.socket, which has failed, is for this address too" in answer["cause"]["evidence"]
    carry_out(host, answer)
    assert not owners(host, "7014")


def test_a_service_with_two_units(host: Machine) -> None:
    """Only the one for the port is stopped with it."""
    host.pair("passed", "ListenStream=127.0.0.1:7016")
    host.pair("passing", "ListenStream=127.0.0.1:7015", service="passed.service")
    host.systemctl("start", "passed.service")
    answer = why(host, "7015")
    assert "for passing.socket, which starts passed.service" in answer["cause"]["text"]
    carry_out(host, answer)
    assert not owners(host, "7015")
    assert "systemd" in owners(host, "7016")
    host.systemctl("stop", "passed.socket")


@pytest.mark.parametrize("asker", [0, UID])
def test_units_of_a_user(of_ann: Machine, asker: int) -> None:
    of_ann.pair("mine", "ListenStream=127.0.0.1:7020", uid=UID)
    of_ann.systemctl("start", "mine.service", uid=UID)
    answer = why(of_ann, "7020", uid=asker)
    assert "of user ann listens on 127.0.0.1:7020 for mine.socket" in answer["cause"]["text"]
    (stop,) = [fix["command"] for fix in answer["fixes"] if " stop " in (fix["command"] or "")]
    assert stop.endswith(" stop mine.socket mine.service")
    of_ann.run("sh", "-c", stop, uid=asker)
    assert not owners(of_ann, "7020")


def test_an_ordinary_user_asks_the_systems_manager(host: Machine) -> None:
    host.pair("public", "ListenStream=7021")
    answer = why(host, "7021", uid=UID)
    # pid 1 is root's, whose fds an ordinary user may not read.
    assert answer["cause"]["id"] == "holder-not-visible"
    host.systemctl("stop", "public.socket")


def test_looking_starts_nothing(of_ann: Machine) -> None:
    """Asking a user's manager by --machine= would begin a session of that user."""
    of_ann.pair("quiet", "ListenStream=127.0.0.1:7022", uid=UID)
    jobs = of_ann.systemctl("show", "-p", "NJobs", "-p", "NNames", "-p", "NInstalledJobs")
    assert "for quiet.socket" in of_ann.sockwatch("7022")
    assert of_ann.systemctl("show", "-p", "NJobs", "-p", "NNames", "-p", "NInstalledJobs") == jobs
    of_ann.systemctl("stop", "quiet.socket", uid=UID)


def test_a_manager_that_does_not_answer_is_a_gap(of_ann: Machine) -> None:
    of_ann.pair("mute", "ListenStream=127.0.0.1:7023", uid=UID)
    pid = int(of_ann.systemctl("show", "-p", "MainPID", "--value", f"user@{UID}"))
    of_ann.run("kill", "-STOP", str(pid))
    try:
        answer = why(of_ann, "7023")
    finally:
        of_ann.run("kill", "-CONT", str(pid))
    (gap,) = [gap for gap in answer["gaps"] if gap["code"] == "socket-units-unseen"]
    assert gap["text"].endswith("listens is unknown: systemctl did not answer in time")
    assert "find the unit by its address" in [fix["text"] for fix in answer["fixes"]]
    carry_out(of_ann, why(of_ann, "7023"))


@pytest.mark.parametrize("uid", [0, UID])
def test_from_the_host_nothing_of_a_machine_is_stopped(of_ann: Machine, uid: int) -> None:
    """systemctl(1) would ask the systemd of the host there."""
    of_ann.pair("inner", "ListenStream=127.0.0.1:7024", uid=uid)
    into_netns = ["nsenter", "-t", str(of_ann.leader), "-n"]
    asked = [*into_netns, sys.executable, "-m", "sockwatch", "why", "--json", "7024"]
    answer = json.loads(subprocess.run(asked, capture_output=True, check=False).stdout)
    assert "which is not this host's" in answer["cause"]["text"]
    assert [fix["command"] for fix in answer["fixes"]] == [None]
    of_ann.systemctl("stop", "inner.socket", uid=uid)
