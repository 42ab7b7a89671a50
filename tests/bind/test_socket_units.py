"""Sockets that systemd holds: which unit it is, and what of it is to be stopped."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sockwatch.bind import BindRequest, Verdict, explain_bind, explain_restart
from sockwatch.bind.failure import explain_failure
from sockwatch.bind.restart_fixes import restart_fixes
from sockwatch.failure import Failure
from sockwatch.model import (
    Origin,
    Process,
    ReuseFlags,
    Service,
    Snapshot,
    SocketUnit,
    is_own_manager,
    is_service_manager,
)
from tests.bind.asking import PORT, cause
from tests.bind.makers import snapshot
from tests.bind.makers import socket as made_socket
from tests.support import build

INIT = build.process(1, "systemd", command="/sbin/init")
USERS = build.process(700, "systemd", uid=1000, user="ann", command="/lib/systemd/systemd --user")
WEB = build.process(9, "web", service=Service("web.service", None, 9))
ANNS = build.process(9, "web", uid=1000, service=Service("web.service", 1000, 9))
OTHER = build.process(8, "app")
UNIT = SocketUnit("web.socket", "tcp", "0.0.0.0", PORT, activates="web.service")
ECHO = UNIT._replace(name="echo.socket", activates=None)
TWIN = UNIT._replace(name="twin.socket", activates="twin.service")


def look(*holders: Process, units: tuple[SocketUnit, ...] | None) -> Snapshot:
    """The port, held by these by one socket; `units` are what the first says, if it answers."""
    shown = snapshot(made_socket(holders=tuple(map(build.holder, holders))))
    return replace(shown, socket_units={} if units is None else {holders[0].pid: units})


def explained(shown: Snapshot, ancestors: frozenset[int] = frozenset()) -> Verdict:
    shown = replace(shown, facts=replace(shown.facts, ancestors=ancestors))
    return explain_bind(BindRequest("tcp", "0.0.0.0", PORT), shown)


@pytest.mark.parametrize(
    ("holders", "units", "said", "commands"),
    [
        ((INIT,), (UNIT,), "for web.socket, which starts web.service",
         ["systemctl stop web.socket"]),
        ((INIT, WEB), (UNIT,), "web.service has another",
         ["systemctl stop web.socket web.service"]),
        # A service of the same name that another manager runs is not this one.
        ((INIT, ANNS), (UNIT,), "for web.socket",
         ["systemctl stop web.socket", "systemctl --user --machine=1000@ stop web.service"]),
        ((USERS, ANNS), (UNIT,), "(pid 700) of user ann listens on 0.0.0.0:8080 for web.socket",
         ["systemctl --user --machine=1000@ stop web.socket web.service"]),
        ((INIT, WEB, OTHER), (UNIT,), "for web.socket",
         ["systemctl stop web.socket web.service", "kill 8"]),
        ((INIT,), (ECHO,), "for echo.socket, which starts a service for each connection",
         ["systemctl stop echo.socket"]),
        ((INIT,), (UNIT, TWIN._replace(has_failed=True)),
         "twin.socket, which has failed, is for this address too", ["systemctl stop web.socket"]),
        ((INIT, WEB), (UNIT._replace(reuseport=True), TWIN._replace(reuseport=True)),
         "for web.socket and twin.socket, which start web.service and twin.service",
         ["systemctl stop web.socket twin.socket web.service"]),
        # One of them is in another network namespace.
        ((INIT,), (UNIT, TWIN), "for web.socket or twin.socket", ["systemctl list-sockets --all"]),
        ((INIT,), None, "for a socket unit", ["systemctl list-sockets --all"]),
        ((INIT, WEB), None, "for a socket unit",
         ["systemctl list-sockets --all", "systemctl stop web.service"]),
        ((INIT,), (), "none of its socket units listens there",
         ["systemctl show '*.service' -p Id -p NFileDescriptorStore"]),
        ((INIT,), (UNIT._replace(port=81), UNIT._replace(protocol="udp"),
                   UNIT._replace(address="127.0.0.1"), UNIT._replace(device="eth0")),
         "none of its socket units listens there",
         ["systemctl show '*.service' -p Id -p NFileDescriptorStore"]),
    ],
)  # fmt: skip
def test_what_is_said_and_stopped(
    holders: tuple[Process, ...],
    units: tuple[SocketUnit, ...] | None,
    said: str,
    commands: list[str],
) -> None:
    verdict = explained(look(*holders, units=units))
    identity, text = cause(verdict)
    assert identity == "systemd-socket"
    assert said in text
    assert [fix.command for fix in verdict.fixes] == commands
    assert [fix.step for fix in verdict.fixes] == ["or", "then", "then"][: len(commands)]


def test_what_goes_along_is_said() -> None:
    verdict = explained(look(INIT, WEB, units=(UNIT._replace(addresses=3),)))
    assert verdict.fixes[0].text == (
        "stop the socket unit, which has 2 other addresses too, and its service; "
        "one of them is not enough"
    )


@pytest.mark.parametrize(
    ("holders", "unit", "ancestors"),
    [
        ((INIT,), UNIT._replace(name="ssh.socket", activates="ssh.service"), ()),
        ((INIT,), UNIT._replace(name="sshd.socket", activates=None), ()),
        ((INIT, WEB._replace(executable="/usr/sbin/sshd")), UNIT, ()),
        ((INIT, WEB), UNIT, (9, 1)),
    ],
)
def test_what_has_to_stay(
    holders: tuple[Process, ...], unit: SocketUnit, ancestors: tuple[int, ...]
) -> None:
    verdict = explained(look(*holders, units=(unit,)), frozenset(ancestors))
    (fix,) = verdict.fixes
    assert fix.command is None
    assert fix.text.startswith("leave ")


def test_what_only_calls_itself_systemd() -> None:
    assert is_own_manager(USERS._replace(executable="/usr/lib/systemd/systemd"))
    assert not is_service_manager(USERS._replace(executable="/srv/game"))


def test_a_systemd_of_a_container_is_not_asked_here() -> None:
    inside = USERS._replace(origin=Origin("nspawn", "", "web2", "cgroup"))
    for process in (inside, build.process(700, "systemd", command="/sbin/init")):
        verdict = explained(look(process, units=None))
        assert "which is not this host's" in cause(verdict)[1]
        assert [fix.command for fix in verdict.fixes] == [None]
    assert "in container web2" in cause(explained(look(inside, units=None)))[1]


def test_the_service_binds_itself_instead_of_using_what_systemd_passes() -> None:
    failing = WEB._replace(pid=20)
    failure = Failure(
        time=build.NOW, call="bind", errno="EADDRINUSE", pid=20, tid=20, comm="web", uid=0, fd=5,
        process=failing, protocol="tcp", family="ipv4", address="0.0.0.0", port=PORT,
        netns_inode=1, flags=ReuseFlags(True, False, "bpf"), v6only=False, socket_uid=0,
        net_bind_service=True, inode=99,
    )  # fmt: skip
    found = explain_failure(failure, look(INIT, units=(UNIT,)), {})
    assert [fix.command for fix in found.fixes] == [None, "systemctl stop web.socket"]
    assert "sd_listen_fds(3)" in found.fixes[0].text


@pytest.mark.parametrize(
    ("holders", "command"), [((INIT,), None), ((INIT, WEB), "systemctl restart web.service")]
)
def test_a_restart_gets_the_socket_that_systemd_keeps(
    holders: tuple[Process, ...], command: str | None
) -> None:
    shown = look(*holders, units=None)
    port = shown.port("tcp", PORT)
    assert port is not None
    restart = explain_restart(port, shown)
    assert restart is not None
    assert (restart.bind, restart.listen, restart.passed_on_by) == ("ok", "ok", INIT)
    assert next((fix.command for fix in restart_fixes(restart)), None) == command
