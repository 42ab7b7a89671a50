"""The order of the port list."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sockwatch.view.columns import BY_KEY, COLUMNS, Column

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sockwatch.model import Port


@dataclass(frozen=True, slots=True)
class Order:
    """A column to sort by. `inverted` turns the column's own direction around."""

    key: str = "proto"
    inverted: bool = False

    @property
    def column(self) -> Column[Port]:
        return BY_KEY[self.key]

    @property
    def descending(self) -> bool:
        return self.column.largest_first != self.inverted

    def invert(self) -> Order:
        return replace(self, inverted=not self.inverted)

    def step(self, by: int, among: Sequence[Column[Port]] = COLUMNS) -> Order:
        """The order by the next (1) or previous (-1) of the columns `among`."""
        keys = [column.key for column in among]
        here = keys.index(self.key) if self.key in keys else -1 if by > 0 else 0
        return Order(keys[(here + by) % len(keys)])


def sort_ports(ports: Iterable[Port], order: Order, now: float) -> list[Port]:
    """`ports` in `order`; those that are alike stay by protocol and number."""
    found = sorted(ports, key=_by_key)
    if order.key != "proto" or order.inverted:
        key = order.column.sort_key
        found.sort(key=lambda port: key(port, now), reverse=order.descending)
    return found


def _by_key(port: Port) -> tuple[str, int]:
    return (port[0], port[1])
