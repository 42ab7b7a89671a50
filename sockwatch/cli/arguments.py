"""The command line: options, their environment variables, and one-line errors."""

from __future__ import annotations

import argparse
import math
import os
import pwd
import sys
from typing import Final, NoReturn

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


class UsageError(Exception):
    """A command line that cannot be run; its text is one line for the user."""


class Parser(argparse.ArgumentParser):
    """argparse with one-line errors and the same help on every terminal and Python."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; type {self.prog} --help")


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=26, width=80)


def parser() -> Parser:
    """The parser of the whole command line."""
    top = Parser(
        prog="sockwatch",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=_formatter,
        allow_abbrev=False,
        add_help=False,
    )
    _plain(top)
    top.add_argument("-h", "--help", action="help", help="show this help and exit")
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
    commands = top.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    ports = _command(
        commands,
        "ports",
        "print the table of ports once",
        "Print the ports of this network namespace once; exits with 1 if none matches.",
        "sockwatch --help explains FILTER.",
    )
    ports.add_argument("filter", metavar="FILTER", nargs="*", help="show only what matches")
    ports.add_argument("--json", action="store_true", help="print one JSON document (schema 1)")
    why = _command(
        commands,
        "why",
        "would bind() succeed; if not, why not, and what to do",
        "Would bind() and listen() succeed now? Nothing is bound to find out.",
        "Exits with 0 if both would succeed, 1 if not, 3 if that cannot be determined.",
    )
    why.add_argument(
        "endpoint",
        metavar="[ADDRESS:]PORT",
        help="8080, 127.0.0.1:8080, [::1]:8080, localhost:http",
    )
    why.add_argument("--udp", action="store_true", help="a UDP socket (default: TCP)")
    why.add_argument("--reuseaddr", action="store_true", help="with SO_REUSEADDR")
    why.add_argument("--reuseport", action="store_true", help="with SO_REUSEPORT")
    why.add_argument("--v6only", action="store_true", help="with IPV6_V6ONLY")
    why.add_argument("--uid", type=_uid, metavar="UID", help="as this user (default: you)")
    why.add_argument("--device", metavar="IF", help="bound to this network device")
    why.add_argument("--json", action="store_true", help="print one JSON document (schema 1)")
    _add_lab(commands)
    failures = _command(
        commands,
        "failures",
        "every bind() and listen() that fails, live (root)",
        "Print a line for every bind() and listen() on this host that fails with\n"
        "EADDRINUSE, EACCES or EADDRNOTAVAIL, with what blocked it at that moment.",
        "Needs CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN; exits with 3 without them.",
    )
    failures.add_argument(
        "--json", action="store_true", help="print one JSON document per line (schema 1)"
    )
    failures.add_argument(
        "--for", dest="seconds", type=_seconds, metavar="SECONDS", help="exit after this time"
    )
    failures.add_argument("--count", type=_count, metavar="N", help="exit after N failures")
    return top


def _add_lab(commands: argparse._SubParsersAction[Parser]) -> None:
    lab = _command(
        commands,
        "lab",
        "rehearse a conflict on real servers",
        "Start real test servers that reproduce a conflict, and compare what sockwatch\n"
        "predicts with what the kernel answers.",
        "The host's ports are left alone unless --on-host is given, and nothing outlives\nthe run.",
    )
    verbs = lab.add_subparsers(title="commands", dest="lab_command", metavar="COMMAND")
    verbs.required = True
    listing = _command(verbs, "list", "list the scenarios", "List the scenarios.", "Exits with 0.")
    listing.add_argument("--json", action="store_true", help="print one JSON document (schema 1)")
    play = _command(
        verbs,
        "run",
        "run one scenario, or all",
        "Run a scenario, and print each step with its system calls, the prediction and\n"
        "the kernel's answer.",
        "Exits with 0 if every prediction was right and every expectation was met, 1 if\n"
        "not, 3 if it could not be run here.",
    )
    play.add_argument(
        "name", metavar="NAME", nargs="?", help="one of those that sockwatch lab list prints"
    )
    play.add_argument("--all", action="store_true", help="run every scenario")
    play.add_argument("--step", action="store_true", help="wait for Enter before each step")
    play.add_argument(
        "--on-host",
        action="store_true",
        help="use the host's loopback instead of a network namespace",
    )
    play.add_argument("--json", action="store_true", help="print one JSON document (schema 1)")


def _command(
    commands: argparse._SubParsersAction[Parser], name: str, short: str, long: str, epilog: str
) -> Parser:
    made = commands.add_parser(
        name,
        help=short,
        description=long,
        epilog=epilog,
        formatter_class=_formatter,
        allow_abbrev=False,
        add_help=False,
    )
    _plain(made)
    made.add_argument("-h", "--help", action="help", help="show this help and exit")
    return made


def _uid(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) < 2**32:
        return int(text)
    try:
        return pwd.getpwnam(text).pw_uid
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a user nor a uid") from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return seconds


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options, with what the environment says where the command line is silent.

    Raises UsageError.
    """
    options = parser().parse_args(arguments)
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
    """Seconds between two looks. Raises argparse.ArgumentTypeError."""
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


def _plain(made: argparse.ArgumentParser) -> None:
    # Python 3.14 colours help text by itself.
    if sys.version_info >= (3, 14):
        made.color = False
