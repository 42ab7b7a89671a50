"""`sockwatch lab`: rehearse a conflict on real servers."""

from __future__ import annotations

import argparse

from sockwatch.cli.command import Parser, add_json, add_parser
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.lab.languages import LANGUAGES

NAME = "lab"
SUMMARY = "rehearse a conflict on real servers"
DESCRIPTION = """\
Start real test servers that reproduce a conflict, and compare what sockwatch
predicts with what the kernel answers."""
EPILOG = """\
The host's ports are left alone unless --on-host is given, and nothing outlives
the run."""


def add_arguments(parser: Parser) -> None:
    """The commands ``list`` and ``run``."""
    parsers = parser.add_subparsers(title="commands", dest="lab_command", metavar="COMMAND")
    parsers.required = True
    list_parser = add_parser(
        parsers, "list", "list the scenarios", "List the scenarios.", "Exits with 0."
    )
    _add_language(list_parser)
    add_json(list_parser)
    run_parser = add_parser(
        parsers,
        "run",
        "run one scenario, or all",
        "Run a scenario, and print each step with its system calls, the prediction and\n"
        "the kernel's answer.",
        "Exits with 0 if every prediction was right and every expectation was met, 1 if\n"
        "not, 3 if it could not be run here.",
    )
    run_parser.add_argument(
        "name", metavar="NAME", nargs="?", help="one of those that sockwatch lab list prints"
    )
    run_parser.add_argument("--all", action="store_true", help="run every scenario")
    run_parser.add_argument("--step", action="store_true", help="wait for Enter before each step")
    run_parser.add_argument(
        "--on-host",
        action="store_true",
        help="use the host's loopback instead of a network namespace",
    )
    _add_language(run_parser)
    add_json(run_parser)


def _add_language(parser: Parser) -> None:
    parser.add_argument(
        "--lang",
        metavar="LANG",
        choices=LANGUAGES,
        default=argparse.SUPPRESS,  # it may stand before the command too
        help="print it in English (en) or Chinese (zh; default: as the locale)",
    )


def run(options: argparse.Namespace) -> ExitCode:
    """List the scenarios or run some. Raises UsageError, LabError, KernelError."""
    from sockwatch.cli import lab_run

    return lab_run.run(options)
