"""What proc_pid_mountinfo(5) tells of namespaces, without following a path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockwatch.kernel.netns.names import NetnsMount, names, parse_netns_mounts

ROOT = "21 1 8:1 / / rw - ext4 /dev/sda1 rw"
RUN = "22 21 0:20 / /run rw shared:5 - tmpfs tmpfs rw"
NAMES = "23 22 0:20 /netns /run/netns rw shared:5 - tmpfs tmpfs rw"
BLUE = "30 23 0:4 net:[4026532290] /run/netns/blue rw - nsfs nsfs rw"
PATH = b"/run/netns/blue"


def parsed(*lines: str) -> list[NetnsMount]:
    return parse_netns_mounts("\n".join(lines).encode())


def test_a_name_of_ip_netns() -> None:
    (mount,) = parsed(ROOT, RUN, NAMES, BLUE)
    assert mount == NetnsMount(4026532290, PATH, is_safe=True)
    assert names([mount]) == {4026532290: "blue"}


def test_other_namespaces_and_files_of_that_name_are_none() -> None:
    assert (
        parsed(
            ROOT,
            "30 21 0:4 mnt:[4026532290] /run/snapd/ns/x.mnt rw - nsfs nsfs rw",
            "31 21 0:20 net:[4026532290] /run/netns/x rw - tmpfs nsfs rw",
        )
        == []
    )


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/run/docker/netns/0a1b2c3d4e5f", None),
        ("/run/netns/deep/blue", None),
        ("/run/netns/cni-0a1b2c3d-0123-4567-89ab-0123456789ab", None),
        ("/run/netns/cni-blue", "cni-blue"),
        ("/run/netns/host", None),
        (r"/run/netns/a\040b", "a b"),
        (r"/run/netns/a\012b", "a b"),
    ],
)
def test_what_is_a_name(path: str, name: str | None) -> None:
    mounts = parsed(ROOT, RUN, f"30 22 0:4 net:[1] {path} rw - nsfs nsfs rw")
    assert names(mounts).get(1) == name


def test_what_is_covered_has_no_name() -> None:
    over = "40 30 0:4 net:[7] /run/netns/blue rw - nsfs nsfs rw"
    assert names(parsed(ROOT, RUN, NAMES, BLUE, over)) == {7: "blue"}


@pytest.mark.parametrize(
    "other",
    [
        "40 23 0:50 / /run/netns rw - fuse.sshfs x rw",  # over the folder
        "40 30 0:50 / /run/netns/blue rw - fuse.sshfs x rw",  # over the name itself
        "40 22 0:50 / /run rw - tmpfs x rw",  # even what waits for nobody hides it
    ],
)
def test_what_is_covered_is_not_opened(other: str) -> None:
    assert [mount.is_safe for mount in parsed(ROOT, RUN, NAMES, BLUE, other)] == [False]


def test_a_name_within_what_may_wait_is_not_opened() -> None:
    names_on_nfs = NAMES.replace("tmpfs tmpfs", "nfs4 server:/x")
    assert [mount.is_safe for mount in parsed(ROOT, RUN, names_on_nfs, BLUE)] == [False]


@pytest.mark.parametrize(
    ("lines", "is_safe"),
    [
        # `ip netns add` binds /run/netns to itself, where /run is no file system of its own.
        (["23 21 8:1 /run/netns /run/netns rw shared:1 - ext4 /dev/sda1 rw"], True),
        (["23 21 8:2 /run/netns /run/netns rw shared:1 - ext4 /dev/sdb1 rw"], False),
        # Covered by RUN, with what lies in it.
        (["40 21 0:50 / /run/netns rw - fuse.sshfs x rw", RUN, NAMES], True),
    ],
)
def test_where_the_folder_of_names_may_lie(lines: list[str], is_safe: bool) -> None:
    assert [mount.is_safe for mount in parsed(ROOT, *lines, BLUE)] == [is_safe]


def test_a_mount_beside_it_does_not_matter() -> None:
    beside = "40 22 0:50 / /run/netns-of-others rw - fuse.sshfs x rw"
    assert [mount.is_safe for mount in parsed(ROOT, RUN, NAMES, BLUE, beside)] == [True]


def test_mounts_that_lie_in_each_other() -> None:
    assert parsed("1 2 0:1 / / rw - tmpfs x rw", "2 1 0:1 net:[7] /a rw - nsfs x rw")


@given(st.lists(st.binary()).map(b"\n".join))
def test_any_bytes(data: bytes) -> None:
    parse_netns_mounts(data)


FIELDS = st.lists(st.sampled_from([b"1", b"2", b"/", b"/a", b"a", b"net:[7]", b"-", b"nsfs", b""]))


@given(st.lists(FIELDS.map(b" ".join)).map(b"\n".join))
def test_lines_made_of_what_may_be_in_them(data: bytes) -> None:
    assert all(mount.inode == 7 for mount in parse_netns_mounts(data))
