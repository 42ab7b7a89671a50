"""Servers with connections in every state, restarted in batches."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import Protocol
from tests.bind import states
from tests.bind.calls import set_flags
from tests.bind.oracle import FIRST_PORT, OTHER_UID, Shared, Stage, Tracked
from tests.bind.restarts import ENDS, End, Restart, bind_again, clock_s, foretell, serving
from tests.bind.states import ADDRESSES, FLAG_PAIRS, Address, accepted
from tests.support.full_window import fill

BATCH = 12  # cases whose servers are one process


class Case(NamedTuple):
    """A server and its connections: how they came to be."""

    protocol: Protocol
    state: str
    address: Address
    flags: tuple[bool, bool]


class Restarted(NamedTuple):
    """A case, how its server ended, and what became of it; `clock_s` once the peers have closed."""

    case: Case
    end: End
    restart: Restart
    clock_s: float


Do = Callable[[Stage, Tracked], None]


def _unread(stage: Stage, one: Tracked) -> None:
    assert one.peer
    one.peer.send(b"unread")
    stage.wait(lambda: _can_read(one))


def _unread_and_closed(stage: Stage, one: Tracked) -> None:
    _unread(stage, one)
    states.close_wait(stage, one)


def _fin_read(stage: Stage, one: Tracked) -> None:
    states.close_wait(stage, one)
    assert one.sock
    assert one.sock.recv(1) == b""


def _unread_after_fin(stage: Stage, one: Tracked) -> None:
    states.fin_wait2(stage, one)
    _unread(stage, one)


def _close_wait_with_full_buffers(stage: Stage, one: Tracked) -> None:
    states.close_wait(stage, one)
    assert one.sock
    fill(one.sock)


def _with_full_buffers(stage: Stage, one: Tracked) -> None:
    assert one.sock
    fill(one.sock)


def _other_flags(stage: Stage, one: Tracked) -> None:
    """The connection loses the flags of its listener, or gets them."""
    one.refresh()
    assert one.sock
    set_flags(one.sock, not one.flags.reuseaddr, not one.flags.reuseport)


def _other_flags_time_wait(stage: Stage, one: Tracked) -> None:
    _other_flags(stage, one)
    states.time_wait(stage, one)


def _one_more_unread(stage: Stage, one: Tracked) -> None:
    _unread(stage, stage.accept(_target(one)))


def _one_more_time_wait(stage: Stage, one: Tracked) -> None:
    states.time_wait(stage, stage.accept(_target(one)))


def _target(one: Tracked) -> str:
    assert one.ends
    return one.ends.local[0].removeprefix("::ffff:")


def _can_read(one: Tracked) -> bool:
    assert one.sock
    try:
        return bool(one.sock.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False


def _unaccepted_closed(stage: Stage, address: Address, flags: tuple[bool, bool], uid: int) -> None:
    states.TCP_STATES_MADE["LISTEN"](stage, address, flags, uid)
    child = stage.accept(address.via, take=False)
    assert child.peer
    child.peer.shutdown(socket.SHUT_WR)
    states.wait_row(stage, child, 8)


def _bound_beside(stage: Stage, address: Address, flags: tuple[bool, bool], uid: int) -> None:
    """A socket of another user that shares the port by SO_REUSEADDR, and a connection."""
    states.TCP_STATES_MADE["bound"](stage, address, (True, flags[1]), OTHER_UID)
    states.TCP_STATES_MADE["accepted, listening"](stage, address, (True, flags[1]), uid)


CONNECTIONS: dict[str, Do] = {
    "idle": states.established,
    "CLOSE_WAIT": states.close_wait,
    "CLOSE_WAIT, FIN read": _fin_read,
    "CLOSE_WAIT, not acknowledged": _close_wait_with_full_buffers,
    "not acknowledged": _with_full_buffers,
    "FIN_WAIT1": states.fin_wait1,
    "FIN_WAIT1 orphan": states.fin_wait1_orphan,
    "FIN_WAIT2": states.fin_wait2,
    "mini FIN_WAIT2": states.fin_wait2_mini,
    "LAST_ACK": states.last_ack,
    "CLOSING": states.closing,
    "TIME_WAIT": states.time_wait,
    "reset": states.reset,
    "unread": _unread,
    "unread, CLOSE_WAIT": _unread_and_closed,
    "unread, FIN_WAIT2": _unread_after_fin,
    "other flags": _other_flags,
    "other flags, TIME_WAIT": _other_flags_time_wait,
    "one more, unread": _one_more_unread,
    "one more, TIME_WAIT": _one_more_time_wait,
}
TCP: dict[str, states.Build] = {
    "bound": states.TCP_STATES_MADE["bound"],
    "LISTEN": states.TCP_STATES_MADE["LISTEN"],
    "listener after shutdown": states.TCP_STATES_MADE["listener after shutdown"],
    "unaccepted": states.TCP_STATES_MADE["unaccepted"],
    "unaccepted CLOSE_WAIT": _unaccepted_closed,
    "beside a bound one": _bound_beside,
    **{name: accepted(do, listening=True) for name, do in CONNECTIONS.items()},
}
UDP: dict[str, states.Build] = {"bound": states.UDP_STATES_MADE["bound"]}


def all_cases() -> list[Case]:
    """Every state, address and pair of flags, TCP and UDP."""
    tables: tuple[tuple[Protocol, dict[str, states.Build]], ...] = (("tcp", TCP), ("udp", UDP))
    return [
        Case(protocol, *fields)
        for protocol, table in tables
        for fields in product(table, ADDRESSES, FLAG_PAIRS)
    ]


def restart_all(cases: Sequence[Case]) -> list[Restarted]:
    """Each case on a port of its own; the servers of a batch are one process, and end together."""
    shared = Shared()
    restarted: list[Restarted] = []
    with SnapshotReader() as reader:
        for start in range(0, len(cases), BATCH):
            batch = cases[start : start + BATCH]
            stages = [
                Stage(case.protocol, port, shared)
                for port, case in enumerate(batch, FIRST_PORT + start)
            ]
            end = ENDS[start // BATCH % len(ENDS)]
            try:
                restarted += _restart_batch(batch, stages, reader, end)
            finally:
                for stage in stages:
                    stage.close()
    return restarted


def _restart_batch(
    batch: Sequence[Case], stages: Sequence[Stage], reader: SnapshotReader, end: End
) -> Iterator[Restarted]:
    for case, stage in zip(batch, stages, strict=True):
        table = TCP if case.protocol == "tcp" else UDP
        table[case.state](stage, case.address, case.flags, 0)
    held = [one for stage in stages for one in stage.tracked if one.sock is not None]
    with serving(stages, held) as (server,):
        foretold = [foretell(stage, reader) for stage in stages]
        server.end(end)
        restarts = [
            bind_again(stage, each)
            for stage, each in zip(stages, foretold, strict=True)
            if each is not None
        ]
    assert len(restarts) == len(stages)
    for stage in stages:
        for one in stage.tracked:
            if one.peer is not None:
                one.peer.close()
    after = reader.take(fold=False)
    for case, stage, restart in zip(batch, stages, restarts, strict=True):
        yield Restarted(case, end, restart, clock_s(stage, after))
