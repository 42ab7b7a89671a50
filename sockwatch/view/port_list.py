"""The rows of the table of ports, look after look."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from sockwatch.bind import BindRequest
from sockwatch.kept import Kept
from sockwatch.model import PROTOCOLS, ClientGroup, Netns, Port, RowKey, Snapshot
from sockwatch.view.answer import WILDCARD, Answer
from sockwatch.view.asked import Asked
from sockwatch.view.clients import ClientRow, as_ports, client_row, is_client
from sockwatch.view.column import SortKey
from sockwatch.view.filter import CLIENT, NETNS, lists_each
from sockwatch.view.filter_language import Filter
from sockwatch.view.look import Look, Part
from sockwatch.view.sorting import Order, key_in, sort_ports
from sockwatch.view.who import nobody


class Selection(NamedTuple):
    """What passes a filter: ports with a row each, and what has one row for all of a protocol."""

    ports: Sequence[Port]
    clients: Sequence[Port] = ()
    groups: Sequence[ClientGroup] = ()


class Rows(NamedTuple):
    """`clients` stand behind the ports, by the key of the row that stands for each."""

    ports: Sequence[Port]
    clients: dict[RowKey, ClientRow]

    @property
    def all(self) -> list[Port]:
        """Every row, as a port."""
        return [*self.ports, *(row.port for row in self.clients.values())]


def select(
    snapshot: Snapshot,
    wanted: Filter[Port],
    *,
    each: bool = False,
    rows: Iterable[Port] | None = None,
    matches: Callable[[Port], bool] | None = None,
) -> Selection:
    """What passes of the snapshot; `each` client port by itself.

    `rows` take the place of the snapshot's ports. `matches` does what that of the filter does,
    where the caller remembers the answers.
    """
    each = each or lists_each(wanted)
    ports: list[Port] = list(snapshot.ports if rows is None else rows)
    clients: list[Port] = []
    groups: Sequence[ClientGroup] = snapshot.clients.groups
    alone = wanted.switches.get(CLIENT)
    if alone is not None or not each:
        both, ports = ports, []
        for port in both:
            (clients if is_client(port, snapshot) else ports).append(port)
    if alone is True:
        ports = []
    elif alone is False:
        clients, groups = [], ()
    if wanted.tests:
        ask = matches or wanted.matches
        if NETNS in wanted.keys:
            ask = _within(snapshot.netns, ask)
        ports, clients = list(filter(ask, ports)), list(filter(ask, clients))
        groups = [group for group in groups if all(map(ask, as_ports(group)))]
    return Selection(ports + clients if each else ports, [] if each else clients, groups)


def _within(netns: Netns, matches: Callable[[Port], bool]) -> Callable[[Port], bool]:
    return lambda port: matches(port._replace(netns=netns))


def client_rows(
    found: Selection, snapshot: Snapshot, netns: Netns | None = None
) -> dict[RowKey, ClientRow]:
    """A row for each protocol that has client ports; `netns` as that of a Port."""
    rows = (
        client_row(
            protocol,
            [port for port in found.clients if port.protocol == protocol],
            [group for group in found.groups if group.protocol == protocol],
            snapshot,
        )
        for protocol in PROTOCOLS
    )
    placed = (row._replace(netns=netns) for row in rows if row is not None)
    return {row.port.row_key: row for row in placed}


class PortList:
    """Filters and sorts; of a port that has not changed it remembers the answers."""

    def __init__(self) -> None:
        self._matches: Kept[[Port, Filter[Port]], bool] = Kept(_matches)
        self._keys: Kept[[Port, Order], SortKey] = Kept(key_in)

    def listed(
        self,
        look: Look,
        wanted: Filter[Port],
        order: Order,
        *,
        each: bool = False,
        gone: Iterable[Port] = (),
        asked: int | None = None,
    ) -> Rows:
        """The rows that pass the filter, in this order; as for select().

        `gone` are ports that were there before. A port that is `asked` for, here or by the filter,
        has a row in any case.
        """
        self._matches.renew()
        self._keys.renew()

        def matches(port: Port) -> bool:
            return self._matches.of(port.row_key, port, wanted)

        ports: list[Port] = []
        clients: dict[RowKey, ClientRow] = {}
        left = _by_snapshot(gone, look)
        for part in look.parts:
            rows = (*part.rows, *left.get(id(part.snapshot), ()))
            found = select(part.snapshot, wanted, each=each, rows=rows, matches=matches)
            ports += found.ports
            clients |= client_rows(found, part.snapshot, _netns(part, look))
        for each_asked in (wanted.asked, asked and Asked(asked, asked)):
            if each_asked and (port := _missing(each_asked, ports, look)) is not None:
                ports.append(port)
        ports = sort_ports(ports, order, lambda port, by: self._keys.of(port.row_key, port, by))
        return Rows(ports, clients)


def _by_snapshot(gone: Iterable[Port], look: Look) -> dict[int, list[Port]]:
    """By the id() of the snapshot of their namespace; of our own, where theirs has gone too."""
    found: dict[int, list[Port]] = {}
    for port in gone:
        found.setdefault(id(look.snapshot_of(port) or look.own), []).append(port)
    return found


def _netns(part: Part, look: Look) -> Netns | None:
    return part.snapshot.netns if look.is_wide else None


def is_free(port: Port) -> bool:
    """Whether no socket is on it: a row for a number that was asked for."""
    return not (port.states or port.half_open)


def free_text(port: Port, snapshot: Snapshot) -> str:
    """``nobody has it, bind would succeed``."""
    who = nobody(*port.key, snapshot)
    verdict = Answer.to(BindRequest(port.protocol, WILDCARD, port.number), snapshot).verdict
    if verdict.outcome == "ok":
        return f"{who}, bind would succeed"
    if verdict.outcome == "depends":
        return f"{who}, it depends whether bind would succeed"
    call, errno = ("bind", verdict.bind) if verdict.bind != "ok" else ("listen", verdict.listen)
    return f"{who}, {call} would get {errno}"


def _missing(asked: Asked, ports: Iterable[Port], look: Look) -> Port | None:
    """The port that is asked for, of our own namespace first.

    None if it is among these, or was not looked at: a document may be of another port alone.
    """
    wanted = PROTOCOLS if asked.protocol is None else (asked.protocol,)
    if any(port.number == asked.first and port.protocol in wanted for port in ports):
        return None
    for part in look.parts:
        for protocol in wanted:
            if (port := part.snapshot.port(protocol, asked.first)) is not None:
                return port._replace(netns=_netns(part, look))
    if look.own.only_port not in (None, asked.first):
        return None
    return Port(wanted[0], asked.first, {}, netns=_netns(look.parts[0], look))


def _matches(port: Port, wanted: Filter[Port]) -> bool:
    return wanted.matches(port)
