"""Who has my port, and why does bind() fail? The library behind the command `sockwatch`."""

from __future__ import annotations

from sockwatch.bind import (
    BindRequest,
    Blocker,
    Condition,
    Rule,
    Verdict,
    explain_bind,
    matrix,
)
from sockwatch.model import (
    Gap,
    Holder,
    HostFacts,
    KernelError,
    Netns,
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
    "Condition",
    "Gap",
    "Holder",
    "HostFacts",
    "KernelError",
    "Netns",
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
    """One look at this network namespace; with `port` (1 to 65535), cheaply at that port alone.

    Raises KernelError where the kernel lets no table be read, ValueError for an impossible port.
    """
    # Here, since the netlink library takes 0.15 s to import.
    from sockwatch.kernel.snapshot import take_snapshot as take  # noqa: PLC0415

    if port is not None and not 1 <= port <= 65535:
        raise ValueError(f"port {port} is not within 1 to 65535")
    return take(port)
