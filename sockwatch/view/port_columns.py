"""The one table of a port's fields: header, sort menu, help and docs come from it."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from math import inf
from typing import Final, TypeAlias

from sockwatch.model import Port
from sockwatch.units import clock, duration, short_count
from sockwatch.view import holders, names, port_facts, warnings
from sockwatch.view.column import GAP, NOTHING, Column, SortKey, layout, visible
from sockwatch.view.commands import short_command
from sockwatch.view.look import OLD_S

RestartCell: TypeAlias = Callable[[Port], str]
AgeOf: TypeAlias = Callable[[Port], float]  # s since the row was looked at

RESTART: Final = "restart"
NETNS: Final = "netns"
NAMES: Final = ("port", "proto", NETNS)  # columns that say which port it is
UNSEEN = "?"
_COUNTED_APART = frozenset({"LISTEN", "UNCONN", "BOUND", "ESTABLISHED", "TIME_WAIT"})
_LAST = 1  # rows with nothing in the column, or with something unknown, stand behind the others


def _address_key(port: Port) -> SortKey:
    owner = next(iter(port_facts.owners(port)), None)
    return (_LAST, 0, 0) if owner is None else (0, *_address_number(owner.address))


@lru_cache(maxsize=4096)
def _address_number(text: str) -> tuple[int, int]:
    address = ipaddress.ip_address(text.partition("%")[0])
    return (address.version, int(address))


def _queue(port: Port, write: names.QueueWriter) -> str:
    listener = port_facts.fullest(port)
    if listener is not None:
        return write(listener.queue, listener.backlog)
    return "bound" if port.bound else NOTHING


def _queue_key(port: Port) -> SortKey:
    listener = port_facts.fullest(port)
    return (-1.0, 0) if listener is None else port_facts.fill(listener)


def _reuse(port: Port, times: str) -> str:
    letters = list(map(names.flag_letters, port_facts.flags(port)))
    if not letters:
        return NOTHING
    mark = "!" if len(set(letters)) > 1 or warnings.is_double_start(port) else ""
    if warnings.lacks_reuseaddr(port):
        mark += "*"
    alike = len(port.listeners) + len(port.bound)
    if alike > 1 and len(set(letters)) == 1:
        return f"{letters[0]}{mark}{times}{alike}"
    return letters[0] + mark


def _reuse_key(port: Port) -> SortKey:
    text = _reuse(port, " x")
    return (_LAST if text.startswith(("-?", "?")) or text == NOTHING else 0, text)


def _process(port: Port) -> str:
    process = port_facts.first_process(port)
    if process is not None:
        return short_command(process)
    return _unseen(port) if port.holders else _without_holder(port)


def _pids(port: Port) -> str:
    """The pid of the first holder, and how many more processes there are."""
    holder = holders.first(port) if port.holders else None
    return "" if holder is None else f" {holder.pid}{_more(port_facts.process_count(port))}"


def _unseen(port: Port) -> str:
    """``? (root)``, ``? (uid 33)``: the owner of a socket is known where its holder is not."""
    uid = port_facts.owner_uid(port)
    return UNSEEN if uid is None else f"{UNSEEN} ({names.user_of(uid)})"


def _without_holder(port: Port) -> str:
    states = [state for state, count in port.states.items() if count]
    if states == ["TIME_WAIT"]:
        frees_in_s = port.time_wait.last_frees_in_s
        return "TIME_WAIT" if frees_in_s is None else f"TIME_WAIT {clock(frees_in_s)}"
    if port_facts.holders_unseen(port):
        return _unseen(port)
    if port.orphans:
        return "orphan"
    if states and all(group.mini for group in port.groups) and port.groups:
        return port.groups[0].state
    return "half-open" if port.half_open and not states else NOTHING


def _process_key(port: Port) -> SortKey:
    process = port_facts.first_process(port)
    return (0, short_command(process).casefold()) if process else (_LAST, _process(port))


def _user(port: Port) -> str | None:
    process = port_facts.first_process(port)
    if process is not None:
        return process.user
    uid = port_facts.owner_uid(port)
    return None if uid is None else names.user_of(uid)


def _unit(port: Port) -> str | None:
    process = port_facts.first_process(port)
    return names.short_origin(process.origin) if process and process.origin else None


def _command(port: Port) -> str | None:
    process = port_facts.first_process(port)
    return process.command if process else None


def _age(port: Port, now: float) -> str:
    seconds = port_facts.age_s(port, now)
    return NOTHING if seconds is None else duration(seconds)


def _age_key(port: Port) -> SortKey:
    started = port_facts.started(port)
    return (-inf,) if started is None else (-started,)


def _netns(port: Port) -> str:
    return NOTHING if port.netns is None else port.netns.short_name


def _old(age_s: float) -> str:
    return f" {duration(age_s)}" if age_s > OLD_S else ""


def _more(count: int) -> str:
    return names.holders_more(count - 1) if count else ""


def _sockets(
    key: str, title: str, width: int, help_: str, at: int, count: Callable[[Port], int | None]
) -> Column[Port]:
    """A number of sockets; None where the protocol has no such state."""

    def number(port: Port) -> int:
        counted = count(port)
        return -1 if counted is None else counted

    return Column(
        key, title, width, help_, at=at, align="right", flex=1, widest=6, largest_first=True,
        cell=lambda port, _: NOTHING if number(port) < 0 else str(number(port)),
        short=lambda port, _: short_count(number(port)),
        sort_key=lambda port: (number(port),),
    )  # fmt: skip


def _words(
    key: str, title: str, width: int, help_: str, at: int, flex: int, widest: int,
    text: Callable[[Port], str | None],
) -> Column[Port]:  # fmt: skip
    """A text, or nothing."""
    return Column(
        key, title, width, help_, at=at, flex=flex, widest=widest,
        cell=lambda port, _: text(port) or NOTHING,
        sort_key=lambda port: (0 if text(port) else _LAST, text(port) or NOTHING),
    )  # fmt: skip


PORT_COLUMNS: tuple[Column[Port], ...] = (
    Column(
        "port", "PORT", 5, "Port number", at=0, align="right",
        cell=lambda port, _: str(port.number) if port.number else NOTHING,
        sort_key=lambda port: (port.number,),
    ),
    Column(
        "proto", "PROTO", 5, "tcp or udp", at=0,
        cell=lambda port, _: port.protocol,
        sort_key=lambda port: (port.protocol,),
    ),
    Column(
        NETNS, "NETNS", 10,
        "With N: network namespace, by its name or by what it belongs to; dim where it was looked "
        "at more than 2 s ago, with its age if there is room",
        at=0, flex=1, widest=24,
        cell=lambda port, _: _netns(port),
        sort_key=lambda port: (_netns(port).casefold(),),
    ),
    Column(
        "address", "ADDRESS", 15,
        "Local address; * takes IPv6 and IPv4, [::] only IPv6, +2 means two more",
        at=50, flex=2, widest=42,
        cell=lambda port, _: next(iter(port_facts.addresses(port)), NOTHING),
        mark=lambda port, _: _more(len(port_facts.addresses(port))),
        sort_key=_address_key,
    ),
    Column(
        "queue", "QUEUE", 7,
        "Accept queue of the fullest listener, length/limit; bound: has a port, does not listen",
        at=58, flex=1, widest=11, largest_first=True,
        cell=lambda port, _: _queue(port, names.queue_text),
        short=lambda port, _: _queue(port, names.short_queue_text),
        sort_key=_queue_key,
    ),
    Column(
        "reuse", "REUSE", 5,
        "A SO_REUSEADDR, P SO_REUSEPORT, - not set, ? unknown, x4 four alike, ! they differ in "
        "flags, program, user or start, * a listener with neither: its next restart may fail",
        at=66, flex=1, widest=7,
        cell=lambda port, _: _reuse(port, " x"),
        short=lambda port, _: _reuse(port, "x"),
        sort_key=_reuse_key,
    ),
    _sockets(
        "est", "EST", 4, "Connections in ESTABLISHED", 76,
        lambda port: port.states.get("ESTABLISHED", 0),
    ),
    _sockets(
        "tw", "TW", 4, "Sockets in TIME_WAIT", 71,
        lambda port: None if port.protocol == "udp" else port.states.get("TIME_WAIT", 0),
    ),
    Column(
        RESTART, "RESTART", 7,
        "What the server's own bind() would get, had it just ended: ok, 60s until it is, no, "
        "? it depends, - no server",
        at=36,
        cell=lambda _port, _now: UNSEEN,
    ),
    Column(
        "process", "PROCESS", 18,
        "Name and pid of the first holder, parents before children, or what its interpreter runs; "
        "+3 means three more processes hold the port; ? a holder that cannot be seen",
        at=0, flex=2, widest=30,
        cell=lambda port, _: _process(port),
        mark=lambda port, _: _pids(port),
        sort_key=_process_key,
    ),
    _sockets(
        "other", "OTHER", 5, "Sockets in any other state, CLOSE_WAIT for example", 100,
        lambda port: sum(n for state, n in port.states.items() if state not in _COUNTED_APART),
    ),
    _words(
        "user", "USER", 8, "User of the first holder, else the owner of the socket", 100, 1, 16,
        _user,
    ),
    _words(
        "unit", "UNIT", 14,
        "What the first holder belongs to: unit, container, pod or session",
        120, 2, 28, _unit,
    ),
    Column(
        "age", "AGE", 4, "How long the oldest holder has been running",
        at=120, align="right", largest_first=True,
        cell=_age,
        sort_key=_age_key,
    ),
    _words("command", "COMMAND", 16, "Command line of the first holder", 160, 4, 1024, _command),
)  # fmt: skip
PORT_COLUMN = {column.key: column for column in PORT_COLUMNS}


def with_restart(
    restart: RestartCell | None, age_of: AgeOf | None = None
) -> tuple[Column[Port], ...]:
    """Every column, with these cells of RESTART and ages in NETNS; without these columns for None.

    NETNS is for rows of several network namespaces.
    """
    columns = {column.key: column for column in PORT_COLUMNS}
    if restart is None:
        del columns[RESTART]
    else:
        columns[RESTART] = replace(columns[RESTART], cell=lambda port, _: restart(port))
    if age_of is None:
        del columns[NETNS]
    else:
        columns[NETNS] = replace(
            columns[NETNS],
            cell=lambda port, _: _netns(port) + _old(age_of(port)),
            short=lambda port, _: _netns(port),
        )
    return tuple(columns.values())


@lru_cache(maxsize=8)
def port_columns_for(
    width: int, restart: RestartCell | None = None, age_of: AgeOf | None = None
) -> tuple[Column[Port], ...]:
    """The columns of a screen of `width` cells, laid out; the others as for with_restart().

    Where NETNS takes its room, others need a wider screen.
    """
    taken = 0 if age_of is None else PORT_COLUMN[NETNS].width + GAP
    return layout(visible(with_restart(restart, age_of), width - taken), width)
