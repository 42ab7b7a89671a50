"""What others know of a port: systemd for which unit it listens, NAT rules where traffic goes."""

from __future__ import annotations

from sockwatch.kernel.origin.publishers import PublicationReader
from sockwatch.kernel.origin.socket_units import SocketUnitReader
from sockwatch.kernel.second_look import take_settled
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import Snapshot


class Surroundings:
    """Adds them to snapshots of one port. Use it from one thread, in the snapshot's netns.

    It waits for the programs that tell, for a second each at most, and asks them again after some.
    """

    def __init__(self) -> None:
        self._units = SocketUnitReader()
        self._publications = PublicationReader()

    def complete(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with them; that of all ports stays as it is. Raises KernelError."""
        return self._units.complete(self._publications.complete(snapshot))


def take_snapshot(port: int | None = None, *, fold: bool = True) -> Snapshot:
    """A snapshot of this network namespace; with `port`, of that port alone with all about it.

    With `fold`, client ports are counted by destination in `clients`, where the kernel lets us tell
    which they are. Raises KernelError where the kernel lets no table be read.
    """
    with SnapshotReader() as reader:
        if port is None:
            return reader.take(fold=fold)
        return Surroundings().complete(take_settled(reader, port))
