"""The command line: the options of the screen, their environment variables, the commands."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Iterable, Sequence
from typing import Final

from sockwatch.cli.command import Command, Parser, UsageError, add_parser, finish, formatter

SHORTEST_INTERVAL_S: Final = 0.1
LONGEST_INTERVAL_S: Final = 3600.0
DESCRIPTION: Final = "Who has my port, and why does bind() fail? A live answer for every port."
EPILOG: Final = """\
A FILTER is one or more terms that must all match: 8080, nginx, port:8000-8100,
state:time_wait, process:java, user:www, proto:udp, flag:none; ! before a word
excludes it.

Environment: SOCKWATCH_INTERVAL, SOCKWATCH_ASCII, SOCKWATCH_NO_MOUSE,
SOCKWATCH_READONLY and SOCKWATCH_WATCH_FAILURES set the options of the same
name; NO_COLOR disables colours.

Exit codes: 0 yes or fine, 1 no or conflict, 2 usage, 3 could not be determined,
130 interrupted.
"""


def top_parser(commands: Iterable[Command]) -> Parser:
    """The parser of the whole command line."""
    top = Parser(
        prog="sockwatch",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=formatter,
        allow_abbrev=False,
        add_help=False,
    )
    finish(top)
    top.add_argument("--version", action="store_true", help="show version information and exit")
    top.add_argument("--debug", action="store_true", help="show the traceback of an internal error")
    screen = top.add_argument_group("options of the live screen (sockwatch without a command)")
    screen.add_argument(
        "--interval",
        metavar="SECONDS",
        type=interval,
        default=None,
        help=f"time between polls, {SHORTEST_INTERVAL_S:g} to {LONGEST_INTERVAL_S:g} (default: 1)",
    )
    screen.add_argument("--ascii", action="store_true", help="draw with ASCII characters only")
    screen.add_argument(
        "--no-mouse",
        action="store_true",
        help="do not capture the mouse, so that the terminal can select text",
    )
    screen.add_argument(
        "--readonly", action="store_true", help="disable everything that changes the host"
    )
    screen.add_argument(
        "--watch-failures",
        action="store_true",
        help="watch for failures from the start, not only on the failures screen",
    )
    parsers = top.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    for command in commands:
        parser = add_parser(
            parsers, command.NAME, command.SUMMARY, command.DESCRIPTION, command.EPILOG
        )
        command.add_arguments(parser)
    return top


def parse(arguments: Sequence[str], commands: Iterable[Command]) -> argparse.Namespace:
    """The options, with what the environment says where the command line is silent.

    Raises UsageError.
    """
    options = top_parser(commands).parse_args(arguments)
    if options.interval is None:
        text = os.environ.get("SOCKWATCH_INTERVAL", "")
        try:
            options.interval = interval(text) if text else 1.0
        except argparse.ArgumentTypeError as error:
            raise UsageError(f"SOCKWATCH_INTERVAL: {error}") from error
    for name in ("ascii", "no_mouse", "readonly", "watch_failures"):
        setattr(options, name, getattr(options, name) or _switch(f"SOCKWATCH_{name.upper()}"))
    return options


def interval(text: str) -> float:
    """Seconds between two polls. Raises argparse.ArgumentTypeError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not SHORTEST_INTERVAL_S <= seconds <= LONGEST_INTERVAL_S:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of seconds from {SHORTEST_INTERVAL_S:g} "
            f"to {LONGEST_INTERVAL_S:g}"
        )
    return seconds


def _switch(variable: str) -> bool:
    text = os.environ.get(variable, "").lower()
    if text in ("", "0", "no", "false"):
        return False
    if text in ("1", "yes", "true"):
        return True
    raise UsageError(f"{variable} is {text!r}; set it to 1 or 0")
