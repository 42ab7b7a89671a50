"""What a step is, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from sockwatch.lab.model import LabError
from sockwatch.lab.prediction import Prediction
from sockwatch.lab.session import Session


class Skipped(LabError):  # noqa: N818 - nothing went wrong
    """A step cannot be done in this sandbox; `rest` goes with it if what follows builds on it."""

    def __init__(self, reason: str, *, rest: bool = False) -> None:
        super().__init__(reason)
        self.rest = rest


@dataclass(frozen=True, slots=True)
class StepResult:
    """What the kernel answered or shows, and what had been predicted where it was a bind."""

    kernel: str | None = None
    prediction: Prediction | None = None


class Step(Protocol):
    """`text` says what is done, `expect` is the kernel's expected answer.

    `why` explains this step; `explanation` is that, or what such steps are about.
    """

    @property
    def text(self) -> str: ...
    @property
    def why(self) -> str: ...
    @property
    def explanation(self) -> str: ...
    @property
    def expect(self) -> str | None: ...
    def run(self, session: Session) -> StepResult:
        """Raises LabError, Skipped."""
        ...


@dataclass(frozen=True, slots=True)
class BaseStep:
    text: str
    why: str = field(default="", kw_only=True)
    expect: str | None = field(default=None, kw_only=True)
    WHY: ClassVar[str] = ""

    @property
    def explanation(self) -> str:
        return self.why or self.WHY
