"""`sockwatch ports`: the table, once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from sockwatch.cli.command import Parser, UsageError, add_json
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.output import narrate, write_data

NAME = "ports"
SUMMARY = "print the table of ports once"
DESCRIPTION = "Print the ports of this network namespace once; exits with 1 if none matches."
EPILOG = "sockwatch --help explains FILTER."


def add_arguments(parser: Parser) -> None:
    """FILTER and ``--json``."""
    parser.add_argument("filter", metavar="FILTER", nargs="*", help="show only what matches")
    add_json(parser)


def run(options: argparse.Namespace) -> ExitCode:
    """Print the ports that match; ExitCode.NO if none does."""
    from sockwatch.cli.document import ports_document
    from sockwatch.cli.look import take_snapshot
    from sockwatch.cli.table import ports_table
    from sockwatch.view.filter import parse_filter
    from sockwatch.view.names import gap_text
    from sockwatch.view.sorting import Order, sort_ports

    words = [_as_port_term(word) for word in options.filter]
    wanted = parse_filter(" ".join(words))
    for error in wanted.errors:
        raise UsageError(error.message)
    snapshot = take_snapshot(_only_port(words), debug=options.debug)
    ports = sort_ports(filter(wanted.matches, snapshot.ports), Order(), snapshot.time)
    if options.json:
        write_data(ports_document(snapshot, ports))
    else:
        write_data(ports_table(ports, snapshot))
        for gap in snapshot.gaps:
            narrate(gap_text(gap))
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
