"""Causes of made-up blockers: what a test cannot make for real, and what must never be advised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from unittest.mock import Mock

import pytest

from sockwatch.bind import BindRequest, Verdict, evidence, explain_bind, fixes
from sockwatch.bind.generations import eldest_first
from sockwatch.model import (
    Gap,
    GapCode,
    Halt,
    Holder,
    HostFacts,
    Port,
    Process,
    ReuseFlags,
    RouteTable,
    Service,
    Snapshot,
)
from tests.support import build
from tests.support.build import group, holder, port, process, socket

FACTS = HostFacts(uid=0, port_range=(32768, 60999), reserved_ports=((9000, 9010),))
HIDDEN = (
    Gap(
        GapCode.HOLDERS_NOT_PERMITTED, "no permission to read the fds of 9 processes", "run as root"
    ),
)


def server(
    *processes: Process,
    address: str = "0.0.0.0",
    flags: ReuseFlags = build.A,
    protocol: str = "tcp",
    uid: int = 0,
    v6only: bool | None = None,
) -> Port:
    state = "LISTEN" if protocol == "tcp" else "UNCONN"
    sock = socket(
        state,
        address,
        8080,
        protocol=protocol,  # type: ignore[arg-type]
        flags=flags,
        uid=uid,
        v6only=v6only,
        holders=tuple(map(holder, processes)),
    )
    return port(8080, protocol=protocol, listeners=(sock,))  # type: ignore[arg-type]


def leftovers(state: str, flags: ReuseFlags, *, mini: bool = False, **options: object) -> Port:
    clock = (1.0, 40.0) if mini else None
    return port(
        8080,
        groups=(group(state, "127.0.0.1", 3, mini=mini, clock=clock, flags=flags, **options),),  # type: ignore[arg-type]
    )


def explained(found: Port, *, gaps: tuple[Gap, ...] = (), **request: object) -> Verdict:
    number = found.number
    asked = BindRequest(found.protocol, "0.0.0.0", number)
    return explain_bind(replace(asked, **request), look([found], gaps))  # type: ignore[arg-type]


def look(ports: list[Port], gaps: tuple[Gap, ...] = ()) -> Snapshot:
    return replace(build.snapshot(ports, gaps=gaps), facts=FACTS)


WEB = Service("web.service", None, 7)
NGINX = process(812, "nginx", unit="nginx.service", service=Service("nginx.service", None, 812))
BOUND = socket("BOUND", "0.0.0.0", 8080, holders=(holder(NGINX),))


@pytest.mark.parametrize(
    ("explain", "cause", "command"),
    [
        (partial(explained, server(NGINX)), "listener", "systemctl stop nginx.service"),
        (partial(explained, server(process(7, "app"))), "listener", "kill 7"),
        (
            partial(explained, server(process(7, "app")._replace(halt=Halt("stopped")))),
            "holder-stopped",
            "kill 7",
        ),
        (
            partial(explained, server(process(7, "app")._replace(state="D", sleeps_s=2.0))),
            "holder-uninterruptible",
            "kill 7",
        ),
        (
            partial(
                explained,
                server(
                    process(1, "systemd"),
                    process(9, "sshd", service=Service("ssh.service", None, 9)),
                ),
            ),
            "systemd-socket",
            "systemctl list-sockets --all",
        ),
        (
            partial(explained, server(process(1, "systemd"))),
            "systemd-socket",
            "systemctl list-sockets --all",
        ),
        (
            partial(
                explained,
                server(
                    process(
                        9,
                        "docker-proxy",
                        command="docker-proxy -container-ip 172.17.0.2 -container-port 80",
                    )
                ),
            ),
            "docker-proxy",
            "docker ps --filter publish=8080",
        ),
        (partial(explained, server(process(9, "sleep"))), "inherited-listener", "kill 9"),
        (
            partial(
                explained,
                server(
                    process(7, "app")._replace(executable="/bin/app"),
                    process(9, "player", parent=7)._replace(executable="/bin/player"),
                ),
            ),
            "listener",
            "kill 7 9",
        ),
        (
            partial(explained, server()),
            "no-fd-anywhere",
            "grep -ls inet_csk_accept /proc/*/task/*/wchan",
        ),
        (
            partial(explained, server(protocol="udp")),
            "no-fd-anywhere",
            "grep -ls __skb_wait_for_more_packets /proc/*/task/*/wchan",
        ),
        (
            partial(explained, server(NGINX, flags=build.AP, uid=33), reuseport=True),
            "reuseport-other-user",
            None,
        ),
        (
            partial(explained, server(NGINX, flags=build.A), reuseport=True),
            "reuseport-member-without",
            None,
        ),
        (partial(explained, server(NGINX, address="127.0.0.1")), "wildcard-overlap", None),
        (partial(explained, server(NGINX, address="::", v6only=False)), "dual-stack", None),
        (
            partial(
                explained,
                port(8080, bound=(socket("BOUND", "0.0.0.0", 8080, holders=(holder(NGINX),)),)),
            ),
            "bound-only",
            "systemctl stop nginx.service",
        ),
    ],
)
def test_held_sockets(explain: Callable[[], Verdict], cause: str, command: str | None) -> None:
    verdict = explain()
    assert verdict.cause is not None
    assert verdict.cause.id == cause
    assert verdict.fixes
    assert verdict.fixes[0].command == command
    assert verdict.frees_in_s is None
    # A listener or bound socket keeps its port until its holder closes it.
    assert not any("ss -K" in (fix.command or "") for fix in verdict.fixes)


def test_an_unseen_holder_is_left_to_root() -> None:
    request = BindRequest("tcp", "0.0.0.0", 8080, reuseaddr=True)
    for uid, commands in (
        (
            0,
            [
                "rpcinfo -p",
                "grep -ls inet_csk_accept /proc/*/task/*/wchan",
                r"grep -lsP 'scm_fds:\s+(?!0)' /proc/*/fdinfo/*",
            ],
        ),
        (7, ["sudo /opt/sockwatch why 0.0.0.0:8080 --reuseaddr --uid 7"]),
    ):
        snapshot = look([server()], HIDDEN)
        facts = replace(FACTS, uid=uid, own_command=("/opt/sockwatch",))
        verdict = explain_bind(request, replace(snapshot, facts=facts))
        assert verdict.cause is not None
        assert verdict.cause.id == "holder-not-visible"
        assert [fix.command for fix in verdict.fixes] == commands


@pytest.mark.parametrize(
    ("kernel", "advised"),
    [
        ("5.15.199", set()),
        ("5.14.0-503.el9.x86_64", set()),
        ("6.0.1", {"TIME_WAIT"}),
        ("6.1.0-56", {"TIME_WAIT"}),  # without the patch level
        ("6.1.132", {"TIME_WAIT", "LAST_ACK"}),
        ("6.6.87.2-microsoft-standard-WSL2", {"TIME_WAIT", "LAST_ACK"}),
    ],
)
@pytest.mark.parametrize("state", ["TIME_WAIT", "LAST_ACK"])
def test_leftovers_are_destroyed_where_the_kernel_can(
    state: str, kernel: str, advised: set[str]
) -> None:
    found = leftovers(state, build.NONE, mini=state == "TIME_WAIT")
    asked = BindRequest("tcp", "0.0.0.0", found.number, reuseaddr=True)
    verdict = explain_bind(asked, replace(look([found]), kernel=kernel))
    is_there = any("ss -K" in (fix.command or "") for fix in verdict.fixes)
    assert is_there == (state in advised)


@pytest.mark.parametrize(
    ("explain", "cause", "fixes"),
    [
        (
            partial(explained, leftovers("TIME_WAIT", build.A, mini=True)),
            "request-lacks-flag",
            ["or set SO_REUSEADDR before bind()", "or wait 40 s; the port is free then"],
        ),
        (
            partial(explained, leftovers("TIME_WAIT", build.NONE, mini=True), reuseaddr=True),
            "time-wait-no-flag",
            ["or wait 40 s; the port is free then", "or as root, destroy", "later set"],
        ),
        (
            partial(explained, leftovers("TIME_WAIT", ReuseFlags(), mini=True), reuseaddr=True),
            "leftovers-flags-unknown",
            ["or wait 40 s; the port is free then", "or if the old sockets had"],
        ),
        (
            partial(explained, leftovers("LAST_ACK", build.NONE), reuseaddr=True),
            "orphans",
            ["or as root, destroy", "later set"],
        ),
        (
            partial(explained, leftovers("ESTABLISHED", build.NONE), reuseaddr=True),
            "unaccepted",
            ["later set"],
        ),
        (
            partial(explained, leftovers("ESTABLISHED", build.NONE, with_fd=3), reuseaddr=True),
            "leftovers-no-flag",
            ["later set"],
        ),
    ],
)
def test_leftovers(explain: Callable[[], Verdict], cause: str, fixes: list[str]) -> None:
    verdict = explain()
    assert verdict.cause is not None
    assert verdict.cause.id == cause
    texts = [f"{fix.step} {fix.text}" for fix in verdict.fixes]
    places = [next(i for i, text in enumerate(texts) if text.startswith(each)) for each in fixes]
    assert places == sorted(places)
    commands = " ".join(fix.command or "" for fix in verdict.fixes)
    assert not {"tcp_fin_timeout", "tcp_tw_recycle", "kill"} & set(commands.split())


def test_setting_the_flag_is_no_advice_for_now_where_the_old_sockets_lack_it() -> None:
    verdict = explained(leftovers("TIME_WAIT", build.NONE, mini=True))
    for fix in verdict.fixes:
        if "SO_REUSEADDR" in fix.options:
            assert fix.step == "later"


def test_a_listener_and_what_it_left_are_both_explained() -> None:
    found = server(NGINX)._replace(
        groups=(group("TIME_WAIT", "0.0.0.0", 3, clock=(1.0, 40.0), flags=build.A),)
    )
    verdict = explained(found)
    assert verdict.cause is not None
    assert verdict.cause.id == "listener"
    assert [b.cause.id for b in verdict.blockers if b.cause] == ["listener", "request-lacks-flag"]
    # The TIME_WAITs go by themselves, the listener does not.
    assert not any(fix.text.startswith("wait") for fix in verdict.fixes)


def test_a_client_that_has_the_port_is_never_killed() -> None:
    curl = process(77, "curl")
    found = port(
        40000,
        groups=(
            group("ESTABLISHED", "10.0.0.1", 1, with_fd=1, uid=0, flags=build.NONE)._replace(
                holders=(holder(curl),)
            ),
        ),
        holders=(holder(curl),),
        connections=(
            socket(
                "ESTABLISHED",
                "10.0.0.1",
                40000,
                peer=("1.2.3.4", 443),
                flags=build.NONE,
                holders=(holder(curl),),
            ),
        ),
    )
    verdict = explained(found, reuseaddr=True)
    assert verdict.cause is not None
    assert verdict.cause.id == "client-port"
    assert "curl(77)" in verdict.cause.text
    assert "1.2.3.4:443" in verdict.cause.text
    commands = [fix.command for fix in verdict.fixes]
    assert commands == [None, "sysctl -w net.ipv4.ip_local_reserved_ports=9000-9010,40000"]


def test_workers_with_names_of_their_own_inherited_nothing_odd() -> None:
    workers = (process(7, "master"), process(9, "worker", parent=7))
    verdict = explained(server(*workers))
    assert verdict.cause is not None
    assert verdict.cause.id == "listener"
    assert verdict.fixes[0].command == "kill 7 9"


@pytest.mark.parametrize(
    ("holders", "commands"),
    [
        (
            [process(7, "web", service=Service("web.service", None, 7))],
            ["systemctl stop web.service"],
        ),
        (
            [process(7, "web", service=Service("-Hroot@evil.service", 1000, 7))],
            ["systemctl --user --machine=1000@ stop -- -Hroot@evil.service"],
        ),
        (
            [process(7, "web", service=WEB._replace(manager_uid=1000))],
            ["systemctl --user --machine=1000@ stop web.service"],
        ),
        # The main process does not hold the socket: somebody started it by hand within ssh.service.
        ([process(9, "nc", service=Service("ssh.service", None, 8))], ["kill 9"]),
        ([process(9, "nc", service=Service("ssh.service", None, None))], ["kill 9"]),
        # A container's unit is no service of ours.
        ([process(9, "nginx", unit="nginx.service")], ["kill 9"]),
        (
            [process(7, "a", service=Service("a.service", None, 7)), process(8, "b")],
            ["kill 7 8"],
        ),
        ([process(1, "init")], []),
    ],
)
def test_whom_to_stop(holders: list[Process], commands: list[str]) -> None:
    assert [fix.command for fix in fixes.stop(holders)] == commands


@pytest.mark.parametrize("state", ["FIN_WAIT2", "FIN_WAIT1"])
def test_a_socket_with_an_fd_is_never_destroyed_though_nobody_sees_its_holder(state: str) -> None:
    verdict = explained(leftovers(state, build.NONE, with_fd=3), gaps=HIDDEN, reuseaddr=True)
    assert verdict.cause is not None
    assert verdict.cause.id == "leftovers-no-flag"
    assert not any("ss -K" in (fix.command or "") for fix in verdict.fixes)


@pytest.mark.parametrize("peer", [None, ("1.2.3.4", 50000)])
def test_a_connection_is_no_client_without_the_evidence(peer: tuple[str, int] | None) -> None:
    app = holder(process(77, "app"))
    seen = socket("ESTABLISHED", "10.0.0.1", 40000, peer=peer, flags=build.NONE, holders=(app,))
    found = port(
        40000,
        groups=(group("ESTABLISHED", "10.0.0.1", 1, with_fd=1, uid=0, flags=build.NONE),),
        holders=(app,),
        connections=None if peer is None else (seen,),
    )
    verdict = explained(found, reuseaddr=True)
    assert verdict.cause is not None
    assert verdict.cause.id == "leftovers-no-flag"


@pytest.mark.parametrize("parent_holds", [False, True])
def test_a_worker_started_anew_is_no_generation(parent_holds: bool) -> None:
    master = process(7, "app", age_s=3 * build.DAY)
    workers = (
        process(8, "app", parent=7, age_s=3 * build.DAY),
        process(9, "app", parent=7, age_s=5),
    )
    listeners = tuple(
        socket("LISTEN", "0.0.0.0", 8080, flags=build.AP, inode=worker.pid,
               holders=(*((holder(master),) if parent_holds else ()), holder(worker)))
        for worker in workers
    )  # fmt: skip
    verdict = explained(port(8080, listeners=listeners))
    assert verdict.cause is not None
    assert verdict.cause.id == "listener"


def test_old_generation() -> None:
    young = socket("LISTEN", "0.0.0.0", 8080, flags=build.AP, inode=2,
                   holders=(holder(process(9, "app", age_s=5)),))  # fmt: skip
    old = server(process(7, "app", age_s=3 * build.DAY), flags=build.AP)
    verdict = explained(old._replace(listeners=(*old.listeners, young)))
    assert verdict.cause is not None
    assert verdict.cause.id == "listener-old-generation"
    assert "app(7), started 3 d ago" in verdict.cause.text


@pytest.mark.parametrize(
    ("request_", "facts", "cause"),
    [
        (BindRequest("tcp", "0.0.0.0", 40000), FACTS, "free-in-range"),
        (BindRequest("tcp", "0.0.0.0", 9005), FACTS, None),
        (BindRequest("tcp", "0.0.0.0", 8080), FACTS, None),
        (
            BindRequest("tcp", "0.0.0.0", 80),
            HostFacts(uid=1000, net_bind_service=False, unprivileged_port_start=1024),
            "low-port",
        ),
        (
            BindRequest("tcp", "10.1.2.3", 8080),
            HostFacts(ipv4_tables=(RouteTable(255, ()),)),
            "address-not-local",
        ),
    ],
)
def test_without_a_blocker(request_: BindRequest, facts: HostFacts, cause: str | None) -> None:
    verdict = explain_bind(request_, replace(build.snapshot([]), facts=facts))
    assert (verdict.cause and verdict.cause.id) == cause
    assert bool(verdict.fixes) == (cause is not None)


def test_a_connection_whose_holder_could_not_be_read() -> None:
    found = leftovers("CLOSE_WAIT", build.NONE, holders=(Holder(812, 3, None),), with_fd=1)
    verdict = explained(found)
    assert verdict.cause is not None
    assert "which the peer has closed and the program has not" in verdict.cause.text


@pytest.mark.parametrize("count", [2, 40])
def test_servers_that_share_an_address_are_explained_together(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be thousands: none of them looks at all the others again."""
    in_order, stopped = Mock(wraps=eldest_first), Mock(wraps=fixes.stop)
    monkeypatch.setattr(evidence, "eldest_first", in_order)
    monkeypatch.setattr(fixes, "stop", stopped)
    listeners = tuple(
        socket(
            "LISTEN", "0.0.0.0", 8080, uid=None, flags=build.P,
            holders=(holder(process(100 + number, "nginx")),),
        )
        for number in range(count)
    )  # fmt: skip
    verdict = explained(port(8080, listeners=listeners), reuseport=True)
    assert len(verdict.blockers) == count
    assert {blocker.cause for blocker in verdict.blockers} == {verdict.cause}
    assert (in_order.call_count, stopped.call_count) == (1, 1)
