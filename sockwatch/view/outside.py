"""Advice for somebody who types in another network namespace, or on another host."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sockwatch.model import HOST_NAME
from sockwatch.view.names import origin_text

if TYPE_CHECKING:
    from sockwatch.bind import Fix
    from sockwatch.model import Gap, Netns, Snapshot

AS_ROOT: Final = ("as root, ", "run this again as root")
_NAME: Final = re.compile(r"\w[\w.-]*", re.ASCII)
_COMMAND: Final = re.compile(r"`((?:ip|sysctl) [^`]*)`")  # of a gap's remedy


def from_outside(fix: Fix, netns: Netns) -> Fix:
    """The fix by a command that enters the namespace; in words alone where none can lead there."""
    if not fix.in_netns or fix.command is None:
        return fix
    entry = _entry(netns)
    if entry is None:
        return fix._replace(command=None)
    if not fix.text.startswith(AS_ROOT):  # it may not need root by itself, but to enter does
        fix = fix._replace(text=f"as root, {fix.text}")
    return fix.by_way_of(entry)


def gap_from_outside(gap: Gap, netns: Netns) -> Gap:
    """The gap with a remedy that looks into that namespace."""
    if gap.remedy is None or not _COMMAND.search(gap.remedy):
        return gap
    entry = _entry(netns)
    if entry is None:
        return gap._replace(remedy=f"in that network namespace, {gap.remedy}")
    return gap._replace(remedy=_COMMAND.sub(rf"`{entry} \1`", gap.remedy))


def on_its_host(fix: Fix, snapshot: Snapshot) -> Fix:
    """The fix, with the host on which it is one where that is another."""
    if snapshot.on_host is None:
        return fix
    return fix._replace(text=f"on {snapshot.on_host}, {fix.text}")


def gap_of_host(gap: Gap, snapshot: Snapshot) -> Gap:
    """The same for the remedy of a gap."""
    if snapshot.on_host is None or gap.remedy is None:
        return gap
    return gap._replace(remedy=f"on {snapshot.on_host}, {gap.remedy}")


def title_place(snapshot: Snapshot, *, is_outside: bool) -> str:
    """``on web-1, in netns blue``: what tells where the port is; empty where one types there."""
    places = [where(snapshot.netns)] if is_outside else []
    if snapshot.on_host is not None:
        places.insert(0, f"on {snapshot.on_host}")
    return ", ".join(places)


def where(netns: Netns) -> str:
    """``on the host``, ``in netns blue``, ``in container web2 (podman)``."""
    return f"on {netns.label}" if netns.name == HOST_NAME else f"in {place(netns)}"


def place(netns: Netns) -> str:
    """``the host``, ``netns blue``, ``container web2 (podman)``."""
    if netns.name is not None or netns.origin is None:
        return netns.label
    return origin_text(netns.origin)


def _entry(netns: Netns) -> str | None:
    """What runs a command there: ip-netns(8) by its name, nsenter(1) by way of a process in it."""
    if netns.name not in (None, HOST_NAME) and _NAME.fullmatch(netns.name or ""):
        return f"ip netns exec {netns.name}"
    return None if netns.pid is None else f"nsenter --net=/proc/{netns.pid}/ns/net"
