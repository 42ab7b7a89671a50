"""A failed call in words."""

from __future__ import annotations

import os.path
from datetime import datetime
from typing import Final

from sockwatch import units
from sockwatch.bind.failure import ExplainedFailure
from sockwatch.failure import Failure
from sockwatch.units import UNKNOWN

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


def endpoint(failure: Failure) -> str:
    """``0.0.0.0:80``, ``[::1]:80``, ``/run/x.sock``, ``@name``; ``?`` where it was not seen."""
    if failure.address is None:
        return UNKNOWN
    if failure.family not in ("ipv4", "ipv6"):
        return failure.address
    return units.endpoint(failure.address, failure.port)


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
    """``14:03:07 nginx(812) bind tcp 0.0.0.0:80 EADDRINUSE: apache2(700) of user ...``.

    The network namespace is named if it is not `home_netns`.
    """
    failure = explained.failure
    at = time_of_day(failure.time)
    what = f"{failure.call} {failure.protocol or UNKNOWN} {endpoint(failure)}{flags(failure)}"
    where = _where(explained, home_netns)
    more = f" and {failure.repeats:,} times more" if failure.repeats else ""
    return f"{at} {who(failure)} {what} {failure.errno}{more}{where}: {why(explained)}"


def why(explained: ExplainedFailure) -> str:
    """The cause in a sentence, else the rule, else that there is none and what was not seen."""
    if explained.cause is not None:
        return explained.cause.text
    unseen = "; ".join(gap.text for gap in explained.gaps)
    if explained.explained:
        reason = explained.verdict.reason if explained.verdict is not None else None
        return reason.text if reason is not None else ALLOWED_FOR
    return f"not explained ({unseen})" if unseen else "not explained by what is there now"


def _where(explained: ExplainedFailure, home_netns: int | None) -> str:
    netns = explained.netns
    if netns is None or netns.inode == home_netns:
        return ""
    return f" in netns {netns.name or netns.inode}"
