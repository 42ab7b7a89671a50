"""Who has my port, and why does bind() fail? The library behind the command `sockwatch`."""

from __future__ import annotations

from sockwatch.bind import (
    BindRequest,
    Blocker,
    Cause,
    Condition,
    Fix,
    Rule,
    Verdict,
    explain_bind,
    matrix,
)
from sockwatch.model import (
    FlagCounts,
    Gap,
    GapCode,
    Holder,
    HostFacts,
    KernelError,
    Netns,
    OwnAddress,
    Port,
    Process,
    ReuseFlags,
    Snapshot,
    Socket,
    SocketGroup,
    SockwatchError,
    TimeWait,
)

__all__ = [
    "BindRequest",
    "Blocker",
    "Cause",
    "Condition",
    "Fix",
    "FlagCounts",
    "Gap",
    "GapCode",
    "Holder",
    "HostFacts",
    "KernelError",
    "Netns",
    "OwnAddress",
    "Port",
    "Process",
    "ReuseFlags",
    "Rule",
    "Snapshot",
    "Socket",
    "SocketGroup",
    "SockwatchError",
    "TimeWait",
    "Verdict",
    "__version__",
    "explain_bind",
    "matrix",
    "take_snapshot",
]

__version__ = "0.1.0"


def take_snapshot(port: int | None = None) -> Snapshot:
    """Return a snapshot of this network namespace; with `port` (1 to 65535) of that port alone.

    A snapshot of one port is cheaper and also lists each connection. What the caller may not see
    is None, and a gap of the snapshot. Raises KernelError if neither sock_diag(7) nor /proc/net can
    be read, ValueError if `port` is out of range.
    """
    # Here, since the netlink library takes 0.15 s to import.
    from sockwatch.kernel.snapshot import take_snapshot as take  # noqa: PLC0415

    if port is not None and not 1 <= port <= 65535:
        raise ValueError(f"port {port} is not within 1 to 65535")
    return take(port)
