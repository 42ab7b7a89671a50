"""Freeing the port of a test: the plan, and everything that is told while it is carried out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sockwatch.act.cancel import Cancellation
from sockwatch.act.free import plan_pair
from sockwatch.act.model import PATIENCE_S, EndTarget, Event, EventKind, Plan, Step
from sockwatch.act.perform import Consent, perform
from sockwatch.act.proof import LONGEST_WAIT_S, Replanned
from sockwatch.bind import BindRequest
from sockwatch.bind.pair import RequestPair
from sockwatch.kernel.proc.proc_stat import read_stat
from sockwatch.kernel.surroundings import take_snapshot
from tests.bind.asking import PORT

REQUEST = BindRequest("tcp", "127.0.0.1", PORT)


def replan(request: BindRequest = REQUEST, **options: Any) -> Replanned:
    """The plan for the request as things are now."""
    snapshot = take_snapshot(request.port)
    return Replanned(plan_pair(RequestPair(request), snapshot, **options), snapshot)


def agrees(_: Step) -> bool:
    return True


def refuses(_: Step) -> bool:
    return False


class Killing:
    """Whether SIGKILL is agreed to, and whom it was asked about."""

    def __init__(self, answer: bool, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.asked: list[int] = []
        self._answer = answer
        self._meanwhile = meanwhile

    def __call__(self, _: Step, targets: Sequence[EndTarget]) -> bool:
        self.asked += [target.pid for target in targets]
        self._meanwhile()
        return self._answer


def carried_out(
    plan: Plan,
    *,
    to_step: Callable[[Step], bool] = agrees,
    to_kill: Callable[[Step, Sequence[EndTarget]], bool] | None = None,
    request: BindRequest = REQUEST,
    options: dict[str, Any] | None = None,
    settle_s: float = 0.0,
    patience_s: float = PATIENCE_S,
    longest_wait_s: float = LONGEST_WAIT_S,
) -> list[Event]:
    """All events of the plan."""
    consent = Consent(to_step, to_kill or Killing(False))
    with Cancellation() as cancel:
        return [
            *perform(
                plan,
                lambda: replan(request, **(options or {})),
                consent,
                cancel,
                settle_s=settle_s,
                patience_s=patience_s,
                longest_wait_s=longest_wait_s,
            )
        ]


def outcome(events: Sequence[Event]) -> str:
    """What the proof found; everything before it is not."""
    *_, last = events
    assert (last.kind, [e for e in events if e.verdict is not None]) == (EventKind.VERDICT, [last])
    assert last.verdict is not None
    return last.verdict.outcome


def kinds(events: Sequence[Event]) -> list[str]:
    return [event.kind for event in events]


def text(events: Sequence[Event]) -> str:
    return "\n".join(event.text for event in events)


def is_alive(pid: int) -> bool:
    """Whether it still runs: one that has ended may wait for its parent."""
    stat = read_stat(pid)
    return stat is not None and stat.state not in ("Z", "X")
