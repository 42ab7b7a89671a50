"""The table of ports as text."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from sockwatch.model import Port, Snapshot
from sockwatch.view.column import MARGIN, Column
from sockwatch.view.fit import cell_width, fit
from sockwatch.view.port_columns import PORT_COLUMNS, port_columns_for


def ports_table(ports: Sequence[Port], snapshot: Snapshot) -> str:
    """Lines as wide as the terminal; into a file or pipe, as wide as what they hold."""
    if sys.stdout.isatty():
        try:
            width = os.get_terminal_size(sys.stdout.fileno()).columns or 80
        except OSError:
            width = 80
        cells = [
            [
                fit(column.title, column.width, column.align),
                *(column.fitted(port, snapshot.time) for port in ports),
            ]
            for column in port_columns_for(width)
        ]
    else:
        cells = [_uncut(column, ports, snapshot.time) for column in PORT_COLUMNS]
    lines = (" " * MARGIN + " ".join(row) for row in zip(*cells, strict=True))
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _uncut(column: Column[Port], ports: Sequence[Port], now: float) -> list[str]:
    """The title and the cells of a column that is as wide as the widest of them."""
    texts = [column.title, *(column.text(port, now) for port in ports)]
    width = max(map(cell_width, texts))
    return [fit(text, width, column.align) for text in texts]
