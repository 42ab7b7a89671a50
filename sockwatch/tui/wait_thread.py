"""One thread waits until the requests of a goal would succeed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from sockwatch.model import SockwatchError
from sockwatch.tui.act_thread import ActThread, Post, send
from sockwatch.tui.messages import WaitTold
from sockwatch.tui.watched import Watched
from sockwatch.view.acts import Goal

if TYPE_CHECKING:
    from sockwatch.act.waiting import Judge, Standing
    from sockwatch.model import Snapshot

AGAIN_S: Final = 0.5  # after a look that was refused
MOST_REFUSALS: Final = 10  # then the namespace has gone, or may not be entered any more


class WaitThread(ActThread):
    """Posts WaitTold after each look; the last one is over."""

    def __init__(self, goal: Goal, watched: Watched, post: Post) -> None:
        super().__init__("sockwatch-wait", post)
        self.goal = goal
        self._watched, self._post = watched, post

    def act(self) -> None:
        """Wait, until the goal is reached or the port may be looked at no more."""
        from sockwatch.act.waiting import wait_until_free  # noqa: PLC0415 - when it is used first
        from sockwatch.kernel.wakeups import Wakeups  # noqa: PLC0415

        port, is_outside = self.goal.pair.request.port, self._watched.is_outside
        try:
            with Wakeups([port], everywhere=is_outside, cancel=self._cancel) as wakeups:
                wait_until_free([self.goal.pair], self._look, wakeups, math.inf, self._standing)
        except _StoppedError:
            return
        except SockwatchError as error:
            self._tell(WaitTold(self, refused=str(error), is_over=True))
        else:
            self._tell(WaitTold(self, is_over=True))

    def _look(self, port: int, is_free: Judge) -> Snapshot:
        """A new look; another one if it is refused. Raises what the last of some raises."""
        for _ in range(MOST_REFUSALS - 1):
            self._check()
            try:
                return self._confirmed(port, is_free)
            except SockwatchError as error:
                self._tell(WaitTold(self, refused=str(error)))
            self._cancel.wait(AGAIN_S)
        self._check()
        return self._confirmed(port, is_free)

    def _confirmed(self, port: int, is_free: Judge) -> Snapshot:
        """A table that is read while sockets come and go may miss one: look twice."""
        snapshot = self._watched.take(port)
        return self._watched.take(port) if is_free(snapshot) else snapshot

    def _standing(self, standing: Standing) -> None:
        self._check()
        verdict = next(each for each in standing.all() if each.outcome != "ok")
        self._tell(WaitTold(self, verdict=verdict))

    def _check(self) -> None:
        if self._cancel.is_set:
            raise _StoppedError

    def _tell(self, message: WaitTold) -> None:
        if not self._cancel.is_set:
            send(self._post, message)


class _StoppedError(Exception):
    """Nobody waits any more."""
