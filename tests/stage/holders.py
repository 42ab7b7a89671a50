"""Situations in which a process has the port."""

from __future__ import annotations

import os
import signal
import socket
from typing import Final

from sockwatch.bind.cause_ids import CauseId
from tests.stage import actors, calls, cgroups, networks
from tests.stage.actors import start
from tests.stage.calls import Call
from tests.stage.situation import (
    KILLS,
    STOPPED,
    THAWS,
    USER,
    Situation,
    nothing,
)
from tests.support.waiting import wait_until

ADDR, SHARE = socket.SO_REUSEADDR, socket.SO_REUSEPORT


def a_server() -> None:
    start("server", actors.listen)


def a_server_and_a_bystander() -> None:
    start("bystander", actors.listen, "127.0.0.2")
    start("server", actors.listen, "127.0.0.1")
    start("bystander", actors.listen, "127.0.0.1", 8081)


def two_starts_of_a_server() -> None:
    """Each has a parent of its own: one that restarts a worker is one server."""
    start("parent", start, "server", actors.listen, "127.0.0.1", 8080, SHARE)


def the_next_start() -> None:
    start("parent", start, "server", actors.listen, "127.0.0.1", 8080, SHARE)


def a_server_that_does_not_accept() -> None:
    start("server", actors.full_listener)


def a_stopped_server() -> None:
    actors.stop(start("server", actors.listen))


def a_traced_server() -> None:
    start("tracer", actors.trace, start("server", actors.listen))


def a_frozen_server() -> None:
    cgroups.freeze(start("server", actors.listen))


def a_stuck_server() -> None:
    pid = start("server", actors.server_that_will_vfork)
    os.kill(pid, signal.SIGUSR1)
    wait_until(lambda: actors.state_of(pid) == "D")


def a_server_of_another_user() -> None:
    start("server", actors.as_uid, USER + 1, actors.listen)


def a_listener_in_flight() -> None:
    start("server", actors.in_flight)


def workers_without_a_master() -> None:
    start("parent", actors.workers_without_a_master, "server", 2)


def an_heir() -> None:
    start("server", actors.inherited, "sleep", "1000")


def a_systemd_of_a_container() -> None:
    start("server", actors.inherited_by_a_copy_of_sleep, "systemd")


def docker_proxy() -> None:
    start("server", actors.inherited_by_a_copy_of_sleep, "docker-proxy")


def conmon() -> None:
    start("server", actors.inherited_by_a_copy_of_sleep, "conmon")


def a_group_of_another_user() -> None:
    start("server", actors.as_uid, USER + 1, actors.listen, "127.0.0.1", 8080, SHARE)


def both_families() -> None:
    start("server", actors.listen, "::", 8080, ADDR)


def every_address() -> None:
    start("server", actors.listen, "0.0.0.0", 8080, ADDR)


def only_bound() -> None:
    start("server", actors.bound, "127.0.0.1", 8080)


HOLDERS: Final = (
    Situation(CauseId.LISTENER, a_server, touches=KILLS, then="ok"),
    Situation(CauseId.LISTENER, a_server_and_a_bystander, touches=KILLS, then="ok"),
    Situation(
        CauseId.LISTENER_OLD_GENERATION,
        two_starts_of_a_server,
        touches=KILLS,
        then="ok",
        later=the_next_start,
    ),
    Situation(CauseId.ACCEPT_QUEUE_FULL, a_server_that_does_not_accept, touches=KILLS, then="ok"),
    Situation(CauseId.HOLDER_STOPPED, a_stopped_server, touches=STOPPED, then="ok"),
    Situation(CauseId.HOLDER_TRACED, a_traced_server, touches=KILLS, then="ok"),
    Situation(
        CauseId.HOLDER_FROZEN,
        a_frozen_server,
        touches=(*THAWS, *KILLS),
        then="ok",
        needs=cgroups.need_cgroups,
        clean=cgroups.remove,
    ),
    Situation(
        CauseId.HOLDER_UNINTERRUPTIBLE,
        a_stuck_server,
        fails=calls.once_more,
        failures=2,
        failures_only=True,
    ),
    Situation(CauseId.HOLDER_NOT_VISIBLE, a_server_of_another_user, asked_by=USER),
    Situation(CauseId.HOLDER_NOT_VISIBLE, a_listener_in_flight, finds=r"/proc/\d+/fdinfo/\d+"),
    Situation(
        CauseId.HOLDER_NOT_VISIBLE,
        networks.a_tunnel,
        Call("0.0.0.0", networks.TUNNEL_PORT, udp=True),
        finds=rf"tunnel0: .*\b{networks.TUNNEL_PORT}\b",
        needs=networks.need_tunnels,
    ),
    Situation(CauseId.ORPHANED_WORKERS, workers_without_a_master, touches=KILLS, then="ok"),
    Situation(CauseId.INHERITED_LISTENER, an_heir, touches=KILLS, then="ok"),
    Situation(CauseId.SYSTEMD_SOCKET, a_systemd_of_a_container),
    Situation(CauseId.DOCKER_PROXY, docker_proxy),
    Situation(CauseId.CONTAINER_RUNTIME, conmon),
    Situation(CauseId.SAME_PROCESS, nothing, fails=calls.listen_first, failures_only=True),
    Situation(CauseId.SAME_PROGRAM, nothing, fails=calls.in_a_worker, failures_only=True),
    Situation(CauseId.REUSEPORT_MEMBER_WITHOUT, a_server, Call(reuseport=True), KILLS, "ok"),
    Situation(
        CauseId.REUSEPORT_OTHER_USER, a_group_of_another_user, Call(reuseport=True), KILLS, "ok"
    ),
    Situation(CauseId.DUAL_STACK, both_families, touches=KILLS, then="ok"),
    Situation(CauseId.WILDCARD_OVERLAP, every_address, touches=KILLS, then="ok"),
    Situation(CauseId.BOUND_ONLY, only_bound, touches=KILLS, then="ok"),
)
