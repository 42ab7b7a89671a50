"""A verdict in words: the cause, what blocks it, and by which rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from sockwatch.bind import Blocker, Cause, Condition, Fix, Verdict
from sockwatch.bind.generations import eldest_first
from sockwatch.model import Socket
from sockwatch.units import spoken_clock
from sockwatch.view import names
from sockwatch.view.code_lines import LANGUAGES
from sockwatch.view.lines import Line
from sockwatch.view.next_steps import command_or_code, step_text

SHOWN_IN_ONE_LINE: Final = 3


def reasons(verdict: Verdict) -> Iterator[Line]:
    """Why, what to do first, what blocks by which rule, and what it depends on."""
    if verdict.reason is not None:
        yield Line("text", verdict.reason.text)
    if verdict.cause is not None:
        yield Line("text", cause_text(verdict.cause))
    if verdict.fixes:
        yield Line("text", fix_text(verdict.fixes[0]))
    for rule, blockers in by_rule(verdict.blockers, SHOWN_IN_ONE_LINE):
        yield Line("warning", f"blocked by {', '.join(blockers)}")
        yield Line("text", rule)
    for condition in verdict.conditions:
        yield Line("text", condition_text(condition))


def cause_text(cause: Cause) -> str:
    """``812 has the port, because both are /usr/sbin/nginx and 812 is the parent``."""
    return f"{cause.text}, {evidence_text(cause)}" if cause.evidence else cause.text


def evidence_text(cause: Cause) -> str:
    """``because both are /usr/sbin/nginx and 812 is the parent``; empty without evidence."""
    *others, last = cause.evidence or ("",)
    seen = f"{', '.join(others)} and {last}" if others else last
    return f"because {seen}" if seen else ""


def condition_text(condition: Condition) -> str:
    """``Does the owner have SO_REUSEADDR? yes: ok, no: EADDRINUSE``."""
    return f"{condition.question} yes: {condition.yes}, no: {condition.no}"


def fix_text(fix: Fix) -> str:
    """``stop web.service: systemctl stop web.service``."""
    below = command_or_code(fix, LANGUAGES[0])
    text = step_text(fix, is_first=True)
    return f"{text}: {below}" if below else text


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
        later = " or later" if blocker.may_last_longer else ""
        what += f" ({word} in {spoken_clock(blocker.frees_in_s)}{later})"
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
