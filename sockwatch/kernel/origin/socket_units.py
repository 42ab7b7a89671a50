"""For which .socket unit a systemd listens, as it says itself: its fds do not tell.

``systemctl show`` asks it, since list-sockets has neither the protocol in its JSON by default nor
which units have failed. A user's manager is asked by a process of that user: it refuses others, and
``--machine=UID@``, which root may use, begins a session of that user.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address
from operator import attrgetter
from typing import Final

from sockwatch.kernel.tools import LIMIT_S, ToolError, run
from sockwatch.model import (
    AS_ROOT,
    Gap,
    GapCode,
    Process,
    Protocol,
    Snapshot,
    SocketUnit,
    is_own_manager,
    manager_uid,
)
from sockwatch.units import plural, verb

MAX_AGE_S: Final = 10.0
MOST_BYTES: Final = 2 << 20  # of an answer: a user may have as many units as he likes
MOST_MANAGERS: Final = 8  # of one port; anybody may have many processes that look like one
PROPERTIES: Final = "Id,ActiveState,Triggers,Listen,SocketProtocol,BindToDevice,ReusePort"
SHOW: Final = ("--no-pager", "show", "--property", PROPERTIES, "*.socket")

# unit_name_is_valid() of systemd; a name that looks like an option is none that we would type
UNIT: Final = re.compile(r"[A-Za-z0-9:_.@\\][A-Za-z0-9:_.@\\-]{0,240}\.(socket|service)")
LISTEN: Final = re.compile(r"(\S{1,45}):(\d{1,5})(?:%(\S{1,15}))? \((Stream|Datagram)\)")
PROTOCOLS: Final[dict[str, Protocol]] = {"Stream": "tcp", "Datagram": "udp"}
OTHER_PROTOCOLS: Final = frozenset({"132", "136"})  # SCTP, UDP-Lite


class SocketUnitReader:
    """Asks each manager at most every 10 s, all of a port in one second. Use it from one thread."""

    def __init__(self) -> None:
        # by user; a text is why there was no answer
        self._answers: dict[int | None, tuple[float, tuple[SocketUnit, ...] | str]] = {}

    def complete(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot of one port, with what the managers that hold its sockets say of it.

        One that did not answer is a gap. A snapshot of all ports is returned as it is.
        """
        if snapshot.only_port is None:
            return snapshot
        managers = {
            holder.pid: holder.process
            for port in snapshot.ports
            for holder in port.holders
            if holder.process is not None and is_own_manager(holder.process)
        }
        until = time.monotonic() + LIMIT_S
        units: dict[int, tuple[SocketUnit, ...]] = {}
        gaps = []
        for pid in sorted(managers)[:MOST_MANAGERS]:
            answer = self._answer(managers[pid], until)
            if isinstance(answer, str):
                gaps.append(_gap(managers[pid], answer))
            else:
                units[pid] = tuple(unit for unit in answer if unit.port == snapshot.only_port)
        if (more := len(managers) - MOST_MANAGERS) > 0:
            others = plural(more, "more process", "more processes")
            text = f"for which socket units {others} called systemd {verb(more, 'listens')} is"
            text += f" unknown: {MOST_MANAGERS} are asked"
            gaps.append(Gap(GapCode.SOCKET_UNITS_UNSEEN, text, None))
        return replace(snapshot, socket_units=units, gaps=(*snapshot.gaps, *gaps))

    def _answer(self, manager: Process, until: float) -> tuple[SocketUnit, ...] | str:
        uid = manager_uid(manager)
        asked_at, answer = self._answers.get(uid, (0.0, ""))
        if not asked_at or time.monotonic() - asked_at > MAX_AGE_S:
            try:
                answer = parse_units(_show(uid, until))
            except ToolError as error:
                answer = str(error)
            self._answers[uid] = (time.monotonic(), answer)
        return answer


def _gap(manager: Process, why: str) -> Gap:
    is_refused = os.geteuid() not in (0, manager.uid) and manager_uid(manager) is not None
    text = f"for which socket unit systemd (pid {manager.pid}) listens is unknown: {why}"
    return Gap(GapCode.SOCKET_UNITS_UNSEEN, text, AS_ROOT if is_refused else None)


def parse_units(output: bytes) -> tuple[SocketUnit, ...]:
    """The IP addresses of units that listen or have failed, of the output of ``systemctl show``.

    They come in the order of names; systemd has them in any order.

    Raises ToolError if it shows no address at all, not even a path: then it is something else.
    """
    text = output.decode("utf-8", "replace")
    if "\nListen=" not in f"\n{text}":
        raise ToolError("the answer of systemctl was not understood")
    units = (unit for block in text.split("\n\n") for unit in _units(block.split("\n")))
    return tuple(sorted(units, key=attrgetter("name")))


def _units(lines: Iterable[str]) -> Iterator[SocketUnit]:
    """Those of one unit, a property a line."""
    listens: list[str] = []
    properties: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition("=")
        if key == "Listen":
            listens.append(value)
        else:
            properties[key] = value
    name, state = properties.get("Id", ""), properties.get("ActiveState")
    if not UNIT.fullmatch(name) or state not in ("active", "failed"):
        return
    if properties.get("SocketProtocol") in OTHER_PROTOCOLS:
        return
    activates = properties.get("Triggers", "")
    for listen in listens:
        if (address := LISTEN.fullmatch(listen)) is None:
            continue
        host, port, zone, kind = address.groups()
        with suppress(ValueError):
            yield SocketUnit(
                name,
                PROTOCOLS[kind],
                str(ip_address(host.strip("[]"))),
                int(port),
                properties.get("BindToDevice") or zone,
                activates if UNIT.fullmatch(activates) else None,
                has_failed=state == "failed",
                reuseport=properties.get("ReusePort") == "yes",
                addresses=len(listens),
            )


def _show(uid: int | None, until: float) -> bytes:
    """What the manager shows of its socket units. Raises ToolError if it does not in time."""
    if uid is None:
        return run("systemctl", *SHOW, until=until, most_bytes=MOST_BYTES)
    return run(
        *("systemctl", "--user", *SHOW),
        until=until,
        uid=uid,
        environment={"XDG_RUNTIME_DIR": f"/run/user/{uid}"},
        most_bytes=MOST_BYTES,
    )
