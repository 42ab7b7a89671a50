"""Why calls failed: the port of each is looked at in its network namespace."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

from sockwatch.bind.failure import (
    ADDRESS_UNSEEN,
    NOT_JUDGED,
    ExplainedFailure,
    explain_call,
    explain_failure,
    explain_unix_failure,
    unexplained,
)
from sockwatch.failure import Failure, UnixName, UnixNameStatus
from sockwatch.kernel.failures.path_probe import PathProbe, PathStatus, SeenPath
from sockwatch.kernel.failures.unix_sockets import name_status, seen_path, unix_sockets
from sockwatch.kernel.netns.found import visible_namespaces
from sockwatch.kernel.netns.reader import NetnsReader
from sockwatch.kernel.origin.socket_units import SocketUnitReader
from sockwatch.model import Gap, GapCode, KernelError

PORTS_EACH: Final = 3  # failures on more ports than this at once share one sample of all ports
NAMESPACES_SEARCHED: Final = 100  # for a unix socket that answers; each takes a millisecond
NO_NETNS: Final = Gap(
    GapCode.NETNS_UNKNOWN,
    "in which network namespace the call failed",
    "run on the host",
)


class FailureExplainer:
    """Use it from one thread; close() it. Raises OSError where there are too few fds."""

    def __init__(self) -> None:
        self._paths = PathProbe()
        self._socket_units = SocketUnitReader()
        self._netns = NetnsReader()
        with suppress(KernelError):  # opens what a sample needs, before the first failure
            self._netns.take(self._netns.home_inode, (), 1)

    @property
    def home_netns(self) -> int:
        """The number of the network namespace that this process is in."""
        return self._netns.home_inode

    def explain(self, failures: Sequence[Failure]) -> tuple[ExplainedFailure, ...]:
        """Each of them, in the same order; those of one port share a sample of it."""
        by_netns: dict[int | None, list[int]] = defaultdict(list)
        for index, failure in enumerate(failures):
            by_netns[failure.netns_inode].append(index)
        explained: dict[int, ExplainedFailure] = {}
        for netns_inode, indices in by_netns.items():
            in_netns = [failures[index] for index in indices]
            explained.update(zip(indices, self._explain(netns_inode, in_netns), strict=True))
        return tuple(explained[index] for index in range(len(failures)))

    def close(self) -> None:
        """Stop the thread."""
        self._netns.close()

    def _explain(
        self, netns_inode: int | None, failures: Sequence[Failure]
    ) -> list[ExplainedFailure]:
        """Explain failures of one network namespace; None means it is unknown."""
        explained: dict[int, ExplainedFailure] = {}
        for index, failure in enumerate(failures):
            if by_call := explain_call(failure):
                explained[index] = by_call
            elif netns_inode is None:
                explained[index] = unexplained(failure, NO_NETNS)
        if netns_inode is None:
            return [explained[index] for index in range(len(failures))]
        ports = [f.port or None for f in failures if f.protocol in ("tcp", "udp")]
        together = None in ports or len(set(ports)) > PORTS_EACH
        groups: dict[object, list[int]] = defaultdict(list)
        for index, failure in enumerate(failures):
            if index in explained:
                continue
            if failure.protocol in ("tcp", "udp"):
                groups[None if together else failure.port].append(index)
            elif failure.unix is not None:
                groups["unix"].append(index)
            else:
                gap = ADDRESS_UNSEEN if failure.protocol in (None, "unix") else NOT_JUDGED
                explained[index] = unexplained(failure, gap)
        for kind, indices in groups.items():
            group = [failures[index] for index in indices]
            try:
                if kind == "unix":
                    explanations = self._explain_unix(netns_inode, group)
                else:
                    explanations = self._explain_port(netns_inode, group)
            except KernelError as error:
                remedy = "run as root on the host" if os.geteuid() else "run on the host"
                gap = Gap(GapCode.NETNS_UNSEEN, str(error), remedy)
                explanations = [unexplained(failure, gap) for failure in group]
            except OSError as error:  # no more file descriptors, in the middle of it
                gap = Gap(GapCode.NETNS_UNSEEN, f"no answer from this host: {error.strerror}", None)
                explanations = [unexplained(failure, gap) for failure in group]
            explained.update(zip(indices, explanations, strict=True))
        return [explained[index] for index in range(len(failures))]

    def _explain_port(
        self, netns_inode: int, failures: Sequence[Failure]
    ) -> list[ExplainedFailure]:
        ports = {failure.port for failure in failures}
        port = (ports.pop() or None) if len(ports) == 1 else None
        # Facts may be seconds old, and an address is a matter of the moment.
        fresh = any(failure.errno == "EADDRNOTAVAIL" for failure in failures)
        explained = self._explain_by_sample(netns_inode, failures, port, fresh_facts=fresh)
        # A dump takes time and sysctls are cached for seconds: what was missed may be seen now.
        missed = [index for index, failure in enumerate(explained) if not failure.explained]
        if missed:
            again = self._explain_by_sample(
                netns_inode, [failures[index] for index in missed], port, fresh_facts=True
            )
            for index, failure in zip(missed, again, strict=True):
                if failure.explained:
                    explained[index] = failure
        return explained

    def _explain_by_sample(
        self,
        netns_inode: int,
        failures: Sequence[Failure],
        port: int | None,
        *,
        fresh_facts: bool = False,
    ) -> list[ExplainedFailure]:
        snapshot, device_names = self._netns.take(
            netns_inode, _pids(failures), port, fresh_facts=fresh_facts
        )
        snapshot = self._socket_units.complete(snapshot)
        home = self._netns.home_inode
        return [explain_failure(failure, snapshot, device_names, home) for failure in failures]

    def _explain_unix(
        self, netns_inode: int, failures: Sequence[Failure]
    ) -> list[ExplainedFailure]:
        rows = self._netns.run(netns_inode, _pids(failures), unix_sockets)
        paths = [seen_path(failure) for failure in failures]
        statuses = self._paths.statuses(path for path in paths if isinstance(path, SeenPath))
        explained = []
        for failure, path in zip(failures, paths, strict=True):
            assert failure.unix is not None
            file = statuses[path] if isinstance(path, SeenPath) else None
            status = name_status(failure.unix, path, file, rows)
            if status.is_alive and not status.owners:
                status = self._owned_elsewhere(netns_inode, failure.unix, path, file) or status
            explained.append(explain_unix_failure(failure, status, time.time()))
        return explained

    def _owned_elsewhere(
        self,
        netns_inode: int,
        name: UnixName,
        path: SeenPath | Gap | None,
        file: PathStatus | None,
    ) -> UnixNameStatus | None:
        """A path belongs to no network namespace: its socket may be of any other one."""
        for inode, pid in visible_namespaces(NAMESPACES_SEARCHED).items():
            if inode == netns_inode:
                continue
            with suppress(KernelError):
                rows = self._netns.run(inode, (pid,), unix_sockets)
                status = name_status(name, path, file, rows)
                if status.owners:
                    return status
        return None


def _pids(failures: Iterable[Failure]) -> list[int]:
    """The threads and processes that failed, each once."""
    pids = (pid for failure in failures for pid in (failure.tid, failure.pid) if pid)
    return list(dict.fromkeys(pids))
