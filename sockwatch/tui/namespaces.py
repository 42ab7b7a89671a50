"""Looks into all network namespaces of the host, for the screens."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # loaded with the first look
    from sockwatch.kernel.netns.survey import Survey
    from sockwatch.model import HostSnapshot, Netns, Snapshot
    from sockwatch.tui.visits import Visits

FDS_OF_A_SURVEY: Final = 40  # its own, and those of a look into one namespace


class HostNamespaces:
    """Opens what a look needs with the first one; take() is for one thread."""

    def __init__(self) -> None:
        self._survey: Survey | None = None
        self._visits: Visits | None = None
        self._lock = threading.Lock()

    def take(self) -> HostSnapshot:
        """A snapshot of each. Raises KernelError."""
        from sockwatch.kernel.descriptors import check_descriptors  # noqa: PLC0415
        from sockwatch.kernel.netns.survey import Survey  # noqa: PLC0415
        from sockwatch.model import KernelError  # noqa: PLC0415

        try:
            if self._survey is None:
                check_descriptors(FDS_OF_A_SURVEY)
                self._survey = Survey()
            return self._survey.take()
        except OSError as error:  # no more file descriptors, in the middle of it
            raise KernelError(f"no answer: {error.strerror}", error.errno or 0) from error

    def take_in(self, netns: Netns, port: int) -> Snapshot:
        """A snapshot of one port there. Raises KernelError."""
        from sockwatch.tui.visits import Visits  # noqa: PLC0415

        with self._lock:
            if self._visits is None:
                self._visits = Visits()
        return self._visits.take_in(netns, port)
