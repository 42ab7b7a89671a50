"""The loads that are measured: what each is made of, and who is measured at it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.bench.churn import short_connections
from tests.bench.crowds import CROWD_PORT, TimeWaits, established, listener, processes
from tests.bench.measure import Contender, program, subject
from tests.bench.proxy import proxy
from tests.bench.subjects import FLOOR, FRESH, KEPT, PSUTIL, SUBJECTS, without
from tests.support.time_waits import FIRST_PORT

SS, SS_HOLDERS = "ss -tanH", "ss -tlnp"
WHOLE = (FRESH, without(FRESH), KEPT, without(KEPT))
ANSWERS = (f"sockwatch {CROWD_PORT}", f"sockwatch why {CROWD_PORT}")
LSOF = f"lsof -nP -i :{CROWD_PORT}"
CONNECTIONS = (20_000, 100_000, 200_000)
TIME_WAITS, SPREAD = (1_000, 10_000, 100_000, 1_000_000), (1, 200)  # their numbers, and of ports
CROWD, CROWD_LISTENERS = 1_000, 2_000
NEARLY_ALL = 0.99  # some TIME_WAITs may expire while the last are made

Refresh = Callable[[], None]


class NotBuiltError(Exception):
    """The load is not what its title says."""


@dataclass(frozen=True, slots=True)
class Load:
    """Sockets and processes, and who is measured at them.

    `build` makes them in the network namespace of the calling thread, for as long as the stack
    lives, and returns what is to be called before each round; `counted` tells how many of the
    sockets there are. `kind` is what `--only` names. Of loads of one `line`, each is larger than
    the one before, so that it is known who would take too long.
    """

    kind: str
    title: str
    sockets: int
    build: Callable[[ExitStack], Refresh]
    counted: Callable[[], int]
    contenders: Callable[[], list[Contender]]
    base: str
    line: str = ""
    quick: bool = False
    most_rounds: int = 99


def waiting() -> int:
    """TIME_WAITs of this network namespace."""
    return _sockstat("tw")


def in_use() -> int:
    """Its TCP sockets, without TIME_WAITs."""
    return _sockstat("inuse")


def title_of_time_waits(count: int, ports: int) -> str:
    """Of the load with so many, on so many ports."""
    return f"{count:,} TIME_WAITs over {ports} port{'s' if ports > 1 else ''}"


def title_of_connections(count: int) -> str:
    """Of the load with so many sockets in ESTABLISHED."""
    return f"{count:,} ESTABLISHED"


PROXY = "proxy, 50,000 in and 50,000 out"
HOLDERS = "1,000 processes x 50 fds"
CHURN = f"{HOLDERS}, 1,000 connections a second"
FDS = "1,000 processes x 1,000 fds"
QUIET = "quiet"
ONE_PORT_LOADS = (QUIET, f"one port of {HOLDERS}")


@contextmanager
def building() -> Iterator[None]:
    """What goes wrong while sockets or processes are made is a NotBuiltError."""
    try:
        yield
    except (AssertionError, OSError, RuntimeError, subprocess.SubprocessError) as error:
        raise NotBuiltError(f"could not be built: {error}") from error


def _time_waits(count: int, ports: int, stack: ExitStack) -> Refresh:
    return TimeWaits(count, ports, stack).refresh


def _connections(count: int, stack: ExitStack) -> Refresh:
    """Both ends are here."""
    stack.enter_context(established(count // 2))
    return _nothing


def _proxy(count: int, stack: ExitStack) -> Refresh:
    stack.enter_context(proxy(count // 2))
    return _nothing


def _processes(fds: int, stack: ExitStack) -> Refresh:
    stack.enter_context(processes(CROWD, fds, CROWD_LISTENERS))
    return _nothing


def _churn(stack: ExitStack) -> Refresh:
    _processes(50, stack)
    return stack.enter_context(short_connections(1_000))


def _quiet(stack: ExitStack) -> Refresh:
    stack.enter_context(listener("127.0.0.1", CROWD_PORT))
    return _nothing


def _nothing() -> None:
    """A load that stays as it is."""


def _tables(port: int) -> list[Contender]:
    programs = (SS, "netstat -tan", "lsof -nP -iTCP")
    return [*(subject(name, port) for name in SUBJECTS), *map(program, programs)]


def _looks(*others: str, base: str = SS) -> list[Contender]:
    """Looks at all ports; nothing asks for one."""
    names = [*WHOLE, *(name for name in others if name in SUBJECTS)]
    programs = [base, *(name for name in others if name not in SUBJECTS)]
    return [*(subject(name, 0) for name in names), *map(program, programs)]


def _who_has_it() -> list[Contender]:
    return [program(each) for each in (*ANSWERS, LSOF, f"ss -tlnp sport = :{CROWD_PORT}")]


def _sockstat(name: str) -> int:
    words = Path("/proc/net/sockstat").read_text().partition("TCP:")[2].split()
    return int(words[words.index(name) + 1])


LOADS = (
    *(
        Load(
            "time-waits", title_of_time_waits(count, ports), count,
            partial(_time_waits, count, ports), waiting, partial(_tables, FIRST_PORT), SS,
            line=f"time-waits {ports}", quick=(count, ports) == (100_000, SPREAD[-1]),
            most_rounds=2 if count == TIME_WAITS[-1] else 99,  # they have to be made anew for each
        )
        for ports in SPREAD for count in TIME_WAITS
    ),
    *(
        Load(
            "connections", title_of_connections(count), count,
            partial(_connections, count), in_use, partial(_tables, FIRST_PORT - 1), SS,
            line="connections", quick=count == CONNECTIONS[0],
        )
        for count in CONNECTIONS
    ),
    Load(
        "proxy", PROXY, 100_000, partial(_proxy, 100_000), in_use, partial(_looks, FLOOR), SS,
    ),
    Load(
        "holders", HOLDERS, CROWD_LISTENERS, partial(_processes, 50), in_use,
        partial(_looks, FLOOR, PSUTIL, "lsof -nP -iTCP", base=SS_HOLDERS), SS_HOLDERS, quick=True,
    ),
    Load(
        "churn", CHURN, CROWD_LISTENERS, _churn, in_use, partial(_looks, base=SS_HOLDERS),
        SS_HOLDERS, quick=True,
    ),
    Load(
        "fds", FDS, CROWD_LISTENERS, partial(_processes, 1_000), in_use,
        partial(_looks, base=SS_HOLDERS), SS_HOLDERS,
    ),
    Load("one-port", ONE_PORT_LOADS[0], 1, _quiet, in_use, _who_has_it, LSOF, quick=True),
    Load(
        "one-port", ONE_PORT_LOADS[1], CROWD_LISTENERS, partial(_processes, 50), in_use,
        _who_has_it, LSOF,
    ),
)  # fmt: skip
