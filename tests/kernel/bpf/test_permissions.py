"""Who may, who may not, and that the reason is named."""

from __future__ import annotations

import errno
import os
import resource
import socket
from typing import TYPE_CHECKING

import pytest

from sockwatch.bind.kernels import parse_release
from sockwatch.kernel.bpf import loader, memory_limit, syscall
from sockwatch.kernel.bpf.assembler import Assembler
from sockwatch.kernel.bpf.errors import BpfUnavailable
from sockwatch.kernel.bpf.iterators import SocketIterators
from sockwatch.kernel.failures.tracepoint import FailureTracepoint
from tests.support.child import become, in_child, in_netns
from tests.support.netns import CLONE_NEWNET, CLONE_NEWUSER, unshare
from tests.support.privilege import needs_btf, needs_root, needs_task_files
from tests.support.seccomp import refuse

if TYPE_CHECKING:
    from pathlib import Path

CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF = 12, 21, 38, 39
NOBODY = 65534
FUTURE = (99, 0)
HELPER_OF_NO_KERNEL = 54_321
MAP_CREATE, PROG_LOAD = 0, 5  # commands of bpf(2)
RELEASE = parse_release(os.uname().release) or (0, 0, 0)


def refused() -> BpfUnavailable:
    with pytest.raises(BpfUnavailable) as caught:
        SocketIterators()
    return caught.value


@pytest.mark.parametrize(
    ("capabilities", "missing"),
    [
        ((), ("CAP_BPF", "CAP_PERFMON")),
        ((CAP_NET_ADMIN,), ("CAP_BPF", "CAP_PERFMON")),
        ((CAP_BPF,), ("CAP_PERFMON",)),
        ((CAP_PERFMON,), ("CAP_BPF",)),
        ((CAP_NET_ADMIN, CAP_BPF), ("CAP_PERFMON",)),
    ],
)
@in_netns
def test_missing_capabilities_are_named(
    capabilities: tuple[int, ...], missing: tuple[str, ...]
) -> None:
    become(NOBODY, *capabilities)
    error = refused()
    assert (error.reason, error.errno) == ("not-permitted", errno.EPERM)
    assert str(error) == f"BPF needs {' and '.join(missing)}"
    assert error.remedy


@needs_task_files
@pytest.mark.parametrize("capabilities", [(CAP_BPF, CAP_PERFMON), (CAP_SYS_ADMIN,)])
@in_netns
def test_capabilities_that_are_enough(capabilities: tuple[int, ...]) -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    become(NOBODY, *capabilities)
    with SocketIterators() as iterators:
        assert iterators.failures == {}
        assert [row.port for row in iterators.tcp_summary(port).rows] == [port]
        assert [row.pid for row in iterators.task_files(port=port)] == [os.getpid()]
        assert iterators.tcp_summary().counts == []


@pytest.mark.skipif(RELEASE < (6, 0, 0), reason="older kernels ask again at each look")
@in_netns
def test_iterators_opened_as_root_serve_after_all_is_dropped() -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    with SocketIterators() as iterators:
        become(NOBODY)
        assert len(iterators.tcp_summary().rows) == 1
        assert len(iterators.task_files()) >= 1
        assert iterators.tcp_summary().counts == []
    sock.close()


@pytest.mark.parametrize("answer", [errno.EPERM, errno.ENOSYS])
@needs_root
def test_a_seccomp_filter_is_named(answer: int) -> None:
    def body() -> None:
        refuse("bpf", answer)
        error = refused()
        assert (error.reason, error.errno) == ("seccomp", answer)

    in_child(body)


