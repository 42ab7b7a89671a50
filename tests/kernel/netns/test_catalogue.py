"""Every network namespace is found, whatever keeps it, and none is kept by looking."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from unittest.mock import patch

import pytest

from sockwatch.kernel.bpf import netns_iterators
from sockwatch.kernel.netns import finder, gaps
from sockwatch.kernel.netns.catalogue import NetnsCatalogue, NetnsGone
from sockwatch.kernel.netns.handles import namespace_id
from sockwatch.kernel.netns.reader import NetnsReader
from sockwatch.kernel.proc.pids import all_pids
from sockwatch.model import AS_ROOT, GapCode, KernelError, Netns
from tests.support.child import become, in_child
from tests.support.fds import open_fds
from tests.support.fuse import silent_mount
from tests.support.netns import fresh_netns, netns_inode
from tests.support.netns_kinds import (
    KINDS,
    NAMES,
    by_fd,
    by_name,
    by_process,
    by_socket,
    own_id,
    private_mounts,
)
from tests.support.privilege import needs_btf, needs_root, needs_task_files
from tests.support.seccomp import refuse
from tests.support.waiting import wait_until

NOBODY = 65534
CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF = 21, 38, 39
UUID = "0a1b2c3d-0123-4567-89ab-0123456789ab"
pytestmark = [needs_root, needs_btf]


def by_inode(catalogue: NetnsCatalogue) -> dict[int | None, Netns]:
    return {netns.inode: netns for netns in catalogue.namespaces(max_age_s=0)}


def has(catalogue: NetnsCatalogue, netns: Netns) -> bool:
    """Whether it lists this one, and not merely another one of the same number."""
    seen = by_inode(catalogue).get(netns.inode)
    return seen is not None and seen.id == netns.id


def wait_for_the_end_of(netns: Netns) -> None:
    """Ask the kernel's list, which opens nothing, in a catalogue of its own."""
    with NetnsCatalogue() as other:
        wait_until(lambda: not has(other, netns))


def several(catalogue: NetnsCatalogue) -> dict[int | None, Netns]:
    """Some that have ended when it returns, or are about to."""
    with ExitStack() as stack:
        inodes = {stack.enter_context(by_fd()) for _ in range(20)}
        found = by_inode(catalogue)
    return {inode: found[inode] for inode in inodes}


@pytest.fixture(autouse=True)
def _every_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaps, "MOST_NUMBERS", 1_000_000)  # others have namespaces, too


def is_gap(catalogue: NetnsCatalogue, inode: int) -> bool:
    """Whether the number was in a gap of the last answer."""
    codes = {gap.code for gap in catalogue.gaps if str(inode) in gap.text}
    return codes == {GapCode.NETNS_UNREAD}


def opens(catalogue: NetnsCatalogue, netns: Netns) -> bool:
    with catalogue.opened(netns) as fd:
        return os.fstat(fd).st_ino == netns.inode and netns.id in {None, namespace_id(fd)}


@needs_task_files
@pytest.mark.parametrize("by_id", [True, False])
def test_all_kinds_are_found_and_opened(*, by_id: bool) -> None:
    def body() -> None:
        private_mounts()
        with NetnsCatalogue(by_id=by_id) as catalogue, ExitStack() as stack:
            inodes = {kind: stack.enter_context(keep()) for kind, keep in KINDS.items()}
            found = by_inode(catalogue)
            assert not any(is_gap(catalogue, inode) for inode in inodes.values())
            assert [kind for kind, inode in inodes.items() if inode not in found] == []
            assert all(opens(catalogue, found[inode]) for inode in inodes.values())
            assert found[inodes["name"]].name == "blue"
            assert [found[inodes[kind]].pid for kind in ("thread", "fd", "socket")] == [None] * 3
            first = catalogue.namespaces()[0]
            assert first.inode == netns_inode()

    in_child(body)


