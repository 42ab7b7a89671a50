"""The plan for what somebody asks: one request, or the two that a port alone means."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from sockwatch.act.model import Plan
from sockwatch.act.plan import plan
from sockwatch.bind.model import BindRequest
from sockwatch.bind.pair import RequestPair
from sockwatch.model import Snapshot


def plan_pair(
    pair: RequestPair,
    snapshot: Snapshot,
    *,
    destroy: bool = False,
    named: AbstractSet[int] = frozenset(),
) -> Plan:
    """The plan by which both requests succeed. See plan(); raises SockwatchError as it does."""
    verdict, *beside = pair.explain(snapshot)
    also = beside[0] if beside else None
    return plan(verdict, snapshot, also=also, destroy=destroy, named=named)


def plan_request(request: BindRequest, snapshot: Snapshot | None = None) -> Plan:
    """The plan for one request; without a snapshot, for this network namespace as it is now.

    Raises ValueError for port 0, SockwatchError if the snapshot is of another port, KernelError.
    """
    if request.port == 0:
        raise ValueError("port 0 lets the kernel choose a free port: there is none to free")
    if snapshot is None:
        from sockwatch.kernel.surroundings import take_snapshot  # noqa: PLC0415 - takes 0.1 s

        snapshot = take_snapshot(request.port)
    return plan_pair(RequestPair(request), snapshot)
