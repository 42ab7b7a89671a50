"""Who has my port, and why does bind() fail? The library behind the command `sockwatch`."""

# Type checkers take it for true. The command imports nothing before cli.isolation has run.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from sockwatch.act.model import Plan as Plan
    from sockwatch.act.model import Refusal as Refusal
    from sockwatch.act.model import Step as Step
    from sockwatch.bind import BindRequest as BindRequest
    from sockwatch.bind import Blocker as Blocker
    from sockwatch.bind import Cause as Cause
    from sockwatch.bind import Condition as Condition
    from sockwatch.bind import Fix as Fix
    from sockwatch.bind import RestartVerdict as RestartVerdict
    from sockwatch.bind import Rule as Rule
    from sockwatch.bind import Verdict as Verdict
    from sockwatch.bind import explain_bind as explain_bind
    from sockwatch.bind import explain_restart as explain_restart
    from sockwatch.bind import matrix as matrix
    from sockwatch.model import ClientGroup as ClientGroup
    from sockwatch.model import Clients as Clients
    from sockwatch.model import FlagCounts as FlagCounts
    from sockwatch.model import Gap as Gap
    from sockwatch.model import GapCode as GapCode
    from sockwatch.model import Holder as Holder
    from sockwatch.model import HostFacts as HostFacts
    from sockwatch.model import HostSnapshot as HostSnapshot
    from sockwatch.model import KernelError as KernelError
    from sockwatch.model import Link as Link
    from sockwatch.model import Netns as Netns
    from sockwatch.model import Origin as Origin
    from sockwatch.model import OwnAddress as OwnAddress
    from sockwatch.model import Port as Port
    from sockwatch.model import PortSet as PortSet
    from sockwatch.model import Process as Process
    from sockwatch.model import ReuseFlags as ReuseFlags
    from sockwatch.model import Route as Route
    from sockwatch.model import RouteTable as RouteTable
    from sockwatch.model import Snapshot as Snapshot
    from sockwatch.model import Socket as Socket
    from sockwatch.model import SocketGroup as SocketGroup
    from sockwatch.model import SockwatchError as SockwatchError
    from sockwatch.model import TimeWait as TimeWait

_OF_BIND = (
    "BindRequest", "Blocker", "Cause", "Condition", "Fix", "RestartVerdict", "Rule", "Verdict",
    "explain_bind", "explain_restart", "matrix",
)  # fmt: skip
_OF_MODEL = (
    "ClientGroup", "Clients", "FlagCounts", "Gap", "GapCode", "Holder", "HostFacts",
    "HostSnapshot", "KernelError", "Link", "Netns", "Origin", "OwnAddress", "Port", "PortSet",
    "Process", "ReuseFlags", "Route", "RouteTable", "Snapshot", "Socket", "SocketGroup",
    "SockwatchError", "TimeWait",
)  # fmt: skip
_OF_ACT = ("Plan", "Refusal", "Step")
_OWN = ("__version__", "plan_free", "take_host_snapshot", "take_snapshot", "wait_until_free")
__all__ = [*_OF_ACT, *_OF_BIND, *_OF_MODEL, *_OWN]  # noqa: PLE0604 - all are text

__version__ = "0.1.0"


def take_snapshot(port: int | None = None, *, fold: bool = True) -> "Snapshot":
    """Return a snapshot of this network namespace; with `port` (1 to 65535) of that port alone.

    A snapshot of one port is cheaper, lists each connection, and tells where the holders run and
    who started them. In one of all ports, client ports are counted by destination in `clients`,
    unless `fold` is False or the kernel does not let us tell which they are. What the caller may
    not see is None, and a gap of the snapshot.
    Raises KernelError if neither sock_diag(7) nor /proc/net can be read, ValueError if `port` is
    out of range.
    """
    from sockwatch.kernel.surroundings import take_snapshot as take  # noqa: PLC0415 - takes 0.1 s

    if port is not None and not 1 <= port <= 65535:
        raise ValueError(f"port {port} is not within 1 to 65535")
    return take(port, fold=fold)


def take_host_snapshot() -> "HostSnapshot":
    """Return a snapshot of every network namespace of the host, our own first.

    Client ports are counted by destination. To enter other namespaces takes CAP_SYS_ADMIN; one that
    may not be is a gap. Raises KernelError if our own cannot be read.
    """
    from sockwatch.kernel.netns.survey import Survey  # noqa: PLC0415 - takes 0.1 s

    with Survey() as survey:
        return survey.take()


def wait_until_free(request: "BindRequest", timeout_s: float | None = None) -> "Verdict":
    """Wait until bind() and listen() of the request would succeed; return the last verdict.

    It is about this network namespace. A `bind` other than ``ok``, or a `listen` other than ``ok``
    and None, means that it was given up: `timeout_s` seconds after the first look (0 looks once,
    infinity waits for ever), or, with None, as soon as something is in the way that stays until
    somebody acts: a server, or what no socket makes, such as EACCES. Nothing is bound or reserved:
    somebody else may take the port before the caller does.

    It sleeps until a holder ends, a socket of the port is destroyed or a TIME_WAIT's clock is over;
    what no event tells, a look some times a second finds. Raises ValueError for port 0 and for a
    negative time, KernelError where the kernel lets no table be read.
    """
    from sockwatch.act.waiting import wait_for_request  # noqa: PLC0415 - takes 0.1 s

    return wait_for_request(request, timeout_s)


def plan_free(request: "BindRequest", snapshot: "Snapshot | None" = None) -> "Plan":
    """Plan how to make the request succeed: whom to stop, what to wait for, and what to let be.

    Nothing is done. Without a snapshot, of the request's port alone or of all ports, one is taken
    of this network namespace. Raises ValueError for port 0, SockwatchError if the snapshot is of
    another port only, KernelError if one has to be taken and cannot.
    """
    from sockwatch.act.free import plan_request  # noqa: PLC0415 - takes 0.1 s

    return plan_request(request, snapshot)


def __getattr__(name: str) -> object:
    """PEP 562: a command that needs no verdict does not wait for the rules to be imported."""
    from importlib import import_module  # noqa: PLC0415

    for module, names in (
        ("sockwatch.act.model", _OF_ACT),
        ("sockwatch.bind", _OF_BIND),
        ("sockwatch.model", _OF_MODEL),
    ):
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'sockwatch' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
