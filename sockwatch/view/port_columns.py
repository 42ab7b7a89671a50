"""The one table of a port's fields: header, sort menu, help and docs come from it."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import lru_cache

from sockwatch.model import Port
from sockwatch.units import clock, duration, short_count
from sockwatch.view import holders, names, port_facts, warnings
from sockwatch.view.column import NOTHING, Column, SortKey, layout, visible

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


def _pid(port: Port) -> int | None:
    holder = holders.first(port) if port.holders else None
    return None if holder is None else holder.pid


def _pid_key(port: Port) -> SortKey:
    pid = _pid(port)
    return (_LAST, 0) if pid is None else (0, pid)


def _process(port: Port) -> str:
    process = port_facts.first_process(port)
    if process is not None:
        return process.name
    return UNSEEN if port.holders else _without_holder(port)


def _without_holder(port: Port) -> str:
    states = [state for state, count in port.states.items() if count]
    if states == ["TIME_WAIT"]:
        frees_in_s = port.time_wait.last_frees_in_s
        return "TIME_WAIT" if frees_in_s is None else f"TIME_WAIT {clock(frees_in_s)}"
    if port_facts.holders_unseen(port):
        return UNSEEN
    if port.orphans:
        return "orphan"
    if states and all(group.mini for group in port.groups) and port.groups:
        return port.groups[0].state
    return "half-open" if port.half_open and not states else NOTHING


def _process_key(port: Port) -> SortKey:
    process = port_facts.first_process(port)
    return (0, process.name.casefold()) if process else (_LAST, _process(port))


def _user(port: Port) -> str | None:
    process = port_facts.first_process(port)
    if process is not None:
        return process.user
    uids = {owner.uid for owner in port_facts.owners(port) if owner.uid is not None}
    return names.uid_name(uids.pop()) if len(uids) == 1 else None


def _unit(port: Port) -> str | None:
    process = port_facts.first_process(port)
    return process.unit if process else None


def _command(port: Port) -> str | None:
    process = port_facts.first_process(port)
    return process.command if process else None


def _age(port: Port, now: float) -> str:
    seconds = port_facts.age_s(port, now)
    return NOTHING if seconds is None else duration(seconds)


def _age_key(port: Port, now: float) -> SortKey:
    seconds = port_facts.age_s(port, now)
    return (-1.0,) if seconds is None else (seconds,)


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
        sort_key=lambda port, _: (number(port),),
    )  # fmt: skip


def _words(
    key: str, title: str, width: int, help_: str, at: int, flex: int, widest: int,
    text: Callable[[Port], str | None],
) -> Column[Port]:  # fmt: skip
    """A text, or nothing."""
    return Column(
        key, title, width, help_, at=at, flex=flex, widest=widest,
        cell=lambda port, _: text(port) or NOTHING,
        sort_key=lambda port, _: (0 if text(port) else _LAST, text(port) or NOTHING),
    )  # fmt: skip


PORT_COLUMNS: tuple[Column[Port], ...] = (
    Column(
        "proto", "PROTO", 5, "tcp or udp", at=0,
        cell=lambda port, _: port.protocol,
        sort_key=lambda port, _: (port.protocol,),
    ),
    Column(
        "address", "ADDRESS", 15,
        "Local address; * takes IPv6 and IPv4, [::] only IPv6, +2 means two more",
        at=42, flex=2, widest=42,
        cell=lambda port, _: next(iter(port_facts.addresses(port)), NOTHING),
        mark=lambda port, _: _more(len(port_facts.addresses(port))),
        sort_key=lambda port, _: _address_key(port),
    ),
    Column(
        "port", "PORT", 5, "Port number", at=0, align="right",
        cell=lambda port, _: str(port.number),
        sort_key=lambda port, _: (port.number,),
    ),
    Column(
        "queue", "QUEUE", 7,
        "Accept queue of the fullest listener, length/limit; bound: has a port, does not listen",
        at=74, flex=1, widest=11, largest_first=True,
        cell=lambda port, _: _queue(port, names.queue_text),
        short=lambda port, _: _queue(port, names.short_queue_text),
        sort_key=lambda port, _: _queue_key(port),
    ),
    Column(
        "reuse", "REUSE", 5,
        "A SO_REUSEADDR, P SO_REUSEPORT, - not set, ? unknown, x4 four alike, ! they differ in "
        "flags, program, user or start, * a listener with neither: its next restart may fail",
        at=56, flex=1, widest=7,
        cell=lambda port, _: _reuse(port, " x"),
        short=lambda port, _: _reuse(port, "x"),
        sort_key=lambda port, _: _reuse_key(port),
    ),
    _sockets(
        "est", "EST", 4, "Connections in ESTABLISHED", 66,
        lambda port: port.states.get("ESTABLISHED", 0),
    ),
    _sockets(
        "tw", "TW", 4, "Sockets in TIME_WAIT", 61,
        lambda port: None if port.protocol == "udp" else port.states.get("TIME_WAIT", 0),
    ),
    _sockets(
        "other", "OTHER", 5, "Sockets in any other state, CLOSE_WAIT for example", 80,
        lambda port: sum(n for state, n in port.states.items() if state not in _COUNTED_APART),
    ),
    Column(
        "pid", "PID", 7, "First holder, parents before children", at=50,
        cell=lambda port, _: str(_pid(port) or NOTHING),
        sort_key=lambda port, _: _pid_key(port),
    ),
    Column(
        "process", "PROCESS", 13,
        "Name of the first holder, +3 means three more processes hold the port; ? a holder that"
        " cannot be seen",
        at=0, flex=2, widest=24,
        cell=lambda port, _: _process(port),
        mark=lambda port, _: _more(port_facts.process_count(port)),
        sort_key=lambda port, _: _process_key(port),
    ),
    _words(
        "user", "USER", 8, "User of the first holder, else the owner of the socket", 100, 1, 16,
        _user,
    ),
    _words("unit", "UNIT", 14, "systemd unit or container of the first holder", 120, 2, 28, _unit),
    Column(
        "age", "AGE", 4, "How long the oldest holder has been running",
        at=120, align="right", largest_first=True,
        cell=_age,
        sort_key=_age_key,
    ),
    _words("command", "COMMAND", 16, "Command line of the first holder", 160, 4, 1024, _command),
)  # fmt: skip
PORT_COLUMN = {column.key: column for column in PORT_COLUMNS}


@lru_cache(maxsize=8)
def port_columns_for(width: int) -> tuple[Column[Port], ...]:
    """The columns of a screen of `width` cells, laid out."""
    return layout(visible(PORT_COLUMNS, width), width)