@needs_root
@needs_btf
def test_capabilities_of_another_user_namespace_do_not_count() -> None:
    def body() -> None:
        unshare(CLONE_NEWUSER | CLONE_NEWNET)
        error = refused()
        assert error.reason == "not-permitted"
        assert "initial user namespace" in str(error)

    in_child(body)


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The files that explain() reads, of a process that lacks nothing."""
    (tmp_path / "status").write_text("Name:\tx\nCapEff:\t000001ffffffffff\nSeccomp:\t0\n")
    (tmp_path / "uid_map").write_text("         0          0 4294967295\n")
    (tmp_path / "lockdown").write_text("[none] integrity confidentiality\n")
    monkeypatch.setattr(loader, "_STATUS_FILE", tmp_path / "status")
    monkeypatch.setattr(loader, "_UID_MAP_FILE", tmp_path / "uid_map")
    monkeypatch.setattr(loader, "_LOCKDOWN_FILE", tmp_path / "lockdown")
    return tmp_path


def explained(code: int) -> BpfUnavailable:
    return loader.explain(OSError(code, os.strerror(code)))


@needs_task_files
def test_lockdown_is_named(root: Path) -> None:
    (root / "lockdown").write_text("none integrity [confidentiality]\n")
    error = explained(errno.EPERM)
    assert error.reason == "locked-down"
    assert "lockdown" in str(error)
    (root / "lockdown").write_text("none [integrity] confidentiality\n")
    assert explained(errno.EPERM).reason == "refused"


def test_an_old_kernel_charges_locked_memory(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_limit, "CHARGED_BEFORE", FUTURE)
    assert explained(errno.EPERM).reason == "memory-limit"


@needs_task_files
@in_netns
def test_where_it_is_charged_the_limit_is_raised_for_the_calls_alone() -> None:
    memory_limit.CHARGED_BEFORE = FUTURE  # type: ignore[misc] # in this child alone
    hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, hard))
    limits = []
    real = syscall.bpf

    def bpf(command: int, attr: bytearray) -> int:
        if command in (MAP_CREATE, PROG_LOAD):
            limits.append(resource.getrlimit(resource.RLIMIT_MEMLOCK)[0])
        return real(command, attr)

    syscall.bpf = bpf
    with SocketIterators() as iterators, FailureTracepoint():
        assert iterators.failures == {}
    assert len(limits) > 8
    assert set(limits) <= {hard, resource.RLIM_INFINITY}
    assert resource.getrlimit(resource.RLIMIT_MEMLOCK) == (0, hard)


@needs_root
def test_the_limit_that_may_not_be_raised_stays() -> None:
    def body() -> None:
        memory_limit.CHARGED_BEFORE = FUTURE  # type: ignore[misc] # in this child alone
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
        become(NOBODY)
        with memory_limit.raised():
            assert resource.getrlimit(resource.RLIMIT_MEMLOCK) == (0, 0)

    in_child(body)


@in_netns
def test_a_helper_that_the_kernel_lacks_is_named() -> None:
    code = Assembler()
    code.call(HELPER_OF_NO_KERNEL)
    code.leave()
    with pytest.raises(BpfUnavailable) as caught:
        loader.load_raw_tracepoint(code.assemble(), "sockwatch_test", "sys_exit")
    assert caught.value.reason == "old-kernel"
    assert str(HELPER_OF_NO_KERNEL) in str(caught.value)
    assert caught.value.log


@needs_task_files
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.EPERM, "refused"),
        (errno.EACCES, "refused"),
        (errno.ENOSYS, "old-kernel"),
        (errno.EINVAL, "old-kernel"),
        (524, "old-kernel"),
        (errno.ENOMEM, "refused"),
    ],
)
def test_other_answers(root: Path, code: int, reason: str) -> None:
    error = explained(code)
    assert (error.reason, error.errno) == (reason, code)


def test_nothing_can_be_read_about_the_process(root: Path) -> None:
    for file in root.iterdir():
        file.unlink()
    assert str(explained(errno.EPERM)) == "BPF needs CAP_BPF and CAP_PERFMON"
    assert explained(errno.ENOSYS).reason == "old-kernel"


def test_root_is_not_told_to_run_as_root(root: Path) -> None:
    for file in root.iterdir():
        file.unlink()
    remedy = explained(errno.EPERM).remedy
    assert remedy is not None
    assert ("as root" in remedy) == (os.geteuid() != 0)
