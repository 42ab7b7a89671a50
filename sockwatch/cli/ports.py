"""`sockwatch ports`: the table, once."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from sockwatch.cli.arguments import UsageError
from sockwatch.cli.document import ports_document
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.look import look
from sockwatch.cli.output import narrate, write_data
from sockwatch.view.columns import COLUMNS, MARGIN, Column, layout, visible_columns
from sockwatch.view.filter import parse_filter
from sockwatch.view.fit import cell_width, fit
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
        columns = layout(visible_columns(width), width)
        texts = [[column.text(port, snapshot.time) for column in columns] for port in ports]
    else:
        texts = [[column.cell(port, snapshot.time) for column in COLUMNS] for port in ports]
        columns = tuple(
            replace(column, width=max(map(cell_width, (column.title, *cells))))
            for column, *cells in zip(COLUMNS, *texts, strict=True)
        )
    lines = [_line(columns, [column.title for column in columns])]
    lines += [_line(columns, row) for row in texts]
    return "".join(f"{line}\n" for line in lines)


def _line(columns: Sequence[Column[Port]], texts: Sequence[str]) -> str:
    cells = (fit(text, c.width, c.align) for c, text in zip(columns, texts, strict=True))
    return (" " * MARGIN + " ".join(cells)).rstrip()
