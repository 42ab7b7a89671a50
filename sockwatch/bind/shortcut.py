"""What the kernel remembers of a TCP port, by which it may skip its test.

It keeps the user and the address of the last socket that bound or listened with SO_REUSEPORT. A
new SO_REUSEPORT socket of that user, on that address or one covered by it, skips the test
(sk_reuseport_match in net/ipv4/inet_connection_sock.c). No interface shows the memory.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sockwatch.bind.kernels import Quirk
from sockwatch.bind.model import Owner
from sockwatch.bind.overlap import ClassifiedAddress, classify, overlaps
from sockwatch.bind.rules import JudgedOwner, NewSocket
from sockwatch.model import Gap, GapCode

# remembered class -> classes of a new address that it covers besides its own address
COVERS: dict[str, frozenset[str]] = {
    "4": frozenset(),
    "4m": frozenset(),
    "0": frozenset({"4", "4m", "0", "0m", "::"}),
    "0m": frozenset({"4", "4m", "0", "0m"}),
    "::": frozenset({"4", "4m", "0", "0m", "::", "::only", "6", "6dual"}),
    "::only": frozenset({"::", "::only", "6", "6dual"}),
    "6": frozenset(),
    "6dual": frozenset(),
}

WILDCARDS = (
    classify("ipv4", "0.0.0.0", v6only=False),  # noqa: S104 - nothing is bound here
    classify("ipv6", "::ffff:0.0.0.0", v6only=False),
    classify("ipv6", "::", v6only=False),
    classify("ipv6", "::", v6only=True),
)

FORGOTTEN = Gap(
    GapCode.PORT_MEMORY,
    "the kernel may remember a socket that had SO_REUSEPORT when it bound this port, and cleared it"
    " or is closed since; it then skips its test, and bind() succeeds",
    "try a real bind()",
)


def covers(remembered: ClassifiedAddress, new: ClassifiedAddress) -> bool:
    """Whether the memory of a socket on `remembered` lets in a new one on `new`."""
    return new.kind in COVERS[remembered.kind] or remembered.ip == new.ip


def remembered(
    new: NewSocket, judged: Sequence[JudgedOwner], quirks: Collection[Quirk] = ()
) -> list[Owner]:
    """Return the owners that the kernel may remember, and then skip those that block."""
    if new.protocol != "tcp" or not new.reuseport:
        return []
    blockers = [j.owner for j in judged if j.blocks is True]
    # What surely blocks shares no SO_REUSEPORT with the new socket, so it is not remembered.
    others = [j.owner for j in judged if j.blocks is not True]
    return [owner for owner in others if _may_be_remembered(new, owner, blockers, quirks)]


def _may_be_remembered(
    new: NewSocket, owner: Owner, blockers: list[Owner], quirks: Collection[Quirk]
) -> bool:
    if owner.flags.reuseport is False:
        return False
    if owner.uid is not None and new.uid is not None and owner.uid != new.uid:
        return False
    memory = _address(owner)
    if not covers(memory, new.address) and Quirk.REUSEPORT_MEMORY_OF_ANY_ADDRESS not in quirks:
        if owner.state in ("LISTEN", "BOUND"):
            return False
        memory = new.address  # a connection may have been bound to a wildcard
    elif not memory.wildcard:
        memory = new.address
    return not any(_resets(new, memory, blocker) for blocker in blockers)


def _resets(new: NewSocket, remembered: ClassifiedAddress, blocker: Owner) -> bool:
    """Whether the blocker must have replaced the memory, and the owner cannot have bound after it.

    listen() of another user's socket replaces the memory, and afterwards blocks whatever
    overlaps it.
    """
    if blocker.state != "LISTEN" or new.uid is None or blocker.uid in (None, new.uid):
        return False
    return overlaps(remembered, _address(blocker), "tcp")


def forgotten(
    new: NewSocket, judged: Sequence[JudgedOwner], quirks: Collection[Quirk] = ()
) -> bool:
    """Whether what nothing shows now could make the kernel skip the test.

    That is a socket that is closed, or one that has cleared SO_REUSEPORT or changed its user.
    """
    blockers = [j.owner for j in judged if j.blocks is True]
    if new.protocol != "tcp" or not blockers:
        return False
    if Quirk.REUSEADDR_MEMORY in quirks and new.reuseaddr:
        return all(owner.state != "LISTEN" for owner in blockers)
    if not new.reuseport:
        return False
    if any(_may_have_had_it(new, j.owner, quirks) for j in judged):
        return True
    return any(
        all(_lived_with(owner, closed) for owner in blockers)
        for closed in (new.address, *WILDCARDS)
        if covers(closed, new.address)
    )


def _may_have_had_it(new: NewSocket, owner: Owner, quirks: Collection[Quirk]) -> bool:
    """Whether the kernel may remember the owner as one that shares, whatever its flags are now."""
    if owner.state not in ("LISTEN", "BOUND") or Quirk.REUSEPORT_MEMORY_OF_ANY_ADDRESS in quirks:
        return True  # what a connection was bound to, or accepted from, is not known
    return covers(_address(owner), new.address)


def _lived_with(owner: Owner, closed: ClassifiedAddress) -> bool:
    """Whether the owner could share the port with a SO_REUSEPORT socket on `closed`.

    By an address that does not overlap; by SO_REUSEADDR on both sides; or as a connection that
    another user accepted from a socket it shares SO_REUSEPORT with.
    """
    if not overlaps(closed, _address(owner), "tcp"):
        return True
    if owner.state == "LISTEN":
        return False
    accepted = owner.state != "BOUND" and owner.flags.reuseport is not False
    return accepted or owner.flags.reuseaddr is not False


def _address(owner: Owner) -> ClassifiedAddress:
    return classify(owner.family, owner.address, owner.v6only is True)
