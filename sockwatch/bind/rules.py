"""The kernel's test for one pair: does an owner of the port block a new socket?

The rules are those of inet_csk_bind_conflict (net/ipv4/inet_connection_sock.c) and
udp_lib_lport_inuse (net/ipv4/udp.c). bind() and listen() run the same test.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import product
from typing import Literal, NamedTuple

from sockwatch.bind.kernels import Quirk
from sockwatch.bind.model import Owner, Rule, Unknown
from sockwatch.bind.overlap import Place, overlaps, place
from sockwatch.model import Protocol

Answer = Literal["free", "shared", "blocked"]

RULES: dict[str, Rule] = {
    rule.id: rule
    for rule in (
        Rule("other-device", "Both are bound to a device, and to different ones."),
        Rule("other-address", "The addresses do not overlap."),
        Rule("both-reuseaddr", "Both have SO_REUSEADDR, and the owner does not listen."),
        Rule("both-reuseaddr-udp", "Both have SO_REUSEADDR, and UDP asks for no more."),
        Rule("both-reuseport", "Both have SO_REUSEPORT and belong to the same user."),
        Rule("both-reuseport-mini", "Both have SO_REUSEPORT; a TIME_WAIT has no user any more."),
        Rule(
            "no-flags",
            "The new socket has neither SO_REUSEADDR nor SO_REUSEPORT: every owner blocks it.",
        ),
        Rule(
            "other-user",
            "Both have SO_REUSEPORT, but the owner belongs to another user.",
        ),
        Rule(
            "listening",
            "The owner listens: SO_REUSEADDR does not help, only SO_REUSEPORT on both sides does.",
        ),
        Rule(
            "time-wait",
            "The closed connection and the new socket do not have the same reuse flag:"
            " one of the two flags has to be on both sides.",
        ),
        Rule(
            "flag-on-one-side",
            "No reuse flag is set on both sides: one of the two flags has to be.",
        ),
    )
}


class New(NamedTuple):
    """What the test looks at of the new socket."""

    protocol: Protocol
    place: Place
    device: str | None
    reuseaddr: bool
    reuseport: bool
    uid: int | None


class Known(NamedTuple):
    """What the test looks at of an owner, with nothing unknown."""

    place: Place
    device: str | None
    listening: bool
    mini: bool
    reuseaddr: bool
    reuseport: bool
    same_user: bool


class Pair(NamedTuple):
    """The answer for one pair: no conflict, no conflict by a shared SO_REUSEPORT, or a conflict."""

    answer: Answer
    rule: Rule


def decide_pair(new: New, owner: Known, quirks: Collection[Quirk] = ()) -> Pair:
    """The kernel's test when everything is known."""
    if new.device is not None and owner.device is not None and new.device != owner.device:
        return Pair("free", RULES["other-device"])
    if new.protocol == "udp" and new.reuseaddr and owner.reuseaddr:
        return Pair("free", RULES["both-reuseaddr-udp"])
    if not overlaps(new.place, owner.place, new.protocol, quirks):
        return Pair("free", RULES["other-address"])
    if "time-wait missed" in quirks and owner.mini and not new.place.wildcard:
        return Pair("free", RULES["other-address"])
    if new.protocol == "tcp" and new.reuseaddr and owner.reuseaddr and not owner.listening:
        return Pair("free", RULES["both-reuseaddr"])
    if new.reuseport and owner.reuseport and (owner.mini or owner.same_user):
        rule = "both-reuseport-mini" if owner.mini else "both-reuseport"
        return Pair("shared", RULES[rule])
    return Pair("blocked", RULES[_blocking_rule(new, owner)])


def _blocking_rule(new: New, owner: Known) -> str:
    if not (new.reuseaddr or new.reuseport):
        return "no-flags"
    if new.reuseport and owner.reuseport:
        return "other-user"
    if owner.listening and new.reuseaddr:
        return "listening"
    return "time-wait" if owner.mini else "flag-on-one-side"


class Judged(NamedTuple):
    """An owner, every answer the test can have, and the unknowns that decide between them."""

    owner: Owner
    answers: frozenset[Answer]
    rule: Rule  # by which it blocks; if it cannot, by which it does not
    unknowns: tuple[Unknown, ...] = ()

    @property
    def blocks(self) -> bool | None:
        """None is: it depends on an unknown."""
        if "blocked" not in self.answers:
            return False
        return True if len(self.answers) == 1 else None


def judge(
    new: New,
    owner: Owner,
    quirks: Collection[Quirk] = (),
    fixed: tuple[Unknown, bool] | None = None,
) -> Judged:
    """The test with three-valued flags. `fixed` takes one unknown as known."""
    unknown, cases = _cases(new, owner, fixed)
    results = {case: decide_pair(new, known, quirks) for case, known in cases}
    pairs = list(results.values())
    blocking = [pair for pair in pairs if pair.answer == "blocked"]
    matter = tuple(
        name
        for i, name in enumerate(unknown)
        if any(
            pair.answer != results[*case[:i], not case[i], *case[i + 1 :]].answer
            for case, pair in results.items()
        )
    )
    rule = (blocking or pairs)[-1].rule
    return Judged(owner, frozenset(pair.answer for pair in pairs), rule, matter)


def _cases(
    new: New, owner: Owner, fixed: tuple[Unknown, bool] | None
) -> tuple[list[Unknown], Iterator[tuple[tuple[bool, ...], Known]]]:
    """The names of what is unknown, and the owner for each way those can be."""
    same_user: bool | None = True  # a mini socket has no user
    if not owner.mini:
        same_user = None if new.uid is None or owner.uid is None else new.uid == owner.uid
    seen: dict[Unknown, bool | None] = {
        "SO_REUSEADDR": owner.flags.reuseaddr,
        "SO_REUSEPORT": owner.flags.reuseport,
        "IPV6_V6ONLY": False if owner.family == "ipv4" else owner.v6only,
        "same user": same_user,
    }
    if fixed is not None:
        seen[fixed[0]] = fixed[1]
    unknown = [name for name, value in seen.items() if value is None]
    listening = owner.state == "LISTEN"

    def cases() -> Iterator[tuple[tuple[bool, ...], Known]]:
        for case in product((False, True), repeat=len(unknown)):
            flag = {name: bool(value) for name, value in seen.items()}
            flag |= dict(zip(unknown, case, strict=True))
            yield (
                case,
                Known(
                    place(owner.family, owner.address, flag["IPV6_V6ONLY"]),
                    owner.device,
                    listening,
                    owner.mini,
                    flag["SO_REUSEADDR"],
                    flag["SO_REUSEPORT"],
                    flag["same user"],
                ),
            )

    return unknown, cases()
