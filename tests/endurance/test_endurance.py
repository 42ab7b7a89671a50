"""A busy host and a busy user for some seconds; `python -m tests.endurance` is the long run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.conftest import CAN_MAKE_NETNS
from tests.endurance import report
from tests.endurance.counts import (
    CLIENTS,
    Counts,
    PortKey,
    differences,
    is_folded,
    screen_differences,
)
from tests.endurance.display import COLUMNS, Display
from tests.endurance.keys import Keys
from tests.endurance.pace import Shown, judge, shown
from tests.endurance.run import Plan, run
from tests.endurance.verdict import Demands, faults
from tests.support.tools import need

# More looks in the short time, and as many TIME_WAITs within a second as there will be.
SHORT = Plan(
    seconds=9.0,
    standing=300,
    interval_s=0.25,
    most_time_waits=4_000,
    gauge_every_s=0.25,
    host_wide=False,
)
FLOOR = Demands(
    connections_per_s=300, processes_per_s=10, ports_per_s=2, looks_per_s=0.2, growth_kb=2_000
)


def test_a_busy_host_and_a_busy_user() -> None:
    need("ss")
    if not CAN_MAKE_NETNS:
        pytest.skip("this user may not make network namespaces")
    found = run(SHORT)
    told = report.text(found)
    print(told)
    assert list(faults(found, FLOOR)) == [], told
    # What the verdict would have said, had it been otherwise.
    ends = [0.0, 1.0, 9.0]
    otherwise = {
        "without a look": replace(found, judgement=judge(ends, [Shown(0.0, "", 1.0)], 1.0)),
        "only 1 looks": replace(found, judgement=judge([0.0, 9.0], [Shown(0.0, "", 9.0)], 1.0)),
        "memory grew": replace(
            found,
            gauges=[g._replace(resident_kb=place * 1_000) for place, g in enumerate(found.gauges)],
        ),
        "fds never fell": replace(
            found, gauges=[g._replace(fds=place) for place, g in enumerate(found.gauges)]
        ),
        "open files": replace(found, files_after=found.files_after + Counter(["socket:[N]"])),
        "connections a second": replace(found, done=replace(found.done, connections=0)),
        "screen was never seen": replace(found, screens=found.screens - Counter(help=10**6)),
    }
    for text, other in otherwise.items():
        assert [line for line in faults(other, FLOOR) if text in line], text


PLAIN = Shown(-1.0, "", 1.0)


@pytest.mark.parametrize(
    ("headers", "word"),
    [
        ((PLAIN,), ""),
        ((PLAIN, Shown(4.5, "late", math.inf)), "late"),
        ((PLAIN, Shown(4.5, "PAUSED", math.inf)), "PAUSED"),
        ((PLAIN, Shown(8.2, "slow", 6.0)), "slow"),  # said when the look was over
        ((PLAIN, Shown(8.2, "slow", 2.0)), ""),
        ((PLAIN, Shown(11.0, "slow", 6.0)), ""),  # too late
        ((PLAIN, Shown(0.5, "late", math.inf), Shown(0.9, "", 1.0)), ""),  # too early
        ((Shown(-1.0, "", 5.0),), "interval"),
        ((PLAIN, Shown(1.5, "hidden", 0.0), Shown(7.5, "", 1.0)), "hidden"),
        ((PLAIN, Shown(1.5, "hidden", 0.0), Shown(2.0, "", 1.0)), ""),
    ],
)
def test_a_poll_that_was_missed_has_to_be_shown(headers: tuple[Shown, ...], word: str) -> None:
    judged = judge([0.0, 1.0, 8.0, 9.0], headers, 1.0)
    assert [(gap.begin, gap.seconds, gap.word) for gap in judged.gaps] == [(1.0, 7.0, word)]
    assert len(judged.untold) == (not word)


@pytest.mark.parametrize(
    ("header", "word", "promise_s"),
    [
        (" sockwatch  vm       62 ports  est 90  tw 4.0k  every 0.5s", "", 0.5),
        (" sockwatch  80/tcp                        every 60s", "", 60.0),
        (" sockwatch  vm                             slow, every 3s", "slow", 3.0),
        (" sockwatch  vm                             late by 2s", "late", math.inf),
        (" sockwatch  failures                    PAUSED 12s ago", "PAUSED", math.inf),
        (" sockwatch  failures  watching: each system call", "hidden", 0.0),
        ("sockwatch: Ports", "hidden", 0.0),
    ],
)
def test_the_pace_is_read_from_the_header(header: str, word: str, promise_s: float) -> None:
    assert shown(header, 7.0) == Shown(7.0, word, promise_s)


def test_the_display_is_what_a_terminal_shows_however_the_bytes_are_cut() -> None:
    data = "\x1b[?1049h\x1b[2;3H\x1b[1;36;49mört\x1b[0m\r\n\x1b]52;c;aGk=\x07x\x1b[24;80H▌".encode()
    whole, cut = Display(), Display()
    whole.feed(data)
    for place in range(len(data)):
        cut.feed(data[place : place + 1])
    assert whole.lines == cut.lines
    assert whole.lines[1:3] == ["  ört", "x"]
    assert whole.lines[-1] == " " * (COLUMNS - 1) + "▌"


def test_keys_are_the_same_for_a_seed_and_never_leave_the_program() -> None:
    def some(keys: Iterator[tuple[str, float]]) -> list[tuple[str, float]]:
        return [next(keys) for _ in range(5_000)]

    display = Display()
    first = some(Keys(7, 1.0).all_along(display))
    assert first == some(Keys(7, 1.0).all_along(display))
    assert first != some(Keys(8, 1.0).all_along(display))
    assert not {key for key, _ in first} & {"q", "\x03", "\x11", "\x1b[21~"}


PORT = ("tcp", 80)


def counted(time_waits: int, *pids: int) -> Counts:
    states = Counter({(PORT, "LISTEN"): 1, (PORT, "TIME_WAIT"): time_waits})
    return Counts(states, {PORT: frozenset((pid, 3) for pid in pids)})


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        (counted(7, 1, 2), ()),
        (counted(5, 1, 2), ()),
        (counted(8, 1, 2), ("tcp 80 TIME_WAIT: 8",)),
        (counted(4, 1, 2), ("tcp 80 TIME_WAIT: 4",)),
        (counted(6, 1), ("holders of tcp 80",)),
    ],
)
def test_counts_lie_between_two_of_ss(found: Counts, wrong: tuple[str, ...]) -> None:
    lines = differences(counted(7, 1, 2), found, counted(5, 1, 2))
    assert [line.startswith(start) for line, start in zip(lines, wrong, strict=True)] == [
        True for _ in wrong
    ]


def test_the_screen_lies_between_two_counts_of_ss() -> None:
    lines = [
        " sockwatch  vm                  1 port  est 0  tw 6  every 1s",
        "    80 tcp   0.0.0.0         0/512   A-       0    6 ok      python 1 +1",
        " 1 of 1                                sorted by PORT",
    ]
    before, after = counted(7, 1, 2), counted(5, 1, 2)
    assert screen_differences(before, lines, after) == []
    for old, new in (("tw 6", "tw 8"), ("   6 ", "   4 "), ("+1", "+2"), ("of 1", "of 2")):
        changed = [line.replace(old, new) for line in lines]
        assert len(screen_differences(before, changed, after)) == 1, new
    assert screen_differences(before, [""], after)


def test_client_ports_are_counted_with_the_rows_of_the_others() -> None:
    def client(number: int) -> tuple[PortKey, str]:
        return ("tcp", number), "ESTABLISHED"

    counts = counted(0, 1)
    counts = replace(counts, states=counts.states + Counter([client(9), client(9), client(10)]))
    told = replace(counts, states=counted(0, 1).states + Counter({(CLIENTS, "ESTABLISHED"): 3}))
    assert counts.folded == told.folded
    assert differences(counts.folded, told.folded, counts.folded) == []
    told.states[CLIENTS, "ESTABLISHED"] -= 1
    (wrong,) = differences(counts.folded, told.folded, counts.folded)
    assert wrong.startswith("clients 0 ESTABLISHED: 2, by ss 3")
    lines = [
        " sockwatch  vm                  1 port  est 3  tw 0  every 1s",
        "    80 tcp   0.0.0.0         0/512   A-       0    0 ok      python 1",
        "     - tcp   client ports: 2, under 1 % of the range",
        " 1 of 1, and 2 client ports                             sorted by PORT",
    ]
    assert is_folded(lines)
    assert not is_folded(lines[:3])
    assert screen_differences(counts, lines, counts) == []
    lines[3] = lines[3].replace("2 client", "3 client")
    assert screen_differences(counts, lines, counts) == ["screen: of [4] ports, by ss 3"]
