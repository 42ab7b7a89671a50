"""One sample of all network namespaces of the host."""

from __future__ import annotations

from typing import NamedTuple

from sockwatch.model.gaps import Gap
from sockwatch.model.snapshot import Snapshot


class HostSnapshot(NamedTuple):
    """A snapshot of each network namespace that could be looked into, our own first.

    Quiet ones are looked at less often: `Snapshot.time` tells how old each is. The `facts` of all
    but our own are HostFacts(), that is unknown: they are read where somebody asks about one
    namespace. `gaps` are about namespaces that could not be found or looked into; what is missing
    of one is a gap of its snapshot.
    """

    snapshots: tuple[Snapshot, ...]
    gaps: tuple[Gap, ...] = ()

    @property
    def own(self) -> Snapshot:
        """That of the network namespace we are in."""
        return self.snapshots[0]
