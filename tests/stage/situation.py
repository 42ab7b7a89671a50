"""What a situation is, and what commands may touch in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sockwatch.bind.cause_ids import CauseId
from tests.stage.calls import Call
from tests.stage.places import FOLDER

USER = 12_345
SOCKET_FILE = str(FOLDER / "app.sock")
WITH_FLAG = Call(reuseaddr=True)
Touches = tuple[tuple[str, str], ...]


def nothing() -> None:
    """Any call that is refused before the kernel looks at the port."""


@dataclass(frozen=True)
class Situation:
    """`make` sets it up in a place; the failing call there is `call`.

    A command whose program is a key of `touches` may touch what the pattern says and has to touch
    something; every other one may touch nothing. `then` is what the kernel answers to the call
    after all commands. `fails` is what the failing process does, the call unless more.
    """

    cause: CauseId
    make: Callable[[], None]
    call: Call = WITH_FLAG
    touches: Touches = ()
    then: str = "EADDRINUSE"
    failures_only: bool = False  # sockwatch why cannot show it
    why_only: bool = False  # sockwatch failures cannot show it
    failures: int = 1  # how many there have to be before the cause can be told
    asked_by: int = 0  # the user who asks why
    inside_only: bool = False  # elsewhere no command is given: it would be for another file
    later: Callable[[], None] | None = None  # completes it, too late to be of one start
    meanwhile: Callable[[], None] = nothing  # between the failure and the look at it
    fails: Callable[[Call], object] = Call.attempt
    finds: str = ""  # a pattern, in the output of a command that searches
    needs: Callable[[], None] = nothing  # skips the test where it cannot be made
    clean: Callable[[], None] = nothing  # removes what outlives the stage

    @property
    def id(self) -> str:
        """For pytest."""
        act = self.make if self.make is not nothing else self.fails
        return f"{self.cause.value}-{act.__name__}"


KILLS: Touches = (("kill", r"process \d+ (server|heir|sleep) .* gone|socket .*"),)
STOPPED: Touches = (("kill", r"process \d+ server .* (stopped SIGTERM|gone)|socket .*"),)
RESERVES: Touches = (("sysctl", r"sysctl /proc/sys/net/ipv4/ip_local_reserved_ports .*"),)
LOWERS: Touches = (("sysctl", r"sysctl /proc/sys/net/ipv4/ip_unprivileged_port_start .*"),)
ALLOWS: Touches = (("sysctl", r"sysctl /proc/sys/net/ipv[46]/ip_nonlocal_bind 1"),)
WIDENS: Touches = (("sysctl", r"sysctl /proc/sys/net/ipv4/ip_local_port_range .*"),)
# A RST tells the other end.
DESTROYS: Touches = (("ss", r"socket tcp (127\.0\.0\.1:\d+ )?127\.0\.0\.1:8080 .* gone"),)
REMOVES: Touches = (("rm", rf"file {SOCKET_FILE} \d+ gone"),)
THAWS: Touches = (("echo", r"cgroup 0"),)
SETS_UP: Touches = (("ip", r"(link|address) .*"),)
HAS_IPV6: Touches = (("sysctl", r"(sysctl /proc/sys/net/ipv6/conf/lo/disable_ipv6|address lo) .*"),)
