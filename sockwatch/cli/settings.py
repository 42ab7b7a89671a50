"""What a configuration file and the environment may set: the long options of the parsers.

There is no other list of them: the files, the variables, --print-config, REFERENCE.md and the
tests all read the parsers.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final, NamedTuple

from sockwatch.cli.command import Parser

# Options that stand on the command line or nowhere.
NOT_SETTINGS: Final = frozenset(
    {
        # They ask for something else than the answer.
        "help", "version", "print-config", "print", "output", "journal", "debug",
        # They say what is asked this time: unseen, they would make it another answer.
        "udp", "uid", "device", "netns", "from", "host", "host-command", "json", "for", "count",
        "every", "listening",
        # They act, or let act without asking.
        "yes", "kill", "destroy",
    }
)  # fmt: skip
# Nothing is set in advance for commands that act.
COMMANDS_THAT_ACT: Final = frozenset({("free",), ("hold",), ("run",), ("lab", "run")})
# Those of other programs that have the meaning of ours: https://no-color.org
OTHER_VARIABLES: Final = {"no-color": "NO_COLOR"}
SWITCHES: Final = {
    **dict.fromkeys(("1", "yes", "true", "on"), True),
    **dict.fromkeys(("0", "no", "false", "off"), False),
}


class WrongValueError(Exception):
    """A value that the option does not take; its text says which it takes."""


class Setting(NamedTuple):
    """An option that may be set in advance.

    `table` is the words of its command, which are the table of a file; () is the top of the file.
    """

    table: tuple[str, ...]
    name: str
    action: argparse.Action
    default: object

    @property
    def key(self) -> str:
        """As TOML writes it."""
        return ".".join((*self.table, self.name))

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return "_".join(("sockwatch", *self.table, self.name)).replace("-", "_").upper()

    @property
    def is_switch(self) -> bool:
        """Whether it takes no value on the command line."""
        return self.action.nargs == 0

    def of_text(self, text: str) -> object:
        """The value that a variable sets. Raises WrongValueError."""
        if not self.is_switch:
            return self._converted(text)
        if text.lower() not in SWITCHES:
            raise WrongValueError(f"{text!r} is neither 1 nor 0")
        return self._switched(on=SWITCHES[text.lower()])

    def of_toml(self, value: object) -> object:
        """The value that a file sets: true, false, a number, or a text as one would type it.

        Raises WrongValueError.
        """
        if self.is_switch:
            if not isinstance(value, bool):
                raise WrongValueError("wants true or false")
            return self._switched(on=value)
        if isinstance(value, str):
            return self._converted(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise WrongValueError("wants a string or a number")
        converted = self._converted(str(value))
        if isinstance(converted, str):
            raise WrongValueError("wants a string")
        return converted

    def _switched(self, *, on: bool) -> object:
        return self.action.const if on else self.default

    def _converted(self, text: str) -> object:
        value: object = text
        try:
            if callable(self.action.type):
                value = self.action.type(text)
        except argparse.ArgumentTypeError as error:
            raise WrongValueError(str(error)) from None
        except (TypeError, ValueError):
            raise WrongValueError(f"{text!r} is not valid") from None
        if self.action.choices is not None and value not in self.action.choices:
            choices = ", ".join(map(str, self.action.choices))
            raise WrongValueError(f"{text!r} is none of {choices}")
        return value


def settings(parser: Parser) -> Iterator[Setting]:
    """Those of the parser and of the commands below it."""
    for command, action, default in parser.options():
        name = long_name(action)
        repeats_another = default == argparse.SUPPRESS
        if name is None or repeats_another or name in NOT_SETTINGS:
            continue
        if command not in COMMANDS_THAT_ACT:
            yield Setting(command, name, action, default)


def long_name(action: argparse.Action) -> str | None:
    """The option's name without its dashes; None if it has only a short one."""
    return next((name[2:] for name in action.option_strings if name.startswith("--")), None)
