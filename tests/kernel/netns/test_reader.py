"""The thread that enters other namespaces."""

from __future__ import annotations

import os
import threading
from contextlib import closing, suppress

import pytest

from sockwatch.kernel.netns.catalogue import NetnsGone
from sockwatch.kernel.netns.handles import namespace_id
from sockwatch.kernel.netns.reader import NetnsReader
from sockwatch.kernel.proc.pids import all_pids
from sockwatch.model import KernelError
from tests.support.child import in_child
from tests.support.netns import netns_inode
from tests.support.netns_kinds import by_fd, by_process, by_socket
from tests.support.privilege import needs_root
from tests.support.waiting import wait_until

pytestmark = needs_root


def test_one_without_a_process_is_entered_by_its_number() -> None:
    def body() -> None:
        with by_socket() as inode, closing(NetnsReader()) as reader:
            assert reader.run(inode, (), netns_inode) == inode
            assert reader.run(reader.home_inode, (), netns_inode) == netns_inode()

    in_child(body)


def test_a_process_that_is_elsewhere_by_now_misleads_nobody() -> None:
    def body() -> None:
        with by_process() as inode, closing(NetnsReader()) as reader:
            assert reader.run(inode, (os.getpid(),), netns_inode) == inode

    in_child(body)


def test_another_namespace_of_the_same_number_is_not_entered() -> None:
    def body() -> None:
        with by_process() as inode, closing(NetnsReader()) as reader:
            pid = next(pid for pid in all_pids() if _is_in(pid, inode))
            with open(f"/proc/{pid}/ns/net") as there:
                identity = namespace_id(there.fileno())
            if identity is None:
                pytest.skip("this kernel has no ids of namespaces")
            assert reader.run(inode, (pid,), netns_inode, identity) == inode
            assert reader.take(inode, (pid,), None, identity=identity).snapshot.netns.inode == inode
            with pytest.raises(NetnsGone):
                reader.run(inode, (pid,), netns_inode, identity + 1)
            with pytest.raises(NetnsGone):
                reader.take(inode, (pid,), None, identity=identity + 1)

    in_child(body)


def _is_in(pid: int, inode: int) -> bool:
    with suppress(OSError):
        return os.stat(f"/proc/{pid}/ns/net").st_ino == inode
    return False


def test_a_thread_that_cannot_return_is_never_used_again() -> None:
    def body() -> None:
        with closing(NetnsReader()) as reader:
            lost = reader.run(reader.home_inode, (), threading.current_thread)
            with by_fd() as inode, open("/dev/null") as no_namespace:
                home, reader._visitor._home = reader._visitor._home, no_namespace.fileno()
                with pytest.raises(KernelError, match="cannot be entered"):
                    reader.run(inode, (), netns_inode)
                reader._visitor._home = home
            wait_until(lambda: not lost.is_alive())  # and so keeps nothing
            assert reader.run(reader.home_inode, (), netns_inode) == netns_inode()

    in_child(body)
