"""What a command of the command line is, and the parser that it fills."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol, TextIO, TypeAlias

from sockwatch.cli.output import write_data
from sockwatch.text import clean

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

    Subparsers: TypeAlias = argparse._SubParsersAction["Parser"]  # noqa: SLF001 - it has no other name


class UsageError(Exception):
    """A command line that cannot be run; its text is one line for the user."""


class Option(NamedTuple):
    """`command` is the words of the command that has it; () if the screen or every command has."""

    command: tuple[str, ...]
    action: argparse.Action
    default: object


class Parser(argparse.ArgumentParser):
    """argparse with one-line errors and the same help on every terminal and Python."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        self._begins: list[tuple[int, tuple[str, ...]]] = [(0, ())]
        self._left_out: dict[argparse.Action, object] = {}
        super().__init__(*args, **keywords)

    def begin_command(self, *words: str) -> None:
        """The options that are added from now on are those of this command."""
        self._begins.append((len(self._actions), words))

    def options(self) -> Iterator[Option]:
        """Its own, then those of the commands below it."""
        ends = [start for start, _ in self._begins[1:]]
        for (start, command), end in zip(self._begins, [*ends, len(self._actions)], strict=True):
            for action in self._actions[start:end]:
                if action.option_strings:
                    yield Option(command, action, self._left_out.get(action, action.default))
        for _, parsers in self._below():
            for word, parser in parsers.items():
                for option in parser.options():
                    yield option._replace(command=(word, *option.command))

    def exclusions(self) -> Iterator[tuple[tuple[str, ...], Collection[argparse.Action]]]:
        """Options of a command of which one at most may be typed; its own, and those below it."""
        for group in self._mutually_exclusive_groups:
            yield self._begins[-1][1], group._group_actions  # noqa: SLF001 - it has no other name
        for _, parsers in self._below():
            for word, parser in parsers.items():
                for command, actions in parser.exclusions():
                    yield (word, *command), actions

    def chosen(self, typed: argparse.Namespace) -> tuple[str, ...]:
        """The words of the command that was typed."""
        for name, parsers in self._below():
            word = getattr(typed, name, None)
            if word in parsers:
                return (word, *parsers[word].chosen(typed))
        return self._begins[-1][1]

    def leave_out_defaults(self) -> None:
        """Parse what was typed, and no default of an option."""
        for action in self._actions:
            if action.option_strings:
                self._left_out[action] = action.default
                action.default = argparse.SUPPRESS
        for _, parsers in self._below():
            for parser in parsers.values():
                parser.leave_out_defaults()

    def _below(self) -> Iterator[tuple[str, dict[str, Parser]]]:
        """The parsers of commands by word, with the name under which the word is kept."""
        for action in self._actions:
            if isinstance(action.choices, dict):
                yield action.dest, action.choices

    def error(self, message: str) -> NoReturn:
        """Raises UsageError."""
        raise UsageError(clean(f"{message}; type {self.prog} --help"))

    def takes_value(self, option: str) -> bool | None:
        """Whether a value follows the option; None if there is no such option."""
        action = self._option_string_actions.get(option)
        return None if action is None else action.nargs != 0

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        """Print it as every other answer. Raises SockwatchError if the output cannot be written."""
        for action, default in self._left_out.items():  # a help text may tell it
            action.default = default
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


def add_json(
    options: argparse._ActionsContainer, text: str = "print one JSON document (schema 2)"
) -> None:
    """Add ``--json`` to a parser, or to a group of it."""
    options.add_argument("--json", action="store_true", help=text)
