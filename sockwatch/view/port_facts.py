"""What each column says about a port, and what it is sorted by."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from sockwatch.units import clock, duration, short_count
from sockwatch.view import holders, names, warnings

if TYPE_CHECKING:
    from sockwatch.model import Port, Process, ReuseFlags, Socket, SocketGroup

SortKey: TypeAlias = tuple[int | float | str, ...]
NOTHING = "-"
UNSEEN = "?"
_COUNTED_APART = frozenset({"LISTEN", "UNCONN", "BOUND", "ESTABLISHED", "TIME_WAIT"})
_LAST = 1  # what is empty or unknown stands behind what is known


def proto(port: Port, _now: float) -> str:
    return port.protocol


def sort_proto(port: Port, _now: float) -> SortKey:
    return (port.protocol,)


def number(port: Port, _now: float) -> str:
    return str(port.number)


def sort_number(port: Port, _now: float) -> SortKey:
    return (port.number,)


def addresses(port: Port) -> tuple[str, ...]:
    """The distinct local addresses: of listeners and bound sockets, else of its other sockets."""
    owners = (*port.listeners, *port.bound)
    found = map(names.local_address, owners or port.groups)
    return tuple(dict.fromkeys(found))


def address(port: Port, _now: float) -> str:
    found = addresses(port)
    return f"{found[0]}{names.holders_more(len(found) - 1)}" if found else NOTHING


def sort_address(port: Port, _now: float) -> SortKey:
    owners: tuple[names.Addressed, ...] = (*port.listeners, *port.bound) or port.groups
    owner = next(iter(owners), None)
    return (_LAST, 0, 0) if owner is None else (0, *_address_number(owner.address))


@lru_cache(maxsize=4096)
def _address_number(text: str) -> tuple[int, int]:
    parsed = ipaddress.ip_address(text.partition("%")[0])
    return (parsed.version, int(parsed))


def fullest(port: Port) -> Socket | None:
    """The TCP listener whose accept queue is nearest to its limit."""
    if port.protocol == "udp" or not port.listeners:
        return None
    return max(port.listeners, key=_fill)


def _fill(listener: Socket) -> tuple[float, int]:
    now = listener.queue or 0
    # The kernel takes one connection more than the backlog, also for a backlog of 0.
    return (now / ((listener.backlog or 0) + 1), now)


def queue(port: Port, _now: float) -> str:
    return _queue(port, names.queue_text)


def short_queue(port: Port, _now: float) -> str:
    return _queue(port, names.short_queue_text)


def _queue(port: Port, write: names.QueueWriter) -> str:
    listener = fullest(port)
    if listener is not None:
        return write(listener.queue, listener.backlog)
    return "bound" if port.bound else NOTHING


def sort_queue(port: Port, _now: float) -> SortKey:
    listener = fullest(port)
    return (-1.0, 0) if listener is None else _fill(listener)


def flags(port: Port) -> tuple[ReuseFlags, ...]:
    """The flags of each listener and bound socket, else of each group."""
    owners = (*port.listeners, *port.bound)
    return tuple(owner.flags for owner in owners) or tuple(group.flags for group in port.groups)


def reuse(port: Port, _now: float) -> str:
    return _reuse(port, " x")


def short_reuse(port: Port, _now: float) -> str:
    return _reuse(port, "x")


def _reuse(port: Port, times: str) -> str:
    letters = [names.flag_letters(one) for one in flags(port)]
    if not letters:
        return NOTHING
    mark = "!" if len(set(letters)) > 1 or warnings.is_double_start(port) else ""
    if warnings.lacks_reuseaddr(port):
        mark += "*"
    alike = len(port.listeners) + len(port.bound)
    if alike > 1 and len(set(letters)) == 1:
        return f"{letters[0]}{mark}{times}{alike}"
    return letters[0] + mark


def sort_reuse(port: Port, now: float) -> SortKey:
    text = reuse(port, now)
    return (_LAST if text.startswith((NOTHING + "?", "?")) or text == NOTHING else 0, text)


def established(port: Port, _now: float) -> str:
    return str(port.states.get("ESTABLISHED", 0))


def short_established(port: Port, _now: float) -> str:
    return short_count(port.states.get("ESTABLISHED", 0))


def sort_established(port: Port, _now: float) -> SortKey:
    return (port.states.get("ESTABLISHED", 0),)


def time_wait(port: Port, _now: float) -> str:
    return NOTHING if port.protocol == "udp" else str(port.states.get("TIME_WAIT", 0))


def short_time_wait(port: Port, now: float) -> str:
    count = port.states.get("TIME_WAIT", 0)
    return time_wait(port, now) if port.protocol == "udp" else short_count(count)


def sort_time_wait(port: Port, _now: float) -> SortKey:
    return (-1 if port.protocol == "udp" else port.states.get("TIME_WAIT", 0),)


def other_count(port: Port) -> int:
    """Owners that no other column counts."""
    return sum(count for state, count in port.states.items() if state not in _COUNTED_APART)


def other(port: Port, _now: float) -> str:
    return str(other_count(port))


def short_other(port: Port, _now: float) -> str:
    return short_count(other_count(port))


def sort_other(port: Port, _now: float) -> SortKey:
    return (other_count(port),)


def first_process(port: Port) -> Process | None:
    holder = holders.first(port) if port.holders else None
    return holder.process if holder else None


def pid(port: Port, _now: float) -> str:
    holder = holders.first(port) if port.holders else None
    return NOTHING if holder is None else str(holder.pid)


def sort_pid(port: Port, _now: float) -> SortKey:
    holder = holders.first(port) if port.holders else None
    return (_LAST, 0) if holder is None else (0, holder.pid)


def process(port: Port, _now: float) -> str:
    if not port.holders:
        return _without_holder(port)
    found = first_process(port)
    more = len({holder.pid for holder in port.holders}) - 1
    return f"{found.name if found else UNSEEN}{names.holders_more(more)}"


def _without_holder(port: Port) -> str:
    owned = [state for state, count in port.states.items() if count]
    if owned == ["TIME_WAIT"]:
        last = port.time_wait.last_frees_in_s
        return "TIME_WAIT" if last is None else f"TIME_WAIT {clock(last)}"
    if holders_unseen(port):
        return UNSEEN
    if port.orphans:
        return "orphan"
    if owned and all(group.mini for group in port.groups) and port.groups:
        return port.groups[0].state
    return "half-open" if port.half_open and not owned else NOTHING


def holders_unseen(port: Port) -> bool:
    """Whether a socket of the port has an fd, or may have one, but no holder of it was seen."""
    return not port.holders and (
        any(socket.inode != 0 for socket in (*port.listeners, *port.bound))
        or any(group.inodes or _may_have_fds(group) for group in port.groups)
    )


def _may_have_fds(group: SocketGroup) -> bool:
    return group.inodes is None and not group.mini


def sort_process(port: Port, now: float) -> SortKey:
    found = first_process(port)
    return (0, found.name.casefold()) if found else (_LAST, process(port, now))


def user(port: Port, _now: float) -> str:
    found = first_process(port)
    if found is not None:
        return found.user
    uids = {s.uid for s in (*port.listeners, *port.bound) or port.groups if s.uid is not None}
    return names.uid_name(uids.pop()) if len(uids) == 1 else NOTHING


def sort_user(port: Port, now: float) -> SortKey:
    text = user(port, now)
    return (_LAST if text == NOTHING else 0, text)


def unit(port: Port, _now: float) -> str:
    found = first_process(port)
    return (found.unit if found else None) or NOTHING


def sort_unit(port: Port, now: float) -> SortKey:
    text = unit(port, now)
    return (_LAST if text == NOTHING else 0, text)


def age_s(port: Port, now: float) -> float | None:
    """Since when the oldest holder runs."""
    starts = [h.process.start_time for h in port.holders if h.process is not None]
    return max(0.0, now - min(starts)) if starts else None


def age(port: Port, now: float) -> str:
    seconds = age_s(port, now)
    return NOTHING if seconds is None else duration(seconds)


def sort_age(port: Port, now: float) -> SortKey:
    seconds = age_s(port, now)
    return (-1.0,) if seconds is None else (seconds,)


def command(port: Port, _now: float) -> str:
    found = first_process(port)
    return (found.command if found else "") or NOTHING


def sort_command(port: Port, now: float) -> SortKey:
    text = command(port, now)
    return (_LAST if text == NOTHING else 0, text)
