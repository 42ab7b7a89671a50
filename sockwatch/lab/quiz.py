"""The lab as a quiz: which steps ask what the kernel will answer, and what can be bet on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple

from sockwatch.lab.observations import See, Ss
from sockwatch.lab.restart import Restart
from sockwatch.lab.run import StepReport
from sockwatch.lab.step import Step
from sockwatch.lab.steps import Connect, Listen, Start

_OF_A_SERVER: Final = ("ok", "EADDRINUSE", "EACCES", "EADDRNOTAVAIL")
_OF_LISTEN: Final = ("ok", "listen EADDRINUSE")
_OF_A_CLIENT: Final = ("ok", "EADDRINUSE", "EADDRNOTAVAIL", "connect EADDRNOTAVAIL")


class Score(NamedTuple):
    """How many of so many bets were right."""

    right: int = 0
    bets: int = 0

    def plus(self, other: Score) -> Score:
        """Both together."""
        return Score(self.right + other.right, self.bets + other.bets)


def choices(step: Step) -> tuple[str, ...]:
    """The answers to bet on, the same for all steps of a kind; empty if the step is no question.

    The questions are the steps whose answer sockwatch predicts.
    """
    match step:
        case Start() | Restart():
            return _OF_A_SERVER
        case Listen():
            return _OF_LISTEN
        case Connect(spec=spec) if spec.binds:
            return _OF_A_CLIENT
    return ()


def is_set_for_question(steps: Sequence[Step]) -> bool:
    """Whether a question comes before any step that changes what is in the sandbox."""
    changing = (step for step in steps if not isinstance(step, See | Ss))
    return any(choices(step) for step in islice(changing, 1))


def is_right(bet: str, report: StepReport) -> bool | None:
    """Whether the kernel has answered so; None if it has not answered."""
    return None if report.kernel is None else bet == report.kernel


def score(reports: Iterable[StepReport], bets: Mapping[int, str]) -> Score:
    """Count the answered bets, each by the number of its step."""
    judged = [is_right(bets[r.number], r) for r in reports if r.number in bets]
    answered = [right for right in judged if right is not None]
    return Score(sum(answered), len(answered))
