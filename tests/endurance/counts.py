"""Every socket and holder as `ss` tells them, beside sockwatch's document and its screen."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sockwatch.units import short_count
from tests.tui.terminal import ROOT, SOCKWATCH

PortKey: TypeAlias = tuple[str, int]
_HEADER = re.compile(r"tcp (\S+)  est (\S+)  tw (\S+) ")
_ROW = re.compile(
    r"^.(tcp|udp) +\S+ +(?P<port>\d+) \S+ +\S+ +(?P<est>\S+) +(?P<tw>\S+) +\S+ \S+ +"
    r"\S+(?: \+(?P<more>\d+))?$"
)
_PLACE = re.compile(r"^ \d+ of (\d+) ")
_HOLDER = re.compile(r"pid=(\d+),fd=(\d+)")


@dataclass(frozen=True, slots=True)
class Counts:
    """Sockets by port and state; the (pid, fd) that hold a listener or a UDP socket, by port."""

    states: Counter[tuple[PortKey, str]]
    holders: dict[PortKey, frozenset[tuple[int, int]]]

    @property
    def ports(self) -> int:
        return len({key for key, _ in self.states})

    def of(self, state: str, protocol: str = "tcp") -> int:
        """So many sockets in the state, or for an empty one in any."""
        return sum(
            count
            for ((proto, _), each), count in self.states.items()
            if proto == protocol and state in ("", each)
        )


def by_ss() -> Counts:
    """What ss counts now."""
    command = ["ss", "-tuanpHO"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    states: Counter[tuple[PortKey, str]] = Counter()
    holders: dict[PortKey, frozenset[tuple[int, int]]] = {}
    for line in text.splitlines():
        protocol, state, _, _, local, *rest = line.split()
        key = (protocol, int(local.rpartition(":")[2]))
        name = "ESTABLISHED" if state == "ESTAB" else state.replace("-", "_")
        states[key, name] += 1
        if name in ("LISTEN", "UNCONN"):
            found = {(int(pid), int(fd)) for pid, fd in _HOLDER.findall(" ".join(rest))}
            holders[key] = holders.get(key, frozenset()) | found
    return Counts(states, holders)


def by_sockwatch() -> tuple[Counts, list[str]]:
    """With the gaps it tells of."""
    done = subprocess.run(
        [*SOCKWATCH, "ports", "--json"], check=True, capture_output=True, text=True, cwd=ROOT
    )
    document = json.loads(done.stdout)
    states: Counter[tuple[PortKey, str]] = Counter()
    holders: dict[PortKey, frozenset[tuple[int, int]]] = {}
    for port in document["ports"]:
        key = (port["protocol"], port["port"])
        for state, count in port["states"].items():
            states[key, state] += count
        for listener in port["listeners"]:
            found = {(holder["pid"], holder["fd"]) for holder in listener["holders"]}
            holders[key] = holders.get(key, frozenset()) | found
    return Counts(states, holders), [gap["text"] for gap in document["gaps"]]


def differences(before: Counts, found: Counts, after: Counts) -> list[str]:
    """Where `found` is not between two counts of `ss`: TIME_WAITs expire, all else stands still."""
    lines = [
        f"{protocol} {number} {state}: {found.states[(protocol, number), state]}, by ss "
        f"{before.states[(protocol, number), state]} before and "
        f"{after.states[(protocol, number), state]} after"
        for (protocol, number), state in sorted({*before.states, *found.states, *after.states})
        if not before.states[(protocol, number), state]
        >= found.states[(protocol, number), state]
        >= after.states[(protocol, number), state]
    ]
    lines += [
        f"holders of {protocol} {number}: {sorted(found.holders.get((protocol, number), ()))}, "
        f"by ss {sorted(before.holders.get((protocol, number), ()))}"
        for protocol, number in sorted({*before.holders, *found.holders})
        if found.holders.get((protocol, number)) != before.holders.get((protocol, number))
    ]
    return lines


def screen_differences(before: Counts, lines: Sequence[str], after: Counts) -> list[str]:
    """Where the table of all ports, as text, is not between two counts of `ss`."""
    wrong = []
    header = _HEADER.search(lines[0])
    totals = header.groups() if header else ("none",) * 3
    for state, text in zip(("", "ESTABLISHED", "TIME_WAIT"), totals, strict=True):
        wrong += _not_between(f"all {state}", text, before.of(state), after.of(state))
    places = [found[1] for line in lines if (found := _PLACE.match(line))]
    if places != [str(before.ports)]:
        wrong.append(f"of {places} ports, by ss {before.ports}")
    rows = [found for line in lines if (found := _ROW.match(line))]
    if not rows:
        wrong.append("no row of a port")
    for row in rows:
        key = (row[1], int(row["port"]))
        for state, text in (("ESTABLISHED", row["est"]), ("TIME_WAIT", row["tw"])):
            if text != "-":
                few, many = after.states[key, state], before.states[key, state]
                wrong += _not_between(f"{row[1]} {row['port']} {state}", text, many, few)
        pids = {pid for pid, _ in before.holders.get(key, ())}
        if pids and int(row["more"] or 0) != len(pids) - 1:
            wrong.append(f"{row[1]} {row['port']}: {row['more']} more holders of {len(pids)}")
    return [f"screen: {line}" for line in wrong]


def _not_between(what: str, text: str, many: int, few: int) -> list[str]:
    if text in {short_count(count) for count in range(few, many + 1)}:
        return []
    return [f"{what}: {text}, by ss {many} before and {few} after"]
