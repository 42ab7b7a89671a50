"""The reader of the host, whose first snapshot is taken while the screens are still imported."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sockwatch.kernel.snapshot import SnapshotReader
    from sockwatch.kernel.surroundings import Surroundings
    from sockwatch.model import Snapshot


class HostReader:
    """Takes snapshots of the host, from any thread; starts with one of all ports when it is made.

    Its thread is a daemon: a look that hangs in the kernel must not hold up the exit. What goes
    wrong there is raised by the call that asks first.
    """

    def __init__(self) -> None:
        self._reader: SnapshotReader | None = None
        self._surroundings: Surroundings | None = None  # made when one port is asked for
        self._first: Snapshot | None = None
        self._error: Exception | None = None
        self._looks = threading.Lock()  # the readers serve one thread at a time
        self._thread = threading.Thread(target=self._look, name="sockwatch-first", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # RLIMIT_NPROC, or pids.max of the cgroup
            self._look()

    def take(self, port: int | None) -> Snapshot:
        """A snapshot of one port, or of all with client ports folded. Raises KernelError."""
        with self._looks:
            reader = self._opened()
            first, self._first = self._first, None
            if port is None:
                return reader.take() if first is None else first
            if self._surroundings is None:
                from sockwatch.kernel.surroundings import Surroundings  # noqa: PLC0415

                self._surroundings = Surroundings()
            return self._surroundings.complete(reader.take(port))

    def take_each_port(self, port: int | None) -> Snapshot:
        """The same, with each client port. Raises KernelError."""
        with self._looks:
            return self._opened().take(port, fold=False)

    def _look(self) -> None:
        try:
            # The kernel 60 ms, and textual 190 meanwhile.
            from sockwatch.kernel.snapshot import SnapshotReader  # noqa: PLC0415

            self._reader = SnapshotReader()
            self._first = self._reader.take()
        except Exception as error:  # noqa: BLE001 - raised again where it is asked for
            self._error = error

    def _opened(self) -> SnapshotReader:
        if self._thread.ident is not None:
            self._thread.join()
        error, self._error = self._error, None
        if error is not None:
            raise error
        assert self._reader is not None
        return self._reader
