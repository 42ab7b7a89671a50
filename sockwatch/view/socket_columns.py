"""The columns of the list of one port's sockets."""

from __future__ import annotations

from functools import lru_cache

from sockwatch.model import Socket
from sockwatch.units import clock
from sockwatch.view import names
from sockwatch.view.column import NOTHING, Column, layout, visible
from sockwatch.view.holders import distinct


def _holder(socket: Socket) -> str:
    holders = distinct(socket.holders)
    if holders:
        return names.holder_name(next(iter(holders.values())))
    if socket.mini:
        return NOTHING
    return "orphan" if socket.inode == 0 else "?"


def _number(value: int | None) -> str:
    return NOTHING if value is None else str(value)


SOCKET_COLUMNS: tuple[Column[Socket], ...] = (
    Column(
        "state", "STATE", 11, "State", at=0, flex=1,
        cell=lambda socket, _: socket.state,
    ),
    Column(
        "address", "ADDRESS", 15, "Local address", at=60, flex=1, widest=42,
        cell=lambda socket, _: names.local_address(socket),
    ),
    Column(
        "peer", "PEER", 21, "Peer address and port", at=34, flex=2, widest=48,
        cell=lambda socket, _: names.peer_endpoint(socket),
    ),
    Column(
        "frees", "FREES", 5, "Time until the TIME_WAIT ends", at=41, align="right",
        cell=lambda socket, _: NOTHING if socket.frees_in_s is None else clock(socket.frees_in_s),
    ),
    Column(
        "flags", "FLAGS", 5, "Reuse flags", at=70,
        cell=lambda socket, _: names.flag_letters(socket.flags),
    ),
    Column(
        "source", "FROM", 8, "Where the flags were read from", at=100, flex=1, widest=12,
        cell=lambda socket, _: socket.flags.source or NOTHING,
    ),
    Column(
        "queue", "QUEUE", 6, "Bytes or connections waiting", at=120, align="right",
        cell=lambda socket, _: _number(socket.queue),
    ),
    Column(
        "uid", "UID", 6, "Owner", at=120, align="right",
        cell=lambda socket, _: _number(socket.uid),
    ),
    Column(
        "holder", "HOLDER", 17, "The first process that keeps it open, +2 means two more",
        at=80, flex=2, widest=1024,
        cell=lambda socket, _: _holder(socket),
        mark=lambda socket, _: names.holders_more(max(0, len(distinct(socket.holders)) - 1)),
    ),
)  # fmt: skip


@lru_cache(maxsize=8)
def socket_columns_for(width: int) -> tuple[Column[Socket], ...]:
    """The columns of a screen of `width` cells, laid out."""
    return layout(visible(SOCKET_COLUMNS, width), width)
