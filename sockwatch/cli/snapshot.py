"""`sockwatch snapshot`: a look as a document, for another command, host or time."""

from __future__ import annotations

import argparse
import itertools
import time
from typing import TYPE_CHECKING

from sockwatch import __version__
from sockwatch.cli.command import Parser, UsageError
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.output import write_json
from sockwatch.cli.place import Place, add_netns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sockwatch.export.carried import Carried

NAME = "snapshot"
SUMMARY = "write all that a look sees, for --from"
DESCRIPTION = "Write all that a look sees as one line of JSON, which --from reads."
EPILOG = """\
Of one PORT it has more: each connection, and what surrounds the holders.

Examples:
  sockwatch snapshot > web-1.json; sockwatch --from web-1.json
  ssh web-1 sockwatch snapshot 8080 | sockwatch --from - why 8080
  ssh web-1 sockwatch snapshot --every 1 | sockwatch --from -
"""


def add_arguments(parser: Parser) -> None:
    """PORT, ``--all``, the namespaces and ``--every``."""
    parser.add_argument("port", metavar="PORT", nargs="?", type=_port, help="of this port alone")
    parser.add_argument(
        "--all", action="store_true", help="each client port too, else counted by destination"
    )
    where = parser.add_mutually_exclusive_group()
    add_netns(where)
    where.add_argument(
        "--all-netns", action="store_true", help="of every network namespace of the host"
    )
    parser.add_argument(
        "--every",
        metavar="SECONDS",
        type=_seconds,
        help="go on writing, a line each time, until the reader goes away",
    )


def run(options: argparse.Namespace) -> ExitCode:
    """Write the documents. Raises UsageError, KernelError."""
    from sockwatch.export.carried import carried_document

    if options.all_netns and options.port is not None:
        raise UsageError("PORT asks for less than --all-netns: type one of them")
    for carried in _wide() if options.all_netns else _narrow(options):
        written = time.monotonic()
        write_json(carried_document(carried))
        if options.every is None:
            break
        time.sleep(max(0.0, written + options.every - time.monotonic()))
    return ExitCode.YES


def _narrow(options: argparse.Namespace) -> Iterator[Carried]:
    from sockwatch.cli.look import take_snapshots
    from sockwatch.export.carried import Carried
    from sockwatch.model import HostSnapshot

    with Place(options.netns) as place:
        ports = itertools.repeat(options.port)
        for snapshot in take_snapshots(ports, place, debug=options.debug, fold=not options.all):
            seen = HostSnapshot((snapshot,))
            yield Carried(seen, __version__, is_outside=place.netns is not None)


def _wide() -> Iterator[Carried]:
    from sockwatch.export.carried import Carried
    from sockwatch.kernel.netns.survey import Survey

    with Survey() as survey:
        while True:
            yield Carried(survey.take(), __version__, is_wide=True)


def _port(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) < 6 and 0 < int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port from 1 to 65535")


def _seconds(text: str) -> float:
    from sockwatch.cli.arguments import interval

    return interval(text)
