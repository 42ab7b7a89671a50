"""A verdict in words: what each choice of flags would get, why, what to do, what blocks it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sockwatch.bind import BindRequest, Blocker, Condition, Fix, Verdict, matrix
from sockwatch.bind.causes import with_causes
from sockwatch.bind.generations import eldest_first
from sockwatch.model import Port, Snapshot, Socket
from sockwatch.units import endpoint, spoken_clock
from sockwatch.view import names
from sockwatch.view.lines import Line

FLAG_PAIRS: Final = {
    (False, False): "plain",
    (True, False): "reuseaddr",
    (False, True): "reuseport",
    (True, True): "both",
}
WILDCARD: Final = "0.0.0.0"  # noqa: S104 - the address in question, nothing is bound
SHOWN_BLOCKERS: Final = 6
SHOWN_IN_ONE_LINE: Final = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdict for a request, and for each choice of its flags.

    The key of `matrix` is (reuseaddr, reuseport); its verdicts have neither causes nor fixes.
    """

    verdict: Verdict
    matrix: dict[tuple[bool, bool], Verdict]

    @classmethod
    def to(cls, request: BindRequest, snapshot: Snapshot) -> Answer:
        """Raises SockwatchError if the snapshot was taken of another port only."""
        verdicts = matrix(request, snapshot)
        verdict = verdicts[request.reuseaddr, request.reuseport]
        return cls(with_causes(verdict, snapshot), verdicts)

    @property
    def same_for_all(self) -> bool:
        """Whether the flags make no difference."""
        return len({verdict.outcome for verdict in self.matrix.values()}) == 1


def restart_request(port: Port) -> BindRequest:
    """What the port's server would ask for again, without flags; the wildcard if there is none."""
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


def verdict_lines(answer: Answer, *, most: int = SHOWN_BLOCKERS) -> Iterator[Line]:
    """All of the answer: a title, then sections; at most so many blockers."""
    verdict = answer.verdict
    yield Line("title", headline(verdict))
    yield Line("text", matrix_line(answer), 2)
    if verdict.reason is not None:
        yield Line("section", "reason")
        yield Line("text", verdict.reason.text, 2)
    if verdict.cause is not None:
        yield Line("section", "cause")
        yield Line("text", verdict.cause.text, 2)
    if verdict.fixes:
        yield Line("section", "what to do")
    for fix in verdict.fixes:
        yield Line("text", fix.text, 2)
        if fix.command:
            yield Line("command", fix.command, 6)
    if verdict.blockers:
        yield Line("section", "blocked by")
    for rule, blockers in by_rule(verdict.blockers, most):
        yield Line("text", rule, 2)
        yield from (Line("warning", blocker, 4) for blocker in blockers)
    if verdict.conditions:
        yield Line("section", "it depends")
    for condition in verdict.conditions:
        yield Line("warning", condition_text(condition), 2)
    if verdict.gaps:
        yield Line("section", "not seen")
    for gap in verdict.gaps:
        yield Line("warning", gap.text, 2)
        if gap.remedy:
            yield Line("text", gap.remedy, 4)


def short_lines(verdict: Verdict, *, with_rules: bool = False) -> Iterator[Line]:
    """Why, and what to do first, in as few lines as possible; the most important comes first."""
    if verdict.reason is not None:
        yield Line("text", verdict.reason.text)
    if verdict.cause is not None:
        yield Line("text", verdict.cause.text)
    if verdict.fixes:
        yield Line("text", fix_text(verdict.fixes[0]))
    if with_rules:
        for rule, blockers in by_rule(verdict.blockers, SHOWN_IN_ONE_LINE):
            yield Line("warning", f"blocked by {', '.join(blockers)}")
            yield Line("text", rule)
    elif verdict.blockers:
        yield Line("warning", blockers_line(verdict.blockers))
    for condition in verdict.conditions:
        yield Line("text", condition_text(condition))


def headline(verdict: Verdict) -> str:
    """``tcp 0.0.0.0:80 (reuseaddr): bind() would fail with EADDRINUSE (Linux 6.18.44)``."""
    request = verdict.request
    options = [name for name in ("reuseaddr", "reuseport", "v6only") if getattr(request, name)]
    options += [f"uid {request.uid}"] if request.uid is not None else []
    options += [f"device {request.device}"] if request.device is not None else []
    what = f"{request.protocol} {endpoint(request.address, request.port)}"
    if options:
        what += f" ({', '.join(options)})"
    if verdict.outcome == "ok":
        calls = "bind() and listen()" if request.protocol == "tcp" else "bind()"
        text = f"{calls} would succeed"
    elif verdict.bind == "ok":
        text = f"bind() would succeed, listen() would fail with {verdict.listen}"
    elif verdict.bind == "depends":
        text = "it depends on what could not be seen"
    else:
        text = f"bind() would fail with {verdict.bind}"
    return f"{what}: {text} (Linux {verdict.kernel})"


def matrix_line(answer: Answer) -> str:
    """``plain EADDRINUSE   reuseaddr EADDRINUSE   reuseport ok   both ok``."""
    if answer.same_for_all:
        return f"{answer.verdict.outcome} with any reuse flags"
    return "   ".join(f"{FLAG_PAIRS[pair]} {v.outcome}" for pair, v in answer.matrix.items())


def condition_text(condition: Condition) -> str:
    """``Does the owner have SO_REUSEADDR? yes: ok, no: EADDRINUSE``."""
    return f"{condition.question} yes: {condition.yes}, no: {condition.no}"


def fix_text(fix: Fix) -> str:
    """``stop web.service: systemctl stop web.service``."""
    return f"{fix.text}: {fix.command}" if fix.command else fix.text


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
    """The blockers, with listeners and bound sockets that differ in their holders alone as one."""
    by_key: dict[object, Blocker] = {}
    for index, blocker in enumerate(blockers):
        owner = blocker.owner
        key: object = index
        if isinstance(owner, Socket) and owner.peer_address is None:
            key = (owner.state, names.local_endpoint(owner), blocker.rule, blocker.certain)
        if (alike := by_key.get(key)) is None:
            by_key[key] = blocker
        else:
            by_key[key] = replace(
                alike,
                count=alike.count + blocker.count,
                holders=(*alike.holders, *blocker.holders),
            )
    return list(by_key.values())


def blockers_line(blockers: Sequence[Blocker], most: int = SHOWN_IN_ONE_LINE) -> str:
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
