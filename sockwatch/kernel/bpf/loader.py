"""Load a program, or say in a typed error why not."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from sockwatch.kernel.bpf import memory_limit, syscall
from sockwatch.kernel.bpf.assembler import Assembler, R
from sockwatch.kernel.bpf.errors import NEWER_KERNEL, BpfUnavailable
from sockwatch.kernel.bpf.helpers import PROBE_READ_KERNEL
from sockwatch.kernel.descriptors import EXHAUSTED, REMEDY

if TYPE_CHECKING:
    from collections.abc import Callable

# capabilities(7): bit numbers of the effective set
_CAP_SYS_ADMIN, _CAP_PERFMON, _CAP_BPF = 21, 38, 39
_STATUS_FILE = Path("/proc/thread-self/status")
_UID_MAP_FILE = Path("/proc/self/uid_map")
_LOCKDOWN_FILE = Path("/sys/kernel/security/lockdown")
_SECCOMP_FILTER = "2"
_RETURN_ZERO = bytes.fromhex("b700000000000000 9500000000000000")  # r0 = 0; exit
_PROBE = syscall.Program(syscall.TRACEPOINT_PROGRAM, _RETURN_ZERO, "sockwatch_probe")
_ENOTSUPP = 524  # kernel-internal, yet bpf(2) can fail with it
_UNKNOWN_HELPER = re.compile(r"(?:invalid|unknown) func (?:unknown|bpf_\w+)?#(\d+)")


def check_permitted() -> None:
    """Ask the kernel, with a program of two instructions, before any BTF is read.

    A tracepoint program needs the same capabilities as an iterator, and no type information.
    Raises BpfUnavailable.
    """
    try:
        with memory_limit.raised():
            os.close(syscall.prog_load(_PROBE))
    except OSError as error:
        raise explain(error) from error


def may_read_kernel() -> bool:
    """Whether programs may call PROBE_READ_KERNEL: not in lockdown mode confidentiality."""
    code = Assembler()
    code.compute(R.R1, "=", R.STACK)
    code.compute(R.R1, "+", -8)
    code.compute(R.R2, "=", 8)
    code.compute(R.R3, "=", 0)
    code.call(PROBE_READ_KERNEL)
    code.leave()
    try:
        with memory_limit.raised():
            os.close(syscall.prog_load(_PROBE._replace(code=code.assemble())))
    except OSError:
        return False
    return True


def load_iterator(code: bytes, name: str, attach_btf_id: int) -> tuple[int, int]:
    """Load an iterator program and attach it: (program fd, link fd). Raises BpfUnavailable."""
    program = syscall.Program(
        syscall.TRACING_PROGRAM, code, name, syscall.TRACE_ITER, attach_btf_id
    )
    return _attached(_load(program), syscall.link_create)


def load_raw_tracepoint(code: bytes, name: str, tracepoint: str) -> tuple[int, int]:
    """Load a program and attach it to a tracepoint: (program fd, link fd).

    It stays attached until the link is closed, at the latest when this process exits. Raises
    BpfUnavailable.
    """
    program_fd = _load(syscall.Program(syscall.RAW_TRACEPOINT_PROGRAM, code, name))
    return _attached(program_fd, lambda fd: syscall.raw_tracepoint_open(tracepoint, fd))


def _load(program: syscall.Program) -> int:
    try:
        with memory_limit.raised():
            return syscall.prog_load(program)
    except OSError as error:
        if error.errno in {errno.EPERM, errno.ENOSYS} | EXHAUSTED:
            raise explain(error) from error
        # Loaded without a log first: a log buffer can itself make a load fail.
        with memory_limit.raised():
            log = syscall.prog_load_log(program)
        if not log:
            raise explain(error) from error
        if helper := _UNKNOWN_HELPER.search(log):
            raise BpfUnavailable(
                "old-kernel",
                f"the kernel {os.uname().release} has no BPF helper function {helper[1]}",
                remedy=NEWER_KERNEL,
                errno=error.errno,
                log=log,
            ) from error
        raise BpfUnavailable(
            "verifier",
            f"the kernel's verifier refused the program {program.name}: {_last_line(log)}",
            remedy="report it, with the kernel release and the verifier's log that --debug shows",
            errno=error.errno,
            log=log,
        ) from error


def _attached(program_fd: int, attach: Callable[[int], int]) -> tuple[int, int]:
    try:
        return program_fd, attach(program_fd)
    except OSError as error:
        os.close(program_fd)
        raise explain(error) from error


def new_map(create: Callable[[], int]) -> int:
    """Run a map creation. Raises BpfUnavailable."""
    try:
        with memory_limit.raised():
            return create()
    except OSError as error:
        raise explain(error) from error


def explain(error: OSError) -> BpfUnavailable:
    """Why bpf(2) failed with `error`, judged by this process's capabilities, seccomp and kernel."""
    if error.errno in EXHAUSTED:
        return BpfUnavailable(
            "refused",
            f"too few file descriptors are left ({error.strerror})",
            remedy=REMEDY,
            errno=error.errno,
        )
    if error.errno not in {errno.EPERM, errno.EACCES, errno.ENOSYS}:
        return BpfUnavailable(
            "old-kernel" if error.errno in {errno.EINVAL, _ENOTSUPP} else "refused",
            f"the kernel {os.uname().release} refused a BPF program: {error.strerror}",
            remedy=NEWER_KERNEL,
            errno=error.errno,
        )
    status = _status()
    effective = int(status.get("CapEff", "0"), 16)
    missing = _missing_capabilities(effective)
    if missing and error.errno != errno.ENOSYS:
        return BpfUnavailable(
            "not-permitted",
            f"BPF needs {' and '.join(missing)}",
            remedy=f"run {'as root, or ' if os.geteuid() else ''}with CAP_BPF and CAP_PERFMON",
            errno=error.errno,
        )
    if status.get("Seccomp") == _SECCOMP_FILTER:
        return BpfUnavailable(
            "seccomp",
            "a seccomp filter (of a container or a service) refuses bpf(2)",
            remedy="run on the host, or allow bpf(2) in the filter",
            errno=error.errno,
        )
    if error.errno == errno.ENOSYS:
        return BpfUnavailable(
            "old-kernel",
            f"the kernel {os.uname().release} has no bpf(2)",
            remedy="use a kernel built with CONFIG_BPF_SYSCALL",
            errno=error.errno,
        )
    return _explain_in_spite_of_capabilities(error)


