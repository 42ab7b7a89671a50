"""What an interpreter runs, by its arguments: a script, a module, an archive, a class."""

from __future__ import annotations

import re
from os.path import basename
from typing import Final, NamedTuple

SHELLS: Final = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash"})


class _Syntax(NamedTuple):
    """Patterns of options, as the interpreter's man page has them.

    `value` are those whose value is the next word. `program` are those by which it runs something
    else than a script: the letter of the option in the first group, where others may stand before
    it, and in the second what follows in the same word.
    """

    value: str
    program: str


_SHELL: Final = _Syntax(r"[-+][a-zA-Z]*[oO]|--rcfile|--init-file", r"-[a-zA-Z]*?(c)[a-zA-Z]*")
_PYTHON: Final = _Syntax(
    r"-[bBdEhiIOPqRsSuvVx]*[WX]|--check-hash-based-pycs", r"-[bBdEhiIOPqRsSuvVx]*([cm])(.*)"
)
_NODE: Final = _Syntax(
    r"-r|-C|--require|--import|--loader|--experimental-loader|--conditions|--env-file|--title",
    r"-e|-p|-pe|--eval|--print|--run",
)
_SYNTAX: Final[dict[str, _Syntax]] = {
    "python": _PYTHON,
    "pypy": _PYTHON,
    "java": _Syntax(
        r"-cp|-classpath|--class-path|-p|--module-path|--upgrade-module-path|--patch-module"
        r"|--(add|limit)-(modules|reads|exports|opens)|--enable-native-access|--source",
        r"-jar|-m|--module",
    ),
    "node": _NODE,
    "nodejs": _NODE,
    "ruby": _Syntax(r"-[alnpsSvw]*[CEIr]|--encoding|--external-encoding", r"-[alnpsSvw]*(e)(.*)"),
    "perl": _Syntax(r"-[acfnpsStTuUvwW]*I", r"-[acfnpsStTuUvwW]*([eE])(.*)"),
    "php": _Syntax(r"-[cdtz]|--define|--php-ini|--docroot", r"-[frS]|--server|--run|--file"),
    "dotnet": _Syntax(r"--(additionalprobingpath|depsfile|runtimeconfig|fx-version)", r"exec|run"),
    **dict.fromkeys(SHELLS, _SHELL),
}
_CUT: Final = "…"  # stands for the words of Process.arguments that were not read
_VERSION: Final = re.compile(r"-?\d[-._\d]*t?$")  # t: Python without its lock
_MODULE_OR_ADDRESS: Final = frozenset({"-m", "-S", "--server", "--run"})  # short, and tell it all
_IN_A_FILE: Final = frozenset({"-jar", "-f", "--file", "exec"})


class Script(NamedTuple):
    """What is run and its arguments; `short` names it in one word or two, empty if unknown."""

    words: tuple[str, ...]
    short: str


def without_version(name: str) -> str:
    """``python`` for ``python3.11``."""
    return _VERSION.sub("", name) or name


def script_of(interpreter: str, arguments: tuple[str, ...]) -> Script | None:
    """What a program of that name runs, its own options left out; None if it is no interpreter."""
    language = without_version(interpreter)
    syntax = _SYNTAX.get(language)
    if syntax is None:
        return None
    words = _from_program_on(syntax, arguments)
    return Script(words, _short(language, words))


def _from_program_on(syntax: _Syntax, arguments: tuple[str, ...]) -> tuple[str, ...]:
    words = iter(arguments)
    for word in words:
        if program := re.fullmatch(syntax.program, word, re.DOTALL):
            option, attached = (*program.groups(), None, None)[:2]
            parts = (f"-{option}" if option else word, attached, *words)
            return tuple(part for part in parts if part)
        if word == "--":
            return tuple(words)
        if word == "-" or word[:1] not in ("-", "+"):
            return (word, *words)
        if re.fullmatch(syntax.value, word) and next(words, None) == _CUT:
            return (_CUT,)
    return ()


def _short(language: str, words: tuple[str, ...]) -> str:
    if not words:
        return ""
    option, value = (*words, "")[:2]
    if language == "java" and option in ("-m", "--module"):
        return _class_name(value)
    if option in _MODULE_OR_ADDRESS:
        return f"{option} {value}".rstrip()
    if option in _IN_A_FILE:
        return basename(value)
    if language == "java" and not option.endswith(".java"):
        return _class_name(option)
    return option if option.startswith("-") else basename(option)


def _class_name(name: str) -> str:
    """``Main`` of ``shop/com.acme.Main``."""
    return re.split(r"[/.]", name)[-1]
