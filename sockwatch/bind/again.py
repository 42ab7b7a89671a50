"""What a program would have to ask for to get a socket that is there once more."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import NamedTuple

from sockwatch.bind.model import BindRequest, FlagName
from sockwatch.model import Socket


class Again(NamedTuple):
    """The same socket again: a request for each way its flags may be, and which are unknown."""

    requests: tuple[BindRequest, ...]
    unknown: tuple[FlagName, ...]

    @classmethod
    def of(cls, sock: Socket) -> Again:
        """With the flags that it has now."""
        request = request_without_flags(sock)
        seen: dict[FlagName, bool | None] = {
            "SO_REUSEADDR": sock.flags.reuseaddr,
            "SO_REUSEPORT": sock.flags.reuseport,
        }
        ways = [(False, True) if value is None else (value,) for value in seen.values()]
        return cls(
            tuple(
                replace(request, reuseaddr=reuseaddr, reuseport=reuseport)
                for reuseaddr, reuseport in product(*ways)
            ),
            tuple(name for name, value in seen.items() if value is None),
        )


def request_without_flags(sock: Socket) -> BindRequest:
    """What it takes to get such a socket, without reuse flags."""
    address = sock.address
    if sock.device and address.startswith("fe80:"):
        address += f"%{sock.device}"
    return BindRequest(
        sock.protocol,
        address,
        sock.port,
        v6only=sock.v6only is True and sock.address == "::",
        freebind=sock.freebind is True,
        uid=sock.uid,
        device=sock.device,
    )
