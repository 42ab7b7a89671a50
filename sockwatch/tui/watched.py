"""What is polled: the host or the sandbox of the lab, all of it or one port."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from sockwatch.model import Snapshot

Take: TypeAlias = Callable[[int | None], Snapshot]


@dataclass(frozen=True, slots=True)
class Watched:
    """`take` returns a snapshot of one port, or of all ports for None."""

    take: Take
    port: int | None = None

    def only(self, port: int) -> Watched:
        """The same, of this port alone."""
        return replace(self, port=port)
