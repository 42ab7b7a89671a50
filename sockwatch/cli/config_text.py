"""What the text of a configuration file sets; nothing in it may be wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sockwatch.cli.command import Parser
from sockwatch.cli.settings import WrongValueError, long_name, settings
from sockwatch.text import NAME_LIMIT, clean


class Known:
    """What a file may set: `settings` by key, in the `tables` of the commands.

    `typed_alone` are the options that are no settings, by the keys that they would have.
    """

    def __init__(self, parser: Parser) -> None:
        self.settings = {setting.key: setting for setting in settings(parser)}
        set_in_advance = {setting.action for setting in self.settings.values()}
        self.typed_alone = {
            ".".join((*command, name)): name
            for command, action, _ in parser.options()
            if action not in set_in_advance
            and (name := long_name(action))
            and name not in self.settings  # it repeats an option of every command
        }
        commands = {option.command for option in parser.options()}
        self.tables = {words[:end] for words in commands for end in range(1, len(words) + 1)}


def values_of(text: str, known: Known) -> dict[str, object]:
    """The values by key. Raises WrongValueError."""
    from sockwatch import toml

    try:
        return values_in(toml.loads(text), known)
    except RecursionError:
        raise WrongValueError("it is nested too deeply") from None
    except ValueError as error:
        raise WrongValueError(f"it is not TOML: {error}") from None


def values_in(document: Mapping[str, Any], known: Known) -> dict[str, object]:
    """The same of a document that has been read."""
    values = {}
    for keys, value in _flat(document, known):
        key = ".".join(keys)
        if key not in known.settings:
            raise WrongValueError(_unknown(keys, value, known))
        try:
            values[key] = known.settings[key].of_toml(value)
        except WrongValueError as error:
            raise WrongValueError(f"{key}: {error}") from None
    return values


def _flat(
    document: Mapping[str, Any], known: Known, above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], object]]:
    """Each key with the tables above it, and its value. A table of no command is a value."""
    for name, value in document.items():
        keys = (*above, name)
        if isinstance(value, dict) and keys in known.tables:
            yield from _flat(value, known, keys)
        else:
            yield keys, value


def _unknown(keys: Sequence[str], value: object, known: Known) -> str:
    """That there is no such key, and the nearest that there is."""
    from difflib import get_close_matches

    *table, name = (clean(key, NAME_LIMIT) for key in keys)
    key = ".".join((*table, name))
    elsewhere = [setting.key for setting in known.settings.values() if setting.name == name]
    if key in known.typed_alone or (not elsewhere and name in known.typed_alone.values()):
        return f"{key} is for the command line alone: --{name}"
    tables = set(map(".".join, known.tables))
    if key in tables:
        return f"{key} is a command: its options stand in the table [{key}]"
    names = tables if isinstance(value, dict) else known.settings
    for near in elsewhere or get_close_matches(key, names, n=1):
        return f"{key} is no setting; did you mean {near}?"
    return f"{key} is no setting; sockwatch --print-config lists them all"
