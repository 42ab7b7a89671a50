"""What a command of the command line is, and the parser that it fills."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, NoReturn, Protocol, TextIO, TypeAlias

from sockwatch.cli.output import write_data
from sockwatch.text import clean

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

    Subparsers: TypeAlias = argparse._SubParsersAction["Parser"]  # noqa: SLF001 - it has no other name


class UsageError(Exception):
    """A command line that cannot be run; its text is one line for the user."""


class Parser(argparse.ArgumentParser):
    """argparse with one-line errors and the same help on every terminal and Python."""

    def error(self, message: str) -> NoReturn:
        """Raises UsageError."""
        raise UsageError(clean(f"{message}; type {self.prog} --help"))

    def takes_value(self, option: str) -> bool | None:
        """Whether a value follows the option; None if there is no such option."""
        action = self._option_string_actions.get(option)
        return None if action is None else action.nargs != 0

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        """Print it as every other answer. Raises SockwatchError if the output cannot be written."""
        if file is None:
            write_data(self.format_help())
        else:
            super().print_help(file)


class Command(Protocol):
    """A command: a module with these names. It imports what is heavy when it runs, not before."""

    NAME: str
    SUMMARY: str
    DESCRIPTION: str
    EPILOG: str

    def add_arguments(self, parser: Parser) -> None:
        """Add the options and arguments of the command."""

    def run(self, options: argparse.Namespace) -> int:
        """Do it; returns an exit code.

        Raises UsageError, or another SockwatchError for what is not known.
        """


def add_parser(
    parsers: Subparsers, name: str, summary: str, description: str, epilog: str
) -> Parser:
    """A parser for the command `name`, with nothing but ``--help`` yet."""
    parser = parsers.add_parser(
        name,
        help=summary,
        description=description,
        epilog=epilog,
        formatter_class=formatter,
        allow_abbrev=False,
        add_help=False,
    )
    finish(parser)
    return parser


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a standard stream is a terminal; None means that it is closed."""
    return stream is not None and stream.isatty()


def finish(parser: Parser) -> None:
    """Add ``--help``, and keep it plain: Python 3.14 colours it by itself."""
    if sys.version_info >= (3, 14):
        parser.color = False
    parser.add_argument("-h", "--help", action="help", help="show this help and exit")


def formatter(prog: str) -> argparse.HelpFormatter:
    """Help of the same width on every terminal."""
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=26, width=80)


def add_json(parser: Parser, text: str = "print one JSON document (schema 2)") -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help=text)
