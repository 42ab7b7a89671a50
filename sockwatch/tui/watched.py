"""What is looked at: the host or the stage of the lab, all of it or one port."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from sockwatch.model import Snapshot

Take: TypeAlias = Callable[[int | None], Snapshot]


@dataclass(frozen=True, slots=True)
class Watched:
    """`take` looks at a port, or at all of them for None. Each look says of what it is."""

    take: Take
    port: int | None = None

    def only(self, port: int) -> Watched:
        return replace(self, port=port)