@pytest.mark.parametrize(
    "kind",
    [pytest.param(k, marks=needs_task_files) if k == "socket" else k for k in KINDS],
)
@pytest.mark.parametrize("by_id", [True, False])
def test_one_that_ends_is_gone_and_no_fd_is_left(kind: str, *, by_id: bool) -> None:
    def body() -> None:
        private_mounts()
        with NetnsCatalogue(by_id=by_id) as catalogue, closing(NetnsReader(catalogue)) as reader:
            after_each = []
            for _ in range(3):
                with KINDS[kind]() as inode:
                    netns = by_inode(catalogue)[inode]
                    assert opens(catalogue, netns)
                    assert reader.take(inode, (), None).snapshot.netns.inode == inode
                wait_for_the_end_of(netns)
                assert not has(catalogue, netns)
                with pytest.raises(NetnsGone), catalogue.opened(netns):
                    pass
                after_each.append(open_fds())
            assert after_each[1] == after_each[2]

    in_child(body)


def test_a_number_that_is_given_again_is_another_namespace() -> None:
    def body() -> None:
        with NetnsCatalogue() as catalogue:
            ended = several(catalogue)
            if None in {netns.id for netns in ended.values()}:
                pytest.skip("this kernel has no ids of namespaces")

            def given_again() -> Netns | None:
                for netns in ended.values():
                    wait_for_the_end_of(netns)
                with ExitStack() as stack:
                    inodes = {stack.enter_context(by_fd()) for _ in ended}
                    found = by_inode(catalogue)
                    for inode in inodes & ended.keys():
                        assert opens(catalogue, found[inode])
                        with pytest.raises(NetnsGone), catalogue.opened(ended[inode]):
                            pass
                        return found[inode]
                    ended.update((inode, found[inode]) for inode in inodes)
                return None

            second = wait_until(given_again)
            assert second.id != ended[second.inode].id

    in_child(body)


def test_the_host_is_known_by_its_place_in_the_list() -> None:
    def body() -> None:
        with NetnsCatalogue() as catalogue:
            home = netns_inode()
            names_from_home = {netns.inode: netns.name for netns in catalogue.namespaces()}
            with fresh_netns():
                own, *others = catalogue.namespaces(max_age_s=0)
                assert (own.inode, own.name) == (netns_inode(), None)
                assert {netns.inode: netns.name for netns in others}[home] == names_from_home[home]

    in_child(body)


def test_an_answer_of_five_seconds_ago_is_good_enough() -> None:
    def body() -> None:
        with NetnsCatalogue() as catalogue:
            before = catalogue.namespaces()
            with by_fd() as inode:
                assert catalogue.namespaces() == before
                assert inode in by_inode(catalogue)

    in_child(body)


def test_what_stays_the_same_keeps_its_object() -> None:
    def body() -> None:
        with by_process() as inode, NetnsCatalogue() as catalogue:
            first = by_inode(catalogue)[inode]
            assert by_inode(catalogue)[inode] is first

    in_child(body)


@pytest.mark.whole_host  # a test that visits it meanwhile is a way to it
def test_one_that_no_way_leads_to_is_a_gap_with_its_number() -> None:
    """Only sockets keep it, of a process whose fds we may not touch."""

    def body() -> None:
        with by_socket() as inode:
            refuse("pidfd_getfd")
            with NetnsCatalogue(by_id=False) as catalogue:
                assert inode not in by_inode(catalogue)
                assert is_gap(catalogue, inode)
                with pytest.raises(KernelError) as raised, catalogue.opened(Netns(inode, None)):
                    pass
                assert not isinstance(raised.value, NetnsGone)

    in_child(body)


def test_without_bpf_there_are_those_with_a_process_a_thread_or_a_name() -> None:
    def body() -> None:
        private_mounts()
        refuse("bpf")
        with NetnsCatalogue() as catalogue, ExitStack() as stack:
            inodes = {kind: stack.enter_context(keep()) for kind, keep in KINDS.items()}
            found = by_inode(catalogue)
            seen = {kind for kind, inode in inodes.items() if inode in found}
            assert {"process", "thread", "name"} <= seen
            assert all(opens(catalogue, found[inodes[kind]]) for kind in seen)
            (gap,) = (gap for gap in catalogue.gaps if "seccomp" in gap.text)
            assert gap.remedy is not None

    in_child(body)


def test_a_program_for_few_gives_way_to_one_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netns_iterators, "FEW", (1,))

    def body() -> None:
        with by_fd() as inode, NetnsCatalogue() as catalogue:
            assert inode in by_inode(catalogue)
            assert catalogue.namespaces()[0].inode == netns_inode()

    in_child(body)