def _explain_in_spite_of_capabilities(error: OSError) -> BpfUnavailable:
    if _in_user_namespace():
        return BpfUnavailable(
            "not-permitted",
            "BPF needs capabilities in the initial user namespace; these are in another one",
            remedy="run as root on the host",
            errno=error.errno,
        )
    if _lockdown() == "confidentiality":  # the mode that keeps kernel memory from BPF
        return BpfUnavailable(
            "locked-down",
            "kernel lockdown (confidentiality) refuses BPF; see kernel_lockdown(7)",
            remedy="use a kernel that is not locked down",
            errno=error.errno,
        )
    if memory_limit.is_charged():
        return BpfUnavailable(
            "memory-limit",
            "this kernel charges BPF to RLIMIT_MEMLOCK, which is too small and may not be raised",
            remedy="raise the limit: ulimit -l unlimited",
            errno=error.errno,
        )
    return BpfUnavailable(
        "refused",
        f"bpf(2) is refused in spite of the capabilities ({error.strerror}): a security module?",
        errno=error.errno,
    )


def _missing_capabilities(effective: int) -> tuple[str, ...]:
    """CAP_SYS_ADMIN includes both; see capabilities(7)."""
    if effective >> _CAP_SYS_ADMIN & 1:
        return ()
    wanted = ((_CAP_BPF, "CAP_BPF"), (_CAP_PERFMON, "CAP_PERFMON"))
    return tuple(name for bit, name in wanted if not effective >> bit & 1)


def _status() -> dict[str, str]:
    """The fields of proc_pid_status(5)."""
    try:
        lines = _STATUS_FILE.read_text(errors="replace").splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _in_user_namespace() -> bool:
    try:
        return _UID_MAP_FILE.read_text().split() != ["0", "0", "4294967295"]
    except OSError:
        return False


def _lockdown() -> str | None:
    """The mode in force, as in ``none [integrity] confidentiality``; None if it is not known."""
    with contextlib.suppress(OSError):
        text = _LOCKDOWN_FILE.read_text()
        if "[" in text:
            return text.partition("[")[2].partition("]")[0]
    return None


def _last_line(log: str) -> str:
    """The verifier's verdict: its last line but for its statistics."""
    lines = [line for line in log.splitlines() if line and not line.startswith("processed ")]
    return lines[-1] if lines else ""
