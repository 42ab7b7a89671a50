"""To whom a namespace belongs, by what its oldest process belongs to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from sockwatch.kernel.netns import origins
from sockwatch.kernel.netns.catalogue import NetnsCatalogue
from sockwatch.kernel.netns.finder import NetnsFinder
from sockwatch.kernel.netns.found import FoundNetns
from sockwatch.kernel.netns.origins import NetnsOrigins, origin_of_netns
from sockwatch.kernel.proc.services import UNIFIED, hierarchy_mounts
from sockwatch.model import Origin
from tests.support.child import idle_child, in_child
from tests.support.netns import enter_new_netns
from tests.support.privilege import needs_btf, needs_root
from tests.support.waiting import wait_until

POD = Origin("pod", "0a1b", "shop/cart-0", "file")
SANDBOX = Origin("containerd", "77" * 32, None, "cgroup", outer=POD)
WEB = Origin("docker", "ab" * 32, "web", "file")
UNIT = Origin("unit", "", "resolver.service", "cgroup")
SESSION = Origin("session", "3", "session-3.scope", "cgroup")
NESTED = Origin("docker", "cd" * 32, "inner", "file", outer=WEB)


@pytest.mark.parametrize(
    ("process", "leads", "expected"),
    [
        (WEB, True, WEB),
        (WEB, None, WEB),  # cgroup v1
        (WEB, False, None),  # a child of the container that has left its namespace
        (NESTED, True, NESTED),
        (SANDBOX, True, POD),
        (POD, True, POD),
        (UNIT, True, UNIT),
        (UNIT, None, None),  # it may be of any child
        (UNIT, False, None),
        (SESSION, True, None),  # `unshare -n` of somebody who is logged in
        (None, True, None),
    ],
)
def test_the_oldest_process_tells(
    process: Origin | None, leads: bool | None, expected: Origin | None
) -> None:
    found = FoundNetns(7, pid=1234, leads_cgroup=leads)
    assert origin_of_netns(found, lambda _: process) == expected


def test_the_host_belongs_to_nobody() -> None:
    assert origin_of_netns(FoundNetns(7, is_host=True, pid=1), lambda _: WEB) is None


@needs_root
@needs_btf
def test_the_answer_lasts_as_long_as_the_process() -> None:
    def body() -> None:
        asked: list[int] = []

        def origin_of(pid: int) -> Origin | None:
            asked.append(pid)
            return WEB

        with (
            made_cgroup() as join,
            NetnsCatalogue(origin_of) as catalogue,
            idle_child(lambda: join(enter_new_netns)) as pid,
        ):
            inode = os.stat(f"/proc/{pid}/ns/net").st_ino
            for _ in range(2):
                seen = {each.inode: each for each in catalogue.namespaces(max_age_s=0)}
                assert seen[inode].label == "container web"
            assert asked.count(pid) == 1

    in_child(body)


def test_a_look_does_not_wait_for_many_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not answer takes each question some time; the rest is asked in the next."""
    found = [FoundNetns(inode, pid=inode, leads_cgroup=True) for inode in range(1, 4)]
    known = NetnsOrigins(lambda _: WEB)
    monkeypatch.setattr(origins, "LIMIT_S", 0.0)
    assert known.of(found) == dict.fromkeys(found)
    monkeypatch.undo()
    assert known.of(found) == dict.fromkeys(found, WEB)


def test_a_container_is_given_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    found = FoundNetns(7, pid=1234, leads_cgroup=True)
    names = iter(("web", "web2", None, "web3"))
    known = NetnsOrigins(lambda _: WEB._replace(name=next(names)))
    for _ in range(2):
        assert known.of([found]) == {found: WEB}
    monkeypatch.setattr(origins, "ASK_AGAIN_S", 0.0)
    for _ in range(2):  # the second time, no file of the runtime can be read
        assert known.of([found]) == {found: WEB._replace(name="web2")}
    monkeypatch.setattr(origins, "RENEWALS_S", 0.0)
    assert known.of([found]) == {found: WEB._replace(name="web2")}  # there was no time


@needs_root
@needs_btf
def test_only_the_eldest_of_a_cgroup_leads_it() -> None:
    def body() -> None:
        with (
            made_cgroup() as join,
            idle_child(lambda: join(enter_new_netns)) as eldest,
            idle_child(lambda: join(enter_new_netns)) as younger,
            closing(NetnsFinder()) as finder,
        ):
            finder.look()
            leads = {found.pid: found.leads_cgroup for found in finder.found.values()}
            assert (leads[eldest], leads[younger]) == (True, False)

    in_child(body)


@contextmanager
def made_cgroup() -> Iterator[Callable[[Callable[[], None]], None]]:
    """A cgroup of version 2 that children join before they do something else."""
    if UNIFIED not in hierarchy_mounts():
        pytest.skip("cgroup v2 is not mounted here")
    folder = Path(hierarchy_mounts()[UNIFIED], f"sockwatch-netns-{os.getpid()}")
    folder.mkdir()

    def join(then: Callable[[], None]) -> None:
        (folder / "cgroup.procs").write_text(str(os.getpid()))
        then()

    try:
        yield join
    finally:
        wait_until(lambda: not (folder / "cgroup.procs").read_text())
        folder.rmdir()
