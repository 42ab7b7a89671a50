"""To whom a network namespace belongs: to the container, pod or unit that it was made for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, TypeAlias

from sockwatch.kernel.netns.found import FoundNetns
from sockwatch.model import Origin

OriginOf: TypeAlias = Callable[[int], Origin | None]  # of a process
# What is started with a network of its own; a session's or a user's processes make theirs.
_OWN_NETWORK: Final = frozenset({"machine", "unit"})
LIMIT_S: Final = 0.5  # for the origins of one look; the others are unknown until the next
RENEWALS_S: Final = 0.02  # of it, for those that are known already
ASK_AGAIN_S: Final = 30.0  # a runtime may write its files later, and give a container another name


class _Answer(NamedTuple):
    origin: Origin | None
    asked_at: float  # time.monotonic()


class NetnsOrigins:
    """The origins of namespaces, kept for a while as long as the same process is the oldest."""

    def __init__(self, origin_of: OriginOf) -> None:
        self._origin_of = origin_of
        self._answers: dict[FoundNetns, _Answer] = {}

    def of(self, namespaces: Iterable[FoundNetns]) -> dict[FoundNetns, Origin | None]:
        """By namespace; None if unknown."""
        before, self._answers = self._answers, {}
        start = time.monotonic()
        origins: dict[FoundNetns, Origin | None] = {}
        for found in namespaces:
            answer = before.get(found)
            now = time.monotonic()
            is_due = answer is None or now - answer.asked_at > ASK_AGAIN_S
            if is_due and now - start < (LIMIT_S if answer is None else RENEWALS_S):
                origin = origin_of_netns(found, self._origin_of)
                answer = _Answer(_with_name(origin, answer and answer.origin), now)
            if answer is not None:
                self._answers[found] = answer
            origins[found] = answer and answer.origin
        return origins


def _with_name(origin: Origin | None, before: Origin | None) -> Origin | None:
    """The origin as it was where its name cannot be read any more."""
    if origin is None or before is None or origin.name is not None:
        return origin
    return before if (before.kind, before.id) == (origin.kind, origin.id) else origin


def origin_of_netns(found: FoundNetns, origin_of: OriginOf) -> Origin | None:
    """That of the oldest process in it, where it was the first of its cgroup; None if unknown.

    The containers of a pod share the namespace of its sandbox, which is one of them. A unit has its
    own by PrivateNetwork=, systemd.exec(5).
    """
    if found.is_host or found.pid is None or found.leads_cgroup is False:
        return None
    origin = origin_of(found.pid)
    if origin is None:
        return None
    if origin.outer is not None and origin.outer.kind == "pod":
        return origin.outer
    if origin.is_container or origin.kind == "pod":
        return origin
    return origin if found.leads_cgroup and origin.kind in _OWN_NETWORK else None
