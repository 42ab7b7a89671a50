"""A failed call in words."""

from __future__ import annotations

import os.path
from datetime import datetime
from typing import Final

from sockwatch import units
from sockwatch.bind.failure import ExplainedFailure
from sockwatch.failure import Failure
from sockwatch.units import UNKNOWN
from sockwatch.view import outside
from sockwatch.view.verdict import cause_text

ALLOWED_FOR: Final = "allowed for by the rules, no cause identified"


def program(failure: Failure) -> str:
    """The program's name: that of its file, else of the process, else of the thread."""
    process = failure.process
    if process is None:
        return failure.comm
    return process.name or os.path.basename(process.executable or "") or failure.comm


def who(failure: Failure) -> str:
    """``nginx(812)``; ``nginx(?)`` where this pid namespace has no number for it."""
    return units.process_name(program(failure), failure.pid)


def kind(failure: Failure) -> str:
    """``tcp``, ``udp``, ``unix``, else the family: ``netlink``; ``?`` where it was not seen."""
    if failure.protocol == "other":
        return failure.socket_family or failure.family or UNKNOWN
    return failure.protocol or UNKNOWN


def endpoint(failure: Failure) -> str:
    """``0.0.0.0:80``, ``[::1]:80``, ``/run/x.sock``, ``@name``; ``?`` where it was not seen."""
    return host_or_path(failure) + port_mark(failure)


def host_or_path(failure: Failure) -> str:
    """The endpoint without its port: ``0.0.0.0``, ``[::1]``, ``/run/x.sock``; ``?``."""
    if failure.address is None:
        return UNKNOWN
    return units.host(failure.address) if _has_port(failure) else failure.address


def port_mark(failure: Failure) -> str:
    """``:80``, the rest of the endpoint; empty for a path."""
    if not _has_port(failure):
        return ""
    return f":{UNKNOWN if failure.port is None else failure.port}"


def _has_port(failure: Failure) -> bool:
    return failure.address is not None and failure.family in ("ipv4", "ipv6")


def no_port(failure: Failure) -> str:
    """Why no port can be shown for the failure; empty if one can."""
    if failure.protocol == "unix":
        return "a unix socket has a path and no port"
    if failure.protocol not in ("tcp", "udp"):
        return f"{kind(failure)}: only ports of TCP and UDP can be shown"
    if failure.port is None:
        return "the port of the call is unknown"
    if failure.port == 0:
        return "the call asked for any free port, so there is none to show"
    if failure.netns_inode is None:
        return "the network namespace of the call is unknown"
    return ""


def flags(failure: Failure) -> str:
    """`` (reuseaddr, v6only?)``: the options of the socket, ``?`` if unknown; empty for none."""
    names = (
        ("reuseaddr", failure.flags.reuseaddr),
        ("reuseport", failure.flags.reuseport),
        ("v6only", failure.v6only),
    )
    shown = [name if value else f"{name}?" for name, value in names if value is not False]
    if failure.protocol not in ("tcp", "udp") or not shown:
        return ""
    return f" ({', '.join(shown)})"


def time_of_day(time: float) -> str:
    """``14:03:07``, in local time, of a Unix time in seconds."""
    return datetime.fromtimestamp(time).astimezone().strftime("%H:%M:%S")


def failure_line(explained: ExplainedFailure, home_netns: int | None = None) -> str:
    """``14:03:07 nginx(812) bind tcp 0.0.0.0:80 EADDRINUSE: apache2(700) of user ...``."""
    return f"{time_of_day(explained.failure.time)} {failure_text(explained, home_netns)}"


def failure_text(explained: ExplainedFailure, home_netns: int | None = None) -> str:
    """The same without the time. The network namespace is named if it is not `home_netns`."""
    failure = explained.failure
    what = f"{failure.call} {kind(failure)} {endpoint(failure)}{flags(failure)}"
    where = in_netns(explained, home_netns)
    more = f" and {failure.repeats:,} times more" if failure.repeats else ""
    return f"{who(failure)} {what} {failure.errno}{more}{where}: {why(explained)}"


def why(explained: ExplainedFailure) -> str:
    """The cause in a sentence, else the rule, else that there is none and what was not seen."""
    if explained.cause is not None:
        return cause_text(explained.cause)
    unseen = "; ".join(gap.text for gap in explained.gaps)
    if explained.explained:
        return explained.reason.text if explained.reason is not None else ALLOWED_FOR
    return f"not explained ({unseen})" if unseen else "not explained by what is there now"


def in_netns(explained: ExplainedFailure, home_netns: int | None) -> str:
    """`` in netns blue``, `` on the host``; empty at home or if it is unknown."""
    netns = explained.netns
    if netns is None or netns.inode == home_netns:
        return ""
    return f" {outside.where(netns)}"
