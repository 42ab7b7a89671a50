"""Why BPF cannot be used here, as a value: the next way to learn the flags then takes over."""

from __future__ import annotations

from typing import Final, Literal

from sockwatch.model import SockwatchError

NEWER_KERNEL: Final = "use Linux 5.11 or later"
Reason = Literal[
    "no-btf",  # /sys/kernel/btf/vmlinux is missing or may not be read
    "bad-btf",  # it is there and makes no sense
    "not-permitted",  # capabilities are missing, or are those of a user namespace
    "seccomp",  # a seccomp filter refuses bpf(2)
    "locked-down",  # kernel lockdown
    "memory-limit",  # RLIMIT_MEMLOCK, which kernels before 5.11 charge
    "pid-namespace",  # an older kernel in a container, whose pids it cannot translate
    "unsupported-machine",  # not x86-64 or aarch64
    "old-kernel",  # bpf(2), the iterator or a struct member is missing
    "verifier",  # the kernel's verifier refused the program; `log` says why
    "refused",  # anything else the kernel answered
]


class BpfUnavailable(SockwatchError):  # noqa: N818 - a state of the host, not a mistake
    """BPF cannot be used, for `reason`.

    `remedy` says what would help, in the imperative; None if nothing is known to. `errno` is what
    bpf(2) failed with (None if it was not called), `log` the verifier's whole log, empty if it was
    not the verifier.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        remedy: str | None = None,
        errno: int | None = None,
        log: str = "",
    ) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.remedy = remedy
        self.errno = errno
        self.log = log
