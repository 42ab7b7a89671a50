"""A request and the one beside it: a server that is told a port alone may bind either wildcard."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

from sockwatch.bind.model import BindRequest, Verdict
from sockwatch.bind.verdict import explain_bind
from sockwatch.model import HostFacts, Snapshot

DUAL_STACK: Final = "::"  # what Node, Go and Java ask for that are told a port alone


class RequestPair(NamedTuple):
    """A request, and the other address that the same words mean: None if there is none.

    It is ``::`` beside 0.0.0.0 for a port alone, and ``::1`` beside 127.0.0.1 for localhost.
    """

    request: BindRequest
    also: str | None = None

    def other(self, facts: HostFacts) -> BindRequest | None:
        """The request for the other address; None without one, or without IPv6."""
        if self.also is None or facts.ipv6 is False:
            return None
        return replace(self.request, address=self.also)

    def explain(self, snapshot: Snapshot) -> tuple[Verdict, ...]:
        """The verdicts on both, or on the one. Raises SockwatchError as explain_bind() does."""
        verdict = explain_bind(self.request, snapshot)
        other = self.other(snapshot.facts)
        if other is None or not is_meant(beside := explain_bind(other, snapshot)):
            return (verdict,)
        return (verdict, beside)


def is_meant(beside: Verdict) -> bool:
    """Whether the other address counts: localhost means ``::1`` only where the host has it."""
    return beside.request.address == DUAL_STACK or beside.bind != "EADDRNOTAVAIL"
