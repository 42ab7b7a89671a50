from __future__ import annotations

from dataclasses import replace

import pytest

from sockwatch.model import NO_CLIENTS, Ancestor, Clients, Holder, Port, PortSet
from sockwatch.view.answer import new_request
from sockwatch.view.who import who, who_lines
from tests.support import build
from tests.support.build import group, holder, port, process, socket

HIDDEN = port(7, listeners=(socket("LISTEN", "0.0.0.0", 7, inode=9, uid=33),))


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        (
            build.gunicorn(),
            (
                "8080/tcp is held by gunicorn(4242) and 3 workers",
                "gunicorn app:web -w 3   www   up 3 d   web.service",
                (
                    "listens on 0.0.0.0 x4 with SO_REUSEADDR and SO_REUSEPORT; queue 0/4096; 312"
                    " ESTABLISHED, 801 TIME_WAIT (first frees in 2 s, last in 58 s), 2 CLOSE_WAIT"
                ),
            ),
        ),
        (
            build.lingering(),
            ("9000/tcp: no process has it: 17 TIME_WAIT (first frees in 3 s, last in 41 s)",),
        ),
        (
            build.java(),
            (
                "9100/tcp is held by java(991)",
                "java   tomcat   up 12 s",
                "has bound * without reuse flags, and does not listen",
            ),
        ),
        (
            build.dns(),
            (
                "53/udp is held by systemd-resolve(640)",
                "systemd-resolve   systemd-resolve   up 3 d",
                "receives on 127.0.0.53%lo with SO_REUSEADDR",
            ),
        ),
        (HIDDEN, ("7/tcp is held by a process of uid 33 that could not be seen",)),
        (
            port(7, groups=(group("TIME_WAIT", "10.0.0.1", 1, clock=(9.5, 9.5), flags=build.A),)),
            ("7/tcp: no process has it: 1 TIME_WAIT with SO_REUSEADDR (frees in 10 s)",),
        ),
    ],
    ids=lambda value: str(value.number) if isinstance(value, Port) else "",
)
def test_who(found: Port, lines: tuple[str, ...]) -> None:
    said = [line.text for line in who_lines(new_request(found), build.snapshot([found]))]
    assert said[: len(lines)] == list(lines)


def test_nobody() -> None:
    request = new_request(port(1234))
    assert who(request, build.snapshot([])) == "1234/tcp: nobody has it"
    clients = Clients((), PortSet.of([1234]))
    assert clients != NO_CLIENTS
    said = who(request, replace(build.snapshot([]), clients=clients))
    assert said == "1234/tcp: connections of clients have it"


def test_where_it_runs_and_who_has_started_it() -> None:
    shell = Ancestor(812, "bash", build.NOW - 99, "/usr/bin/bash")
    one = process(9, "app", command="./app 80")._replace(
        cwd="/srv/shop (deleted)", arguments=("./app", "80"), ancestors=(shell,)
    )
    found = port(80, listeners=(socket("LISTEN", "0.0.0.0", 80, holders=(holder(one),)),))
    _, facts, *_ = who_lines(new_request(found), build.snapshot([found]))
    assert facts.text == "app 80   in /srv/shop (deleted)   root   up 3 d   by bash(812)"


def test_many_addresses_are_cut_short() -> None:
    listeners = tuple(socket("LISTEN", f"10.0.0.{n}", 80, flags=build.A) for n in range(6))
    found = port(80, listeners=listeners)
    lines = [line.text for line in who_lines(new_request(found), build.snapshot([found]))]
    assert any("10.0.0.2, 10.0.0.3 +2 with SO_REUSEADDR" in line for line in lines)


def test_holders_of_several_families_are_no_workers() -> None:
    held = tuple(map(holder, (process(7, "nginx"), process(9, "apache2"))))
    found = port(80, listeners=(socket("LISTEN", "0.0.0.0", 80, holders=held),))
    assert who(new_request(found), build.snapshot([found])).endswith("nginx(7) and 1 more")


def test_a_holder_without_a_name() -> None:
    one = socket("LISTEN", "0.0.0.0", 80, holders=(Holder(7, 3, None),))
    found = port(80, listeners=(one,))
    assert who(new_request(found), build.snapshot([found])) == "80/tcp is held by ?(7)"


def test_parents_in_a_loop() -> None:
    held = tuple(map(holder, (process(1, "one", parent=2), process(2, "two", parent=1))))
    found = port(80, listeners=(socket("LISTEN", "0.0.0.0", 80, holders=held),))
    assert "one(1) and 1" in who(new_request(found), build.snapshot([found]))
