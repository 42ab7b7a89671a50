"""`sockwatch ports`: the table, once."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from sockwatch.cli.arguments import UsageError
from sockwatch.cli.document import ports_document
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.look import look
from sockwatch.cli.output import narrate, write_data
from sockwatch.view.column import MARGIN, Column
from sockwatch.view.filter import parse_filter
from sockwatch.view.fit import cell_width, fit
from sockwatch.view.port_columns import PORT_COLUMNS, port_columns_for
from sockwatch.view.sorting import Order, sort_ports

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from sockwatch.model import Port, Snapshot


def run(options: argparse.Namespace) -> ExitCode:
    """Print the ports that match; ExitCode.NO if none does."""
    words = [_as_port_term(word) for word in options.filter]
    wanted = parse_filter(" ".join(words))
    for error in wanted.errors:
        raise UsageError(error.message)
    snapshot = look(_only_port(words), debug=options.debug)
    ports = sort_ports(filter(wanted.matches, snapshot.ports), Order(), snapshot.time)
    if options.json:
        write_data(ports_document(snapshot, ports))
    else:
        write_data(_table(ports, snapshot))
        for gap in snapshot.gaps:
            narrate(f"{gap.text} ({gap.remedy})")
        if not ports:
            narrate("no port matches" if words else "no port is in use here")
    return ExitCode.YES if ports else ExitCode.NO


def _as_port_term(word: str) -> str:
    """A bare number means that port, where in the screen it is text typed so far."""
    number = word.removeprefix(":")
    return f"port:{number}" if number.isascii() and number.isdigit() else word


def _only_port(words: Sequence[str]) -> int | None:
    """The port to ask the kernel for, where the filter names just one."""
    for word in words:
        number = word.removeprefix("port:")
        if number != word and number.isdigit() and int(number) > 0:
            return int(number)
    return None


def _table(ports: Sequence[Port], snapshot: Snapshot) -> str:
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
