"""Opening, keeping and closing the iterators; namespaces; what goes wrong."""

from __future__ import annotations

import errno
import os
import socket
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from sockwatch.kernel.bpf import iterator as module
from sockwatch.kernel.bpf import loader, rows
from sockwatch.kernel.bpf.errors import BpfUnavailable
from sockwatch.kernel.bpf.iterators import SocketIterators
from sockwatch.kernel.bpf.layout import Layout, read_layout
from sockwatch.model import KernelError
from tests.kernel.bpf.sockets import address_of, flags_of
from tests.support.child import idle_child, in_child, in_netns
from tests.support.netns import CLONE_NEWPID, enter_new_netns, netns_inode, unshare
from tests.support.privilege import needs_task_files

if TYPE_CHECKING:
    from collections.abc import Callable


def open_fds() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def look(iterators: SocketIterators) -> None:
    iterators.tcp_summary()
    iterators.udp()
    iterators.task_files()
    iterators.tcp_summary(80)


@needs_task_files
@in_netns
def test_no_fd_stays_open() -> None:
    before = open_fds()
    with SocketIterators() as iterators:
        look(iterators)
        opened = open_fds()
        for _ in range(200):
            look(iterators)
        assert open_fds() == opened
    assert open_fds() == before
    iterators.close()
    with pytest.raises(ValueError, match="closed"):
        iterators.tcp_summary()


@needs_task_files
@in_netns
def test_no_fd_stays_open_when_opening_or_reading_fails() -> None:
    layout = read_layout()
    before = open_fds()
    for functions in ({}, dict.fromkeys(layout.functions, 1)):
        with pytest.raises(BpfUnavailable):
            SocketIterators(Layout(functions, layout.fields))
    assert open_fds() == before
    with SocketIterators() as iterators, pytest.MonkeyPatch.context() as patch:
        opened = open_fds()

        def fail(*_: object) -> bytes:
            raise OSError(errno.ENOMEM, "no memory")

        patch.setattr(os, "read", fail)
        for ask in (iterators.tcp_summary, iterators.udp, iterators.task_files):
            with pytest.raises(KernelError) as caught:
                ask()
            assert caught.value.errno == errno.ENOMEM
        assert open_fds() == opened
    assert open_fds() == before


@in_netns
def test_one_iterator_that_cannot_be_had_leaves_the_others() -> None:
    layout = read_layout()
    functions = {k: v for k, v in layout.functions.items() if k != "bpf_iter_task_file"}
    fields = {k: v for k, v in layout.fields.items() if "timewait" not in k}
    with SocketIterators(Layout(functions, fields)) as iterators:
        assert {name: error.reason for name, error in iterators.failures.items()} == {
            "tcp": "old-kernel",
            "task_file": "old-kernel",
        }
        assert list(iterators.udp()) == []
        asks: list[Callable[[], object]] = [
            iterators.tcp_summary,
            iterators.task_files,
        ]
        for ask in asks:
            with pytest.raises(BpfUnavailable, match="has no"):
                ask()


@in_netns
def test_the_verifiers_log_is_carried_whole() -> None:
    function = read_layout().function("bpf_iter_tcp")
    with pytest.raises(BpfUnavailable) as caught:
        loader.load_iterator(bytes.fromhex("9500000000000000"), "bad", function)
    error = caught.value
    assert error.reason == "verifier"
    assert "R0 !read_ok" in str(error)
    assert "R0 !read_ok" in error.log
    assert "processed" in error.log


@pytest.mark.parametrize(("offset", "reason"), [(20_000, "verifier"), (100_000, "bad-btf")])
@in_netns
def test_wrong_offsets_are_an_error(offset: int, reason: str) -> None:
    layout = read_layout()
    before = open_fds()
    fields = dict(layout.fields)
    fields["sock_common.skc_cookie"] = fields["sock_common.skc_cookie"]._replace(offset=offset)
    with pytest.raises(BpfUnavailable) as caught:
        SocketIterators(layout._replace(fields=fields))
    assert caught.value.reason == reason
    assert (reason == "verifier") == ("sock_common" in caught.value.log)
    assert open_fds() == before


