"""What is waited for, and how it ended, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from sockwatch.bind import Blocker, Verdict
from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.generations import eldest_first
from sockwatch.bind.prospect import common_prospect, prospect
from sockwatch.model import Holder, Socket, SocketGroup
from sockwatch.units import endpoint, host, plural, spoken_duration
from sockwatch.view import names
from sockwatch.view.answer import outcome_words, request_words
from sockwatch.view.verdict import blocker_line

if TYPE_CHECKING:
    from sockwatch.act.listening import Found

TENTHS_S: Final = 10  # below that, tenths of a second are said


class Awaited(NamedTuple):
    """What is in the way of a port. `key` stays the same while only numbers change.

    `ends`: it does so by itself.
    """

    key: tuple[object, ...]
    text: str
    ends: bool


def awaited(verdicts: Sequence[Verdict]) -> Awaited | None:
    """What is waited for, by the verdicts on the one or two requests of a port; None if nothing."""
    failing = [verdict for verdict in verdicts if prospect(verdict) != "free"]
    if not failing:
        return None
    if common_prospect(failing) == "stays":
        verdict = next(verdict for verdict in failing if prospect(verdict) == "stays")
        pids = {holder.pid for blocker in verdict.blockers for holder in blocker.holders}
        cause = verdict.cause and verdict.cause.id
        key = (verdict.outcome, cause, frozenset(pids))
        return Awaited(key, _why(verdict), ends=False)
    blockers = {blocker.owner: blocker for verdict in failing for blocker in verdict.blockers}
    parts = dict(_parts(blockers.values()))
    if not parts:  # an address that is about to be valid
        parts = {failing[0].outcome: _why(failing[0])}
    return Awaited(tuple(parts), ", ".join(parts.values()), ends=True)


def _parts(blockers: Iterable[Blocker]) -> Iterator[tuple[object, str]]:
    """A key and a text for each kind of thing that is in the way."""
    draining: dict[tuple[int, ...], list[Blocker]] = {}
    for blocker in blockers:
        owner = blocker.owner
        pids = tuple(sorted({holder.pid for holder in blocker.holders}))
        if blocker.cause is not None and blocker.cause.id == CauseId.CLIENT_PORT:
            yield (blocker.cause.id, pids), blocker.cause.text
        elif owner.mini or isinstance(owner, Socket):
            yield (owner.state, owner.address, pids), blocker_line(blocker)
        elif blocker.holders:
            draining.setdefault(pids, []).append(blocker)
        else:
            what = names.local_address(owner)
            yield (owner.state, owner.address), f"{blocker_line(blocker)} on {what}, {_fate(owner)}"
    for pids, some in draining.items():
        count = sum(blocker.count for blocker in some)
        yield pids, f"{_who(some[0].holders)} draining, {plural(count, 'connection')}"


def _fate(group: SocketGroup) -> str:
    if group.with_fd == 0:
        return "which no process has any more"
    return "of a process that could not be seen"


def _who(holders: Sequence[Holder]) -> str:
    first, *others = {holder.pid: holder for holder in eldest_first(holders)}.values()
    return f"{names.holder_name(first)}{names.holders_more(len(others))}"


def ended_text(verdicts: Sequence[Verdict], waited_s: float | None) -> str:
    """``8080/tcp: bind() succeeds on 0.0.0.0 and [::]; waited 42 s``; None: it did not wait."""
    failing = [verdict for verdict in verdicts if prospect(verdict) != "free"]
    waited = _waited(waited_s)
    if failing:
        verdict = max(failing, key=lambda verdict: prospect(verdict) == "stays")
        return f"{_port(verdict)}: {_why(verdict)}{waited}"
    *others, last = (verdict.request for verdict in verdicts)
    where = " and ".join((*(host(request.address) for request in others), request_words(last)))
    return f"{_port(verdicts[0])}: bind() succeeds on {where}{waited}"


def _waited(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"; waited {f'{seconds:.1f} s' if seconds < TENTHS_S else spoken_duration(seconds)}"


def _port(verdict: Verdict) -> str:
    return f"{verdict.request.port}/{verdict.request.protocol}"


def _why(verdict: Verdict) -> str:
    outcome = f"{outcome_words(verdict.outcome)} on {request_words(verdict.request)}"
    if verdict.cause is not None:
        return f"{outcome}: {verdict.cause.text}"
    return outcome if verdict.reason is None else f"{outcome}: {verdict.reason.text}"


def found_text(found: Found, waited_s: float | None) -> str:
    """``8080/tcp: nginx(812) listens on 0.0.0.0:8080; waited 3 s``, or that nothing does."""
    port = f"{found.sought.port}/{found.sought.protocol}"
    waited = _waited(waited_s)
    if not found.accepting:
        return f"{port}: {missing_text(found)}{waited}"
    sock = found.accepting[0]
    who = _who(sock.holders) if sock.holders else "a process that could not be seen"
    does = "listens" if found.sought.protocol == "tcp" else "receives"
    return f"{port}: {who} {does} on {endpoint(sock.address, sock.port)}{waited}"


def missing_text(found: Found) -> str:
    """Why a port is still waited for: ``nothing listens on 127.0.0.1``."""
    where = " or ".join(map(host, found.sought.addresses))
    on = f" on {where}" if where else ""
    full = next((sock for sock in found.listeners if sock.is_queue_full), None)
    if full is not None:
        return f"the accept queue of {names.local_endpoint(full)} is full"
    if found.is_unknown:
        return f"whether the listener on [::] takes what comes{on} could not be seen"
    text = f"nothing listens{on}"
    others = dict.fromkeys(map(names.local_endpoint, found.listeners))
    return f"{text}, only on {', '.join(others)}" if others else text
