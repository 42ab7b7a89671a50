"""Whatever /proc holds, and whoever wrote it: a value or none, and no exception."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from sockwatch.kernel import facts
from sockwatch.kernel.proc.proc_stat import parse_stat
from sockwatch.kernel.proc.processes import parse_effective_uid
from sockwatch.kernel.proc.services import (
    UNIFIED,
    V1_HIERARCHIES,
    cgroup_folder,
    hierarchies,
    service_of,
)

PARTS = st.sampled_from(
    [
        "system.slice",
        "user.slice",
        "user-0.slice",
        "user@0.service",
        "a.service",
        "..",
        "",
        "0::",
        " ",
    ]
)
PATHS = st.one_of(st.text(max_size=60), st.lists(PARTS, max_size=7).map("/".join))


@given(st.binary(max_size=200))
@example(b"1 (a) b) S 1 " + b"0 " * 40)
@example(b") (")
def test_proc_pid_stat(text: bytes) -> None:
    found = parse_stat(text)
    assert found is None or isinstance(found.start_ticks, int)


@given(st.text(max_size=60))
@example("8080,9000-")
def test_sysctls(text: str) -> None:
    for pair in facts._reserved(text):
        assert len(pair) == 2
    assert len(facts._pair(text) or (0, 0)) == 2


@given(PATHS)
@example("/user.slice/user-0.slice/user@99999999999.service/a.slice/b.service")
def test_services(path: str) -> None:
    service = service_of(path)
    assert service is None or ("/" + path.strip("/")).startswith(service.path)
    cgroup_folder(path.encode("utf-8", "surrogateescape"))


@given(st.lists(st.one_of(st.text(), st.lists(st.sampled_from(
    ["36 35 98:0", "/", "/sys/fs/cgroup", "-", "cgroup", "cgroup2", "rw,name=systemd", "", "\n"]
)).map(" ".join))))  # fmt: skip
def test_mountinfo(lines: list[str]) -> None:
    assert hierarchies(lines).keys() <= {UNIFIED, *V1_HIERARCHIES}


def test_a_mount_without_a_source_hides_none_of_the_others() -> None:
    lines = ["29 1 0:26 / /mnt rw - tmpfs  rw\n", "30 1 0:27 / /cg rw - cgroup2 cgroup2 rw\n"]
    assert hierarchies(lines) == {"0": "/cg"}


@given(st.binary(max_size=300))
@example(b"Name:\ta\nUid:\t1000")
@example(b"Name:\ta\nUid:\tx\ty\n")
@example(b"Name:\ta\nUid:\t1\t2\t3\t4\n")
def test_proc_pid_status(text: bytes) -> None:
    uid = parse_effective_uid(text)
    assert uid is None or isinstance(uid, int)
