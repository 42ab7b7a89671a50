"""The kernel's ring of network namespaces, as bytes and for real."""

from __future__ import annotations

import os
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockwatch.kernel.bpf import netns_file_program
from sockwatch.kernel.bpf.btf_cache import load_layout
from sockwatch.kernel.bpf.netns_iterators import Keeper, KernelNetns, NetnsIterators, decode_ring
from sockwatch.kernel.bpf.netns_program import ELEMENT_STRUCT
from sockwatch.model import KernelError
from tests.support.child import idle_child, in_netns
from tests.support.netns import netns_inode
from tests.support.netns_kinds import by_fd, by_socket, by_thread
from tests.support.privilege import needs_task_files

HEAD = ELEMENT_STRUCT.pack(1 << 40, 99, 98, 97)


def element(inode: int, *, identity: int = 0, references: int = 1) -> bytes:
    return ELEMENT_STRUCT.pack(0, identity, inode, references)


def test_the_initial_one_follows_the_head() -> None:
    assert list(decode_ring(element(5) + HEAD + element(6, identity=7) + element(8))) == [
        KernelNetns(5, None, is_initial=False),
        KernelNetns(6, 7, is_initial=True),
        KernelNetns(8, None, is_initial=False),
    ]


def test_the_ring_may_begin_with_the_initial_one() -> None:
    assert list(decode_ring(element(5) + HEAD)) == [KernelNetns(5, None, is_initial=True)]


def test_what_has_ended_is_left_out() -> None:
    assert list(decode_ring(element(5, references=0) + HEAD)) == []


def test_two_heads_are_none() -> None:
    with pytest.raises(KernelError):
        list(decode_ring(element(5) + HEAD + HEAD))


@given(st.binary(max_size=30 * ELEMENT_STRUCT.size))
def test_any_bytes(data: bytes) -> None:
    try:
        namespaces = list(
            decode_ring(data[: len(data) // ELEMENT_STRUCT.size * ELEMENT_STRUCT.size])
        )
    except KernelError:
        return
    assert sum(each.is_initial for each in namespaces) <= 1


@in_netns
def test_processes_and_threads_are_where_proc_says() -> None:
    with by_thread() as elsewhere, idle_child() as pid, closing(NetnsIterators(None, 64)) as kernel:
        look = kernel.look()
        assert (netns_inode(), False) in {
            (member.netns_inode, member.is_thread) for member in look.members if member.pid == pid
        }
        assert {
            (member.netns_inode, member.is_thread)
            for member in look.members
            if member.pid == os.getpid()
        } == {(netns_inode(), False), (elsewhere, True)}
        assert {netns_inode(), elsewhere} <= {each.inode for each in look.namespaces}
        assert sum(each.is_initial for each in look.namespaces) == 1


@needs_task_files
@in_netns
def test_members_that_lie_far_apart_are_those_of_the_namespace() -> None:
    """As where the count of references has a cache line of its own: a 7.0-era struct ns_common."""
    layout = load_layout()
    path = next(path for path in layout.fields if path.startswith("net.ns.") and "refs" in path)
    passive = layout.fields[path]._replace(offset=0)  # the other count of a struct net, its first
    apart = layout._replace(fields={**layout.fields, path: passive})
    with closing(NetnsIterators(layout, 64)) as kernel, closing(NetnsIterators(apart, 64)) as same:
        assert set(kernel.look().namespaces) <= set(same.look().namespaces)


@in_netns
def test_an_fd_of_a_namespace_is_seen() -> None:
    with by_fd() as inode, closing(NetnsIterators(None, 64)) as kernel:
        (keeper,) = [each for each in kernel.keepers() if each.inode == inode]
        assert keeper == Keeper(inode, os.getpid(), keeper.fd, is_socket=False)
        assert os.fstat(keeper.fd).st_ino == inode


@in_netns
def test_without_the_helper_for_sockets_the_fds_of_namespaces_are_seen() -> None:
    """As before 5.11."""
    netns_file_program.SOCK_FROM_FILE = 54_321  # type: ignore[attr-defined] # of no kernel, in this child
    with by_fd() as inode, by_socket() as of_socket, closing(NetnsIterators(None, 64)) as kernel:
        inodes = {each.inode for each in kernel.keepers()}
        assert inode in inodes
        assert of_socket not in inodes
