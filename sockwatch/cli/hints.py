"""What to type instead of a word or option that other tools have and this one has not."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import Final

from sockwatch.view.asked import NoPortError, Services, parse_asked

_OF_A_PORT: Final = "says who has the port and how to free it"
_TABLE: Final = ("ports", "prints the table of ports")
_OF_ALL: Final = ("ports --all-netns", "prints the table of every network namespace")
_SCREEN: Final = ("", "opens the live screen")
_FAILURES: Final = ("failures", "prints the bind() and listen() calls that fail")
_LAB: Final = ("lab list", "lists the conflicts to rehearse")
# The words that people type -> the command line to type, and what it does; None is that of a port.
HINTS: Final[dict[str, tuple[str, str] | None]] = {
    **dict.fromkeys(("kill", "stop", "end", "release", "port", "who", "whois")),
    **dict.fromkeys(("check", "test", "find", "explain", "info", "fuser", "process", "pid")),
    **dict.fromkeys(("list", "ls", "l", "ss", "netstat", "lsof", "ps", "table"), _TABLE),
    **dict.fromkeys(("status", "show", "print", "listen", "listening"), _TABLE),
    **dict.fromkeys(("netns", "namespaces", "lsns", "containers", "pods", "docker"), _OF_ALL),
    "all-netns": _OF_ALL,
    **dict.fromkeys(("all", "a"), ("ports --all", "prints the table with each client port")),
    **dict.fromkeys(("top", "htop", "watch", "live", "monitor", "tui", "ui", "screen"), _SCREEN),
    **dict.fromkeys(("log", "logs", "errors", "events", "trace", "fail", "fails"), _FAILURES),
    **dict.fromkeys(("demo", "rehearse", "learn", "scenario", "scenarios"), _LAB),
    "help": ("--help", "lists the commands"),
    **dict.fromkeys(("version", "v", "V"), ("--version", "prints the version")),
}


def hint(words: Sequence[str], commands: Iterable[str], services: Services) -> str:
    """One line about the first of the words, which is neither command, option nor port.

    The words are the rest of the command line: a port among them is part of what to type.
    """
    word, *others = words
    port = _first_port((_attached(word), *others), services)
    name = word.lstrip("-").partition("=")[0]
    wrong = f"{word[:40]!r} is no {'option' if word.startswith('-') else 'command'}"
    if name in HINTS or word.startswith("-"):
        is_flags = name not in HINTS and not word.startswith("--")  # -tlnp, as of ss and netstat
        instead = _TABLE if is_flags else HINTS.get(name, ("--help", "lists the options"))
        if instead is None or (port is not None and instead == _TABLE):
            return f"{wrong}; type {_line(port or 'PORT')}: it {_OF_A_PORT}"
        return f"{wrong}; type {_line(instead[0])}: it {instead[1]}"
    from difflib import get_close_matches

    for close in get_close_matches(name, tuple(commands), n=1):
        takes_port = close in ("ports", "why", "wait", "free")
        return f"{wrong}; did you mean {_line(close, port if takes_port and port else '')}?"
    if word.isascii() and word.isalnum():
        return f"{wrong} and no port; type {_line('ports', word)} to find it in the table"
    return f"{wrong} and no port; type {_line('--help')}"


def _line(*words: str) -> str:
    return " ".join(("sockwatch", *filter(None, words)))


def _attached(word: str) -> str:
    """The value within an option: ``:8080`` of ``-i:8080``, ``8080`` of ``--port=8080``."""
    if word.startswith("--"):
        return word.partition("=")[2]
    return word.lstrip("-").lstrip("abcdefghijklmnopqrstuvwxyz") if word.startswith("-") else ""


def _first_port(words: Iterable[str], services: Services) -> str | None:
    for word in words:
        try:
            parse_asked(word, services)
        except NoPortError:
            continue
        if shlex.quote(word) == word:
            return word
    return None
