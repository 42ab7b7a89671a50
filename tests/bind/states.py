"""Every state a first socket can be in, as functions that bring it there."""

from __future__ import annotations

import ctypes
import socket
from collections.abc import Callable
from itertools import product
from typing import NamedTuple

from sockwatch.model import Family, Protocol
from tests.bind.calls import abort
from tests.bind.oracle import OTHER_UID, Stage, Tracked
from tests.support.full_window import fill

FLAG_PAIRS = ((False, False), (True, False), (False, True), (True, True))


class Address(NamedTuple):
    """An address to bind: `via` is where a connection to it goes."""

    text: str
    v6only: bool
    via: str

    @property
    def family(self) -> Family:
        """ "ipv4" or "ipv6"."""
        return "ipv6" if ":" in self.text else "ipv4"


ADDRESSES = (
    Address("127.0.0.1", False, "127.0.0.1"),
    Address("127.0.0.2", False, "127.0.0.2"),
    Address("127.0.0.6", False, "127.0.0.6"),
    Address("0.0.0.0", False, "127.0.0.1"),
    Address("::", False, "::1"),
    Address("::", False, "127.0.0.1"),
    Address("::", True, "::1"),
    Address("::1", False, "::1"),
    Address("::ffff:127.0.0.1", False, "127.0.0.1"),
    Address("::ffff:0.0.0.0", False, "127.0.0.1"),
)
SECOND_ADDRESSES = tuple(a for i, a in enumerate(ADDRESSES) if i != 5)

Build = Callable[[Stage, Address, tuple[bool, bool], int], object]
Ending = Callable[[Stage, Tracked], None]


def established(stage: Stage, one: Tracked) -> None:
    pass


def close_wait(stage: Stage, one: Tracked) -> None:
    assert one.peer
    one.peer.shutdown(socket.SHUT_WR)
    stage.wait(lambda: one.state == 8)


def fin_wait1(stage: Stage, one: Tracked) -> None:
    assert one.sock
    fill(one.sock)
    one.sock.shutdown(socket.SHUT_WR)
    assert one.state == 4


def fin_wait1_orphan(stage: Stage, one: Tracked) -> None:
    assert one.sock
    fill(one.sock)
    one.close()


def fin_wait2(stage: Stage, one: Tracked) -> None:
    assert one.sock
    one.sock.shutdown(socket.SHUT_WR)
    stage.wait(lambda: one.state == 5)


def fin_wait2_mini(stage: Stage, one: Tracked) -> None:
    # Now and then the kernel keeps it as a full socket: when the ACK meets a locked socket.
    one.close()
    wait_row(stage, one, 5)


def last_ack(stage: Stage, one: Tracked) -> None:
    close_wait(stage, one)
    assert one.sock
    fill(one.sock)
    one.sock.shutdown(socket.SHUT_WR)
    assert one.state == 9


def _last_ack_orphan(stage: Stage, one: Tracked) -> None:
    close_wait(stage, one)
    assert one.sock
    fill(one.sock)
    one.close()


def closing(stage: Stage, one: Tracked) -> None:
    fin_wait1(stage, one)
    assert one.peer
    one.peer.shutdown(socket.SHUT_WR)
    stage.wait(lambda: one.state == 11)


def time_wait(stage: Stage, one: Tracked) -> None:
    one.close()
    assert one.peer
    wait_row(stage, one, 5)
    one.peer.close()
    wait_row(stage, one, 6)


def reset(stage: Stage, one: Tracked) -> None:
    assert one.peer
    abort(one.peer)
    stage.wait(lambda: one.state == 7)


def _disconnected(stage: Stage, one: Tracked) -> None:
    """connect() to AF_UNSPEC, which Python's socket cannot say."""
    assert one.sock
    assert ctypes.CDLL(None).connect(one.sock.fileno(), bytes(16), 16) == 0
    assert one.state == 7


def wait_row(stage: Stage, one: Tracked, state: int) -> None:
    """Wait until the socket, which has no fd, is in the state."""

    def arrived() -> bool:
        row = stage.find(one)
        return row is not None and row.state == state

    stage.wait(arrived)


def _make(stage: Stage, address: Address, flags: tuple[bool, bool], uid: int) -> Tracked:
    one = stage.make(address.family, *flags, address.v6only, uid)
    assert one.sock
    one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
    return one


def _bound(stage: Stage, address: Address, flags: tuple[bool, bool], uid: int) -> Tracked:
    one = _make(stage, address, flags, uid)
    stage.bind(one, address.text)
    return one


def _listener(stage: Stage, address: Address, flags: tuple[bool, bool], uid: int) -> Tracked:
    one = _bound(stage, address, flags, uid)
    assert one.sock
    one.sock.listen(16)
    return one


