"""The NAT rules of iptables, from ``iptables-save -t nat``, iptables-save(8)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address, ip_network
from typing import Final, NamedTuple

from sockwatch.kernel.netfilter.rules import (
    HOOKS,
    MAX_PORT,
    TEXT_LIMIT,
    Base,
    Effect,
    NatRule,
    Numbers,
)
from sockwatch.model import Destinations, Family
from sockwatch.text import clean

NAT: Final = "*nat"
ENDS: Final = frozenset({"ACCEPT", "DROP", "QUEUE", "MASQUERADE", "SNAT"})
# Options that say nothing on which packets match, or only what a socket here may get anyway.
IGNORED: Final = frozenset(
    {"-m", "-j", "-g", "--to-destination", "--to-ports", "--to", "--random", "--persistent"}
)
COMMENT: Final = "--comment"
# Words in double quotes have a backslash before each quote and each backslash in them:
# xtables_save_string(). shlex would do, and takes 0.2 ms a rule.
_WORD: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|([^" ]\S*)')
_ESCAPED: Final = re.compile(r"\\(.)")
PORT_OPTIONS: Final = frozenset({"--dport", "--dports", "--destination-port"})


class SavedRules(NamedTuple):
    """`unread` rules have a form that is not known here."""

    bases: tuple[Base, ...]
    rules: tuple[NatRule, ...]
    unread: int


def parse(text: bytes, command: str, family: Family) -> SavedRules:
    """The rules in the table nat of what the command, as ``iptables``, has saved."""
    bases: list[Base] = []
    rules: list[NatRule] = []
    unread = 0
    is_nat = False
    for line in text.decode("utf-8", "surrogateescape").split("\n"):
        if line.startswith("*"):
            is_nat = line == NAT
        elif is_nat and line.startswith(":"):
            name = line[1:].partition(" ")[0]
            hooks = (hook for hook in HOOKS if hook.upper() == name)
            bases += [((command, name), hook, frozenset({family})) for hook in hooks]
        elif is_nat and line.startswith("-A "):
            try:
                rule = _rule(line, command, family)
            except (LookupError, ValueError):
                unread += 1
            else:
                rules += [] if rule is None else [rule]
    return SavedRules(tuple(bases), tuple(rules), unread)


def _rule(line: str, command: str, family: Family) -> NatRule | None:
    """None for one without a target, which only counts. Raises LookupError or ValueError."""
    words = _words(line)
    options = list(_options(words[2:]))
    target = next((value for name, value, _ in options if name in ("-j", "-g")), "")
    if not target:  # it counts
        return None
    protocols: frozenset[str] | None = None
    ports: list[Numbers] = []
    limits: list[Destinations] = []
    is_conditional = False
    for name, value, is_not in options:
        if name == "-p" and not is_not:
            protocols = frozenset({value})
        elif name in PORT_OPTIONS:
            ports.append(Numbers(tuple(map(_range, value.split(","))), is_not))
        elif name == "-d":
            limits.append(Destinations((str(ip_network(value)),), is_not))
        elif name == "--dst-type" and value == "LOCAL" and not is_not:
            continue
        elif name == "--match-set":
            raise ValueError(name)  # its ports are in a set of ipset(8)
        elif name not in IGNORED:
            is_conditional = True
    text = clean(f"{command} -t nat: {line}", TEXT_LIMIT)
    return NatRule(
        (command, words[1]),
        _effect(options, target, command),
        text,
        frozenset({family}),
        protocols,
        tuple(ports),
        tuple(limits),
        is_conditional,
    )


def _words(line: str) -> list[str]:
    """Raises ValueError if it ends within quotes."""
    if '"' not in line:
        return line.split(" ")
    if _WORD.sub("", line).strip(" "):
        raise ValueError(line)
    return [
        _ESCAPED.sub(r"\1", word[1]) if word[2] is None else word[2]
        for word in _WORD.finditer(line)
    ]


def _options(words: Iterable[str]) -> Iterator[tuple[str, str, bool]]:
    """Each option, with its value, and whether it stands after ``!``."""
    waiting = iter(words)
    name, is_not = "", False
    values: list[str] = []
    for word in waiting:
        if word == COMMENT:
            next(waiting, None)  # it may look like anything
        elif word.startswith("-") or word == "!":
            if name:
                yield name, " ".join(values), is_not
            is_not = word == "!"
            name, values = next(waiting, "") if is_not else word, []
        else:
            values.append(word)
    if name:
        yield name, " ".join(values), is_not


def _effect(options: Sequence[tuple[str, str, bool]], target: str, command: str) -> Effect:
    values = {name: value for name, value, _ in options}
    if target == "DNAT":
        return Effect("DNAT", None, *_where(values["--to-destination"]))
    if target == "REDIRECT":
        return Effect("REDIRECT", None, None, _one_port(values.get("--to-ports", "0")))
    if target == "NETMAP":  # to the same place in another network
        return Effect("DNAT", None, None, 0)
    if target == "RETURN":
        return Effect("return")
    if target in ENDS:
        return Effect("stop")
    # MARK, LOG and the like lead to no chain, and the packet goes on.
    return Effect("goto" if "-g" in values else "jump", (command, target))


def _where(text: str) -> tuple[str | None, int | None]:
    """``10.0.0.1:80``, ``[fd00::2]:80-90``, ``10.0.0.1-10.0.0.9``, ``:80``."""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") > 1:
        host, port = text, ""
    else:
        host, _, port = text.partition(":")
    address = None if "-" in host or not host else str(ip_address(host))
    return address, _one_port(port or "0")


def _one_port(text: str) -> int | None:
    """None for a range, 0 for the same as before."""
    return int(text) if text.isdigit() else None


def _range(text: str) -> tuple[int, int]:
    first, colon, last = text.partition(":")
    low = int(first or 0)
    return low, (int(last or MAX_PORT) if colon else low)
