"""One thread carries out a plan to free a port, and posts what happens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeAlias

from textual.message import Message

from sockwatch.act.cancel import Cancellation
from sockwatch.act.model import EndTarget, Event, Plan, Step
from sockwatch.model import SockwatchError
from sockwatch.tui.messages import Crashed, FreeAsked, FreeEnded, FreeTold

if TYPE_CHECKING:
    from sockwatch.act.perform import Consent
    from sockwatch.act.proof import Replan

Post: TypeAlias = Callable[[Message], object]
Perform: TypeAlias = "Callable[[Plan, Replan, Consent, Cancellation], Iterator[Event]]"


class FreeThread:
    """Posts FreeTold for each event, FreeAsked before what hurts, and FreeEnded at last.

    `post` takes these, `post_crash` an exception that is a bug. `perform` is that of sockwatch.act
    but for tests.
    """

    def __init__(
        self,
        plan: Plan,
        replan: Replan,
        post: Post,
        post_crash: Post,
        perform: Perform | None = None,
    ) -> None:
        self._plan = plan
        self._replan = replan
        self._post = post
        self._post_crash = post_crash
        self._perform = perform
        self._cancel = Cancellation()
        self._answers: SimpleQueue[bool] = SimpleQueue()
        # A daemon: a command that hangs in the kernel must not hold up the exit.
        self._thread = threading.Thread(target=self._main, name="sockwatch-free", daemon=True)

    def start(self) -> None:
        """Begin. Raises RuntimeError where no thread can be started."""
        self._thread.start()

    def answer(self, *, agreed: bool) -> None:
        """Answer the question that was posted last."""
        self._answers.put(agreed)

    def stop(self) -> None:
        """Take no further step; what is done stays done. Does not wait."""
        if not self._cancel.is_set:
            self._cancel.cancel()
            self._answers.put(False)

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._cancel.is_set

    @property
    def ended(self) -> bool:
        """Whether the thread has run and has ended."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def join(self, timeout_s: float) -> None:
        """Wait for its end; not in the event loop."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def close(self) -> None:
        """Close the fd by which it is stopped, once it has ended. For the thread that stops it."""
        self._cancel.close()

    def _main(self) -> None:
        try:
            self._carry_out()
        except SockwatchError as error:
            _post(self._post, FreeEnded(str(error)))
        except Exception as error:  # noqa: BLE001 - the app raises it again, in its own thread
            _post(self._post_crash, Crashed(error))
        else:
            _post(self._post, FreeEnded())

    def _carry_out(self) -> None:
        from sockwatch.act.perform import Consent, perform  # noqa: PLC0415 - when it is used first

        consent = Consent(self._may_do, self._may_kill)
        carry_out = self._perform or perform
        for event in carry_out(self._plan, self._replan, consent, self._cancel):
            _post(self._post, FreeTold(event))

    def _may_do(self, step: Step) -> bool:
        return self._asked(FreeAsked(step.targets, by_sigkill=False))

    def _may_kill(self, _step: Step, targets: Sequence[EndTarget]) -> bool:
        return self._asked(FreeAsked(tuple(targets), by_sigkill=True))

    def _asked(self, question: FreeAsked) -> bool:
        """Whether the user agrees; not once the thread was stopped."""
        _post(self._post, question)
        return self._answers.get() and not self._cancel.is_set


def _post(post: Post, message: Message) -> None:
    try:
        post(message)
    except RuntimeError:  # the event loop is closed: the app has ended
        return