def _shut_listener(stage: Stage, address: Address, flags: tuple[bool, bool], uid: int) -> None:
    one = _listener(stage, address, flags, uid)
    assert one.sock
    one.sock.shutdown(socket.SHUT_RDWR)
    assert one.state == 7


def _unaccepted(stage: Stage, address: Address, flags: tuple[bool, bool], uid: int) -> None:
    _listener(stage, address, flags, uid)
    stage.accept(address.via, take=False)


def _syn_sent(stage: Stage, address: Address, flags: tuple[bool, bool], uid: int) -> None:
    one = _bound(stage, address, flags, uid)
    stage.connect_in_vain(one, address.via)
    assert one.state == 2


def accepted(ending: Ending, *, listening: bool = False) -> Build:
    """A connection that a listener on the port accepted; the listener stays or goes."""

    def build(stage: Stage, address: Address, flags: tuple[bool, bool], uid: int) -> None:
        listener = _listener(stage, address, flags, uid)
        child = stage.accept(address.via)
        if not listening:
            listener.close()
        ending(stage, child)

    return build


def client(ending: Ending) -> Build:
    """A connection from the port, bound before connect()."""

    def build(stage: Stage, address: Address, flags: tuple[bool, bool], uid: int) -> None:
        one = _bound(stage, address, flags, uid)
        stage.connect(one, address.via)
        ending(stage, one)

    return build


def automatic(ending: Ending) -> Build:
    """A connection whose port connect() chose."""

    def build(stage: Stage, address: Address, flags: tuple[bool, bool], uid: int) -> None:
        one = _make(stage, address, flags, uid)
        stage.connect(one, address.via, automatic=True)
        ending(stage, one)

    return build


TCP_STATES_MADE: dict[str, Build] = {
    "bound": _bound,
    "LISTEN": _listener,
    "listener after shutdown": _shut_listener,
    "unaccepted": _unaccepted,
    "SYN_SENT": _syn_sent,
    "accepted, listening": accepted(established, listening=True),
    "accepted": accepted(established),
    "accepted CLOSE_WAIT": accepted(close_wait),
    "accepted FIN_WAIT1": accepted(fin_wait1),
    "accepted FIN_WAIT1 orphan": accepted(fin_wait1_orphan),
    "accepted FIN_WAIT2": accepted(fin_wait2),
    "accepted mini FIN_WAIT2": accepted(fin_wait2_mini),
    "accepted LAST_ACK": accepted(last_ack),
    "accepted LAST_ACK orphan": accepted(_last_ack_orphan),
    "accepted CLOSING": accepted(closing),
    "accepted TIME_WAIT": accepted(time_wait),
    "accepted TIME_WAIT, listening": accepted(time_wait, listening=True),
    "accepted reset": accepted(reset),
    "client": client(established),
    "client CLOSE_WAIT": client(close_wait),
    "client FIN_WAIT1 orphan": client(fin_wait1_orphan),
    "client mini FIN_WAIT2": client(fin_wait2_mini),
    "client LAST_ACK orphan": client(_last_ack_orphan),
    "client TIME_WAIT": client(time_wait),
    "client reset": client(reset),
    "client disconnected": client(_disconnected),
    "automatic client": automatic(established),
    "automatic client TIME_WAIT": automatic(time_wait),
    "automatic client reset": automatic(reset),
}


UDP_STATES_MADE: dict[str, Build] = {
    "bound": _bound,
    "connected": client(established),
    "disconnected": client(_disconnected),
    "automatic": automatic(established),
}


class Case(NamedTuple):
    """One pair: how the first socket came to be, and what the second one asks for."""

    protocol: Protocol
    state: str
    first: Address
    first_flags: tuple[bool, bool]
    second: Address
    second_flags: tuple[bool, bool]
    second_uid: int


def build(stage: Stage, case: Case) -> None:
    """Make the first socket of the case."""
    states = TCP_STATES_MADE if case.protocol == "tcp" else UDP_STATES_MADE
    states[case.state](stage, case.first, case.first_flags, 0)


def all_cases() -> list[Case]:
    """The exhaustive product, TCP and UDP."""
    tables: tuple[tuple[Protocol, dict[str, Build]], ...] = (
        ("tcp", TCP_STATES_MADE),
        ("udp", UDP_STATES_MADE),
    )
    return [
        Case(protocol, *fields)
        for protocol, states in tables
        for fields in product(
            states, ADDRESSES, FLAG_PAIRS, SECOND_ADDRESSES, FLAG_PAIRS, (0, OTHER_UID)
        )
    ]
