from __future__ import annotations

import pytest

from sockwatch.cli.document import gap_entry
from sockwatch.model import Gap, GapCode, Holder, Port
from sockwatch.view.details import ASCII_TREE, details
from sockwatch.view.names import gap_text
from sockwatch.view.summary import summary
from tests.support import build
from tests.support.build import group, port, socket

HOLDER_GAP = Gap(
    GapCode.HOLDERS_NOT_PERMITTED, "no permission to read the fds of 9 processes", "run as root"
)


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        (
            build.gunicorn(),
            (
                "8080/tcp  listens on 0.0.0.0:8080 x4",
                "held by gunicorn(4242) +3 of user www, started 3 d ago, web.service",
                "reuseaddr yes, reuseport yes (from bpf)",
                "312 ESTABLISHED  801 TIME_WAIT (first frees in 2 s, last in 58 s)  2 CLOSE_WAIT",
            ),
        ),
        (
            build.lingering(),
            (
                "9000/tcp  no listener; local address 127.0.0.1",
                "reuse flags unknown; run as root",
                "17 TIME_WAIT (first frees in 3 s, last in 41 s)",
            ),
        ),
        (
            build.java(),
            (
                "9100/tcp  bound to *:9100, not listening",
                "held by java(991) of user tomcat, started 12 s ago",
                "reuseaddr no, reuseport no (from bpf)",
            ),
        ),
        (
            build.dns(),
            (
                "53/udp  receives on 127.0.0.53%lo:53",
                "held by systemd-resolve(640) of user systemd-resolve, started 3 d ago",
                "reuseaddr yes, reuseport no (from bpf)",
            ),
        ),
        (
            build.hidden(),
            (
                "3306/tcp  listens on [::]:3306, accept queue full",
                "holder not visible; run as root",
                "reuse flags unknown; run as root",
            ),
        ),
        (
            port(7, orphans=2, unaccepted=3, half_open=4),
            ("7/tcp  no listener", "3 not accepted yet  2 orphans  4 half-open"),
        ),
        (
            port(7, groups=(group("TIME_WAIT", "10.0.0.1", 1, clock=(9.5, 9.5), flags=build.A),)),
            (
                "7/tcp  no listener; local address 10.0.0.1",
                "reuseaddr yes, reuseport no (from bpf)",
                "1 TIME_WAIT with SO_REUSEADDR (frees in 10 s)",
            ),
        ),
    ],
    ids=lambda value: str(value.number) if isinstance(value, Port) else "",
)
def test_summary(found: Port, lines: tuple[str, ...]) -> None:
    assert summary(found, build.snapshot([found], gaps=(HOLDER_GAP,))) == lines


def test_many_addresses_are_cut_short() -> None:
    listeners = tuple(socket("LISTEN", f"10.0.0.{n}", 80, flags=build.A) for n in range(6))
    found = port(80, listeners=listeners)
    title = summary(found, build.snapshot([found]))[0]
    assert title.endswith("10.0.0.2:80, 10.0.0.3:80 +2")


def test_a_holder_without_a_name() -> None:
    one = socket("LISTEN", "0.0.0.0", 80, holders=(Holder(7, 3, None),))
    found = port(80, listeners=(one,))
    lines = summary(found, build.snapshot([found], gaps=(HOLDER_GAP,)))
    assert lines[1] == "held by pid 7, which could not be identified; run as root"


def test_details_draw_every_holder_as_a_tree() -> None:
    parent = build.process(10, "master")
    child = build.process(11, "worker", parent=10)
    grandchild = build.process(12, "helper", parent=11)
    other = build.process(13, "worker", parent=10)
    held = tuple(build.holder(p) for p in (grandchild, other, child, parent))
    found = port(80, listeners=(socket("LISTEN", "0.0.0.0", 80, flags=build.A, holders=held),))
    lines = details(found, build.snapshot([found]), 200, ASCII_TREE)
    drawn = [line.text.split("  fd")[0] for line in lines if line.kind == "process"]
    assert drawn == [
        "master(10)",
        "|- worker(11)",
        "|  `- helper(12)",
        "`- worker(13)",
    ]


def test_parents_in_a_loop_are_all_drawn() -> None:
    one, two = build.process(1, "one", parent=2), build.process(2, "two", parent=1)
    held = (build.holder(one), build.holder(two))
    found = port(80, listeners=(socket("LISTEN", "0.0.0.0", 80, holders=held),))
    lines = details(found, build.snapshot([found]), 200)
    assert sum(line.kind == "process" for line in lines) == 2
    assert summary(found, build.snapshot([found]))[1].startswith("held by one(1) +1")


def test_details_name_every_gap() -> None:
    found = build.hidden()
    lines = [str(line) for line in details(found, build.snapshot([found], gaps=(HOLDER_GAP,)), 39)]
    assert lines[-3:] == [
        "  no permission to read the fds of 9",
        "    processes",
        "    run as root",
    ]


def test_a_gap_without_a_remedy_is_its_text_alone() -> None:
    found = build.hidden()
    gap = HOLDER_GAP._replace(remedy=None)
    lines = [str(line) for line in details(found, build.snapshot([found], gaps=(gap,)), 200)]
    assert lines[-1] == f"  {gap.text}"
    assert "holder not visible" in summary(found, build.snapshot([found], gaps=(gap,)))
    assert gap_text(gap) == gap.text
    assert gap_entry(gap)["remedy"] is None


def test_a_gap_without_a_remedy_has_none() -> None:
    gap = Gap(GapCode.HOLDERS_NOT_VISIBLE, "the holders were gone", None)
    found = build.hidden()
    assert summary(found, build.snapshot([found], gaps=(gap,)))[1] == "holder not visible"
    assert gap_text(gap) == "the holders were gone"
    lines = details(found, build.snapshot([found], gaps=(gap,)), 80)
    assert str(lines[-1]) == "  the holders were gone"