@needs_task_files
def test_too_many_are_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netns_iterators, "FEW", (1,))
    monkeypatch.setattr(finder, "MOST_NAMESPACES", 1)

    def body() -> None:
        with by_fd(), NetnsCatalogue() as catalogue:
            assert len(catalogue.namespaces()) < 3
            assert "more than" in catalogue.gaps[0].text

    in_child(body)


def test_an_ordinary_user_has_those_of_own_processes() -> None:
    def body() -> None:
        with by_process() as foreign, NetnsCatalogue() as catalogue:
            all_pids()  # imports what NOBODY may not read
            become(NOBODY)
            assert catalogue.namespaces()[0].inode == netns_inode()
            assert foreign not in by_inode(catalogue)
            (gap,) = catalogue.gaps
            assert gap.remedy == AS_ROOT

    in_child(body)


def test_root_without_capabilities_does_not_see_all() -> None:
    def body() -> None:
        with by_process() as foreign, NetnsCatalogue() as catalogue:
            become(0)
            assert foreign not in by_inode(catalogue)
            gaps = [gap for gap in catalogue.gaps if "may not be read" in gap.text]
            assert [gap.remedy for gap in gaps] == ["run with the capabilities of those processes"]

    in_child(body)


@pytest.mark.parametrize("name", ["a b", "ev\x1bil", "\u202ex"])
def test_a_name_is_made_printable(name: str) -> None:
    def body() -> None:
        private_mounts()
        with by_name(name) as inode, NetnsCatalogue() as catalogue:
            shown = by_inode(catalogue)[inode].name
            assert shown is not None
            assert shown.isprintable()
            assert opens(catalogue, by_inode(catalogue)[inode])

    in_child(body)


@pytest.mark.parametrize("name", [f"cni-{UUID}", f"netns-{UUID}", UUID])
def test_a_name_that_says_nothing_is_none(name: str) -> None:
    def body() -> None:
        private_mounts()
        with by_name(name) as inode, NetnsCatalogue() as catalogue:
            assert by_inode(catalogue)[inode].name is None

    in_child(body)


def test_entries_of_the_folder_of_names_that_are_no_namespaces() -> None:
    def body() -> None:
        private_mounts()
        NAMES.mkdir()
        os.mkfifo(NAMES / "fifo")
        (NAMES / "link").symlink_to("/proc/self/ns/net")
        (NAMES / "file").touch()
        with by_name() as inode, NetnsCatalogue(by_id=False) as catalogue:
            found = by_inode(catalogue)
            assert found[inode].name == "blue"
            assert {"fifo", "link", "file"}.isdisjoint(netns.name for netns in found.values())
            assert opens(catalogue, found[inode])

    in_child(body)


@needs_task_files
def test_one_that_may_not_be_opened_is_looked_for_once() -> None:
    """To look again costs milliseconds, and so would each of hundreds, again and again."""

    def looks() -> list[int]:
        become(0, CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF)
        counts = []
        with NetnsCatalogue(by_id=False) as catalogue:
            netns = by_inode(catalogue)[inode]
            look = catalogue._finder.look
            for _ in range(2):
                with patch.object(catalogue._finder, "look", side_effect=look) as counted:
                    with pytest.raises(KernelError, match="cannot be opened"):
                        opens(catalogue, netns)
                    counts.append(counted.call_count)
        return counts

    with by_process() as inode:
        first, second = in_child(looks)
    assert first > 0
    assert second == 0


@pytest.mark.whole_host  # as above
@pytest.mark.timeout(60)
@pytest.mark.parametrize("by_id", [True, False])
def test_a_dead_mount_over_the_folder_of_names_holds_up_nobody(*, by_id: bool) -> None:
    def body() -> None:
        if by_id:
            own_id()
        private_mounts()
        with (
            by_name() as inode,
            silent_mount(NAMES),
            NetnsCatalogue(by_id=by_id) as catalogue,
        ):
            found = by_inode(catalogue)
            assert (inode in found) == by_id
            if by_id:
                assert opens(catalogue, found[inode])
            else:
                assert is_gap(catalogue, inode)

    in_child(body)
