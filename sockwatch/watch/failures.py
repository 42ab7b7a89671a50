"""Every bind() and listen() on this host that fails, explained as it happens."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from sockwatch.kernel.bpf.errors import BpfUnavailable
from sockwatch.kernel.descriptors import check_descriptors
from sockwatch.kernel.failures.reader import FailureReader
from sockwatch.kernel.host import current_netns
from sockwatch.model import KernelError
from sockwatch.watch.explainer import FailureExplainer

if TYPE_CHECKING:
    from typing_extensions import Self

    from sockwatch.bind.failure import ExplainedFailure
    from sockwatch.kernel.bpf.layout import Layout

FDS_OF_A_WATCH: Final = 28  # its own, and those of a sample in another network namespace


class FailureWatch:
    """Watches from its creation until close(). Use it from one thread, except for wake().

    Failures that are pending at the same time share one sample of their port, taken after all of
    them. `descendants_of` is a process: only failures of it and below it are seen; None stands for
    all of the host. Raises BpfUnavailable where this host, or this user, cannot watch.
    """

    def __init__(self, layout: Layout | None = None, *, descendants_of: int | None = None) -> None:
        try:
            check_descriptors(FDS_OF_A_WATCH)
            current_netns()  # where /proc is not mounted, nothing can be explained
        except KernelError as error:
            raise BpfUnavailable("refused", str(error), errno=error.errno) from error
        self._reader = FailureReader(layout, descendants_of=descendants_of)
        try:
            self._explainer = FailureExplainer()
        except BaseException:
            self._reader.close()
            raise

    @property
    def lost(self) -> int:
        """How many failures were not reported because too many came at once."""
        return self._reader.lost

    def wait(self, timeout_s: float | None = None) -> tuple[ExplainedFailure, ...]:
        """The next failures, oldest first; empty after the timeout or a wake().

        None means no timeout.
        """
        return self._explainer.explain(self._reader.wait(timeout_s))

    def wake(self) -> None:
        """Make wait() return; may be called from any thread."""
        self._reader.wake()

    def close(self) -> None:
        """Detach from the kernel and stop the thread."""
        self._reader.close()
        self._explainer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def refusal(error: BpfUnavailable) -> str:
    """Why failures cannot be watched, and what would help, in one sentence."""
    if error.reason == "not-permitted":
        who = "as root, or " if os.geteuid() else ""
        return f"cannot watch: {error}; run {who}with CAP_BPF and CAP_PERFMON or CAP_SYS_ADMIN"
    return f"cannot watch: {error}" + (f"; {error.remedy}" if error.remedy else "")
