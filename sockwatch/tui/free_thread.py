"""One thread carries out a plan to free a port, and posts what happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeAlias

from sockwatch.act.cancel import Cancellation
from sockwatch.act.model import EndTarget, Event, Plan, Step
from sockwatch.model import SockwatchError
from sockwatch.tui.act_thread import ActThread, Post, send
from sockwatch.tui.messages import FreeAsked, FreeEnded, FreeTold

if TYPE_CHECKING:
    from sockwatch.act.perform import Consent
    from sockwatch.act.proof import Replan

Perform: TypeAlias = "Callable[[Plan, Replan, Consent, Cancellation], Iterator[Event]]"


class FreeThread(ActThread):
    """Posts FreeTold for each event, FreeAsked before what hurts, and FreeEnded at last.

    `post` takes these. `perform` is that of sockwatch.act but for tests.
    """

    def __init__(
        self,
        plan: Plan,
        replan: Replan,
        post: Post,
        post_crash: Post,
        perform: Perform | None = None,
    ) -> None:
        super().__init__("sockwatch-free", post_crash)
        self._plan = plan
        self._replan = replan
        self._post = post
        self._perform = perform
        self._answers: SimpleQueue[bool] = SimpleQueue()

    def answer(self, *, agreed: bool) -> None:
        """Answer the question that was posted last."""
        self._answers.put(agreed)

    def stop(self) -> None:
        """Take no further step; what is done stays done. Does not wait."""
        super().stop()
        self._answers.put(False)

    def act(self) -> None:
        """Carry out the plan."""
        from sockwatch.act.perform import Consent, perform  # noqa: PLC0415 - when it is used first

        consent = Consent(self._may_do, self._may_kill)
        carry_out = self._perform or perform
        try:
            for event in carry_out(self._plan, self._replan, consent, self._cancel):
                send(self._post, FreeTold(event))
        except SockwatchError as error:
            send(self._post, FreeEnded(str(error)))
        else:
            send(self._post, FreeEnded())

    def _may_do(self, step: Step) -> bool:
        return self._asked(FreeAsked(step.targets, by_sigkill=False))

    def _may_kill(self, _step: Step, targets: Sequence[EndTarget]) -> bool:
        return self._asked(FreeAsked(tuple(targets), by_sigkill=True))

    def _asked(self, question: FreeAsked) -> bool:
        """Whether the user agrees; not once the thread was stopped."""
        send(self._post, question)
        return self._answers.get() and not self._cancel.is_set
