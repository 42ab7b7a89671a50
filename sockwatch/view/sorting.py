"""The order of the port list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple

from sockwatch.model import Port
from sockwatch.view.column import Column, SortKey
from sockwatch.view.port_columns import PORT_COLUMN, PORT_COLUMNS


class Order(NamedTuple):
    """A column to sort by. `inverted` reverses the column's own direction."""

    key: str = "port"
    inverted: bool = False

    @property
    def column(self) -> Column[Port]:
        """The column with that key."""
        return PORT_COLUMN[self.key]

    @property
    def descending(self) -> bool:
        """Whether the largest comes first."""
        return self.column.largest_first != self.inverted

    def invert(self) -> Order:
        """The reverse order by the same column."""
        return self._replace(inverted=not self.inverted)

    def step(self, by: int, among: Sequence[Column[Port]] = PORT_COLUMNS) -> Order:
        """The order by the next (1) or previous (-1) of the columns `among` that sort."""
        keys = [column.key for column in among if column.is_sortable]
        here = keys.index(self.key) if self.key in keys else -1 if by > 0 else 0
        return Order(keys[(here + by) % len(keys)])


def sort_ports(
    ports: Iterable[Port], order: Order, sort_key: Callable[[Port, Order], SortKey] | None = None
) -> list[Port]:
    """`ports` in `order`; ports that are equal in it are sorted by number and protocol.

    Those with the same of both, in several network namespaces, stay as they stand.

    `sort_key` gives the key of a port where the caller remembers it.
    """
    in_order = sorted(ports, key=attrgetter("number", "protocol"))
    if order != Order():
        key = sort_key or key_in
        in_order.sort(key=lambda port: key(port, order), reverse=order.descending)
    return in_order


def key_in(port: Port, order: Order) -> SortKey:
    """What the port is sorted by in this order."""
    return order.column.sort_key(port)
