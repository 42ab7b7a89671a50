"""Looks: the rows of several network namespaces, and which snapshot each is from."""

from __future__ import annotations

from dataclasses import replace

from sockwatch.model import Gap, GapCode, HostSnapshot, Netns, Port, Snapshot
from sockwatch.view.filter import parse_filter
from sockwatch.view.look import Look, Looks
from sockwatch.view.marks import Marks
from sockwatch.view.port_list import PortList
from sockwatch.view.restarts import Restarts
from sockwatch.view.sorting import Order
from tests.support import build

BLUE, RED = Netns(11, "blue", id=1), Netns(12, "red", id=2)
GAP = Gap(GapCode.FLAGS_UNKNOWN, "flags are unknown", "run as root")


def of(netns: Netns, *ports: Port, time: float = build.NOW, gaps: tuple[Gap, ...] = ()) -> Snapshot:
    return replace(build.snapshot(ports, time=time, gaps=gaps), netns=netns)


HOST = build.snapshot([build.port(80), build.port(22)])


def test_our_own_is_first_and_the_others_stand_by_name() -> None:
    look = Looks().at(HostSnapshot((HOST, of(RED, build.port(80)), of(BLUE, build.port(80)))))
    assert [part.snapshot.netns.name for part in look.parts] == ["host", "blue", "red"]
    rows = PortList().listed(look, parse_filter(""), Order()).ports
    names = [(row.number, row.netns and row.netns.name) for row in rows]
    assert names == [(22, "host"), (80, "host"), (80, "blue"), (80, "red")]
    assert len({row.row_key for row in rows}) == 4


def test_an_inode_that_is_given_again_is_another_namespace() -> None:
    again = BLUE._replace(id=3)
    marks, looks = Marks(), Looks()
    marks.update(looks.at(HostSnapshot((HOST, of(BLUE, build.port(80))))))
    look = looks.at(HostSnapshot((HOST, of(again, build.port(80)))))
    marks.update(look)
    [row] = look.parts[1].rows
    assert marks.of(row.row_key) == "new"
    assert [gone.netns for gone in marks.gone] == [BLUE]


def test_rows_of_what_has_not_changed_are_the_same_objects() -> None:
    looks, blue = Looks(), of(BLUE, build.port(80))
    [before] = looks.at(HostSnapshot((HOST, blue))).parts[1].rows
    [row] = looks.at(HostSnapshot((HOST, replace(blue, time=build.NOW + 9)))).parts[1].rows
    assert row is before


def test_each_row_is_judged_and_aged_by_its_own_snapshot() -> None:
    blue = of(BLUE, build.sshd(), time=build.NOW - 7)
    look = Looks().at(HostSnapshot((HOST, blue)))
    [row] = look.parts[1].rows
    assert look.snapshot_of(row) is blue
    assert (look.age_s(row), look.age_s(look.parts[0].rows[0])) == (7.0, 0.0)
    restarts = Restarts()
    restarts.show(look)
    assert restarts.cell(row) == Restarts(blue).cell(blue.ports[0])
    assert restarts.cell(row) != "-"
    assert restarts.cell(row._replace(netns=RED)) == "-"


def test_a_closer_look_judges_its_row_alone() -> None:
    blue = of(BLUE, build.sshd())
    look = Looks().at(HostSnapshot((HOST, blue)))
    [row] = look.parts[1].rows
    restarts = Restarts()
    restarts.show(look)
    restarts.look_closer(row, of(BLUE))
    assert restarts.cell(row) == "-"
    restarts.look_closer(row, None)
    assert restarts.cell(row) != "-"


def test_a_gap_says_where_it_is_unless_it_is_everywhere() -> None:
    many = [of(Netns(20 + n, f"n{n}", id=20 + n), gaps=(GAP,)) for n in range(5)]
    found = Looks().at(HostSnapshot((HOST, *many), (GAP,))).gaps
    assert [gap.text for gap in found] == [
        "flags are unknown",
        "netns n0, netns n1, netns n2 and 2 more: flags are unknown",
    ]
    everywhere = Looks().at(HostSnapshot(tuple(many))).gaps
    assert everywhere == (GAP,)


def test_a_look_at_one_namespace_has_the_ports_of_its_snapshot() -> None:
    look = Look.of(HOST)
    assert list(look.rows) == list(HOST.ports)
    assert look.snapshot_of(HOST.ports[0]) is HOST
    assert look.gaps is HOST.gaps
