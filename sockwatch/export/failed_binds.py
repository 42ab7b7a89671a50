"""Calls that failed, counted by errno, cause and unit."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from sockwatch.bind.failure import ExplainedFailure
from sockwatch.export import metrics
from sockwatch.export.model import Family, Sample
from sockwatch.text import NAME_LIMIT, clean

MOST_SERIES: Final = 300  # that name a port; anybody can fail on any port
MOST_OF_OTHERS: Final = 100  # that name an errno and a cause
OTHER: Final = "other"
PROTOCOLS: Final = ("tcp", "udp", "unix")
# A seccomp filter may answer any number.
ERRNOS: Final = frozenset((*errno.errorcode.values(), "EOPNOTSUPP"))


class FailedBinds:
    """Use it from one thread, except for families(), which any may call."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, ...]] = Counter()

    def add(self, failures: Iterable[ExplainedFailure]) -> None:
        """Count them. Beyond MOST_SERIES they count for no port, unit or namespace of their own."""
        counts = self._counts.copy()
        for explained in failures:
            failure = explained.failure
            labels = _labels(explained)
            if labels not in counts and len(counts) >= MOST_SERIES:
                _, protocol, _, name, cause, _ = labels
                labels = (OTHER, protocol, OTHER, name, cause, OTHER)
                if labels not in counts and len(counts) >= MOST_SERIES + MOST_OF_OTHERS:
                    labels = (OTHER, protocol, OTHER, OTHER, "", OTHER)
            counts[labels] += 1 + failure.repeats
        self._counts = counts

    def families(self, lost: int) -> tuple[Family, ...]:
        """What was counted; `lost` is how many calls came too fast."""
        return failed_binds(self._counts, lost)


def failed_binds(counts: Mapping[tuple[str, ...], int], lost: int) -> tuple[Family, ...]:
    """The families of these counts, by the labels of FAILED_BINDS."""
    samples = tuple(Sample(labels, counts[labels]) for labels in sorted(counts))
    return (
        Family(metrics.FAILED_BINDS, samples),
        Family(metrics.FAILED_BINDS_LOST, (Sample((), lost),)),
    )


def _labels(explained: ExplainedFailure) -> tuple[str, ...]:
    failure = explained.failure
    netns = explained.netns.short_name if explained.netns else str(failure.netns_inode or "")
    has_port = failure.protocol in ("tcp", "udp") and failure.port is not None
    process = failure.process
    return (
        clean(netns, NAME_LIMIT),
        failure.protocol if failure.protocol in PROTOCOLS else OTHER,
        str(failure.port) if has_port else "",
        failure.errno if failure.errno in ERRNOS else OTHER,
        "" if explained.cause is None else str(explained.cause.id),
        clean((process.unit if process else None) or "", NAME_LIMIT),
    )
