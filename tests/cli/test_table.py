"""The table of several network namespaces; those are made up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sockwatch.cli.table import Section, ports_table
from sockwatch.model import Netns, Port
from sockwatch.view.port_list import Selection
from tests.support import build
from tests.support.build import NOW, port, socket

WEB = port(8080, listeners=(socket("LISTEN", "0.0.0.0", 8080),))


def section(netns: Netns, *ports: Port, age_s: float = 0.0) -> Section:
    shown = replace(build.snapshot(ports), netns=netns, time=NOW - age_s)
    return Section(shown, Selection(ports))


def test_rows_stand_by_port_and_an_old_one_has_its_age() -> None:
    other = port(80, listeners=(socket("LISTEN", "0.0.0.0", 80),))
    sections = [
        section(Netns(1, "host"), WEB),
        section(Netns(2, "blue"), WEB, other, age_s=5.5),
        section(Netns(3, None), WEB._replace(protocol="udp"), age_s=1.5),
    ]
    rows = [line.split()[:4] for line in ports_table(sections, NOW).splitlines()]
    assert rows == [
        ["NETNS", "PORT", "PROTO", "ADDRESS"],
        ["blue", "5s", "80", "tcp"],
        ["host", "8080", "tcp", "0.0.0.0"],
        ["blue", "5s", "8080", "tcp"],
        ["3", "8080", "udp", "0.0.0.0"],
    ]


def test_each_restart_is_judged_by_its_own_namespace() -> None:
    flags = build.NONE
    held = (build.holder(build.process(7, "app")),)
    one = socket("LISTEN", "0.0.0.0", 8080, flags=flags, holders=held)
    waits = build.group("TIME_WAIT", "10.0.0.1", 3, flags=flags, clock=(20, 30))
    busy = port(8080, listeners=(one,), groups=(waits,), holders=held)
    calm = port(8080, listeners=(one,), holders=held)
    lines = ports_table([section(Netns(1, "host"), calm), section(Netns(2, "blue"), busy)], NOW)
    title, host, blue = (line.split() for line in lines.splitlines())
    column = title.index("RESTART")
    assert (host[column], blue[column]) == ("ok", "30s")


def test_a_namespace_without_a_row_takes_no_room() -> None:
    title, *rows = ports_table(
        [section(Netns(1, "host"), WEB), section(Netns(2, "a" * 20))], NOW
    ).splitlines()
    assert title.startswith(" NETNS PORT PROTO")
    assert len(rows) == 1
    assert ports_table([section(Netns(1, "host"))], NOW).startswith(" NETNS PORT")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_on_a_terminal_it_fits(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sockwatch.cli.table._terminal_width", lambda: width)
    sections = [section(Netns(1, "host"), WEB), section(Netns(2, "a" * 64), WEB, age_s=9)]
    lines = ports_table(sections, NOW).splitlines()
    assert max(map(len, lines)) <= width
    assert all("8080" in line for line in lines[1:])