@needs_task_files
@in_netns
def test_a_kernel_without_ipv6_has_no_such_members() -> None:
    layout = read_layout()
    fields = {k: v for k, v in layout.fields.items() if "skc_v6_" not in k}
    with (
        SocketIterators(layout._replace(fields=fields)) as iterators,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        assert iterators.failures == {}
        (row,) = iterators.tcp_summary().rows
        assert address_of(row) == "127.0.0.1"
        assert row.port == server.getsockname()[1]


@in_netns
def test_a_run_that_is_cut_short_is_an_error() -> None:
    with SocketIterators() as iterators, socket.create_server(("127.0.0.1", 0)):
        read_all = module._read_all
        for spoil in (
            lambda *_: b"",
            lambda *how: read_all(*how)[: -rows.ROW_STRUCT.size],
            lambda *how: read_all(*how)[:-1],
        ):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(module, "_read_all", spoil)
                with pytest.raises(KernelError, match="cut short"):
                    iterators.tcp_summary()
        assert len(iterators.tcp_summary().rows) == 1


@needs_task_files
@in_netns
def test_a_process_that_is_born_during_a_run_does_not_cut_it_short() -> None:
    """Its pid comes behind all others, and the kernel has written the closing record already."""
    born: list[int] = []
    read = os.read

    def inside() -> None:
        with SocketIterators() as iterators, ExitStack() as stack:

            def read_and_fork(fd: int, size: int) -> bytes:
                data = read(fd, size)
                if size == module._READ_BYTES and not born:
                    born.append(stack.enter_context(idle_child()))
                return data

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(os, "read", read_and_fork)
                assert [row.pid for row in iterators.task_files(netns_inode())] == [1]
            assert [row.pid for row in iterators.task_files(netns_inode())] == [1, *born]
            assert born

    with socket.create_server(("127.0.0.1", 0)):
        unshare(CLONE_NEWPID)  # where no process of before has a higher pid
        in_child(inside)


def test_a_read_that_fails_with_eagain_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[bytes | None] = [b"ab", None, b"c", b""]

    def read(_fd: int, _size: int) -> bytes:
        answer = answers.pop(0)
        if answer is None:
            raise BlockingIOError
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(os, "read", read)
        data = module._read_all(0, lambda _: False)
    assert data == b"abc"


@needs_task_files
@in_netns
def test_a_look_shows_the_namespace_of_the_calling_thread() -> None:
    home = netns_inode()
    server = socket.create_server(("127.0.0.1", 8001))
    seen: dict[str, object] = {}
    with SocketIterators() as iterators:

        def elsewhere() -> None:
            enter_new_netns()
            other = socket.create_server(("127.0.0.1", 8002))
            seen["tcp"] = [row.port for row in iterators.tcp_summary().rows]
            seen["here"] = [row.port for row in iterators.task_files(netns_inode())]
            seen["home"] = [row.port for row in iterators.task_files(home)]
            every = {row.port for row in iterators.task_files()}
            seen["every"] = every >= {8001, 8002}
            other.close()

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert seen == {"tcp": [8002], "here": [8002], "home": [8001], "every": True}
        assert [row.port for row in iterators.tcp_summary().rows] == [8001]
    server.close()


@needs_task_files
@in_netns
def test_every_holder_is_there() -> None:
    with SocketIterators() as iterators, socket.create_server(("127.0.0.1", 8001)) as server:
        copy = os.dup(server.fileno())
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(writer)
            os.read(reader, 1)  # until the parent has looked
            os._exit(0)
        os.close(reader)
        held = [(row.pid, row.fd) for row in iterators.task_files(netns_inode(), 8001)]
        expected = {(pid, fd) for pid in (os.getpid(), child) for fd in (server.fileno(), copy)}
        assert len(held) == len(expected)
        assert set(held) == expected
        os.close(writer)
        os.waitpid(child, 0)


@needs_task_files
@in_netns
def test_a_process_with_threads_is_one_holder() -> None:
    release = threading.Event()
    threads = [threading.Thread(target=release.wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        with SocketIterators() as iterators, socket.create_server(("127.0.0.1", 8001)) as server:
            held = [(row.pid, row.fd) for row in iterators.task_files(netns_inode())]
            assert held == [(os.getpid(), server.fileno())]
    finally:
        release.set()
        for thread in threads:
            thread.join()


@needs_task_files
@in_netns
def test_pids_are_those_of_our_own_pid_namespace() -> None:
    server = socket.create_server(("127.0.0.1", 8001))
    inode = netns_inode()

    def inside() -> None:
        assert os.getpid() == 1
        with SocketIterators() as iterators:
            assert [row.pid for row in iterators.task_files(inode)] == [1]

            def deeper() -> None:
                assert [row.pid for row in iterators.task_files(inode)] == [1]

            unshare(CLONE_NEWPID)
            in_child(deeper)

    with SocketIterators() as outer:
        unshare(CLONE_NEWPID)
        in_child(inside)
        assert [row.pid for row in outer.task_files(inode)] == [os.getpid()]
    server.close()


@needs_task_files
@in_netns
def test_an_older_kernel_cannot_tell_the_pids_of_a_container() -> None:
    layout = read_layout()
    fields = dict(layout.fields)
    fields["pid.numbers"] = fields["pid.numbers"]._replace(size=16)
    older = layout._replace(fields=fields)

    def inside() -> None:
        with SocketIterators(older) as iterators:
            assert iterators.failures["task_file"].reason == "pid-namespace"
            assert len(iterators.tcp_summary().rows) == 1
            with pytest.raises(BpfUnavailable):
                iterators.task_files()

    with socket.create_server(("127.0.0.1", 8001)), SocketIterators(older) as iterators:
        assert [row.pid for row in iterators.task_files(netns_inode())] == [os.getpid()]
        unshare(CLONE_NEWPID)
        in_child(inside)


@needs_task_files
@in_netns
def test_sockets_that_are_no_tcp_or_udp_are_left_out() -> None:
    others = [
        socket.socket(socket.AF_UNIX),
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4),
        socket.socket(socket.AF_INET, socket.SOCK_RAW, 17),
        socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58),
    ]
    with SocketIterators() as iterators, socket.create_server(("127.0.0.1", 8001)):
        held = iterators.task_files(netns_inode())
        assert [row.port for row in held] == [8001]
    for other in others:
        other.close()


def has_mptcp() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_mptcp(), reason="the kernel has no MPTCP")
@in_netns
def test_mptcp_is_seen_by_its_subflow_and_by_its_holder() -> None:
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", 8001))
    server.listen()
    with SocketIterators() as iterators:
        (row,) = iterators.tcp_summary(8001).rows
        assert flags_of(row).reuseaddr
        (held,) = iterators.task_files(netns_inode(), 8001)
        assert (held.fd, flags_of(held).reuseaddr) == (server.fileno(), True)
    server.close()
