"""What the screen polls where documents are its source: the latest one that has come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sockwatch.cli.source import CONTRADICTION
from sockwatch.model import HostSnapshot, Netns, Snapshot, SockwatchError, shortage
from sockwatch.units import duration
from sockwatch.view.look import OLD_S

if TYPE_CHECKING:
    from sockwatch.cli.source import Source
    from sockwatch.export.carried import Carried

STALLED_S: Final = 5.0  # without a document, where they come each second


class FarHost:
    """Its thread reads the source; take() may be called from any other.

    It begins when the first document is there. A document that is alone stays as it is; a stream
    that ends or stalls is said in place of a snapshot. `interval_s` is how often one should come.
    """

    def __init__(
        self,
        source: Source,
        interval_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises SockwatchError where no document comes."""
        self._source = source
        self._clock = clock
        self._patience_s = max(STALLED_S, 3 * interval_s)
        self._latest = source.first()
        self._came = clock()
        self._count = 1
        self._is_shown = False
        self._end: str | None = None  # why the stream has ended
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._read, name="sockwatch-documents", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """How the host is called."""
        return self._latest.own.on_host or self._latest.host

    @property
    def is_outside(self) -> bool:
        """Whether commands are typed in another network namespace than that of the snapshots."""
        return self._latest.is_outside

    @property
    def namespaces(self) -> FarNamespaces | None:
        """All of them, where the documents have them."""
        return FarNamespaces(self._next) if self._latest.is_wide else None

    def take(self, _port: int | None) -> Snapshot:
        """The latest. Raises SockwatchError where none comes any more."""
        return self._next().own

    def pace(self) -> tuple[str, str]:
        """``0.1.0, live`` or ``0.1.0, 9s ago``, and its style: the version there, and the age."""
        with self._lock:
            latest, is_live = self._latest, self._is_live
            age_s = self._clock() - self._came if is_live else time.time() - latest.own.time
        style = "-dim" if is_live and age_s < self._patience_s else "-warn"
        age = f"{duration(age_s)} ago" if age_s >= 0 else "clock ahead"
        if is_live and age_s < OLD_S:
            age = "live"
        return f"{latest.version}, {age}", style

    @property
    def _is_live(self) -> bool:
        return self._count > 1 or self._source.name is not None

    def _next(self) -> Carried:
        with self._lock:
            if not self._is_shown or not self._is_live:
                self._is_shown = True
                return self._latest
            if self._end is not None:
                raise SockwatchError(f"the stream has ended{self._end}")
            silent_s = self._clock() - self._came
            if silent_s > self._patience_s:
                raise SockwatchError(f"nothing has come from {self.name} for {duration(silent_s)}")
            return self._latest

    def _read(self) -> None:
        end = None
        try:
            while (carried := self._source.next()) is not None:
                with self._lock:
                    self._latest, self._came = carried, self._clock()
                    self._count += 1
                    self._is_shown = False
        except SockwatchError as error:
            end = f": {error}"
        except Exception as error:  # noqa: BLE001 - the screen says that it is over, and why
            end = f": {shortage(error) or f'{CONTRADICTION}: {type(error).__name__}'}"
        if end is None:
            end = self._source.why_ended() if self._source.name else ""
        with self._lock:
            self._end = end


class FarNamespaces:
    """Those that the documents have."""

    def __init__(self, latest: Callable[[], Carried]) -> None:
        self._latest = latest

    def take(self) -> HostSnapshot:
        """All of them. Raises SockwatchError where no document comes any more."""
        return self._latest().seen

    def take_in(self, netns: Netns, _port: int) -> Snapshot:
        """That one. Raises SockwatchError if it is not there any more."""
        for snapshot in self._latest().seen.snapshots:
            if snapshot.netns.key == netns.key:
                return snapshot
        raise SockwatchError(f"{netns.label} is not in the document")
