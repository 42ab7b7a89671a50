from __future__ import annotations

import pytest

from sockwatch.model import Port, Process, ReuseFlags
from sockwatch.view.answer import new_request
from sockwatch.view.panel import panel
from sockwatch.view.port_columns import PORT_COLUMN
from sockwatch.view.states import state_parts
from sockwatch.view.warnings import warnings
from tests.support import build
from tests.support.build import NOW, group, holder, port, process, socket

HANG = "clients hang:"
DROPPED = "to it dropped: tries to connect while a queue was full, or strays"


def member(pid: int, *, age_s: float = 60, uid: int = 0, executable: str = "/bin/a") -> Process:
    found = process(pid, f"name{pid}", age_s=age_s, uid=uid, user=f"user{uid}")
    return found._replace(executable=executable)


def shared(*members: Process, flags: ReuseFlags = build.AP, inode: int = 1) -> Port:
    listeners = tuple(
        socket("LISTEN", "0.0.0.0", 8443, flags=flags, inode=inode + place, holders=(holder(one),))
        for place, one in enumerate(members)
    )
    return port(8443, listeners=listeners)


@pytest.mark.parametrize(
    ("found", "reuse", "sentences"),
    [
        (shared(member(7), member(8)), "AP x2", ()),
        (shared(member(7, age_s=63), member(8)), "AP x2", ()),
        (
            shared(member(7, age_s=3 * build.DAY), member(8, age_s=12)),
            "AP! x2",
            ("two generations share this port: pid 7 started 3 d ago, pid 8 12 s ago",),
        ),
        (
            shared(member(7), member(8, executable="/bin/b")),
            "AP! x2",
            ("different programs share this port: name7 (pid 7), name8 (pid 8)",),
        ),
        (
            shared(member(7), member(8, uid=5)),
            "AP! x2",
            ("different users share this port: user0 (pid 7), user5 (pid 8)",),
        ),
        (
            shared(member(7), flags=build.NONE),
            "--*",
            ("listens without SO_REUSEADDR: TIME_WAITs will block a restart for 60 s",),
        ),
        (shared(member(7), flags=build.P), "-P", ()),
        (shared(member(7), flags=ReuseFlags()), "??", ()),
    ],
)
def test_marks_and_sentences(found: Port, reuse: str, sentences: tuple[str, ...]) -> None:
    assert PORT_COLUMN["reuse"].text(found, NOW) == reuse
    assert warnings(found, NOW) == sentences


@pytest.mark.parametrize(
    ("queues", "drops", "sentences"),
    [
        ([(7, 7)], 0, ()),
        ([(None, None)], None, ()),
        ([(0, 7)], 1, (f"1 packet {DROPPED}",)),
        ([(8, 7)], 0, (f"{HANG} its accept queue is full (8/7)",)),
        (
            [(8, 7), (9, 7), (0, 7)],
            2,
            (f"{HANG} 2 of its 3 accept queues are full (9/7)", f"6 packets {DROPPED}"),
        ),
    ],
)
def test_what_clients_feel_comes_first(
    queues: list[tuple[int | None, int | None]], drops: int | None, sentences: tuple[str, ...]
) -> None:
    listeners = tuple(
        socket("LISTEN", "0.0.0.0", 8443, queue=queue, backlog=backlog)._replace(drops=drops)
        for queue, backlog in queues
    )
    found = port(8443, listeners=listeners)
    assert warnings(found, NOW) == sentences
    told = [line.text for line in panel(new_request(found), build.snapshot([found]))]
    assert told[1 : len(sentences) + 1] == list(sentences)
    assert len(told) == len(set(told))


def test_udp_needs_no_reuseaddr() -> None:
    udp = (socket("UNCONN", "0.0.0.0", 53, protocol="udp", flags=build.NONE),)
    assert warnings(port(53, protocol="udp", listeners=udp), NOW) == ()


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({build.A: 790, build.NONE: 11}, "801 TIME_WAIT: 790 with SO_REUSEADDR, 11 without"),
        ({build.A: 5}, "5 TIME_WAIT with SO_REUSEADDR"),
        ({build.P: 5}, "5 TIME_WAIT without SO_REUSEADDR"),
        (
            {build.A: 1, build.NONE: 2, ReuseFlags(): 3},
            "6 TIME_WAIT: 1 with SO_REUSEADDR, 2 without, 3 unknown",
        ),
        ({ReuseFlags(): 3}, "3 TIME_WAIT"),
    ],
)
def test_time_waits_by_flag(counts: dict[ReuseFlags, int], text: str) -> None:
    groups = tuple(
        group("TIME_WAIT", "10.0.0.1", count, clock=(2.0, 50.0), flags=flags)
        for flags, count in counts.items()
    )
    assert state_parts(port(80, groups=groups)) == [f"{text} (first frees in 2 s, last in 50 s)"]
