"""The columns of the list of one port's sockets."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from sockwatch.units import clock
from sockwatch.view import names
from sockwatch.view.columns import Column, layout
from sockwatch.view.holders import distinct

if TYPE_CHECKING:
    from sockwatch.model import Socket


def _state(socket: Socket, _now: float) -> str:
    return socket.state


def _address(socket: Socket, _now: float) -> str:
    return names.local_address(socket)


def _peer(socket: Socket, _now: float) -> str:
    return names.peer_endpoint(socket)


def _frees(socket: Socket, _now: float) -> str:
    return "-" if socket.frees_in_s is None else clock(socket.frees_in_s)


def _flags(socket: Socket, _now: float) -> str:
    return names.flag_letters(socket.flags)


def _source(socket: Socket, _now: float) -> str:
    return socket.flags.source or "-"


def _holder(socket: Socket, _now: float) -> str:
    found = list(distinct(socket.holders).values())
    if found:
        return names.holder_name(found[0]) + names.holders_more(len(found) - 1)
    if socket.mini:
        return "-"
    return "orphan" if socket.inode == 0 else "?"


def _uid(socket: Socket, _now: float) -> str:
    return "-" if socket.uid is None else str(socket.uid)


def _queue(socket: Socket, _now: float) -> str:
    return "-" if socket.queue is None else str(socket.queue)


def _unsorted(_socket: Socket, _now: float) -> tuple[int]:
    return (0,)


SOCKET_COLUMNS: tuple[Column[Socket], ...] = (
    Column("state", "STATE", 11, "State", _state, _unsorted, at=0),
    Column("address", "ADDRESS", 15, "Local address", _address, _unsorted, at=60,
           flex=1, widest=42),
    Column("peer", "PEER", 21, "Peer address and port", _peer, _unsorted, at=34,
           flex=2, widest=48),
    Column("frees", "FREES", 5, "Seconds until a TIME_WAIT frees", _frees, _unsorted, at=41,
           align="right"),
    Column("flags", "FLAGS", 5, "Reuse flags", _flags, _unsorted, at=70),
    Column("source", "FROM", 8, "Where the flags came from", _source, _unsorted, at=100,
           flex=1, widest=12),
    Column("queue", "QUEUE", 6, "Bytes or connections waiting", _queue, _unsorted, at=120,
           align="right"),
    Column("uid", "UID", 6, "Owner", _uid, _unsorted, at=120, align="right"),
    Column("holder", "HOLDER", 17, "Who keeps it open", _holder, _unsorted, at=80,
           flex=2, widest=1024),
)  # fmt: skip


@lru_cache(maxsize=8)
def socket_columns_for(width: int) -> tuple[Column[Socket], ...]:
    """The columns of a screen of `width` cells, laid out."""
    return layout([column for column in SOCKET_COLUMNS if column.at <= width], width)
