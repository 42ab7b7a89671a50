"""What the shells complete, from the parser."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final

import shtab

from sockwatch.cli import why
from sockwatch.cli.arguments import TAKE_PROGRAM, port_parser, top_parser
from sockwatch.cli.dispatch import COMMANDS
from sockwatch.lab.scenario import all_scenarios

SHELLS: Final = ("bash", "zsh", "fish")


def _of_a_function(name: str) -> dict[str, str]:
    return {"bash": name, "zsh": name, "fish": f"({name})"}


# What a word may be, by the metavar of its argument.
WORDS: Final = {
    "PORT": _of_a_function("_sockwatch_ports"),
    "FILTER": _of_a_function("_sockwatch_ports"),
    "WHICH": _of_a_function("_sockwatch_netns"),
    "IF": _of_a_function("_sockwatch_devices"),
    "UID": _of_a_function("_sockwatch_users"),
    "FILE": shtab.FILE,
    "DIR": shtab.DIRECTORY,
}
# They print a word a line; ss(8) shows the ports of this network namespace.
_COMMANDS: Final = {
    "ports": "ss -Htuln 2>/dev/null | sed -nE 's/^([^ ]+ +){4}[^ ]*:([0-9]+) .*/\\2/p' | sort -un",
    "netns": "echo host; command ls /run/netns 2>/dev/null",
    "devices": "command ls /sys/class/net",
    "users": "cut -d: -f1 /etc/passwd",
}
_FORMS: Final = {
    # bash expands words and inserts them as they are: what it would run or split is left out.
    "bash": (
        "_sockwatch_{name}() {{\n"
        '  compgen -W "$({{ {command}; }} | grep -xE \'[[:alnum:]@%:._+-]+\')" -- "$1"\n}}'
    ),
    "zsh": '_sockwatch_{name}() {{ compadd -- ${{(f)"$({command})"}}; }}',
    "fish": "function _sockwatch_{name}; {command}; end",
}
# The first word may be a port, too; then what follows it is of `why`. What follows ``--`` of
# TAKE_PROGRAM is a command line of its own.
_BASH_PORT: Final = "\n_shtab_sockwatch_pos_0_COMPGEN=_sockwatch_ports"
_BASH_PROGRAM: Final = """

_sockwatch() {{
  local index taken=
  for ((index = 1; index < COMP_CWORD; index++)); do
    case ${{COMP_WORDS[index]}} in
      {programs}) taken=yes ;;
      --)
        if [[ $taken ]] && declare -F _command_offset >/dev/null; then
          _command_offset $((index + 1))
          return
        elif [[ $taken ]]; then
          COMPREPLY=()
          compopt -o default
          return
        fi ;;
    esac
  done
  _shtab_sockwatch
}}
complete -o bashdefault -F _sockwatch sockwatch
"""
_FISH_PORT: Final = """\
complete -c sockwatch -n '_shtab_sockwatch_using; and test $_shtab_sockwatch_npos -eq 0' \\
  -ka "(_sockwatch_ports)" -d 'a port in use'
"""
_FISH_PROGRAM: Final = """\
function _sockwatch_program
  set -l words (commandline -opc) (commandline -ct)
  set -l end (contains -i -- -- $words)
  complete -C (string join ' ' -- $words[(math $end + 1)..-1])
end
"""
_FISH_PROGRAM_OF: Final = """\
complete -c sockwatch -n '_shtab_sockwatch_using {name}; and contains -- -- (commandline -opc)' \\
  -ka "(_sockwatch_program)"
"""
_ZSH_PORTS: Final = "\n_sockwatch_words() { _sockwatch_ports; _shtab_sockwatch_commands; }"
_ZSH_REPLACED: Final = {
    "': :_shtab_sockwatch_commands'": "': :_sockwatch_words'",
    "        why) _arguments": "        *) _arguments",  # the last one
    **{
        f"{name}) _arguments -C -s $_shtab_sockwatch_{name}_options": (
            f"{name}) _arguments -C -s -S $_shtab_sockwatch_{name}_options '*:::program:_normal'"
        )
        for name in TAKE_PROGRAM
    },
}


def completion(shell: str) -> str:
    """The script for one of SHELLS."""
    parser = top_parser(COMMANDS)
    for command, summary in _commands(parser):
        command.description = summary  # the descriptions are sentences of several lines
    known = set(parser._option_string_actions)
    for action in port_parser(why)._actions:
        if action.option_strings and known.isdisjoint(action.option_strings):
            parser._add_action(action)
    for action in _actions(parser):
        if action.dest == "name" and action.metavar == "NAME" and not action.option_strings:
            action.choices = [scenario.name for scenario in all_scenarios()]
        elif action.metavar in WORDS:
            action.complete = WORDS[str(action.metavar)]  # type: ignore[attr-defined]
    functions = "\n".join(
        _FORMS[shell].format(name=name, command=command) for name, command in _COMMANDS.items()
    )
    functions += {"bash": _BASH_PORT, "zsh": _ZSH_PORTS}.get(shell, "")
    script: str = shtab.complete(parser, shell, preamble={shell: functions})  # type: ignore[arg-type]
    if shell == "bash":
        script += _BASH_PROGRAM.format(programs="|".join(TAKE_PROGRAM))
    if shell == "fish":
        script += _FISH_PORT + _FISH_PROGRAM
        script += "".join(_FISH_PROGRAM_OF.format(name=name) for name in TAKE_PROGRAM)
    if shell == "zsh":
        for old, new in _ZSH_REPLACED.items():
            if script.count(old) != 1:
                raise ValueError(f"shtab writes zsh's completion in another way: {old}")
            script = script.replace(old, new)
    return script


def _commands(
    parser: argparse.ArgumentParser,
) -> Iterator[tuple[argparse.ArgumentParser, str]]:
    """Each command and what the list of commands says of it, those of commands too."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for listed in action._choices_actions:
                command = action.choices[listed.dest]
                yield command, listed.help or ""
                yield from _commands(command)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    yield from parser._actions
    for command, _ in _commands(parser):
        yield from command._actions
