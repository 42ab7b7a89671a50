"""Which listener gets what is sent to an address of this host."""

from __future__ import annotations

from typing import Final

from sockwatch.bind.overlap import ClassifiedAddress, classify, overlaps
from sockwatch.model import Family, Socket

LISTENING: Final = frozenset({"LISTEN", "UNCONN"})


def accepts(sock: Socket, address: str | None, device: str | None = None) -> bool | None:
    """Whether the socket takes what comes to `address`; None if IPV6_V6ONLY decides, unseen.

    `address` None means any; a wildcard means every address of its family. A socket that is bound
    to a device counts for that `device` only. A TCP listener whose accept queue is full takes
    nothing.
    """
    if sock.state not in LISTENING or sock.is_queue_full or sock.device not in (None, device):
        return False
    if address is None:
        return True
    family: Family = "ipv6" if ":" in address else "ipv4"
    # By themselves, addresses of the two families are apart: v6only.
    wanted = classify(family, address, True)
    own = [classify(sock.family, sock.address, v6only) for v6only in _either(sock.v6only)]
    answers = {_covers(each, wanted) for each in own}
    return answers.pop() if len(answers) == 1 else None


def _either(v6only: bool | None) -> tuple[bool, ...]:
    return (True, False) if v6only is None else (v6only,)


def _covers(own: ClassifiedAddress, wanted: ClassifiedAddress) -> bool:
    return (own.wildcard or not wanted.wildcard) and overlaps(wanted, own, "tcp")
