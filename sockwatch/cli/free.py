"""`sockwatch free`: end what is in the way of a port, after a plan that names it."""

from __future__ import annotations

import argparse

from sockwatch.cli.command import Parser, add_json
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.request import add_request

NAME = "free"
SUMMARY = "stop what has a port, after a plan and a question"
DESCRIPTION = """\
Print a plan that says who has the port and how each is stopped: a unit by its
manager, a container by its runtime, a process by SIGTERM. Then ask, act, and
prove that bind() and listen() would succeed. Leftovers such as TIME_WAIT are
waited for."""
EPILOG = """\
Never stopped: clients of the port, the first process, runtimes of containers,
what people log in through, and what this command was started from.

Exits with 0 only if bind() and listen() would succeed in the end, 1 if not,
3 if that cannot be determined; 2 also if there is nobody to ask: --yes agrees."""


def add_arguments(parser: Parser) -> None:
    """The request, what is agreed to, and ``--json``."""
    add_request(parser, several=False)
    parser.add_argument("--dry-run", action="store_true", help="print the plan, and do nothing")
    parser.add_argument("--yes", action="store_true", help="agree to the plan, but not to SIGKILL")
    parser.add_argument(
        "--kill", action="store_true", help="agree to SIGKILL where SIGTERM does not end a process"
    )
    parser.add_argument(
        "--pid",
        type=_pid,
        action="append",
        metavar="PID",
        dest="pids",
        help="agree to end this process, though it only inherited the socket",
    )
    parser.add_argument(
        "--destroy",
        action="store_true",
        help="as root, destroy leftovers such as TIME_WAIT instead of waiting",
    )
    parser.add_argument(
        "--no-wait", action="store_true", help="do not wait for leftovers; exit with 1 instead"
    )
    parser.add_argument(
        "--readonly",
        action="store_true",
        default=argparse.SUPPRESS,
        help="refuse to act; --dry-run still prints the plan",
    )
    add_json(parser)


def run(options: argparse.Namespace) -> ExitCode:
    """Plan, ask, act and prove. Raises UsageError, KernelError."""
    from sockwatch.cli import free_run

    return free_run.run(options)


def _pid(text: str) -> int:
    if text.isascii() and text.isdigit() and 0 < int(text[:20]) < 1 << 31:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a PID")
