"""Which network namespace a word means, and which word means a network namespace."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from sockwatch.model import HOST_NAME, Netns, SockwatchError
from sockwatch.text import NAME_LIMIT, clean

NAMED: Final = "/run/netns"  # ip-netns(8)
LARGEST_PID: Final = 1 << 22  # PID_MAX_LIMIT of include/linux/threads.h; inodes of nsfs lie above
LIST_THEM: Final = "sockwatch ports --all-netns lists them"
# What can be typed as it is, and is no number.
_WORD: Final = re.compile(r"(?!\d+\Z)\w[\w.-]*", re.ASCII)

InodeOf: TypeAlias = Callable[[str], int | None]


class ChoiceError(SockwatchError):
    """The word means no network namespace, or more than one."""


def choose(word: str, namespaces: Sequence[Netns], inode_of: InodeOf) -> Netns:
    """The one that the word means.

    The word is ``host``, a name of ip-netns(8), the name or the beginning of the id of what it
    belongs to, a PID, an inode number, or a path that begins with ``/`` or ``.``. `inode_of` tells
    the namespace of a path, None if it is no path of one; what it raises is raised. Raises
    ChoiceError with what was wrong and what to type.
    """
    if word.startswith(("/", ".")):
        inode = inode_of(word)
        if inode is None:
            raise ChoiceError(f"{word!r} is no network namespace; {LIST_THEM}")
        return _known(inode, namespaces)
    meant = dict.fromkeys((*_called(word, namespaces), *_found(word, namespaces, inode_of)))
    if not meant:
        meant = dict.fromkeys(_by_id(word, namespaces))
    if not meant:
        raise ChoiceError(f"{_nothing(word)}; {LIST_THEM}")
    if len(meant) > 1:
        what = " or ".join(netns.label for netns in meant)
        numbers = " or ".join(str(_number(netns)) for netns in meant)
        raise ChoiceError(f"{word!r} could be {what}; type its number: {numbers}")
    return next(iter(meant))


def word_for(netns: Netns, namespaces: Sequence[Netns]) -> str:
    """What to type for it: its shortest name that means no other one, else its number."""
    for word in (netns.name, netns.origin and netns.origin.short_name):
        if word and _WORD.fullmatch(word):
            meant = {*_called(word, namespaces)} or {*_by_id(word, namespaces)}
            if meant == {netns}:
                return word
    return str(_number(netns))


def _called(word: str, namespaces: Sequence[Netns]) -> Iterator[Netns]:
    for netns in namespaces:
        if word in (netns.name, str(netns.inode), netns.origin and netns.origin.name):
            yield netns


def _found(word: str, namespaces: Sequence[Netns], inode_of: InodeOf) -> Iterator[Netns]:
    """Those that no list is needed for: of a process, or with a name in /run/netns."""
    if word.isascii() and word.isdigit() and int(word[:20]) <= LARGEST_PID:
        inode = inode_of(f"/proc/{int(word)}/ns/net")
        if inode is not None:
            yield _known(inode, namespaces, pid=int(word))
    if word != HOST_NAME and "/" not in word:
        inode = inode_of(f"{NAMED}/{word}")
        if inode is not None:
            yield _known(inode, namespaces, name=word)


def _by_id(word: str, namespaces: Sequence[Netns]) -> Iterator[Netns]:
    for netns in namespaces:
        if netns.origin is not None and word and netns.origin.id.startswith(word):
            yield netns


def _known(
    inode: int, namespaces: Sequence[Netns], *, name: str | None = None, pid: int | None = None
) -> Netns:
    """The one of the list with that inode, else one of which no more is known."""
    name = name and clean(name, NAME_LIMIT)
    for netns in namespaces:
        if netns.inode == inode:
            named = netns.name is not None or netns.origin is not None
            return netns._replace(
                name=netns.name if named else name, pid=pid if netns.pid is None else netns.pid
            )
    return Netns(inode, name, pid=pid)


def _number(netns: Netns) -> int | None:
    return netns.pid if netns.inode is None else netns.inode


def _nothing(word: str) -> str:
    if not (word.isascii() and word.isdigit()):
        return f"no network namespace and no container is called {word!r}"
    what = "process" if int(word[:20]) <= LARGEST_PID else "network namespace"
    return f"there is no {what} {word[:20]}"
