"""What each option is, and who says so.

The command line comes first, then the environment, the user's file, the system's, the default.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from sockwatch.cli.command import Parser, UsageError
from sockwatch.cli.config_files import config_files
from sockwatch.cli.config_text import Known, values_of
from sockwatch.cli.settings import OTHER_VARIABLES, Setting, WrongValueError, settings
from sockwatch.text import clean

COMMAND_LINE: Final = "command line"
DEFAULT: Final = "default"
ORIGIN_COLUMN: Final = 26


class Value(NamedTuple):
    """`origin` is what set it; of two with different `rank`, the lower one counts."""

    value: object
    origin: str
    rank: int


class Configuration:
    """What the environment and the files set."""

    def __init__(self, parser: Callable[[], Parser]) -> None:
        """`parser` has every command; it is only asked for where there is a file.

        Raises UsageError for a file that is wrong anywhere.
        """
        self.files = config_files()
        read = [(file.path, file.text) for file in self.files if file.text is not None]
        self._by_file: list[tuple[str, dict[str, object]]] = []
        if read:
            known = Known(parser())
            self._by_file = [(path, _read(path, text, known)) for path, text in read]

    @property
    def refusals(self) -> Iterator[str]:
        """A line for each file that is there and does not count."""
        return (clean(f"{file.path} is {file.state}") for file in self.files if file.is_refused)

    def fill(self, parser: Parser, typed: argparse.Namespace) -> None:
        """Add to what was typed what is set for this command. Raises UsageError."""
        command = parser.chosen(typed)
        own = [s for s in settings(parser) if s.table == command[: len(s.table)]]
        for setting, value in self._values(own, parser, typed).items():
            setattr(typed, setting.action.dest, value.value)

    def text(self, parser: Parser, typed: argparse.Namespace) -> str:
        """What --print-config prints: a configuration file, with the origin of each value."""
        values = self._values(settings(parser), parser, typed)
        lines = [f"# {clean(file.path)}: {file.state}" for file in self.files]
        table: tuple[str, ...] | None = None
        for setting, (value, origin, _) in values.items():
            if setting.table != table:
                table = setting.table
                lines += ["", f"[{'.'.join(table)}]"] if table else [""]
            if value is None:
                lines.append(f"# {setting.name} is not set")
            else:
                line = f"{setting.name} = {_toml(value)}"
                lines.append(f"{line:{ORIGIN_COLUMN}}  # {clean(origin)}")
        return "".join(f"{line}\n" for line in lines)

    def _values(
        self, wanted: Iterable[Setting], parser: Parser, typed: argparse.Namespace
    ) -> dict[Setting, Value]:
        command = parser.chosen(typed)
        values = {}
        for setting in wanted:
            is_typed = setting.table == command[: len(setting.table)]
            values[setting] = self._value(setting, vars(typed) if is_typed else {})
        for table, group in parser.exclusions():
            is_typed = table == command and any(action.dest in vars(typed) for action in group)
            _exclude(values, group, is_typed=is_typed)
        return values

    def _value(self, setting: Setting, typed: Mapping[str, object]) -> Value:
        return next(
            Value(value, origin, rank)
            for rank, (origin, value) in enumerate(self._candidates(setting, typed))
            if value is not _UNSET
        )

    def _candidates(
        self, setting: Setting, typed: Mapping[str, object]
    ) -> Iterator[tuple[str, object]]:
        yield COMMAND_LINE, typed.get(setting.action.dest, _UNSET)
        yield setting.variable, _of_variable(setting)
        other = OTHER_VARIABLES.get(setting.key, "")
        yield other, True if os.environ.get(other) else _UNSET
        for path, values in self._by_file:
            yield path, values.get(setting.key, _UNSET)
        yield DEFAULT, setting.default


_UNSET: Final = object()


def _read(path: str, text: str, known: Known) -> dict[str, object]:
    try:
        return values_of(text, known)
    except WrongValueError as error:
        raise UsageError(clean(f"{path}: {error}")) from None


def _of_variable(setting: Setting) -> object:
    text = os.environ.get(setting.variable)
    if not text:
        return _UNSET
    try:
        return setting.of_text(text)
    except WrongValueError as error:
        raise UsageError(clean(f"{setting.variable}: {error}")) from None


def _exclude(
    values: dict[Setting, Value], group: Collection[argparse.Action], *, is_typed: bool
) -> None:
    """Of options that exclude each other, keep the one that counts most. Raises UsageError."""
    given = {
        setting: value
        for setting, value in values.items()
        if setting.action in group and value.value != setting.default
    }
    first = 0 if is_typed else min((value.rank for value in given.values()), default=0)
    kept = [setting for setting, value in given.items() if value.rank == first]
    if len(kept) > 1:
        names = " and ".join(setting.key for setting in kept)
        raise UsageError(f"{clean(given[kept[0]].origin)}: {names} exclude each other: set one")
    for setting in given:
        if setting not in kept:
            values[setting] = Value(setting.default, DEFAULT, len(values))


def _toml(value: object) -> str:
    """JSON writes these kinds of value as TOML does, but for inf."""
    import json

    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)
