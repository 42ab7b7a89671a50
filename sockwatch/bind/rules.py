"""The kernel's test for one pair: whether an owner of the port blocks a new socket.

The rules are those of inet_csk_bind_conflict (net/ipv4/inet_connection_sock.c) and
udp_lib_lport_inuse (net/ipv4/udp.c). bind() and listen() run the same test.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import product
from typing import Final, Literal, NamedTuple

from sockwatch.bind.kernels import Quirk
from sockwatch.bind.model import Owner, Rule, Unknown
from sockwatch.bind.overlap import ClassifiedAddress, classify, overlaps
from sockwatch.model import Protocol

PairResult = Literal["free", "shared", "blocked"]

OTHER_DEVICE: Final = Rule("other-device", "Both are bound to a device, and the devices differ.")
OTHER_ADDRESS: Final = Rule("other-address", "The addresses do not overlap.")
BOTH_REUSEADDR: Final = Rule(
    "both-reuseaddr", "Both have SO_REUSEADDR, and the owner does not listen."
)
BOTH_REUSEADDR_UDP: Final = Rule(
    "both-reuseaddr-udp", "Both have SO_REUSEADDR, which is all UDP requires."
)
BOTH_REUSEPORT: Final = Rule(
    "both-reuseport", "Both have SO_REUSEPORT and belong to the same user."
)
BOTH_REUSEPORT_MINI: Final = Rule(
    "both-reuseport-mini",
    "Both have SO_REUSEPORT; the user of a TIME_WAIT is not compared.",
)
NO_FLAGS: Final = Rule(
    "no-flags",
    "The new socket has neither SO_REUSEADDR nor SO_REUSEPORT, so any owner blocks it.",
)
OTHER_USER: Final = Rule(
    "other-user", "Both have SO_REUSEPORT, but the owner belongs to another user."
)
LISTENING: Final = Rule(
    "listening",
    "The owner listens: SO_REUSEADDR does not help, only SO_REUSEPORT on both sockets.",
)
TIME_WAIT: Final = Rule(
    "time-wait",
    "The closed connection and the new socket have neither SO_REUSEADDR nor SO_REUSEPORT in"
    " common.",
)
FLAG_ON_ONE_SIDE: Final = Rule(
    "flag-on-one-side", "Neither SO_REUSEADDR nor SO_REUSEPORT is set on both sides."
)


class NewSocket(NamedTuple):
    """What the test compares of the new socket. `device` None means any, `uid` None unknown."""

    protocol: Protocol
    address: ClassifiedAddress
    device: str | None
    reuseaddr: bool
    reuseport: bool
    uid: int | None


class KnownOwner(NamedTuple):
    """What the test compares of an owner, with nothing unknown. `device` None means any."""

    address: ClassifiedAddress
    device: str | None
    listening: bool
    mini: bool
    reuseaddr: bool
    reuseport: bool
    same_user: bool


class Pair(NamedTuple):
    """The result for one pair: "blocked"; "shared" if only SO_REUSEPORT lets both in; or "free"."""

    result: PairResult
    rule: Rule


def decide_pair(new: NewSocket, owner: KnownOwner, quirks: Collection[Quirk] = ()) -> Pair:
    """Run the kernel's test with nothing unknown. `quirks` are those of the kernel."""
    if new.device is not None and owner.device is not None and new.device != owner.device:
        return Pair("free", OTHER_DEVICE)
    if new.protocol == "udp" and new.reuseaddr and owner.reuseaddr:
        return Pair("free", BOTH_REUSEADDR_UDP)
    if not overlaps(new.address, owner.address, new.protocol, quirks):
        return Pair("free", OTHER_ADDRESS)
    if Quirk.TIME_WAIT_MISSED in quirks and owner.mini and not new.address.wildcard:
        return Pair("free", OTHER_ADDRESS)
    if new.protocol == "tcp" and new.reuseaddr and owner.reuseaddr and not owner.listening:
        return Pair("free", BOTH_REUSEADDR)
    if new.reuseport and owner.reuseport and (owner.mini or owner.same_user):
        rule = BOTH_REUSEPORT_MINI if owner.mini else BOTH_REUSEPORT
        return Pair("shared", rule)
    return Pair("blocked", _blocking_rule(new, owner))


def _blocking_rule(new: NewSocket, owner: KnownOwner) -> Rule:
    if not (new.reuseaddr or new.reuseport):
        return NO_FLAGS
    if new.reuseport and owner.reuseport:
        return OTHER_USER
    if owner.listening and new.reuseaddr:
        return LISTENING
    return TIME_WAIT if owner.mini else FLAG_ON_ONE_SIDE


class JudgedOwner(NamedTuple):
    """An owner, every result the test can have, and the unknowns that decide between them."""

    owner: Owner
    results: frozenset[PairResult]
    rule: Rule  # by which it blocks; if it cannot, by which it does not
    unknowns: tuple[Unknown, ...] = ()

    @property
    def blocks(self) -> bool | None:
        """Whether the owner blocks; None if an unknown decides."""
        if "blocked" not in self.results:
            return False
        return True if len(self.results) == 1 else None


def judge(
    new: NewSocket,
    owner: Owner,
    quirks: Collection[Quirk] = (),
    fixed: tuple[Unknown, bool] | None = None,
) -> JudgedOwner:
    """Run the test with three-valued flags. `fixed` takes one unknown as known."""
    unknown, cases = _cases(new, owner, fixed)
    results = {case: decide_pair(new, known, quirks) for case, known in cases}
    pairs = list(results.values())
    blocking = [pair for pair in pairs if pair.result == "blocked"]
    matter = tuple(
        name
        for i, name in enumerate(unknown)
        if any(pair.result != results[_flipped(case, i)].result for case, pair in results.items())
    )
    rule = (blocking or pairs)[-1].rule
    return JudgedOwner(owner, frozenset(pair.result for pair in pairs), rule, matter)


def _flipped(case: tuple[bool, ...], i: int) -> tuple[bool, ...]:
    return (*case[:i], not case[i], *case[i + 1 :])


def _cases(
    new: NewSocket, owner: Owner, fixed: tuple[Unknown, bool] | None
) -> tuple[list[Unknown], Iterator[tuple[tuple[bool, ...], KnownOwner]]]:
    """Return what is unknown, and the owner for every combination of yes and no."""
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

    def cases() -> Iterator[tuple[tuple[bool, ...], KnownOwner]]:
        for case in product((False, True), repeat=len(unknown)):
            flag = {name: bool(value) for name, value in seen.items()}
            flag |= dict(zip(unknown, case, strict=True))
            yield (
                case,
                KnownOwner(
                    classify(owner.family, owner.address, flag["IPV6_V6ONLY"]),
                    owner.device,
                    listening,
                    owner.mini,
                    flag["SO_REUSEADDR"],
                    flag["SO_REUSEPORT"],
                    flag["same user"],
                ),
            )

    return unknown, cases()
