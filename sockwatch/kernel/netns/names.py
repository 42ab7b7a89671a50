"""Namespaces that have a name in the file system: mounts of nsfs, as proc_pid_mountinfo(5) tells.

No path is followed here: a mount on the way may be of a server that does not answer.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from sockwatch.model import HOST_NAME
from sockwatch.text import NAME_LIMIT, clean

OWN_MOUNTS: Final = "/proc/thread-self/mountinfo"
NAMED_NETNS: Final = b"/run/netns/"  # ip-netns(8)
_UUID = rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# Given by containerd, podman and CRI-O to namespaces that nobody has named.
_SAYS_NOTHING = re.compile(rb"(?:cni-|netns-)?" + _UUID)
_NSFS = re.compile(rb"net:\[(\d{1,10})\]")
_ESCAPED = re.compile(rb"\\([0-7]{3})")  # a space, tab, line end or backslash
# A lookup in these waits for no disk and no server; from what `/` is, we run.
_IN_MEMORY: Final = frozenset({b"tmpfs", b"ramfs", b"overlay", b"nsfs"})


class Mount(NamedTuple):
    """A line of mountinfo; `root` is what is mounted of the file system on `device`."""

    number: int
    parent: int
    device: bytes
    root: bytes
    path: bytes
    kind: bytes


class NetnsMount(NamedTuple):
    """`is_safe`: the path leads to it, through nothing that may wait."""

    inode: int
    path: bytes
    is_safe: bool


def netns_mounts(mountinfo: str = OWN_MOUNTS) -> list[NetnsMount]:
    """Every network namespace that is mounted there; none where that may not be read."""
    try:
        with open(mountinfo, "rb") as file:
            data = file.read()
    except OSError:
        return []
    return parse_netns_mounts(data) if b" - nsfs " in data else []


def parse_netns_mounts(data: bytes) -> list[NetnsMount]:
    """The same of a proc_pid_mountinfo(5)."""
    mounts = {mount.number: mount for mount in _mounts(data.split(b"\n"))}
    by_path = defaultdict(list)
    for mount in mounts.values():
        by_path[mount.path].append(mount)
    return [
        NetnsMount(int(inode[1]), mount.path, _is_safe(mount, mounts, by_path))
        for mount in mounts.values()
        if mount.kind == b"nsfs" and (inode := _NSFS.fullmatch(mount.root))
    ]


def names(mounts: Iterable[NetnsMount]) -> dict[int, str]:
    """The name given by ip-netns(8), by inode, where there is one that says something.

    What is mounted over a name has it, and what it covers has none; ``host`` is the host's.
    """
    found: dict[int, str] = {}
    uppermost = {mount.path: mount for mount in mounts}
    for path, mount in sorted(uppermost.items()):
        directory, name = os.path.split(path)
        says_something = not _SAYS_NOTHING.fullmatch(name) and name != HOST_NAME.encode()
        if directory + b"/" == NAMED_NETNS and says_something:
            found.setdefault(mount.inode, clean(name, NAME_LIMIT))
    return found


def _mounts(lines: Iterable[bytes]) -> Iterator[Mount]:
    for line in lines:
        left, _, right = line.partition(b" - ")
        fields, kind = left.split(b" "), right.partition(b" ")[0]
        if len(fields) > 5 and fields[0].isdigit() and fields[1].isdigit():
            number, parent, device, root, path = fields[:5]
            yield Mount(int(number), int(parent), device, root, _unescaped(path), kind)


def _unescaped(path: bytes) -> bytes:
    return _ESCAPED.sub(lambda octal: bytes([int(octal[1], 8) & 0xFF]), path)


def _is_safe(
    mount: Mount, mounts: Mapping[int, Mount], by_path: Mapping[bytes, list[Mount]]
) -> bool:
    """Whether all that is mounted on the way is what it lies in: nothing covers it."""
    around = {mount.number: mount}
    outer = mounts.get(mount.parent)
    while outer is not None and outer.number not in around:
        around[outer.number] = outer
        outer = mounts.get(outer.parent)
    ours = {each.device for each in around.values() if each.path == b"/"}
    for place in _places_on_the_way(mount.path):
        # A mount whose parent is not on the way is itself covered.
        here = {each.number for each in around.values() if each.path == place}
        around_here = here | {_nearest_above(place, around.values())}
        for each in by_path.get(place, ()):
            if each.number in here:
                if not (each.kind in _IN_MEMORY or each.device in ours):
                    return False
            elif each.parent in around_here:
                return False
    return True


def _nearest_above(place: bytes, around: Iterable[Mount]) -> int | None:
    """The number of the mount that a folder lies in, if nothing is mounted on that."""
    above = [each for each in around if each.path != place and _is_below(place, each.path)]
    return max(above, key=lambda each: len(each.path)).number if above else None


def _is_below(path: bytes, folder: bytes) -> bool:
    return path.startswith(folder.rstrip(b"/") + b"/")


def _places_on_the_way(path: bytes) -> Iterator[bytes]:
    yield path
    while path != b"/":
        path = os.path.dirname(path)
        if not path:
            return
        yield path
