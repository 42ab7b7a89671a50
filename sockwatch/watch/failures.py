"""Every failed bind() and listen() of the host with its explanation, as it happens."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from sockwatch.bind.failure import (
    ADDRESS_UNSEEN,
    NOT_JUDGED,
    ExplainedFailure,
    explain_failure,
    explain_unix_failure,
    unexplained,
)
from sockwatch.failure import Failure
from sockwatch.kernel.failures.netns_visits import NetnsVisitor
from sockwatch.kernel.failures.path_probe import PathProbe
from sockwatch.kernel.failures.unix_sockets import look_at_name, seen_path, unix_sockets
from sockwatch.kernel.failures.watcher import FailureWatcher
from sockwatch.model import Gap, GapCode, KernelError

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.layout import Layout

PORTS_EACH: Final = 3  # with failures on more ports than this at once, all are looked at together
NO_NETNS: Final = Gap(
    GapCode.NETNS_UNKNOWN,
    "in which network namespace the call failed",
    "run on the host",
)


class FailureWatch:
    """Watches while it is open. Use it from one thread, but for wake().

    Failures that wait at the same time share one look at their port: it comes after all of them.
    Raises BpfUnavailable where the host does not let us watch.
    """

    def __init__(self, layout: Layout | None = None) -> None:
        self._watcher = FailureWatcher(layout)
        self._paths = PathProbe()
        try:
            self._netns = NetnsVisitor()
            with suppress(KernelError):  # opens what a look needs, before the first failure
                self._netns.look(self._netns.home_inode, (), 1)
        except BaseException:
            self._watcher.close()
            raise

    @property
    def lost(self) -> int:
        """Failures that were not seen, since too many came at once."""
        return self._watcher.lost

    def wait(self, timeout_s: float | None = None) -> tuple[ExplainedFailure, ...]:
        """The next failures, oldest first; none if the time is over or somebody called wake()."""
        failures = self._watcher.wait(timeout_s)
        by_netns: dict[int | None, list[int]] = defaultdict(list)
        for place, failure in enumerate(failures):
            by_netns[failure.netns_inode].append(place)
        found: dict[int, ExplainedFailure] = {}
        for inode, places in by_netns.items():
            some = [failures[place] for place in places]
            found.update(zip(places, self._explain(inode, some), strict=True))
        return tuple(found[place] for place in range(len(failures)))

    def wake(self) -> None:
        """Let wait() return, from any thread."""
        self._watcher.wake()

    def close(self) -> None:
        """Detach and end the thread."""
        self._watcher.close()
        self._netns.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _explain(self, inode: int | None, failures: Sequence[Failure]) -> list[ExplainedFailure]:
        """Those of one network namespace."""
        if inode is None:
            return [unexplained(failure, NO_NETNS) for failure in failures]
        found: dict[int, ExplainedFailure] = {}
        ports = [f.port or None for f in failures if f.protocol in ("tcp", "udp")]
        together = None in ports or len(set(ports)) > PORTS_EACH
        groups: dict[object, list[int]] = defaultdict(list)
        for place, failure in enumerate(failures):
            if failure.protocol in ("tcp", "udp"):
                groups[None if together else failure.port].append(place)
            elif failure.unix is not None:
                groups["unix"].append(place)
            else:
                gap = ADDRESS_UNSEEN if failure.protocol in (None, "unix") else NOT_JUDGED
                found[place] = unexplained(failure, gap)
        for kind, places in groups.items():
            some = [failures[place] for place in places]
            try:
                if kind == "unix":
                    explained = self._explain_unix(inode, some)
                else:
                    explained = self._explain_port(inode, some)
            except KernelError as error:
                gap = Gap(GapCode.NETNS_UNSEEN, str(error), "run as root on the host")
                explained = [unexplained(failure, gap) for failure in some]
            found.update(zip(places, explained, strict=True))
        return [found[place] for place in range(len(failures))]

    def _explain_port(self, inode: int, failures: Sequence[Failure]) -> list[ExplainedFailure]:
        ports = {failure.port for failure in failures}
        port = ports.pop() if len(ports) == 1 else None
        found = self._looked(inode, failures, port or None)
        # A dump is no point in time, and sysctls are seconds old: what is missing may be there now.
        missed = [place for place, each in enumerate(found) if not each.explained]
        if missed:
            some = [failures[place] for place in missed]
            again = self._looked(inode, some, port or None, anew=True)
            for place, each in zip(missed, again, strict=True):
                if each.explained:
                    found[place] = each
        return found

    def _looked(
        self, inode: int, failures: Sequence[Failure], port: int | None, *, anew: bool = False
    ) -> list[ExplainedFailure]:
        look = self._netns.look(inode, _pids(failures), port, anew=anew)
        home = self._netns.home_inode
        return [explain_failure(each, look.snapshot, look.device_names, home) for each in failures]

    def _explain_unix(self, inode: int, failures: Sequence[Failure]) -> list[ExplainedFailure]:
        rows = self._netns.run(inode, _pids(failures), unix_sockets)
        paths = [seen_path(failure) for failure in failures]
        statuses = self._paths.look(path for path in paths if path is not None)
        explained = []
        for failure, path in zip(failures, paths, strict=True):
            assert failure.unix is not None
            status = None if path is None else statuses[path]
            look = look_at_name(failure.unix, status, rows, is_known=path is not None)
            explained.append(explain_unix_failure(failure, look, time.time()))
        return explained


def _pids(failures: Iterable[Failure]) -> list[int]:
    found = (number for f in failures for number in (f.tid, f.pid) if number)
    return list(dict.fromkeys(found))
