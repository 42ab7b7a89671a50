"""Whether it helps to wait until a request succeeds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.model import Blocker, Verdict
from sockwatch.model import Socket

Prospect = Literal[
    "free",  # it succeeds now
    "ends",  # all that is in the way ends by itself: a clock, a connection, a client's socket
    "stays",  # something is in the way that stays until somebody acts
]
ENDING_CAUSES: Final = frozenset({CauseId.ADDRESS_TENTATIVE})
_WORST_FIRST: Final[tuple[Prospect, ...]] = ("stays", "ends", "free")


def prospect(verdict: Verdict) -> Prospect:
    """What waiting promises for the request of the verdict, which has causes.

    A server, or a socket that somebody has bound, stays: nothing shows that it is about to end. An
    outcome that depends counts as a failure, since only success is what one waits for.
    """
    if {verdict.bind, verdict.listen or "ok"} == {"ok"}:
        return "free"
    if verdict.reason is not None or not verdict.blockers:
        ends = verdict.cause is not None and verdict.cause.id in ENDING_CAUSES
        return "ends" if ends and not any(map(stays, verdict.blockers)) else "stays"
    return "stays" if any(map(stays, verdict.blockers)) else "ends"


def common_prospect(verdicts: Iterable[Verdict]) -> Prospect:
    """That of all of them together, at least one: the worst."""
    found = set(map(prospect, verdicts))
    return next(each for each in _WORST_FIRST if each in found)


def stays(blocker: Blocker) -> bool:
    """Whether the blocker is there until somebody acts."""
    if not isinstance(blocker.owner, Socket):
        return False
    return blocker.cause is None or blocker.cause.id != CauseId.CLIENT_PORT
