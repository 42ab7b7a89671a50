"""What a step is, and its result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from sockwatch.lab.model import LabError
from sockwatch.lab.prediction import Prediction
from sockwatch.lab.session import Session


class Skipped(LabError):  # noqa: N818 - nothing went wrong
    """The step cannot be done in this sandbox; nor can the `rest`, where it builds on the step."""

    def __init__(self, reason: str, *, rest: bool = False) -> None:
        super().__init__(reason)
        self.rest = rest


@dataclass(frozen=True, slots=True)
class StepResult:
    """What the kernel answered or the tables show, if anything, and the prediction of a bind."""

    kernel: str | None = None
    prediction: Prediction | None = None


class Step(Protocol):
    """One thing to do in a sandbox, and what the kernel is expected to answer."""

    @property
    def text(self) -> str:
        """What is done."""

    @property
    def why(self) -> str:
        """Why the kernel answers as it does; empty if the step says nothing of its own."""

    @property
    def explanation(self) -> str:
        """`why`, or what steps of this kind are about."""

    @property
    def expect(self) -> str | None:
        """The answer expected of the kernel; None if any will do."""

    def run(self, session: Session) -> StepResult:
        """Carry the step out. Raises LabError, Skipped."""


@dataclass(frozen=True, slots=True)
class BaseStep:
    """What all steps of scenarios have; WHY is the explanation of a kind of step."""

    text: str
    why: str = field(default="", kw_only=True)
    expect: str | None = field(default=None, kw_only=True)
    WHY: ClassVar[str] = ""

    @property
    def explanation(self) -> str:
        """See Step."""
        return self.why or self.WHY
