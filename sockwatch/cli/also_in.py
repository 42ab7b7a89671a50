"""The network namespaces besides ours in which a port is taken, looked for after the answer."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

from sockwatch.kernel.netns.choice import word_for
from sockwatch.kernel.netns.elsewhere import Elsewhere, search
from sockwatch.model import Gap, GapCode, KernelError
from sockwatch.units import plural, verb
from sockwatch.view.also_in import AlsoIn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sockwatch.bind import BindRequest


class OtherNamespaces:
    """Looks for the ports of all requests at once, when it is first asked about one."""

    def __init__(self, requests: Iterable[BindRequest]) -> None:
        self._wanted = {(each.protocol, each.port) for each in requests if each.port}

    def with_port(self, request: BindRequest) -> tuple[AlsoIn, ...] | None:
        """Those in which the port is taken; None if no other could be looked into.

        An ordinary user does not see that there is no other one.
        """
        if self._elsewhere is None:
            return None
        if not self._elsewhere.entered and (os.geteuid() or len(self._elsewhere.namespaces) > 1):
            return None
        namespaces = self._elsewhere.namespaces
        found = self._elsewhere.found.get((request.protocol, request.port), ())
        return tuple(AlsoIn(netns, word_for(netns, namespaces)) for netns in found)

    def gaps(self, request: BindRequest) -> tuple[Gap, ...]:
        """That not all were searched in time."""
        if self._elsewhere is None:
            return ()
        missed, what = self._elsewhere.unsearched, "the port"
        if not missed:
            missed, what = self._elsewhere.half_searched, "it bound without listening"
        if not missed:
            return ()
        count = plural(missed, "other network namespace")
        text = f"whether {count} {verb(missed, 'has')} {what}: there was no time to look"
        remedy = f"type sockwatch ports {request.port} --all-netns"
        return (Gap(GapCode.NETNS_UNREAD, text, remedy),)

    @cached_property
    def _elsewhere(self) -> Elsewhere | None:
        try:
            return search(self._wanted) if self._wanted else None
        except (KernelError, OSError):
            return None
