"""Every socket and holder as `ss` tells them, beside sockwatch's document and its screen."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from sockwatch.units import short_count
from tests.tui.terminal import ROOT, SOCKWATCH

PortKey: TypeAlias = tuple[str, int]
CLIENTS: Final[PortKey] = ("clients", 0)
_HEADER = re.compile(r" (?:est (?P<est>\S+)  )?tw (?P<tw>\S+) ")
_ROW = re.compile(
    r"^. *(?P<port>\d+) (?P<proto>tcp|udp) +\S+ +\S+ +\S+ +(?P<est>\S+) +(?P<tw>\S+) +\S+ +"
    r"\S.*? \d+(?: \+(?P<more>\d+))?$"
)
_PLACE = re.compile(r"^ \d+ of (?P<rows>\d+)(?:, and (?P<clients>[\d,]+) client ports?)?")
_HOLDER = re.compile(r"pid=(\d+),fd=(\d+)")


@dataclass(frozen=True, slots=True)
class Counts:
    """Sockets by port and state; the (pid, fd) that hold a listener or a UDP socket, by port."""

    states: Counter[tuple[PortKey, str]]
    holders: dict[PortKey, frozenset[tuple[int, int]]]

    @property
    def ports(self) -> int:
        return len({key for key, _ in self.states})

    @property
    def folded(self) -> Counts:
        """TCP sockets of ports without a listener by their state alone.

        Which of these ports are clients' depends on what this user may see.
        """
        states: Counter[tuple[PortKey, str]] = Counter()
        for (key, state), count in self.states.items():
            own = key[0] == "udp" or (key, "LISTEN") in self.states
            states[key if own else CLIENTS, state] += count
        return Counts(states, self.holders)

    def of(self, state: str, protocol: str = "tcp") -> int:
        """So many sockets in the state, or for an empty one in any."""
        return sum(
            count
            for ((proto, _), each), count in self.states.items()
            if proto == protocol and state in ("", each)
        )


def by_ss() -> Counts:
    """What ss counts now."""
    states: Counter[tuple[PortKey, str]] = Counter()
    for protocol, state, _, _, local, *_ in _ss("-tuanHO"):
        name = "ESTABLISHED" if state == "ESTAB" else state.replace("-", "_")
        states[_key(protocol, local), name] += 1
    holders: dict[PortKey, frozenset[tuple[int, int]]] = {}
    for protocol, _, _, _, local, *rest in _ss("-tulnpHO"):  # it is slow to name many others
        key = _key(protocol, local)
        found = {(int(pid), int(fd)) for pid, fd in _HOLDER.findall(" ".join(rest))}
        holders[key] = holders.get(key, frozenset()) | found
    return Counts(states, holders)


def _ss(options: str) -> Iterator[list[str]]:
    done = subprocess.run(["ss", options], check=True, capture_output=True, text=True)
    return (line.split() for line in done.stdout.splitlines())


def _key(protocol: str, local: str) -> PortKey:
    return protocol, int(local.rpartition(":")[2])


def by_sockwatch(*options: str) -> tuple[Counts, list[str]]:
    """With the gaps it tells of; `--all` for each client port."""
    done = subprocess.run(
        [*SOCKWATCH, "ports", "--json", *options],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
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
    for group in document["clients"]:
        states[CLIENTS, group["state"]] += group["count"]
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
    """Where the table of all ports, as text, is not between two counts of `ss`.

    It has a row for each port, or tells how many others are clients'.
    """
    wrong = []
    header = _HEADER.search(lines[0])
    totals = header.groupdict() if header else {"tw": "none"}
    for key, state in (("est", "ESTABLISHED"), ("tw", "TIME_WAIT")):
        if (text := totals.get(key)) is not None:  # a narrow header has no room for both
            wrong += _not_between(f"all {state}", text, before.of(state), after.of(state))
    places = [found for line in lines if (found := _PLACE.match(line))]
    ports = [int(each["rows"]) + int((each["clients"] or "0").replace(",", "")) for each in places]
    if ports != [before.ports]:
        wrong.append(f"of {ports} ports, by ss {before.ports}")
    rows = [found for line in lines if (found := _ROW.match(line))]
    if not rows:
        wrong.append("no row of a port")
    for row in rows:
        port = (row["proto"], int(row["port"]))
        for state, text in (("ESTABLISHED", row["est"]), ("TIME_WAIT", row["tw"])):
            if text != "-":
                few, many = after.states[port, state], before.states[port, state]
                wrong += _not_between(f"{row['proto']} {row['port']} {state}", text, many, few)
        pids = {pid for pid, _ in before.holders.get(port, ())}
        if pids and int(row["more"] or 0) != len(pids) - 1:
            wrong.append(f"{row['proto']} {row['port']}: {row['more']} more holders of {len(pids)}")
    return [f"screen: {line}" for line in wrong]


def is_folded(lines: Sequence[str]) -> bool:
    """Whether a table of all ports tells how many of them are clients'."""
    return any(place["clients"] for line in lines if (place := _PLACE.match(line)))


def _not_between(what: str, text: str, many: int, few: int) -> list[str]:
    if text in {short_count(count) for count in range(few, many + 1)}:
        return []
    return [f"{what}: {text}, by ss {many} before and {few} after"]
