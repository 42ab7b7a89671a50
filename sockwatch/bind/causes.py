"""Why a blocker is there, in one sentence with the evidence seen, and what to do about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sockwatch.bind import fixes
from sockwatch.bind.case import Case, Found, in_ephemeral_range
from sockwatch.bind.held import BOUND, SERVER
from sockwatch.bind.leftovers import REST
from sockwatch.bind.model import Blocker, Cause, Fix, Verdict
from sockwatch.model import Snapshot


def with_causes(verdict: Verdict, snapshot: Snapshot) -> Verdict:
    """The verdict with the cause of each blocker, the main one first, and what to do."""
    port = snapshot.port(verdict.request.protocol, verdict.request.port)
    if verdict.bind in _BEFORE_THE_TEST:
        cause, does = _BEFORE_THE_TEST[verdict.bind](verdict)
        return replace(verdict, cause=cause, fixes=does)
    if not verdict.blockers or port is None:
        risk = _in_range(verdict, snapshot)
        return verdict if risk is None else replace(verdict, cause=risk[0], fixes=risk[1])
    found = [
        _find(Case(verdict, _with_its_group(blocker, verdict), port, snapshot))
        for blocker in verdict.blockers
    ]
    blockers = tuple(
        replace(blocker, cause=cause)
        for blocker, (cause, _) in zip(verdict.blockers, found, strict=True)
    )
    ranked = sorted(range(len(blockers)), key=lambda place: _rank(blockers[place]))
    todo = dict.fromkeys(fix for place in ranked for fix in found[place][1])
    seconds = fixes.frees_in_s(blockers)
    return replace(
        verdict,
        blockers=blockers,
        cause=found[ranked[0]][0],
        fixes=fixes.with_time(todo, seconds),
        frees_in_s=seconds,
    )


def _with_its_group(blocker: Blocker, verdict: Verdict) -> Blocker:
    """A server's socket with the holders of all that share its address: they are one cause."""
    group = [each for each in verdict.blockers if _place(each) == _place(blocker)]
    if blocker.owner.mini or len(group) == 1:
        return blocker
    return replace(blocker, holders=tuple(holder for each in group for holder in each.holders))


def _place(blocker: Blocker) -> tuple[str, str, str | None]:
    owner = blocker.owner
    return (owner.state, owner.address, owner.device)


def _rank(blocker: Blocker) -> int:
    """A server explains more than what it left behind."""
    if blocker.owner.state in ("LISTEN", "UNCONN"):
        return 0
    return 1 if blocker.owner.state == "BOUND" else 3 if blocker.owner.mini else 2


def _find(case: Case) -> Found:
    is_bound = case.blocker.owner.state == "BOUND"
    finders = SERVER if case.is_server else BOUND if is_bound else REST
    for finder in finders:
        if (found := finder(case)) is not None:
            return found
    raise AssertionError(finders)  # the last of each always finds something


def _in_range(verdict: Verdict, snapshot: Snapshot) -> Found | None:
    port = verdict.request.port
    if verdict.bind != "ok" or not in_ephemeral_range(port, snapshot):
        return None
    text = (
        f"free now, but any outgoing connection may take port {port}: it is in the range for them"
    )
    return Cause("free-in-range", text), (fixes.reserve(port, snapshot.facts),)


def _low_port(verdict: Verdict) -> Found:
    port = verdict.request.port
    text = f"port {port} is below ip_unprivileged_port_start, and the program has no right to it"
    lower = Fix(
        "or for everybody, as root", f"sysctl -w net.ipv4.ip_unprivileged_port_start={port}"
    )
    return Cause("low-port", text), (*fixes.LOW_PORT, lower)


def _not_local(verdict: Verdict) -> Found:
    if verdict.reason is not None and verdict.reason.id == "tentative":
        text = f"{verdict.request.address} is still being checked for duplicates"
        return Cause("address-tentative", text), (
            Fix("wait a second or two", "ip -6 address show tentative"),
        )
    text = f"no interface of this host has {verdict.request.address}"
    return Cause("address-not-local", text), (
        Fix("see which addresses it has", "ip address"),
        Fix("start the server after network-online.target if it comes late", None),
    )


_BEFORE_THE_TEST: Final = {"EACCES": _low_port, "EADDRNOTAVAIL": _not_local}
