"""The command line: the options of the screen, their environment variables, the commands."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Sequence
from typing import Final

from sockwatch.cli.command import Command, Parser, UsageError, add_parser, finish, formatter
from sockwatch.cli.config import Configuration
from sockwatch.cli.hints import HINTS, hint
from sockwatch.cli.output import narrate
from sockwatch.cli.source import READERS, add_source
from sockwatch.kernel.services import known_services
from sockwatch.lab.languages import LANGUAGES
from sockwatch.view.asked import LOCALHOST, NoPortError, WrongPortError, parse_asked

SHORTEST_INTERVAL_S: Final = 0.1
LONGEST_INTERVAL_S: Final = 3600.0
PROGRAM: Final = "sockwatch"
THEMES: Final = ("auto", "dark", "light")
TAKE_PROGRAM: Final = ("run", "hold")
SCREEN_SWITCHES: Final = {
    "ascii": "draw with ASCII characters only",
    "no-color": "draw without colours, as with the variable NO_COLOR",
    "no-mouse": "do not capture the mouse, so that the terminal can select text",
    "readonly": "disable everything that changes the host",
    "watch-failures": "watch for failures from the start, not only on the failures screen",
}
DESCRIPTION: Final = "Who has my port, and why does bind() fail? A live answer for every port."
EPILOG: Final = """\
PORT is 8080, :8080, 127.0.0.1:8080, [::1]:8080, localhost:3000, 53/udp, http,
http://localhost:3000/, 8080,9000 or 8000-8010.

A FILTER is one or more terms that must all match: any PORT, nginx,
port:8000-8100, state:time_wait, process:java, user:www, proto:udp, flag:none,
peer:10.0.0.5:5432, client:, netns:blue, container:web2, unit:nginx; ! before a
word excludes it.

Options can be set in advance: SOCKWATCH_INTERVAL=2 in the environment, or
interval = 2 in ~/.config/sockwatch/config.toml or /etc/sockwatch/config.toml;
those of ports as SOCKWATCH_PORTS_ALL=1, or all = true in the table [ports].
sockwatch --print-config lists them, and what set each.

