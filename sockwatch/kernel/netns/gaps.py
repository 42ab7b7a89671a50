"""The gaps of the list of network namespaces."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from sockwatch.kernel.bpf.errors import BpfUnavailable
from sockwatch.kernel.netns.finder import NetnsFinder
from sockwatch.kernel.netns.found import MOST_NAMESPACES
from sockwatch.model import AS_ROOT, Gap, GapCode, KernelError
from sockwatch.units import plural

MOST_NUMBERS: Final = 5  # in one sentence


def gaps(finder: NetnsFinder) -> Iterator[Gap]:
    """What the last look could not see."""
    if finder.unopened:
        yield _unopened(finder.unopened)
    if not finder.is_whole:
        yield Gap(
            GapCode.NETNS_UNREAD,
            f"there are more than {MOST_NAMESPACES} network namespaces; the rest are not looked at",
            None,
        )
    if finder.kernel_refusal is None:
        return
    if os.geteuid() == 0:
        yield _without_kernel(finder.kernel_refusal)
        if finder.hidden:  # root in a user namespace, or with less than all capabilities
            yield _hidden(finder.hidden)
    else:
        yield _of_others(finder.hidden)


def _hidden(processes: int) -> Gap:
    return Gap(
        GapCode.NETNS_UNREAD,
        f"of {plural(processes, 'process', 'processes')} the network namespace may not be read: it "
        "may be one that was not found",
        "run with the capabilities of those processes",
    )


def _of_others(hidden: int) -> Gap:
    text = "network namespaces without a process cannot be found"
    if hidden:
        processes = plural(hidden, "process", "processes")
        text += f", and those of {processes} of other users may not be entered"
    return Gap(GapCode.NETNS_UNREAD, text, AS_ROOT)


def _without_kernel(refusal: BpfUnavailable | KernelError) -> Gap:
    return Gap(
        GapCode.NETNS_UNREAD,
        f"network namespaces with neither a process nor a name cannot be found: {refusal}",
        refusal.remedy if isinstance(refusal, BpfUnavailable) else "look again",
    )


def _unopened(inodes: Sequence[int]) -> Gap:
    numbers = ", ".join(map(str, islice(inodes, MOST_NUMBERS)))
    more = len(inodes) - MOST_NUMBERS
    if more > 0:
        numbers += f" and {more} more"
    which, it = ("namespace", "it") if len(inodes) == 1 else ("namespaces", "them")
    return Gap(
        GapCode.NETNS_UNREAD,
        f"the network {which} {numbers} cannot be opened: no process and no name that can be seen "
        f"from here leads to {it}",
        None if os.geteuid() == 0 else AS_ROOT,
    )
