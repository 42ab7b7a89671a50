"""A verdict in lines: what each choice of flags would get, what is in the way, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sockwatch.bind import BindRequest, Blocker, Verdict, explain_bind, matrix
from sockwatch.bind.generations import eldest_first
from sockwatch.model import Port, Snapshot, Socket
from sockwatch.units import spoken_clock
from sockwatch.view import names

PAIR_NAMES = {
    (False, False): "plain",
    (True, False): "reuseaddr",
    (False, True): "reuseport",
    (True, True): "both",
}
WILDCARD = "0.0.0.0"  # noqa: S104 - the address in question, nothing is bound


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdict for a request, and for its other choices of flags."""

    verdict: Verdict
    matrix: dict[tuple[bool, bool], Verdict]

    @classmethod
    def to(cls, request: BindRequest, snapshot: Snapshot) -> Answer:
        return cls(explain_bind(request, snapshot), matrix(request, snapshot))

    @property
    def same_for_all(self) -> bool:
        return len({verdict.outcome for verdict in self.matrix.values()}) == 1


def restart_request(port: Port) -> BindRequest:
    """What the port's present server would ask for again, without flags; else the wildcard."""
    server = next(iter((*port.listeners, *port.bound)), None)
    if server is None:
        return BindRequest(port.protocol, WILDCARD, port.number)
    address = server.address
    if server.device and address.startswith("fe80:"):
        address += f"%{server.device}"
    return BindRequest(
        port.protocol,
        address,
        port.number,
        v6only=bool(server.v6only) and address == "::",
        uid=server.uid,
        device=server.device,
    )


def matrix_line(answer: Answer) -> str:
    """``plain EADDRINUSE   reuseaddr EADDRINUSE   reuseport ok   both ok``."""
    if answer.same_for_all:
        return f"{answer.verdict.outcome}, whatever its reuse flags"
    return "   ".join(f"{PAIR_NAMES[pair]} {v.outcome}" for pair, v in answer.matrix.items())


def blocker_line(blocker: Blocker, *, peers: bool = False) -> str:
    """``LISTEN 0.0.0.0:8080 gunicorn(4242)``, ``801 TIME_WAIT (last frees in 58 s)``."""
    owner = blocker.owner
    what = owner.state
    if blocker.count > 1:
        what = f"{blocker.count} {what}"
    if isinstance(owner, Socket):
        what += f" {names.local_endpoint(owner)}"
        if peers and owner.peer_address is not None:
            what += f" -> {names.peer_endpoint(owner)}"
    elif peers:
        what += f" on {names.local_address(owner)}"
    if blocker.holders:
        first, *others = eldest_first(blocker.holders)
        what += f" {names.holder_name(first)}{names.holders_more(len(others))}"
    if blocker.frees_in_s is not None:
        word = "last frees" if blocker.count > 1 else "frees"
        what += f" ({word} in {spoken_clock(blocker.frees_in_s)})"
    return what if blocker.certain else f"{what} (perhaps)"


def merged(blockers: Sequence[Blocker]) -> list[Blocker]:
    """Listeners and bound sockets that differ in their holders alone, as one blocker each."""
    found: dict[object, Blocker] = {}
    for place, blocker in enumerate(blockers):
        owner = blocker.owner
        key: object = place
        if isinstance(owner, Socket) and owner.peer_address is None:
            key = (owner.state, names.local_endpoint(owner), blocker.rule, blocker.certain)
        if (alike := found.get(key)) is None:
            found[key] = blocker
        else:
            found[key] = replace(
                alike,
                count=alike.count + blocker.count,
                holders=(*alike.holders, *blocker.holders),
            )
    return list(found.values())


def blockers_line(blockers: Sequence[Blocker], most: int = 3) -> str:
    """``blocked by`` and the first few."""
    alike = merged(blockers)
    shown = ", ".join(blocker_line(blocker) for blocker in alike[:most])
    more = f", {len(alike) - most} more" if len(alike) > most else ""
    return f"blocked by {shown}{more}"


def by_rule(blockers: Sequence[Blocker], most: int) -> Iterator[tuple[str, list[str]]]:
    """(the rule in a sentence, a line for each of its blockers), at most so many lines."""
    groups: dict[str, list[Blocker]] = {}
    for blocker in merged(blockers):
        groups.setdefault(blocker.rule.text, []).append(blocker)
    for rule, several in groups.items():
        lines = [blocker_line(blocker, peers=True) for blocker in several[: max(most, 1)]]
        if len(several) > len(lines):
            lines.append(f"and {len(several) - len(lines)} more")
        most -= len(lines)
        yield rule, lines