Exit codes: 0 yes or fine, 1 no or conflict, 2 usage, 3 could not be determined,
130 interrupted.
"""
USAGE: Final = """\
sockwatch PORT [PORT ...] [--udp] [--json] [options of why]
       sockwatch COMMAND ...
       sockwatch [-h] [--version] [--print-config] [--debug]
                 [--interval SECONDS] [--theme auto|dark|light] [--lang en|zh]
                 [--ascii] [--no-color] [--no-mouse] [--readonly]
                 [--watch-failures]
                 [--from FILE | --host USER@HOST [--host-command COMMAND]]"""
PORT_HELP: Final = "A PORT in place of COMMAND: who has it, would bind() succeed, what to do."


def top_parser(commands: Iterable[Command]) -> Parser:
    """The parser of a command line that has a command, or nothing but options."""
    top = _parser(USAGE, DESCRIPTION, EPILOG)
    _add_general(top)
    _add_screen(top)
    parsers = top.add_subparsers(
        title="commands",
        description=PORT_HELP,
        dest="command",
        metavar="COMMAND",
        prog=PROGRAM,
    )
    for command in commands:
        parser = add_parser(
            parsers, command.NAME, command.SUMMARY, command.DESCRIPTION, command.EPILOG
        )
        command.add_arguments(parser)
        if command.NAME in READERS:
            add_source(parser, argparse.SUPPRESS)  # it may be named before the command too
    return top


def port_parser(command: Command) -> Parser:
    """The parser of a command line whose first word is a port: it runs `command`."""
    parser = _parser(None, command.DESCRIPTION, command.EPILOG)
    _add_general(parser)
    _add_screen(parser, shown=False)  # an alias may have them
    parser.begin_command(command.NAME)
    command.add_arguments(parser)
    parser.set_defaults(command=command.NAME, evidence=False)
    return parser


def _parser(usage: str | None, description: str, epilog: str) -> Parser:
    parser = Parser(
        prog=PROGRAM,
        usage=usage,
        description=description,
        epilog=epilog,
        formatter_class=formatter,
        allow_abbrev=False,
        add_help=False,
    )
    finish(parser)
    return parser


def _add_general(parser: Parser) -> None:
    parser.add_argument("--version", action="store_true", help="show version information and exit")
    parser.add_argument(
        "--print-config", action="store_true", help="show what sets each option, and exit"
    )
    parser.add_argument(
        "--debug", action="store_true", help="show the traceback of an internal error"
    )
    add_source(parser)


def _add_screen(parser: Parser, *, shown: bool = True) -> None:
    screen = parser.add_argument_group("options of the live screen (sockwatch without a command)")

    def text(of: str) -> str:
        return of if shown else argparse.SUPPRESS

    screen.add_argument(
        "--interval",
        metavar="SECONDS",
        type=interval,
        default=1.0,
        help=text(
            f"time between polls, {SHORTEST_INTERVAL_S:g} to {LONGEST_INTERVAL_S:g} (default: 1)"
        ),
    )
    screen.add_argument(
        "--theme",
        metavar="THEME",
        type=str.lower,
        choices=THEMES,
        default=THEMES[0],
        help=text("dark, light, or auto: as the terminal's background (default)"),
    )
    screen.add_argument(
        "--lang",
        metavar="LANG",
        choices=LANGUAGES,
        default=None,
        help=text("language of the lab, en or zh (default: as the locale)"),
    )
    for name, meaning in SCREEN_SWITCHES.items():
        screen.add_argument(f"--{name}", action="store_true", help=text(meaning))


def parse(
    arguments: Sequence[str], commands: Sequence[Command], of_a_port: Command
) -> argparse.Namespace:
    """The options: what was typed, else what the environment or a file sets, else the default.

    `of_a_port` is the command that a port as first word stands for. Raises UsageError.
    """
    parser, options = _typed(arguments, commands, of_a_port)
    command = parser.chosen(options)
    if not hasattr(options, "version"):
        configuration = Configuration(lambda: top_parser(commands))
        if hasattr(options, "print_config"):
            parser = top_parser(commands)
            options.config = configuration.text(parser, options)
        else:
            for refusal in configuration.refusals:
                narrate(refusal)
        configuration.fill(parser, options)
    for option in parser.options():
        is_ours = option.command == command[: len(option.command)]
        if is_ours and option.default != argparse.SUPPRESS:
            vars(options).setdefault(option.action.dest, option.default)
    return options


def _typed(
    arguments: Sequence[str], commands: Sequence[Command], of_a_port: Command
) -> tuple[Parser, argparse.Namespace]:
    """What was typed, without defaults of options, and the parser that knows it."""
    names = [command.NAME for command in commands]
    parser = port_parser(of_a_port)
    index = _first_word(arguments, parser)
    if index is None and "--netns" in arguments:
        raise UsageError(f"--netns needs a port or a command; type {PROGRAM} ports --netns WHICH")
    if index is not None and arguments[index] in TAKE_PROGRAM:
        return _with_program(arguments, commands)
    if index is None or arguments[index] in names:
        return _with_command(arguments, commands)
    if _is_port(arguments[index]):
        if "--all-netns" in arguments:
            raise UsageError(f"--all-netns is of ports; type {PROGRAM} ports PORT --all-netns")
        parser.leave_out_defaults()
        return parser, parser.parse_intermixed_args(arguments)
    raise UsageError(hint(arguments[index:], names, known_services()))


def _with_program(
    arguments: Sequence[str], commands: Sequence[Command]
) -> tuple[Parser, argparse.Namespace]:
    """`program` is what follows ``--``: the words of a program to run are no options of ours."""
    words = list(arguments)
    end = words.index("--") if "--" in words else len(words)
    parser, options = _with_command(words[:end], commands)
    options.program = words[end + 1 :]
    return parser, options


def _with_command(
    arguments: Sequence[str], commands: Sequence[Command]
) -> tuple[Parser, argparse.Namespace]:
    parser = top_parser(commands)
    parser.leave_out_defaults()
    return parser, parser.parse_args(arguments)


def _first_word(arguments: Sequence[str], parser: Parser) -> int | None:
    """The index of the first argument that is no option of the parser nor the value of one."""
    is_value = False
    for index, argument in enumerate(arguments):
        if is_value or argument == "--":
            is_value = False
            continue
        name, equals, _ = argument.partition("=")
        takes_value = parser.takes_value(name)
        if takes_value is None:
            return index
        is_value = takes_value and not equals
    return None


def _is_port(word: str) -> bool:
    """Whether the first word asks for a port. Raises UsageError for a port that cannot be."""
    if word.startswith("-") or word in HINTS:  # netstat is a service too
        return False
    try:
        parse_asked(word, known_services())
    except NoPortError as error:
        if isinstance(error, WrongPortError) or not word.isalpha() or word == LOCALHOST:
            raise UsageError(str(error)) from None
        return False
    return True


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
