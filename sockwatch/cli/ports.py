"""`sockwatch ports`: the table, once."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from sockwatch.cli.command import Parser, UsageError, add_json
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.output import narrate, write_data, write_json
from sockwatch.cli.place import Place, add_netns

if TYPE_CHECKING:
    from sockwatch.model import HostSnapshot, Port
    from sockwatch.view.filter_language import Filter

NAME = "ports"
SUMMARY = "print the table of ports once"
DESCRIPTION = "Print the ports that are in use, once; exits with 1 if none matches."
EPILOG = "sockwatch --help explains FILTER."


def add_arguments(parser: Parser) -> None:
    """FILTER, ``--all``, the namespace and ``--json``."""
    parser.add_argument("filter", metavar="FILTER", nargs="*", help="show only what matches")
    parser.add_argument(
        "--all", action="store_true", help="list each client port, as a FILTER does, too"
    )
    where = parser.add_mutually_exclusive_group()
    add_netns(where)
    where.add_argument(
        "--all-netns", action="store_true", help="in every network namespace of the host"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> ExitCode:
    """Print the ports that match; ExitCode.NO if none does."""
    import time

    from sockwatch.cli.document import namespaces_document, ports_document
    from sockwatch.cli.table import MOST_RESTARTS, Section, ports_table
    from sockwatch.kernel.services import known_services
    from sockwatch.text import clean
    from sockwatch.view.filter import lists_each, parse_filter
    from sockwatch.view.look import host_gaps
    from sockwatch.view.names import gap_text
    from sockwatch.view.port_list import select

    wanted = parse_filter(" ".join(options.filter), known_services(), exact=True)
    for error in wanted.errors:
        raise UsageError(clean(error.message))
    each = options.all or lists_each(wanted)
    seen = _look(options, wanted.number, each=each)
    sections = [Section(one, select(one, wanted, each=each)) for one in seen.snapshots]
    count = sum(len(section.ports) for section in sections)
    is_any = any(any(section.selected) for section in sections)
    if options.json:
        if options.all_netns:
            write_json(namespaces_document(sections, seen.gaps))
        else:
            write_json(ports_document(sections[0]))
    else:
        write_data(ports_table(sections, time.time() if options.all_netns else None))
        if count > MOST_RESTARTS:
            narrate(f"RESTART is left out for more than {MOST_RESTARTS} ports; give a FILTER")
        for gap in host_gaps(seen):
            narrate(gap_text(gap))
        if not is_any:
            narrate(_nothing(options, wanted))
    return ExitCode.YES if is_any else ExitCode.NO


def _nothing(options: argparse.Namespace, wanted: Filter[Port]) -> str:
    """That no row was printed; ports of containers are mostly in other network namespaces."""
    from sockwatch.view.filter import CONTAINER, NETNS

    if not options.filter:
        return "no port is in use here"
    is_wide = options.all_netns or options.netns is not None
    if is_wide or not wanted.keys & {NETNS, CONTAINER}:
        return "no port matches"
    return "no port matches in this network namespace; --all-netns looks into all of them"


def _look(options: argparse.Namespace, number: int | None, *, each: bool) -> HostSnapshot:
    """All namespaces, or one; the kernel is asked for the one port that can match."""
    from sockwatch.model import HostSnapshot

    if options.source is not None or options.host is not None:
        return _far_look(options, number, each=each)
    if options.all_netns:
        from sockwatch.kernel.netns.survey import Survey

        with Survey() as survey:
            return survey.take()
    from sockwatch.cli.look import take_snapshot

    with Place(options.netns) as place:
        # None has the number 0.
        snapshot = take_snapshot(number or None, place, debug=options.debug, fold=not each)
    return HostSnapshot((snapshot,))


def _far_look(options: argparse.Namespace, number: int | None, *, each: bool) -> HostSnapshot:
    """What a document has. Raises SockwatchError where it has less than what was asked for."""
    from sockwatch.cli.source import whole_look
    from sockwatch.model import HostSnapshot

    carried = whole_look(options, ["--all"] if each else [], only=number)
    if each and carried.own.clients.groups and not carried.is_wide:
        narrate("client ports are counted by destination there; sockwatch snapshot --all has each")
    return carried.seen if options.all_netns else HostSnapshot((carried.own,))
