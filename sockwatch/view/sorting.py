"""The order of the port list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from sockwatch.model import Port
from sockwatch.view.column import Column
from sockwatch.view.port_columns import PORT_COLUMN, PORT_COLUMNS


@dataclass(frozen=True, slots=True)
class Order:
    """A column to sort by. `inverted` reverses the column's own direction."""

    key: str = "proto"
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
        return replace(self, inverted=not self.inverted)

    def step(self, by: int, among: Sequence[Column[Port]] = PORT_COLUMNS) -> Order:
        """The order by the next (1) or previous (-1) of the columns `among`."""
        keys = [column.key for column in among]
        here = keys.index(self.key) if self.key in keys else -1 if by > 0 else 0
        return Order(keys[(here + by) % len(keys)])


def sort_ports(ports: Iterable[Port], order: Order, now: float) -> list[Port]:
    """`ports` in `order`; ports that are equal in it are sorted by protocol and number."""
    in_order = sorted(ports, key=attrgetter("key"))
    if order.key != "proto" or order.inverted:
        sort_key = order.column.sort_key
        in_order.sort(key=lambda port: sort_key(port, now), reverse=order.descending)
    return in_order
